"""JSON lines: every line is in raw or in quarantine with its line, or the delivery is refused."""

import json
from datetime import datetime
from decimal import Decimal
from pathlib import Path

import pytest

from ops_platform.ingest.contract import Column, Contract
from ops_platform.ingest.contract_file import read_contract
from ops_platform.ingest.copies import source_location
from ops_platform.lake.check import check
from ops_platform.lake.location import Lake
from ops_platform.settings import PROJECT, Settings
from tests.ingest.conftest import Shop

VISITS = Contract(
    name="visits",
    version="1",
    owner="us",
    description="Visits of the shop.",
    location="visits/*.jsonl",
    delimiter=",",
    columns=(
        Column("visitor", "VARCHAR", ("visitor",), '"visitor"', "", required=True),
        Column("pages", "INTEGER", ("pages",), '"pages"', "", minimum=0),
        Column("paid", "DECIMAL(12,3)", ("paid",), '"paid"', ""),
        Column("known", "BOOLEAN", ("known",), '"known"', ""),
        Column("at", "TIMESTAMP", ("at",), '"at"', ""),
    ),
    event_time="at",
    format="json",
)


@pytest.fixture
def visits(tmp_path: Path) -> Shop:
    folder = tmp_path / "visits"
    folder.mkdir()
    return Shop(VISITS, Lake(tmp_path / "lake", tmp_path / "lake" / "data"), folder)


def rows(shop: Shop) -> list[tuple]:
    return shop.query("SELECT * EXCLUDE (_delivery) FROM raw.visits ORDER BY ALL")


def test_values_keep_what_is_written(visits):
    visits.deliver_bytes(
        "a.jsonl",
        '{"visitor": "a", "pages": 3, "paid": 0.1, "known": true, "at": "2024-05-01T10:00:00.5Z"}\n'
        '{"visitor": "b", "paid": 123456789.125, "known": false}\n'
        '{"visitor": "c", "pages": null, "paid": "", "known": null, "other": {"x": [1]}}\r\n'
        "\n"
        '{"visitor": "d, \\"e\\"\\nf\\r\\ng é\\u2028", "pages": "7"}',
    )
    visits.run()
    assert visits.quarantined() == []
    assert rows(visits) == [
        ("a", 3, Decimal("0.100"), True, datetime(2024, 5, 1, 10, 0, 0, 500000)),
        ("b", None, Decimal("123456789.125"), False, None),
        ("c", None, None, None, None),
        ('d, "e"\nf\r\ng é\u2028', 7, None, None, None),
    ]
    (entry,) = visits.entries()
    assert (entry.status, entry.records, entry.rows_raw) == ("taken", 4, 4)
    assert check(visits.lake) == []


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ('{"visitor": "b"', "can't be parsed: not JSON (Expecting ',' delimiter)"),
        ("nonsense", "can't be parsed: not JSON (Expecting value)"),
        ('{"visitor": "b"} {"visitor": "c"}', "can't be parsed: not JSON (Extra data)"),
        ('{"visitor": "b"}\r{"visitor": "c"}', "can't be parsed: not JSON (Extra data)"),
        ('["b"]', "can't be parsed: no JSON object"),
        ('"b"', "can't be parsed: no JSON object"),
        ("null", "can't be parsed: no JSON object"),
        ("7", "can't be parsed: no JSON object"),
        ('{"visitor": "b", "pages": [1]}', "can't be parsed: pages is nested"),
        ('{"visitor": {"id": "b"}}', "can't be parsed: visitor is nested"),
        ('{"visitor": "b", "visitor": "c"}', "can't be parsed: an object has a name twice"),
        ('{"visitor": "b", "paid": NaN}', "can't be parsed: not JSON (NaN)"),
        ('{"visitor": "b", "paid": -Infinity}', "can't be parsed: not JSON (-Infinity)"),
        ('{"visitor": "\\ud800"}', "can't be parsed: visitor holds half a character"),
        ('{"visitor": ' + "[" * 100_000 + "}", "can't be parsed: not JSON (nested too deep)"),
        (
            '{"visitor": "%s"}' % ("x" * 200_000),
            "can't be parsed: visitor is longer than 131,072 characters",
        ),
    ],
)
def test_a_line_that_is_no_record_is_quarantined_with_its_line(visits, line, reason):
    visits.deliver_bytes("a.jsonl", f'{{"visitor": "a"}}\n\n{line}\n{{"visitor": "z"}}\n')
    visits.run()
    assert visits.quarantined() == [(3, [reason], None)]
    assert visits.raw("visitor") == ["a", "z"]
    assert visits.status() == [("a.jsonl", "taken")]


def test_a_record_that_breaks_the_contract_is_quarantined_with_its_line(visits):
    good = '{"visitor": "a", "pages": 1}\n'
    visits.deliver_bytes(
        "a.jsonl",
        f'{good}\n{good}{{"visitor": null, "pages": -1, "more": 1}}\n'
        '{"pages": 2.5, "visitor": "b"}\nbroken\n{"visitor": "c", "known": 2}\n'
        '{"visitor": "d", "at": "2030-01-01 00:00:00"}\n',
    )
    visits.run()
    empty = dict.fromkeys(("visitor", "pages", "paid", "known", "at"))
    assert visits.quarantined() == [
        (4, ["visitor: required", "pages: below 0"], {**empty, "pages": "-1"}),
        (5, ["pages: not a INTEGER"], {**empty, "visitor": "b", "pages": "2.5"}),
        (6, ["can't be parsed: not JSON (Expecting value)"], None),
        (7, ["known: not a BOOLEAN"], {**empty, "visitor": "c", "known": "2"}),
        (8, ["at: dated after the delivery's arrival"],
         {**empty, "visitor": "d", "at": "2030-01-01 00:00:00"}),
    ]  # fmt: skip
    assert visits.raw("visitor") == ["a", "a"]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "the file is empty: not even one object"),
        (b"\n\n", "no line is a JSON object"),
        (b"a,b\n1,2\n", "no line is a JSON object"),
        (b'[\n {\n  "visitor": "a"\n }\n]\n', "no line is a JSON object"),
        (b'{"visitor": "a"}\n{"visitor": "\xff"}\n', "not UTF-8 at byte 30"),
        (b'{"guest": "a"}\n{"pages": 1}\n', "missing column visitor: no line has it"),
    ],
)
def test_a_file_that_is_something_else_is_refused(visits, content, reason):
    visits.deliver_bytes("a.jsonl", content)
    visits.deliver_bytes("b.jsonl", '{"visitor": "b"}\n')
    visits.run()
    refused, taken = visits.entries()
    assert (refused.status, taken.status) == ("refused", "taken")
    assert reason in refused.reason
    assert visits.raw("visitor") == ["b"]


def test_what_only_some_lines_lack_is_empty_there(visits):
    visits.deliver_bytes("a.jsonl", '{"visitor": "a"}\n{"pages": 1}\n')
    visits.run()
    assert visits.raw("visitor") == ["a"]
    assert visits.reasons() == [(2, ["visitor: required"])]


def test_a_byte_order_mark_is_no_part_of_the_first_line(visits):
    visits.deliver_bytes("a.jsonl", b'\xef\xbb\xbf{"visitor": "a"}\n')
    visits.run()
    assert visits.raw("visitor") == ["a"]


def test_a_correction_replaces_and_a_part_is_no_delivery(visits):
    visits.deliver_bytes("a.jsonl", '{"visitor": "a"}\n')
    visits.deliver_bytes("b.jsonl.part", '{"visitor": "b"}\n')
    visits.run()
    visits.deliver_bytes("a.jsonl", '{"visitor": "aa"}\nx\n')
    visits.run()
    assert visits.raw("visitor") == ["aa"]
    assert visits.status() == [("a.jsonl", "replaced"), ("a.jsonl", "taken")]
    assert [line for line, _ in visits.reasons()] == [2]


def test_the_contract_says_json(tmp_path):
    text = (PROJECT / "contracts" / "served.odcs.yaml").read_text()
    served = read_contract(PROJECT / "contracts" / "served.odcs.yaml")
    assert (served.is_json, served.format, served.event_time) == (True, "json", "served_at")
    path = tmp_path / "served.odcs.yaml"
    path.write_text(text.replace("format: json", "format: csv"))
    assert read_contract(path).digest != served.digest


def test_what_was_served_lies_in_the_home_unless_a_setting_says_otherwise(tmp_path):
    served = read_contract(PROJECT / "contracts" / "served.odcs.yaml")
    settings = Settings(home=tmp_path / "home", sources=tmp_path / "sources")
    assert source_location(settings, served) is None
    settings.served.mkdir(parents=True)
    assert source_location(settings, served) == tmp_path / "home" / "served"
    own = Settings(home=tmp_path / "home", source={"served": str(tmp_path / "own")})
    assert source_location(own, served) == tmp_path / "own"


def test_a_served_line_holds_the_contract(tmp_path):
    """Each of its rules, by a line that breaks it."""
    good = {
        "answer_id": "0" * 32, "served_at": "2024-05-01T10:00:00.000001Z", "customer_id": "17850",
        "known": True, "rank": 1, "product_id": "22423", "score": 1e-07, "model": "recommender",
        "model_version": 3, "release": "v3-0123456789ab",
    }  # fmt: skip
    changes = {
        "answer_id": "x", "served_at": "yesterday", "customer_id": "", "known": "maybe", "rank": 101,
        "product_id": None, "score": "high", "model": "A B", "model_version": 0, "release": "v3",
    }  # fmt: skip
    folder = tmp_path / "served"
    folder.mkdir()
    shop = Shop(
        read_contract(PROJECT / "contracts" / "served.odcs.yaml"),
        Lake(tmp_path / "lake", tmp_path / "lake" / "data"),
        folder,
    )
    shop.deliver_bytes(
        "a.jsonl",
        "\n".join(
            json.dumps({**good, **change})
            for change in [{}, *({name: bad} for name, bad in changes.items())]
        ),
    )
    shop.run()
    assert shop.raw("score, served_at") == [(1e-07, datetime(2024, 5, 1, 10, 0, 0, 1))]
    assert [(line, len(why), why[0].split(":")[0]) for line, why in shop.reasons()] == [
        (line, 1, name) for line, name in enumerate(changes, start=2)
    ]
