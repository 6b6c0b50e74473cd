"""What becomes of deliveries: `settle` by itself, and any history of a source against plain Python."""

import csv
from collections import Counter
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st

from ops_platform.errors import SourceError
from ops_platform.ingest import ledger
from ops_platform.ingest.ledger import Entry, settle
from ops_platform.ingest.take_in import take_in
from ops_platform.lake.check import check
from ops_platform.lake.connect import connect
from ops_platform.lake.location import Lake


def entry(number: int, path: str, sha256: str, status: str = "duplicate") -> Entry:
    return Entry(
        number,
        "orders",
        path,
        sha256,
        1,
        1,
        status,
        None,
        0,
        0,
        0,
        datetime(2024, 1, 1),
        number,
        "",
    )


def settled(entries: list[Entry], present: str) -> list[str]:
    return [one.status for one in settle(entries, set(present))]


def test_a_delivery_that_is_not_there_is_told_by_those_most_like_it():
    entries = [entry(n, f"/in/2024-02-0{n}.csv", f"{n}f3c") for n in (1, 2, 3, 4)]
    assert ledger.named(entries, "2024-02-03.csv") == ledger.named(entries, "3f3") == entries[2:3]

    with pytest.raises(SourceError, match=r"'x/2024-02-03\.cs'.* mean 2024-02-03\.csv, "):
        ledger.named(entries, "x/2024-02-03.cs")
    everything = "`ops lineage raw.orders --up --json` names all of orders"
    for known in (entries, []):
        with pytest.raises(SourceError, match=everything):
            ledger.named(known, "nosuch")


@pytest.mark.parametrize(
    ("history", "present", "statuses"),
    [
        ("a:X", "a", "taken"),
        ("a:X", "", "vanished"),
        ("a:X a:Y", "a", "replaced taken"),
        ("a:X a:Y a:X", "a", "replaced replaced taken"),
        ("a:X b:X", "ab", "taken duplicate"),
        ("a:X b:X", "b", "renamed taken"),
        ("a:X b:X", "a", "taken renamed"),
        ("a:X b:X", "", "vanished renamed"),
        ("a:X b:X a:Y", "ab", "replaced taken taken"),
        ("a:X b:Y a:Y", "ab", "replaced taken duplicate"),
        ("a:X a:Y!", "a", "taken refused"),
        ("a:X a:Y!", "", "vanished replaced"),
        ("a:Y!", "", "replaced"),
        ("a:X a:Y! a:Z", "a", "replaced replaced taken"),
        ("a:X! a:Y", "a", "replaced taken"),
        ("a:X! b:X!", "ab", "refused refused"),
        ("a:X a:Y! b:X", "ab", "taken refused duplicate"),
    ],
)
def test_settle(history, present, statuses):
    """`a:X!` is the refused content X at the path a."""
    entries = []
    for number, word in enumerate(history.split(), start=1):
        path, sha256 = word.split(":")
        status = "refused" if sha256.endswith("!") else "duplicate"
        entries.append(entry(number, path, sha256.rstrip("!"), status))
    assert settled(entries, present) == statuses.split()


def test_rows_stay_with_the_path_that_has_them():
    entries = settle([entry(1, "b", "X")], {"b"})
    entries = settle([*entries, entry(2, "a", "X")], {"a", "b"})
    assert [one.status for one in entries] == ["taken", "duplicate"]


@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("XYZ"), st.booleans()), max_size=7),
    st.sets(st.sampled_from("abc")),
)
def test_settle_keeps_each_content_once_and_settles_once(history, present):
    entries = [
        entry(number, path, sha256, "refused" if is_refused else "duplicate")
        for number, (path, sha256, is_refused) in enumerate(history, start=1)
    ]
    after = settle(entries, present)
    assert settle(after, present) == after
    good = {path: sha256 for path, sha256, is_refused in history if not is_refused}
    held = [one.sha256 for one in after if one.status in ledger.HELD]
    assert sorted(held) == sorted(set(good.values()))
    for one in after:
        if one.status in ledger.PRESENT:
            assert one.path in present
        if one.status == "vanished":
            assert one.path not in present
        assert replace(one, status="") == replace(entries[one.number - 1], status="")


# --- any history of three paths, against what Python makes of the files ---

HEADER = "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country"
LINE = "{},22423,CAKE,{},2024-05-01 10:00:00,1.25,17.0,UK"
CONTENTS = {
    "one": [LINE.format(1, 2)],
    "dirty": [LINE.format(2, 2), LINE.format(3, "x"), LINE.format(3, "x"), LINE.format(4, 2)],
    "longer": [LINE.format(5, 2), LINE.format(5, 2), '6,22423,"A\nB",2,2024-05-01,1,,UK', "7,cut"],
    "empty": [],
}
REFUSED = {"refused": b"InvoiceNo,Quantity\n1,2\n"}
FILES = {
    name: ("\n".join([HEADER, *lines]) + "\n").encode() for name, lines in CONTENTS.items()
} | REFUSED
STEP = st.tuples(st.sampled_from("abc"), st.sampled_from([*FILES, None]))
STEPS = st.lists(st.lists(STEP, min_size=1, max_size=3), min_size=1, max_size=4)


def expected(name: str) -> tuple[Counter, int]:
    """The order numbers that a content brings into raw, and how many of its rows are bad."""
    records = list(csv.reader(FILES[name].decode().splitlines(keepends=True)))[1:]
    good = [one for one in records if len(one) == 8 and one[3].isdigit()]
    return Counter(one[0] for one in good), len(records) - len(good)


@settings(
    max_examples=6,
    deadline=None,
    # An example takes a second, so a failing one is shown as it is found.
    phases=(Phase.explicit, Phase.reuse, Phase.generate),
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(STEPS)
@example([[("a", "one"), ("b", "one")], [("a", "one")], [("a", "dirty")]])
def test_any_history_ends_in_what_python_reads_in_the_current_files(
    orders_contract, tmp_path_factory, steps
):
    """Each inner list is done to the folder, then the source is looked at once."""
    home = tmp_path_factory.mktemp("history")
    folder, lake = home / "orders", Lake(home / "lake", home / "lake" / "data")
    folder.mkdir()
    good: dict[str, str] = {}
    for step in steps:
        for path, name in step:
            _put(folder / f"{path}.csv", name)
        take_in(lake, orders_contract, folder, datetime(2024, 6, 1))
        for path in "abc":
            content = _content(folder / f"{path}.csv")
            if content is not None and content not in REFUSED:
                good[path] = content
        with connect(lake) as reader:
            _agrees(reader, folder, good)
    assert check(lake) == []


def _put(path: Path, name: str | None) -> None:
    if name is None:
        path.unlink(missing_ok=True)
    else:
        path.write_bytes(FILES[name])


def _content(path: Path) -> str | None:
    if not path.exists():
        return None
    content = path.read_bytes()
    return next(name for name, known in FILES.items() if known == content)


def _agrees(reader, folder: Path, good: dict[str, str]) -> None:
    raw, bad = Counter(), 0
    for name in set(good.values()):
        rows, broken = expected(name)
        raw += rows
        bad += broken
    in_raw = reader.execute("SELECT order_id FROM raw.orders").fetchall()
    assert Counter(number for (number,) in in_raw) == raw
    assert reader.execute("SELECT count(*) FROM quarantine.orders").fetchall() == [(bad,)]
    entries = ledger.read(reader, "orders")
    held = ledger.held(entries).values()
    assert sum(one.rows_raw for one in held) == raw.total()
    assert sum(one.rows_quarantined for one in held) == bad
    assert all(one.records == one.rows_raw + one.rows_quarantined for one in entries)
    latest = {one.path: one for one in entries}
    for path in folder.glob("*.csv"):
        refused = _content(path) in REFUSED
        assert (latest[str(path)].status == "refused") == refused
