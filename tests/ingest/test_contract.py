"""Contracts: what is read from a good one, and how each fault of a bad one is named."""

import re
from pathlib import Path

import pytest

from ops_platform.errors import ContractError
from ops_platform.ingest.contract_file import read_contract, read_contracts
from ops_platform.settings import PROJECT

GOOD = """\
apiVersion: v3.1.0
kind: DataContract
id: urn:test:visits
name: visits
version: 2.0.0
status: active
servers:
  - server: files
    type: local
    path: visits/*.tsv
    format: tsv
team:
  name: web
slaProperties:
  - property: freshness
    value: 2
    unit: d
    element: visits.seen_at
schema:
  - name: visits
    description: One row a visit.
    properties:
      - name: visitor
        logicalType: string
        required: true
        description: Who came.
        logicalTypeOptions:
          pattern: '^[a-z]+$'
      - name: pages
        logicalType: integer
        transformSourceObjects: [n]
        logicalTypeOptions:
          minimum: 1
          maximum: 99.5
      - name: seen_at
        logicalType: timestamp
        transformSourceObjects: [day, "time of day"]
        transformLogic: day || ' ' || "time of day"
        logicalTypeOptions:
          defaultTimezone: Europe/Berlin
      - name: spent
        logicalType: number
        physicalType: DECIMAL(9, 2)
"""


def write(folder: Path, text: str, name: str = "visits") -> Path:
    path = folder / f"{name}.odcs.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def line_of(text: str, part: str) -> int:
    return text[: text.index(part)].count("\n") + 1


def test_a_contract_is_read_as_it_is_written(tmp_path):
    contract = read_contract(write(tmp_path, GOOD))
    assert (contract.name, contract.version, contract.owner) == ("visits", "2.0.0", "web")
    assert (contract.location, contract.delimiter) == ("visits/*.tsv", "\t")
    assert contract.event_time == "seen_at"
    assert contract.description == "One row a visit."
    assert contract.inputs == ["visitor", "n", "day", "time of day", "spent"]
    visitor, pages, seen_at, spent = contract.columns
    assert [c.type for c in contract.columns] == ["VARCHAR", "BIGINT", "TIMESTAMP", "DECIMAL(9, 2)"]
    assert (visitor.required, visitor.pattern) == (True, "^[a-z]+$")
    assert visitor.description == "Who came."
    assert (pages.expression, pages.minimum, pages.maximum) == ('"n"', 1, 99.5)
    assert (pages.timezone, seen_at.timezone) == ("UTC", "Europe/Berlin")
    assert seen_at.expression == "day || ' ' || \"time of day\""
    assert (spent.required, spent.minimum, spent.maximum, spent.pattern) == (
        False,
        None,
        None,
        None,
    )


def test_the_orders_contract_is_sound():
    contracts = {one.name: one for one in read_contracts(PROJECT / "contracts")}
    orders = contracts["orders"]
    assert orders.name == "orders"
    assert orders.event_time == "ordered_at"
    assert [c.name for c in orders.columns if c.required] == [
        "order_id", "product_id", "quantity", "ordered_at", "unit_price", "country",
    ]  # fmt: skip


def test_the_older_form_of_the_team_names_an_owner(tmp_path):
    text = GOOD.replace("team:\n  name: web\n", "team:\n  - username: ann\n  - username: bob\n")
    assert read_contract(write(tmp_path, text)).owner == "ann"


# What is replaced, by what, where the fault is (a part of the new text), its field, its words.
FAULTS = {
    # Of the standard.
    "a required field is missing": ("kind: DataContract\n", "", "apiVersion", "contract", "'kind'"),
    "a misspelt field": ("servers:", "serverz: 1\nservers:", "serverz", "serverz", "knows no such field"),
    "a misspelt field below": (
        "    description: One row a visit.", "    descriptoin: One.", "descriptoin",
        "schema[0].descriptoin", "the standard knows no such field here",
    ),
    "a value of no such kind": (
        "logicalType: integer", "logicalType: int", "int\n", "schema[0].properties[1].logicalType",
        "'int' is not one of",
    ),
    "a value of another type": (
        "required: true", "required: often", "often", "schema[0].properties[0].required",
        "'often' is not of type 'boolean'",
    ),
    "an unknown version of the standard": (
        "apiVersion: v3.1.0", "apiVersion: v9", "apiVersion", "apiVersion", "'v9' is not one of",
    ),
    "no name of a column": (
        "- name: pages\n        logicalType: integer", "- logicalType: integer", "- logicalType: integer",
        "schema[0].properties[1]", "'name' is a required property",
    ),
    # Of the platform.
    "another name than the file's": (
        "name: visits\nversion", "name: visit\nversion", "name: visit\n", "name", "must be 'visits'",
    ),
    "no owner": ("team:\n  name: web\n", "", "apiVersion", "team", "needs an owner"),
    "a team without a name": ("  name: web\n", "  description: us\n", "team:", "team", "owner"),
    "no server": (
        "servers:\n  - server: files\n    type: local\n    path: visits/*.tsv\n    format: tsv\n", "",
        "apiVersion", "servers", "one server is needed",
    ),
    "a format that can't be read": (
        "format: tsv", "format: avro", "- server: files", "servers[0]", "format one of csv, tsv",
    ),
    "a type that the engine has not": (
        "DECIMAL(9, 2)", "MONEY", "MONEY", "schema[0].properties[3].physicalType", "'MONEY' is not a type",
    ),
    "a type that the engine can't make": (
        "DECIMAL(9, 2)", "DECIMAL(99, 2)", "DECIMAL(99", "schema[0].properties[3].physicalType",
        "is not a type of the engine",
    ),
    "a type that has no default": (
        "logicalType: number\n        physicalType: DECIMAL(9, 2)\n", "logicalType: object\n",
        "- name: spent", "schema[0].properties[3].physicalType", "None is not a type",
    ),
    "several inputs and no logic": (
        "        transformLogic: day || ' ' || \"time of day\"\n", "", "- name: seen_at",
        "schema[0].properties[2].transformLogic", "needed to make one value",
    ),
    "a logic that is no SQL": (
        "day || ' ' || \"time of day\"", "day ||) (", "day ||) (", "schema[0].properties[2].transformLogic",
        "the engine can't run it: Parser Error",
    ),
    "a logic on what is not delivered": (
        "day || ' ' || \"time of day\"", "days", "days", "schema[0].properties[2].transformLogic",
        "the engine can't run it: Binder Error",
    ),
    "a pattern of no regular expression": (
        "'^[a-z]+$'", "'^[a-z+$'", "'^[a-z+$'",
        "schema[0].properties[0].logicalTypeOptions.pattern", "no regular expression",
    ),
    "a pattern that Python has and the engine has not": (
        "'^[a-z]+$'", "'(?=a)'", "'(?=a)'",
        "schema[0].properties[0].logicalTypeOptions.pattern", "no regular expression",
    ),
    "a promise that is not checked": (
        "pattern: '^[a-z]+$'", "format: email", "email",
        "schema[0].properties[0].logicalTypeOptions.format", "does not check it",
    ),
    "a bound that is no time": (
        "defaultTimezone: Europe/Berlin", "minimum: '2020'", "'2020'",
        "schema[0].properties[2].logicalTypeOptions.minimum", "must be a TIMESTAMP, not '2020'",
    ),
    "a time zone that is none": (
        "Europe/Berlin", "Europe/Atlantis", "Europe/Atlantis",
        "schema[0].properties[2].logicalTypeOptions.defaultTimezone", "no such time zone",
    ),
    "a classification that may mean personal data": (
        "        required: true\n", "        classification: gdpr\n", "classification",
        "schema[0].properties[0].classification", "'gdpr' is not known: personal or pii is hashed",
    ),
    "a name twice": (
        "- name: spent", "- name: Pages", "Pages", "schema[0].properties[3].name", "'Pages' is taken already",
    ),
    "a name of the platform's": (
        "- name: spent", "- name: _delivery", "_delivery", "schema[0].properties[3].name", "is taken already",
    ),
    "a freshness of no column": (
        "visits.seen_at", "visits.seen", "visits.seen\n", "slaProperties[0].element", "'seen' is none",
    ),
    "a freshness of a number": (
        "visits.seen_at", "visits.pages", "visits.pages", "slaProperties[0].element", "type DATE or TIMESTAMP",
    ),
    "no columns": (
        GOOD[GOOD.index("slaProperties") :], "schema: [{name: visits}]\n", "schema", "schema[0]",
        "at least one property is needed",
    ),
    "two tables": (
        "schema:\n", "schema:\n  - name: more\n", "schema:", "schema", "one schema object is needed",
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", FAULTS)
def test_a_fault_is_named_by_file_line_and_field(tmp_path, kind):
    old, new, at, field, words = FAULTS[kind]
    assert old in GOOD
    text = GOOD.replace(old, new, 1)
    path = write(tmp_path, text)
    with pytest.raises(ContractError) as caught:
        read_contract(path)
    (fault,) = str(caught.value).splitlines()
    assert fault.startswith(f"{path}:{line_of(text, at)}: {field}: ")
    assert words in fault


def test_a_name_that_is_no_tables_name_is_a_fault(tmp_path):
    path = write(
        tmp_path, GOOD.replace("name: visits\nversion", "name: my visits\nversion"), "my visits"
    )
    with pytest.raises(ContractError, match=re.escape(f"{path}:4: name: it names a table")):
        read_contract(path)


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("kind: [1\nname: a\n", ":2", "expected ',' or ']'"),
        ("kind: a\n\tname: b\n", ":2", "cannot start any token"),
        ("", ":1", "contract: None is not of type 'object'"),
        ("- a list\n", ":1", "contract: ['a list'] is not of type 'object'"),
        ("kind: &a [*a]\n", "", "Circular reference"),
        ("kind: \x00\n", "", "special characters are not allowed"),
    ],
)
def test_what_is_no_contract_at_all_is_named(tmp_path, text, line, words):
    path = write(tmp_path, text)
    with pytest.raises(ContractError) as caught:
        read_contract(path)
    assert str(caught.value).startswith(f"{path}{line}: ")
    assert words in str(caught.value)


def test_what_is_not_utf8_is_named(tmp_path):
    path = tmp_path / "visits.odcs.yaml"
    path.write_bytes(GOOD.encode("utf-16"))
    with pytest.raises(ContractError, match=re.escape(str(path))):
        read_contract(path)


def test_all_faults_of_all_contracts_are_told_at_once(tmp_path):
    write(tmp_path, GOOD.replace("'^[a-z]+$'", "'('").replace("DECIMAL(9, 2)", "MONEY"))
    write(tmp_path, GOOD, "sales")
    write(tmp_path, GOOD.replace("name: visits", "name: sound"), "sound")
    with pytest.raises(ContractError) as caught:
        read_contracts(tmp_path)
    assert [fault.split(":")[0].rsplit("/")[-1] for fault in str(caught.value).splitlines()] == [
        "sales.odcs.yaml", "visits.odcs.yaml", "visits.odcs.yaml",
    ]  # fmt: skip


def test_a_folder_without_contracts_says_what_to_do(tmp_path):
    with pytest.raises(ContractError, match=r"no contract .* write one, or set OPS_CONTRACTS"):
        read_contracts(tmp_path)
