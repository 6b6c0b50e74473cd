"""Parquet: every row is in raw or in quarantine with its number, or the delivery is refused."""

from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ops_platform.errors import SourceError
from ops_platform.ingest import parquet
from ops_platform.ingest.contract import Column, Contract
from ops_platform.lake.check import check
from ops_platform.lake.location import Lake
from tests.ingest.conftest import Shop

VISITS = Contract(
    name="visits",
    version="1",
    owner="us",
    description="Visits of the shop.",
    location="visits/*.parquet",
    delimiter=",",
    columns=(
        Column("visitor", "VARCHAR", ("visitor",), '"visitor"', "", required=True),
        Column("pages", "INTEGER", ("pages",), '"pages"', "", minimum=0),
        Column("paid", "DECIMAL(12,3)", ("paid",), '"paid"', ""),
        Column("at", "TIMESTAMP", ("at",), '"at"', "", timezone="Europe/London"),
    ),
    event_time=None,
    format="parquet",
)
AT = datetime(2024, 7, 1, 10, 0, 0, 500)


@pytest.fixture
def visits(tmp_path: Path) -> Shop:
    # A folder that would be a column, if the engine were left to guess.
    folder = tmp_path / "pages=9"
    folder.mkdir()
    return Shop(VISITS, Lake(tmp_path / "lake", tmp_path / "lake" / "data"), folder)


def deliver(shop: Shop, name: str, **columns) -> Path:
    good = {"visitor": ["a"], "pages": [1], "paid": [Decimal("1.5")], "at": [AT]}
    count = len(columns.get("visitor", ["a"]))
    values = {key: value * count for key, value in good.items()} | columns
    pq.write_table(pa.table({k: v for k, v in values.items() if v is not None}), shop.folder / name)
    return shop.folder / name


def rows(shop: Shop) -> list[tuple]:
    return shop.query("SELECT * EXCLUDE (_delivery) FROM raw.visits ORDER BY ALL")


def test_values_keep_what_they_are_whatever_type_bears_them(visits):
    deliver(visits, "a.parquet")
    deliver(visits, "b.parquet", visitor=["b"], pages=["7"], paid=[0.1], at=["2024-07-01 10:00:00"])
    instant = pa.array([datetime(2024, 7, 1, 10, tzinfo=UTC), None], pa.timestamp("us", tz="UTC"))
    deliver(visits, "c.parquet", visitor=["c", "d"], pages=[2.0, None], at=instant)
    visits.run()
    assert visits.quarantined() == []
    assert rows(visits) == [
        ("a", 1, Decimal("1.500"), AT),
        ("b", 7, Decimal("0.100"), datetime(2024, 7, 1, 10)),
        # An instant is told in the zone of the contract, where it is summer.
        ("c", 2, Decimal("1.500"), datetime(2024, 7, 1, 11)),
        ("d", None, Decimal("1.500"), None),
    ]
    assert check(visits.lake) == []


def test_a_row_that_breaks_the_contract_is_quarantined_with_its_number(visits):
    deliver(visits, "a.parquet", visitor=["a", "", "c", "d"], pages=[1.0, -1.0, 2.5, 3e9])
    visits.run()
    assert visits.raw("visitor") == ["a"]
    assert visits.reasons() == [
        (2, ["visitor: required", "pages: below 0"]),
        (3, ["pages: not a INTEGER"]),
        (4, ["pages: not a INTEGER"]),
    ]


@pytest.mark.parametrize(
    ("columns", "reason"),
    [
        ({"pages": None}, "missing column pages; the file has visitor, paid, at"),
        ({"visitor": [b"a"]}, "column visitor is of type BLOB"),
        ({"visitor": [{"id": "a"}]}, "column visitor is of type STRUCT"),
        ({"pages": [[1]]}, "column pages is of type BIGINT[]"),
    ],
)
def test_a_file_of_another_shape_is_refused(visits, columns, reason):
    deliver(visits, "a.parquet", **columns)
    deliver(visits, "b.parquet", visitor=["b"])
    visits.run()
    assert visits.status() == [("a.parquet", "refused"), ("b.parquet", "taken")]
    assert reason in visits.entries()[0].reason
    assert visits.raw("visitor") == ["b"]


def test_a_file_that_is_cut_off_empty_or_something_else_is_refused(visits):
    whole = deliver(visits, "a.parquet").read_bytes()
    for name, content in {
        "cut": whole[: len(whole) // 2],
        "empty": b"",
        "text": b"visitor,pages\na,1\n",
    }.items():
        visits.deliver_bytes(f"{name}.parquet", content)
    visits.run()
    why = {Path(entry.path).stem: entry.reason for entry in visits.entries()}
    assert why["empty"] == "the file is empty: not even a schema was delivered"
    assert why["cut"] == why["text"]
    assert "no whole Parquet file" in why["cut"]
    assert visits.raw("visitor") == ["a"]


def test_too_little_memory_is_no_verdict_on_a_file(visits):
    """The engine is given less than one value of the file."""
    deliver(visits, "a.parquet", visitor=["x" * 4_000_000])
    engine = parquet._engine()
    (before,) = engine.execute("SELECT current_setting('memory_limit')").fetchone()
    engine.execute("SET memory_limit = '1MB'")
    try:
        with pytest.raises(SourceError, match=r"a\.parquet can't be taken .* Out of Memory"):
            visits.run()
    finally:
        engine.execute(f"SET memory_limit = '{before}'")
    assert not visits.lake.exists or visits.status() == []
    visits.run()
    assert visits.status() == [("a.parquet", "taken")]


def test_a_text_that_is_not_utf_8_is_refused_and_not_repeated(visits):
    broken = pa.Array.from_buffers(
        pa.string(), 1, [None, pa.py_buffer(b"\0\0\0\0\5\0\0\0"), pa.py_buffer(b"\xff\xfesec")]
    )
    deliver(visits, "a.parquet", visitor=broken)
    visits.run()
    (entry,) = visits.entries()
    assert (entry.status, entry.reason) == ("refused", "a text in it is not UTF-8")


def test_a_file_without_rows_is_a_delivery(visits):
    deliver(visits, "a.parquet", visitor=pa.array([], pa.string()), pages=pa.array([], pa.int64()),
            paid=pa.array([], pa.float64()), at=pa.array([], pa.date32()))  # fmt: skip
    visits.run()
    assert [(e.status, e.records) for e in visits.entries()] == [("taken", 0)]
