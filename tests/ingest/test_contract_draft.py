"""Drafting contracts: what is read off a sample, that the draft is sound and takes its sample in."""

import json
from datetime import datetime

import duckdb
import pytest
import yaml
from typer.testing import CliRunner

from ops_platform.cli import app
from ops_platform.errors import ContractError
from ops_platform.ingest.contract_draft import draft, snake_case
from ops_platform.ingest.contract_file import read_contract
from ops_platform.ingest.take_in import take_in
from ops_platform.lake.connect import connect
from ops_platform.lake.location import Lake

NOW = datetime(2024, 6, 1)
VISITS = """\
VisitId,page No,seenAt,read on,left,Zoned,epoch_ts,price,share,is_known,zip,note,valid_until
V-1,3,2024-05-01 10:00:00,2024-05-01,01/05/2024 10:30,2024-05-01T10:00:00+02:00,1714557600,1.25,0.123456,true,01234,a,2030-01-01
V-2,0,2024-05-02 11:00:00,2024-05-02,31/05/2024 09:00,2024-05-01T10:00:00Z,1714644000,0,1e3,FALSE,99999,"b, c",2030-01-01
V-3,12,2024-05-05 12:00:00,2024-05-05,05/05/2024 10:30,2024-05-01T10:00:00+02:00,1714903200,20,7,true,10115,,2030-01-01
"""
PEOPLE = """\
id,name,e-mail address,Mobile,Contact,born,birth_date,email_sent_at,product_name,city
1,Ann Lee,ann@example.org,+49 30 123456,ann@example.org,1980-02-03,1980-02-03,2024-05-01 10:00:00,Cake,Bonn
2,Bob Ray,,+49 30 123457,+49 30 123457,1981-02-03,1981-02-03,2024-05-01 10:00:00,Cup,Bonn
3,Cy Poe,cy@example.org,,cy@example.org,1980-02-03,1980-02-03,2024-05-02 10:00:00,Pot,Köln
"""


@pytest.fixture
def drafted(tmp_path):
    """Drafts a contract from a file of this text: its path, and its columns by name."""

    def make(file, text, name="visits"):
        sample = tmp_path / name / file
        sample.parent.mkdir(exist_ok=True)
        if isinstance(text, str):
            sample.write_text(text)
        else:
            text(sample)
        path = tmp_path / f"{name}.odcs.yaml"
        path.write_text(draft(sample, name, "web", NOW))
        document = yaml.safe_load(path.read_text())
        return path, {column["name"]: column for column in document["schema"][0]["properties"]}

    return make


def taken(tmp_path, path):
    """The rows that the draft's own sample brings into an empty lake; none may be left over."""
    contract = read_contract(path)
    lake = Lake(tmp_path / "lake", tmp_path / "lake" / "data")
    take_in(lake, contract, tmp_path / contract.name, NOW)
    with connect(lake) as reader:
        bad = reader.execute(f"SELECT reasons, record FROM quarantine.{contract.name}").fetchall()
        assert bad == []
        return reader.execute(f"SELECT * FROM raw.{contract.name} ORDER BY ALL").fetchall()


def test_names_are_made_snake_case():
    given = [
        "InvoiceNo",
        "Invoice No.",
        "CustomerID",
        "HTTPStatus",
        "e-mail",
        "2nd",
        "größe",
        "---",
    ]
    assert [snake_case(one) for one in given] == [
        "invoice_no", "invoice_no", "customer_id", "http_status", "e_mail", "column_2nd", "gr_e",
        "column",
    ]  # fmt: skip


def test_a_draft_of_a_csv_file_says_what_its_values_show(drafted, tmp_path):
    path, columns = drafted("a.csv", VISITS)
    types = {name: (c["logicalType"], c["physicalType"]) for name, c in columns.items()}
    assert types == {
        "visit_id": ("string", "VARCHAR"),
        "page_no": ("string", "VARCHAR"),
        "seen_at": ("timestamp", "TIMESTAMP"),
        "read_on": ("date", "DATE"),
        "left": ("timestamp", "TIMESTAMP"),
        "zoned": ("timestamp", "TIMESTAMP"),
        "epoch_ts": ("timestamp", "TIMESTAMP"),
        "price": ("number", "DECIMAL(18,4)"),
        "share": ("number", "DOUBLE"),
        "is_known": ("boolean", "BOOLEAN"),
        "zip": ("string", "VARCHAR"),
        "note": ("string", "VARCHAR"),
        "valid_until": ("date", "DATE"),
    }
    assert [name for name, c in columns.items() if not c.get("required")] == ["note"]
    assert [name for name, c in columns.items() if c.get("primaryKey")] == ["visit_id"]
    assert columns["visit_id"]["transformSourceObjects"] == ["VisitId"]
    assert "transformSourceObjects" not in columns["price"]
    assert {name: c["logicalTypeOptions"] for name, c in columns.items() if "logicalTypeOptions" in c} == {
        "visit_id": {"pattern": "^[A-Z]+-[0-9]+$"},
        "page_no": {"pattern": "^[0-9]+$"},
        "price": {"minimum": 0},
        "share": {"minimum": 0},
        "zip": {"pattern": "^[0-9]+$"},
    }  # fmt: skip
    contract = read_contract(path)
    assert (contract.owner, contract.event_time, contract.freshness.days) == ("web", "seen_at", 6)
    text = path.read_text()
    assert "# from 0 to 20\n" in text
    assert "# 1 of 3 are empty\n" in text
    rows = taken(tmp_path, path)
    assert len(rows) == 3
    assert rows[0][4:7] == (
        datetime(2024, 5, 1, 10, 30), datetime(2024, 5, 1, 8), datetime(2024, 5, 1, 10),
    )  # fmt: skip


def test_few_values_are_listed_and_negative_numbers_have_no_range(drafted, tmp_path):
    lines = [f"{'view' if n % 3 else 'buy'}\t{n - 9}\t{n % 4}" for n in range(30)]
    path, columns = drafted("a.tsv", "\n".join(["kind\tsteps\tquantity", *lines]) + "\n")
    assert "# values: buy, view\n" in path.read_text()
    assert "logicalTypeOptions" not in columns["steps"]
    assert "no two rows have the same" in path.read_text()
    assert read_contract(path).event_time is None
    assert len(taken(tmp_path, path)) == 30


def test_a_draft_of_json_lines_leaves_nested_values_out(drafted, tmp_path):
    records = [
        {"sku": 17, "Price": 1.5, "sold": True, "at": "2024-05-01 10:00:00", "tags": ["a"]},
        {"sku": 18, "Price": 2, "sold": False, "at": "2024-05-02 10:00:00", "size": {"x": 1}},
    ]
    path, columns = drafted("a.jsonl", "".join(json.dumps(one) + "\n" for one in records))
    assert [(n, c["physicalType"]) for n, c in columns.items()] == [
        ("sku", "VARCHAR"), ("price", "DECIMAL(18,4)"), ("sold", "BOOLEAN"), ("at", "TIMESTAMP"),
    ]  # fmt: skip
    assert "# 'tags' is nested and left out" in path.read_text()
    assert len(taken(tmp_path, path)) == 2


def test_a_draft_of_parquet_keeps_its_types(drafted, tmp_path):
    def write(path):
        duckdb.sql(
            "SELECT n AS event_id, 'p' || n AS product, n::DECIMAL(9,2) AS price, n::FLOAT AS f, "
            "n % 2 = 0 AS odd, TIMESTAMP '2024-05-01' + to_days(n::INT) AS at, [n] AS list "
            "FROM range(5) AS t(n)"
        ).write_parquet(str(path))

    path, columns = drafted("a.parquet", write)
    assert [c["physicalType"] for c in columns.values()] == [
        "BIGINT", "VARCHAR", "DECIMAL(9,2)", "DOUBLE", "BOOLEAN", "TIMESTAMP",
    ]  # fmt: skip
    assert columns["event_id"]["primaryKey"]
    assert len(taken(tmp_path, path)) == 5


def test_a_file_without_a_header_has_its_columns_numbered(drafted, tmp_path):
    path, columns = drafted("a.tsv", "a\t1\nb\t2\n")
    assert list(columns) == ["column_1", "column_2"]
    assert taken(tmp_path, path)[0][:2] == ("a", 1)


def test_likely_personal_data_is_classified_and_its_values_are_not_told(drafted):
    path, columns = drafted("a.csv", PEOPLE, "customers")
    personal = [name for name, c in columns.items() if c.get("classification") == "personal"]
    assert personal == ["name", "e_mail_address", "mobile", "contact", "birth_date"]
    assert {columns[name]["physicalType"] for name in personal} == {"VARCHAR"}
    text = path.read_text()
    for value in ("ann", "Ann", "123456"):
        assert value not in text
    assert [c.classification for c in read_contract(path).columns if c.name in personal] == [
        "personal"
    ] * 5


def test_values_after_the_present_are_no_event_time(drafted):
    path, _ = drafted(
        "a.csv", "at,day\n2024-06-01 00:00:01,2024-05-01\n2024-05-01 00:00:00,2024-05-01\n"
    )
    assert read_contract(path).event_time == "day"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a;b\n1;2\n", "is delimited by ';'"),
        ("a,b\n", "has no rows"),
        ("", "has no rows|can't read it"),
        (b"\xff\xfe\x00,\x00\n\x00\x01", "can't read it"),
    ],
)
def test_what_no_contract_can_be_made_of_says_why(tmp_path, text, told):
    sample = tmp_path / "a.csv"
    sample.write_bytes(text.encode() if isinstance(text, str) else text)
    with pytest.raises(ContractError, match=told):
        draft(sample, "a", "web", NOW)


def test_at_the_prompt_nothing_is_written_over(tmp_path):
    sample, output = tmp_path / "Order Lines.csv", tmp_path / "lines.odcs.yaml"
    sample.write_text("id,n\n1,2\n2,3\n")

    def init(*options):
        return CliRunner().invoke(app, ["contract", "init", str(sample), *options])

    done = init()
    assert (done.exit_code, yaml.safe_load(done.stdout)["name"]) == (0, "order_lines")
    assert init("--output", str(output), "--owner", "web").exit_code == 0
    assert read_contract(output).owner == "web"
    output.write_text("mine")
    done = init("--output", str(output))
    assert (done.exit_code, "is there already" in done.stderr, output.read_text()) == (
        1,
        True,
        "mine",
    )
    assert init("--output", str(output), "--force").exit_code == 0
    assert read_contract(output).name == "lines"
    done = init("--output", str(output), "--name", "others")
    assert (done.exit_code, "lies in others.odcs.yaml" in done.stderr) == (1, True)
    assert init("--name", "Not A Name").exit_code == 1
    done = CliRunner().invoke(app, ["contract", "init", str(tmp_path / "none.csv")])
    assert "there is no such file" in done.stderr
