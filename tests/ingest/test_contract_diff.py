"""What a change of a contract is told as, what of it breaks, and what the exit code makes of it."""

import json
import re

import pytest
from typer.testing import CliRunner

from ops_platform.cli import app
from ops_platform.ingest.contract_diff import diff
from ops_platform.settings import PROJECT

BASE = """\
apiVersion: v3.1.0
kind: DataContract
id: urn:test:visits
name: visits
version: 1.4.0
status: active
servers:
  - {server: files, type: local, path: visits/*.csv, format: csv}
team: {name: web}
slaProperties:
  - {property: freshness, value: 2, unit: d, element: visits.seen_at}
schema:
  - name: visits
    description: One row a visit.
    properties:
      - name: visitor
        logicalType: string
        required: true
        primaryKey: true
        description: Who came.
        logicalTypeOptions: {pattern: '^[a-z]+$'}
      - name: pages
        logicalType: integer
        physicalType: INTEGER
        logicalTypeOptions: {minimum: 1, maximum: 99}
      - name: kind
        logicalType: string
        classification: internal
        enum: [{value: new}, {value: known}]
        relationships: [{to: kinds.kind}]
      - name: seen_at
        logicalType: timestamp
        transformSourceObjects: [at]
        logicalTypeOptions: {defaultTimezone: Europe/Berlin}
      - name: spent
        logicalType: number
        physicalType: DECIMAL(9, 2)
"""
MORE = "      - name: more\n        logicalType: string\n"

# What is replaced, by what, and what is then told of which part.
BREAKING = {
    "a column removed": ("      - name: spent\n        logicalType: number\n        physicalType: DECIMAL(9, 2)\n", "",
                         "visits.spent: the column is removed"),
    "a column renamed": ("name: spent", "name: paid", "visits.spent: the column is removed"),
    "a new column is required": ("      - name: pages", MORE + "        required: true\n      - name: pages",
                                 "visits.more: the column is new and required of every delivery"),
    "a narrower integer": ("INTEGER", "SMALLINT", "visits.pages: was INTEGER and is SMALLINT"),
    "another type": ("physicalType: INTEGER", "physicalType: VARCHAR", "visits.pages: was INTEGER and is VARCHAR"),
    "fewer digits": ("DECIMAL(9, 2)", "DECIMAL(10,4)", "visits.spent: was DECIMAL(9,2) and is DECIMAL(10,4)"),
    "another logical type": ("logicalType: integer", "logicalType: number", "visits.pages: was a integer and is a number"),
    "required": ("physicalType: INTEGER", "physicalType: INTEGER\n        required: true", "visits.pages: is now required"),
    "unique": ("physicalType: INTEGER", "physicalType: INTEGER\n        unique: true", "visits.pages: is now unique"),
    "a higher minimum": ("minimum: 1,", "minimum: 2,", "visits.pages: minimum was 1 and is 2"),
    "a lower maximum": ("maximum: 99", "maximum: 9", "visits.pages: maximum was 99 and is 9"),
    "a new maximum": ("{defaultTimezone", "{maximum: '2030-01-01', defaultTimezone", "visits.seen_at: maximum was none and is 2030-01-01"),
    "another pattern": ("^[a-z]+$", "^[a-z0-9]+$", "visits.visitor: pattern was ^[a-z]+$ and is ^[a-z0-9]+$"),
    "another time zone": ("Europe/Berlin", "UTC", "visits.seen_at: defaultTimezone was Europe/Berlin and is UTC: the same text is another moment"),
    "a value less": (", {value: known}", "", "visits.kind: may no longer be known"),
    "no key": ("        primaryKey: true\n", "", "visits: the key was visitor and is none"),
    "another key": ("physicalType: INTEGER", "physicalType: INTEGER\n        primaryKey: true", "visits: the key was visitor and is pages, visitor"),
    "personal": ("classification: internal", "classification: personal",
                 "visits.kind: classification was internal and is personal: values are hashed, so they are others than before"),
    "more guarded": ("internal", "confidential", "visits.kind: classification was internal and is confidential"),
    "another input": ("[at]", "[time]", "visits.seen_at: was made from at and is from time"),
    "other logic": ("        transformSourceObjects", "        transformLogic: upper(at)\n        transformSourceObjects",
                    "visits.seen_at: is made by other logic: the same delivery gives other values"),
    "another event time": ("visits.seen_at}", "visits.left_at}", "slaProperties.freshness: the event time was visits.seen_at and is visits.left_at"),
    "another format": ("format: csv", "format: json", "servers[0].format: csv is now json: deliveries are made in another way"),
    "another name": ("name: visits\nversion", "name: views\nversion", "name: visits is now views: other tables"),
    "another table": ("  - name: visits\n", "  - name: views\n", "visits: the table is removed"),
}  # fmt: skip
FINE = {
    "a new column": ("      - name: pages", MORE + "      - name: pages", "visits.more: the column is new"),
    "a wider integer": ("INTEGER", "BIGINT", "visits.pages: was INTEGER and is BIGINT, wider"),
    "more digits": ("DECIMAL(9, 2)", "DECIMAL(11,3)", "visits.spent: was DECIMAL(9,2) and is DECIMAL(11,3), wider"),
    "not required": ("        required: true\n", "", "visits.visitor: is no longer required"),
    "a lower minimum": ("minimum: 1,", "minimum: 0,", "visits.pages: minimum was 1 and is 0"),
    "no maximum": (", maximum: 99", "", "visits.pages: maximum was 99 and is none"),
    "no pattern": ("        logicalTypeOptions: {pattern: '^[a-z]+$'}\n", "", "visits.visitor: pattern was ^[a-z]+$ and is none"),
    "a value more": ("{value: known}", "{value: known}, {value: late}", "visits.kind: may also be late"),
    "any value": ("        enum: [{value: new}, {value: known}]\n", "", "visits.kind: may have any value now"),
    "a reference": ("        logicalType: integer", "        logicalType: integer\n        relationships: [{to: books.pages}]",
                    "visits.pages: should be found in books.pages"),
    "no reference": ("        relationships: [{to: kinds.kind}]\n", "", "visits.kind: need not be found in kinds.kind any more"),
    "less guarded": ("internal", "public", "visits.kind: classification was internal and is public"),
    "other words": ("Who came.", "Who has come.", "visits.visitor.description: changed"),
    "words of the table": ("One row a visit.", "A row a visit.", "visits.description: changed"),
    "another owner": ("{name: web}", "{name: shop}", "team: changed"),
    "staler": ("value: 2", "value: 3", "slaProperties.freshness: was 2 d and is 3 d"),
    "a check of quality": ("    properties:", "    quality: [{type: library, metric: rowCount, mustBeGreaterThan: 0}]\n    properties:",
                           "visits.quality: changed"),
    "words of the server": ("server: files", "server: disk", "servers[0].server: files is now disk"),
}  # fmt: skip
CASES = [(*case, True) for case in BREAKING.values()] + [(*case, False) for case in FINE.values()]


@pytest.fixture
def files(tmp_path):
    """Writes the contract as it was and as it is, and says where."""

    def write(new, old=BASE):
        paths = tmp_path / "old.yaml", tmp_path / "new.yaml"
        for path, text in zip(paths, (old, new), strict=True):
            path.write_text(text)
        return paths

    return write


@pytest.mark.parametrize(
    ("part", "by", "told", "breaking"), CASES, ids=[*BREAKING, *(f"fine: {name}" for name in FINE)]
)
def test_each_change_is_told_and_judged(files, part, by, told, breaking):
    assert part in BASE
    found = diff(*files(BASE.replace(part, by, 1)))
    said = {f"{change.where}: {change.what}": change.breaking for change in found.changes}
    assert said.get(told) is breaking, said
    assert found.is_breaking is breaking
    assert found.is_allowed is not breaking


def test_nothing_changes_between_a_contract_and_itself():
    for path in (PROJECT / "contracts").glob("*.yaml"):
        assert diff(path, path).changes == []


def test_the_exit_code_is_for_ci(files):
    def run(new, *options, old=BASE):
        done = CliRunner().invoke(app, ["contract", "diff", *map(str, files(new, old)), *options])
        return done.exit_code, re.sub(r"\s+", " ", done.output)

    breaking = BASE.replace("INTEGER", "SMALLINT")
    code, said = run(breaking)
    assert code == 1
    assert "breaking visits.pages: was INTEGER and is SMALLINT" in said
    assert "a breaking change needs a new major version" in said
    assert run(breaking.replace("1.4.0", "1.5.0"))[0] == 1
    assert run(breaking.replace("1.4.0", "2.0.0"))[0] == 0
    assert run(BASE.replace("1.4.0", "1.5.0"))[0] == 0
    code, said = run(breaking, "--json")
    found = json.loads(said)
    assert (code, found["breaking"], found["allowed"], found["old"]) == (1, True, False, "1.4.0")
    assert found["changes"] == [
        {"where": "visits.pages", "what": "was INTEGER and is SMALLINT", "breaking": True}
    ]
    for unreadable in (
        "a: [",
        "- 1\n",
        "kind: Other\n",
        BASE.replace("1.4.0", "next"),
        BASE.replace("required: true", "required: often"),
    ):
        assert run(unreadable)[0] == 2
        assert run(BASE, old=unreadable)[0] == 2
    missing = CliRunner().invoke(app, ["contract", "diff", "none.yaml", "none.yaml"])
    assert (missing.exit_code, "none.yaml: can't be read" in missing.stderr) == (2, True)


def test_check_names_every_fault_of_every_contract(tmp_path, monkeypatch):
    done = CliRunner().invoke(app, ["contract", "check", str(PROJECT / "contracts")])
    assert (done.exit_code, "contracts hold: " in done.stdout) == (0, True)
    (tmp_path / "visits.odcs.yaml").write_text(BASE.replace("INTEGER", "INT"))
    (tmp_path / "other.odcs.yaml").write_text("kind: DataContract\n")
    monkeypatch.setenv("OPS_CONTRACTS", str(tmp_path))
    done = CliRunner().invoke(app, ["contract", "check"])
    assert done.exit_code == 1
    line = BASE[: BASE.index("physicalType")].count("\n") + 1
    told = f"visits.odcs.yaml:{line}: schema[0].properties[1].physicalType: 'INT'"
    assert told in done.stderr
    assert "other.odcs.yaml:1: contract: 'version' is a required property" in done.stderr
