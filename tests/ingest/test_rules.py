"""What a contract demands of rows, keys and tables, on two sources that refer to one another."""

import csv
import textwrap
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import dagster as dg
import pytest

from ops_platform.errors import ContractError
from ops_platform.ingest.assets import contract_checks, raw_asset
from ops_platform.ingest.contract_file import read_contracts
from ops_platform.ingest.expectations import expectations
from ops_platform.ingest.rules import raw_checks
from ops_platform.ingest.take_in import take_in
from ops_platform.lake.connect import connect
from ops_platform.lake.location import Lake
from ops_platform.settings import Settings

NOW = datetime(2024, 6, 3, 12)
HEAD = """\
apiVersion: v3.1.0
kind: DataContract
id: urn:test:{name}
name: {name}
version: 1.0.0
status: active
servers: [{{server: files, type: local, path: '{name}/*.csv', format: csv}}]
team: {{name: shop, members: [{{username: ann@shop.org}}, {{username: bob}}]}}
tags: [retail, till 3]
"""
ITEMS = """\
schema:
  - name: items
    properties:
      - {name: sku, logicalType: string, primaryKey: true, tags: [join key]}
      - {name: title, logicalType: string}
"""
SALES = """\
description: {purpose: What was sold., usage: The till's book.}
customProperties: [{property: colour, value: blue}]
slaProperties:
  - {property: freshness, value: 1, unit: day, element: sales.sold_at}
  - {property: latency, value: 6, unit: h, element: sales.sold_at}
schema:
  - name: sales
    quality:
      - {metric: rowCount, mustBeGreaterOrEqualTo: 2, description: A till sells something.}
      - metric: duplicateValues
        arguments: {properties: [till, sold_at]}
        mustBeLessOrEqualTo: 1
      - name: no day without a large sale
        type: sql
        severity: error
        query: >-
          SELECT count(*) FROM (SELECT max(amount) AS most FROM ${object} GROUP BY sold_at::DATE)
          WHERE most < 10
        mustBe: 0
      - {type: text, description: The till is counted by hand each evening.}
    properties:
      - {name: till, logicalType: integer, physicalType: SMALLINT, primaryKey: true,
         primaryKeyPosition: 2}
      - {name: number, logicalType: string, primaryKey: true, primaryKeyPosition: 1,
         physicalName: Number, logicalTypeOptions: {minLength: 2, maxLength: 4}}
      - {name: receipt, logicalType: string, unique: true}
      - name: sku
        logicalType: string
        relationships: [{to: items.sku}]
        quality:
          - {metric: missingValues, arguments: {missingValues: [null, none]}, unit: percent,
             mustBeLessThan: 50}
      - name: amount
        logicalType: number
        physicalType: DECIMAL(9,2)
        logicalTypeOptions: {exclusiveMinimum: 0, maximum: 99.5}
        quality: [{metric: nullValues, mustBe: 0}]
      - name: paid
        logicalType: string
        enum: [{value: cash}, {value: card, description: Any card.}]
        quality: [{metric: invalidValues, arguments: {validValues: [cash]}, mustBeBetween: [0, 1]}]
      - name: sold_at
        logicalType: timestamp
        required: true
        logicalTypeOptions: {minimum: '2024-01-01 00:00:00', exclusiveMaximum: '2025-01-01'}
"""
COLUMNS = ["till", "Number", "receipt", "sku", "amount", "paid", "sold_at"]
SOLD_AT = "2024-06-03 10:00:00"


class Till:
    """Two sources in a folder, taken in together."""

    def __init__(self, folder: Path, sales: str = SALES) -> None:
        self.folder, self.lake = folder, Lake(folder / "lake", folder / "lake" / "data")
        for name, text in (("items", ITEMS), ("sales", sales)):
            (folder / name).mkdir(parents=True)
            path = folder / "contracts" / f"{name}.odcs.yaml"
            path.parent.mkdir(exist_ok=True)
            path.write_text(HEAD.format(name=name) + textwrap.dedent(text), encoding="utf-8")
        self.items, self.sales = read_contracts(folder / "contracts")

    def deliver(self, file: str, *rows: list[object]) -> None:
        with (self.folder / "sales" / file).open("w", newline="") as out:
            csv.writer(out).writerows([COLUMNS, *rows])

    def deliver_items(self, *skus: str) -> None:
        lines = "".join(f"{sku},a\n" for sku in skus)
        (self.folder / "items" / "all.csv").write_text("sku,title\n" + lines, encoding="utf-8")

    def take_in(self) -> None:
        for contract in (self.items, self.sales):
            take_in(self.lake, contract, self.folder / contract.name, NOW)

    def query(self, sql: str) -> list[tuple]:
        with connect(self.lake) as connection:
            return connection.execute(sql).fetchall()

    def numbers(self) -> list[str]:
        return [number for (number,) in self.query("SELECT number FROM raw.sales ORDER BY 1")]

    def quarantined(self) -> list[tuple[str, int, list[str]]]:
        return self.query(
            "SELECT parse_filename(path), line, reasons FROM quarantine.sales "
            "JOIN ledger.deliveries ON sha256 = _delivery ORDER BY ALL"
        )

    def findings(self, now: datetime = NOW) -> dict[str, object]:
        with connect(self.lake) as connection:
            return {one.name: one.judge(connection, now) for one in expectations(self.sales)}


def sale(number: object = "01", **changes: object) -> list[object]:
    good = {"till": 1, "Number": number, "receipt": f"r{number}", "sku": "a", "amount": "12.50",
            "paid": "card", "sold_at": SOLD_AT}  # fmt: skip
    return [changes.get(name, value) for name, value in good.items()]


@pytest.fixture
def till(tmp_path: Path) -> Till:
    return Till(tmp_path)


def test_all_that_a_contract_says_is_kept(till):
    sales = till.sales
    assert [c.type for c in sales.columns][:2] == ["SMALLINT", "VARCHAR"]
    assert sales.keys == (("number", "till"), ("receipt",))
    assert [c.required for c in sales.columns] == [True, True, False, False, False, False, True]
    assert sales.inputs == COLUMNS
    assert sales.document.customProperties[0].value == "blue"
    assert sales.document.team.members[1].username == "bob"


def test_each_rule_of_a_row_is_a_reason(till):
    till.deliver(
        "a.csv",
        sale("01"),
        sale("2"),
        sale("00003"),
        sale("04", till=""),
        sale("05", amount="0"),
        sale("06", amount="99.51"),
        sale("07", paid="cheque"),
        sale("08", sold_at="2023-12-31 23:59:59"),
        sale("09", amount="99.5", paid=""),
    )
    till.take_in()
    assert till.numbers() == ["01", "09"]
    assert [reasons for _, _, reasons in till.quarantined()] == [
        ["number: shorter than 2 characters"],
        ["number: longer than 4 characters"],
        ["till: required"],
        ["amount: not above 0"],
        ["amount: above 99.5"],
        ["paid: not one of cash, card"],
        ["sold_at: below 2024-01-01 00:00:00"],
    ]


def test_a_day_that_no_timestamp_reaches_is_a_fault_of_its_row_and_not_of_its_file(tmp_path):
    till = Till(tmp_path, SALES.replace("logicalType: string, unique: true", "logicalType: date"))
    days = ["2024-06-01", "510000-01-01", "2024-06-01 00:00:00", "2024-06-01 07:00:00", ""]
    till.deliver("a.csv", *(sale(f"{n:02}", receipt=day) for n, day in enumerate(days)))
    till.take_in()
    assert till.numbers() == ["00", "02", "04"]
    not_a_date = ["receipt: not a DATE"]
    assert till.quarantined() == [("a.csv", 3, not_a_date), ("a.csv", 5, not_a_date)]


def test_of_rows_with_one_key_the_first_stays_whatever_comes_later(till):
    till.deliver("b.csv", sale("01"), sale("02", amount="x"), sale("02"), sale("02", receipt="new"))
    till.take_in()
    assert till.numbers() == ["01", "02"]
    # The next two come together: in the order of their names, and after what was there.
    till.deliver("c.csv", sale("03", amount=2), sale("03", amount=2), sale("04", receipt="r01"))
    till.deliver("a.csv", sale("03", amount=1), sale("01", till=2, receipt=""))
    till.take_in()
    assert till.query("SELECT number, till, amount FROM raw.sales ORDER BY ALL") == [
        ("01", 1, 12.5), ("01", 2, 12.5), ("02", 1, 12.5), ("03", 1, 1),
    ]  # fmt: skip
    twice = "a row that comes before it has it"
    assert till.quarantined() == [
        ("b.csv", 3, ["amount: not a DECIMAL(9,2)"]),
        ("b.csv", 5, [f"duplicate key number, till: {twice}"]),
        ("c.csv", 2, [f"duplicate key number, till: {twice}"]),
        ("c.csv", 3, [f"duplicate key number, till: {twice}"]),
        ("c.csv", 4, [f"duplicate key receipt: {twice}"]),
    ]
    (record,) = till.query("SELECT record FROM quarantine.sales WHERE line = 5")
    assert '"receipt": "new"' in record[0]


def test_a_delivery_at_the_same_path_replaces_its_own_keys(till):
    till.deliver("a.csv", sale("01"), sale("02"))
    till.take_in()
    till.deliver("a.csv", sale("02", amount=3), sale("01", amount=4))
    till.take_in()
    assert till.query("SELECT amount FROM raw.sales ORDER BY 1") == [(3,), (4,)]
    assert till.quarantined() == []


def test_a_key_that_is_twice_in_the_lake_blocks(till):
    till.deliver("a.csv", sale("01"), sale("02"))
    till.take_in()
    named = {check.name: check for check in raw_checks(till.sales)}
    assert {"contract_paid", "contract_key_number_till", "contract_key_receipt"} <= set(named)
    with connect(till.lake) as connection:
        assert [check.failures(connection) for check in named.values()] == [0] * len(named)
    till.sales = replace(till.sales, keys=())
    till.deliver("b.csv", sale("01"))
    till.take_in()
    with connect(till.lake) as connection:
        assert named["contract_key_number_till"].failures(connection) == 1
        assert named["contract_key_receipt"].failures(connection) == 1


def test_what_is_expected_holds_or_is_told_with_its_figures(till):
    till.deliver_items("a")
    till.deliver("a.csv", sale("01", paid="cash"), sale("02", amount=""))
    till.take_in()
    found = till.findings()
    assert {name for name, one in found.items() if not one.holds} == {"quality_amount_null_values"}
    assert found["quality_amount_null_values"].found == {"found": "1", "expected": "must be 0"}

    till.deliver_items("b")
    till.deliver(
        "a.csv",
        *(sale(f"0{n}", amount=1, sku="none", sold_at="2024-06-03 03:00:00") for n in range(4)),
        sale("05", sku="c"),
    )
    till.take_in()
    found = till.findings(datetime(2024, 6, 4, 10, 1))
    assert {name: one.found for name, one in found.items() if not one.holds} == {
        "quality_duplicate_values": {"found": "3", "expected": "must be less or equal to 1"},
        "quality_paid_invalid_values": {"found": "5", "expected": "must be between [0, 1]"},
        "quality_sku_missing_values": {"found": "80.0", "expected": "must be less than 50"},
        "reference_sku_to_items": {"rows": 5, "for example": "c; none"},
        "freshness": {
            "newest": "2024-06-03 10:00:00", "age": "1 day, 0:01:00", "at most": "1 day, 0:00:00",
        },
    }  # fmt: skip
    till.deliver("a.csv", sale("01", amount=1, sold_at="2024-06-03 05:59:59"))
    till.take_in()
    found = till.findings()
    assert not found["latency"].holds
    assert not found["quality_no_day_without_a_large_sale"].holds
    assert not found["quality_row_count"].holds


def test_what_is_referred_to_and_not_connected_is_not_judged(till):
    till.deliver("a.csv", sale("01"), sale("02"))
    till.take_in()
    assert till.findings()["reference_sku_to_items"].found == {
        "not judged": "items has delivered nothing yet"
    }


def test_the_graph_shows_the_contract_and_its_verdicts(till, tmp_path):
    till.deliver_items("b")
    till.deliver("a.csv", sale("01"), sale("02", paid="cash"))
    (tmp_path / "sales" / "b.csv").write_text(
        ",".join([*COLUMNS, "colour"]) + f"\n2,03,,b,1,cash,{SOLD_AT},red\n", encoding="utf-8"
    )
    (tmp_path / "clock").write_text(NOW.isoformat(), encoding="utf-8")
    settings = Settings(home=tmp_path / "home", sources=tmp_path, clock=str(tmp_path / "clock"))
    graph = dg.Definitions(
        assets=[raw_asset(till.items), raw_asset(till.sales)],
        asset_checks=[contract_checks(till.items), contract_checks(till.sales)],
        resources={"settings": settings},
        executor=dg.in_process_executor,
        jobs=[dg.define_asset_job("all_of_it")],
    )
    done = graph.resolve_job_def("all_of_it").execute_in_process()
    found = {
        check.check_name: check for check in done.get_asset_check_evaluations()
        if check.asset_key.path[-1] == "sales"
    }  # fmt: skip
    assert found["contract_key_receipt"].blocking
    assert {name for name, one in found.items() if not one.passed} == {
        "columns", "reference_sku_to_items",
    }  # fmt: skip
    assert "| colour | b.csv |" in found["columns"].metadata["unknown"].value
    reference = found["reference_sku_to_items"]
    assert (reference.blocking, reference.severity) == (False, dg.AssetCheckSeverity.WARN)
    spec = graph.resolve_asset_graph().get(dg.AssetKey(["raw", "sales"]))
    assert spec.owners == ["team:shop", "ann@shop.org"]
    assert {"retail", "till_3", "ops"} <= spec.tags.keys()
    assert spec.metadata["contract"] == "sales 1.0.0"
    assert spec.metadata["purpose"] == "What was sold."
    schema = spec.metadata["dagster/column_schema"]
    amount = next(column for column in schema.columns if column.name == "amount")
    assert amount.constraints.other == ["not above 0", "above 99.5"]
    assert not schema.columns[0].constraints.nullable


# Replaced in SALES, by what, and the words that name the fault.
BETWEEN = {
    "no such source": ("items.sku", "goods.sku", "relationships[0].to: there is no contract goods"),
    "no such column": ("items.sku", "items.ean", "relationships[0].to: items has no column ean"),
    "not comparable": (
        "logicalType: string\n        relationships", "logicalType: boolean\n        relationships",
        "sku is BOOLEAN, but items.sku is VARCHAR: they can't be compared",
    ),
    "an SQL rule on nothing": (
        "FROM ${object}", "FROM raw.tills", "query: the engine can't run it: Catalog Error: Table",
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", BETWEEN)
def test_what_a_contract_says_of_another_is_judged_with_both(tmp_path, kind):
    old, new, words = BETWEEN[kind]
    assert old in SALES
    with pytest.raises(ContractError) as caught:
        Till(tmp_path, SALES.replace(old, new))
    (fault,) = str(caught.value).splitlines()
    assert fault.startswith(f"{tmp_path}/contracts/sales.odcs.yaml:")
    assert words in fault


# Replaced in SALES, by what, the field of the fault, and its words.
UNCHECKED = {
    "a custom engine": (
        "metric: rowCount, mustBeGreaterOrEqualTo: 2,", "type: custom, engine: soda, implementation: x,",
        "schema[0].quality[0].type", "runs no custom engine",
    ),
    "a schedule": ("metric: rowCount,", "metric: rowCount, schedule: '0 1 * * *',",
                   "schema[0].quality[0].schedule", "not followed"),
    "a unit": ("unit: percent", "unit: pounds", "quality[0].unit", "must be one of rows, percent"),
    "a severity": ("severity: error", "severity: fatal", "quality[2].severity", "info, warning, error"),
    "a metric of tables": ("metric: nullValues", "metric: rowCount", "quality[0].metric",
                           "must be one of nullValues"),
    "an argument": ("arguments: {missingValues: [null, none]}", "arguments: {missing: [none]}",
                    "arguments.missing", "has no such argument"),
    "an argument that is missing": ("arguments: {validValues: [cash]}", "arguments: {}",
                                    "arguments", "needed: validValues or pattern"),
    "a column of a metric": ("[till, sold_at]", "[till, day]", "arguments.properties", "'day' is no column"),
    "no query": ("SELECT count(*) FROM (", "DELETE FROM (", "quality[2].query", "can't read it"),
    "two rules of one name": ("quality: [{metric: nullValues, mustBe: 0}]",
                              "quality: [{metric: nullValues, mustBe: 0}, {metric: nullValues, mustBe: 1}]",
                              "quality[1]", "another rule is called quality_amount_null_values"),
    "a reference to a path": ("to: items.sku", "to: schema/items/properties/sku",
                              "relationships[0].to", "<source>.<column>"),
    "a level": ("property: latency", "property: availability", "slaProperties[1].property",
                "it checks freshness and latency"),
    "two times": ("element: sales.sold_at}\n  - {property: latency, value: 6, unit: h, element: sales.sold_at",
                  "element: sales.sold_at}\n  - {property: latency, value: 6, unit: h, element: sales.till",
                  "slaProperties[1].element", "must name a column of type DATE or TIMESTAMP"),
    "a type that does not hold it": ("logicalType: integer, physicalType: SMALLINT",
                                     "logicalType: integer, physicalType: VARCHAR",
                                     "physicalType", "VARCHAR does not hold the logical type integer"),
    "an allowed value of another type": ("unique: true}", "unique: true}\n      - {name: n, logicalType: integer, enum: [{value: few}]}",
                                         "enum[0].value", "'few' is not a BIGINT"),
    "a bound of a text": ("minLength: 2", "pattern: 2", "pattern", "is not of type 'string'"),
    "a measure": ("unique: true}", "unique: true, semanticType: measure}", "semanticType", "many rows"),
}  # fmt: skip


@pytest.mark.parametrize("kind", UNCHECKED)
def test_a_rule_that_would_not_be_checked_is_refused(tmp_path, kind):
    old, new, field, words = UNCHECKED[kind]
    assert old in SALES
    with pytest.raises(ContractError) as caught:
        Till(tmp_path, SALES.replace(old, new, 1))
    (fault,) = str(caught.value).splitlines()
    where, _, told = fault.partition(f"{field}: ")
    assert where.startswith(f"{tmp_path}/contracts/sales.odcs.yaml:")
    assert words in told
