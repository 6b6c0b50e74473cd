"""The quarantine as a place to work: what is listed and shown, and what `retry` takes in, once."""

import json
import subprocess
import sys
from dataclasses import replace
from datetime import datetime
from pathlib import PurePath

import pytest
from typer.testing import CliRunner

from ops_platform.cli import app
from ops_platform.errors import SourceError
from ops_platform.ingest import quarantined
from ops_platform.ingest.retry import retry
from ops_platform.lake import catalog
from ops_platform.lake.check import check
from ops_platform.lake.connect import connect
from ops_platform.settings import PROJECT


def with_minimum(contract, minimum):
    columns = tuple(
        replace(c, minimum=minimum) if c.name == "unit_price" else c for c in contract.columns
    )
    return replace(contract, columns=columns)


def again(shop, delivery=None):
    return retry(shop.lake, shop.contract, shop.folder, shop.now, delivery)


def outcome(retried):
    return {one.path.rsplit("/", 1)[1]: (one.mended, one.still, one.problem) for one in retried}


@pytest.fixture
def dirty(shop, a_row):
    """Two deliveries with bad rows in them, and one without."""
    bad = a_row(2, UnitPrice="-1")
    shop.deliver("a.csv", a_row(1), bad, bad, a_row(3, UnitPrice="-9", Quantity="x"))
    shop.deliver("b.csv", a_row(4), a_row(5, UnitPrice="-1"), ["6", "cut"])
    shop.deliver("c.csv", a_row(7))
    shop.run()
    assert shop.raw() == ["1", "4", "7"]
    return shop


def test_rows_are_listed_by_reason_and_shown_with_all_reasons(dirty):
    a, b, _ = dirty.entries()
    with connect(dirty.lake) as reader:
        assert quarantined.sources(reader) == ["orders"]
        listed = [
            (s["path"], s["reason"], s["rows"]) for s in quarantined.summary(reader, "orders")
        ]
        assert listed == [
            (a.path, "unit_price: below 0", 3),
            (b.path, "can't be parsed: 2 fields, the header has 8", 1),
            (a.path, "quantity: not a INTEGER", 1),
            (b.path, "unit_price: below 0", 1),
        ]
        count, rows = quarantined.show(reader, "orders")
        assert (count, [row["line"] for row in rows]) == (5, [3, 4, 5, 3, 4])
        assert rows[2]["reasons"] == ["quantity: not a INTEGER", "unit_price: below 0"]
        assert rows[2]["record"]["InvoiceNo"] == "3"
        assert rows[4]["record"] is None
        assert quarantined.show(reader, "orders", reason="below", limit=2)[0] == 4
        only = [quarantined.show(reader, "orders", "", d) for d in ("b.csv", b.path, b.sha256[:9])]
        assert [count for count, _ in only] == [2, 2, 2]
        for source, delivery, told in (
            ("ordres", None, "it is|there is orders"),
            ("orders", "x", "no delivery 'x'"),
        ):
            with pytest.raises(SourceError, match=told):
                quarantined.show(reader, source, delivery=delivery)


def test_deliveries_with_as_many_rows_for_a_reason_are_listed_by_path(shop, a_row):
    names = ["2024-01-01.csv", "2024-01-02.csv", "2024-01-03.csv", "2024-01-04.csv"]
    for number, name in enumerate(names):
        shop.deliver(name, a_row(number, UnitPrice="-1"))
    shop.run()
    with connect(shop.lake) as reader:
        listed = quarantined.summary(reader, "orders")
    assert [PurePath(one["path"]).name for one in listed] == names


def test_retry_takes_in_what_the_contract_allows_now_and_once(dirty):
    dirty.contract = with_minimum(dirty.contract, -5)
    head = catalog.head(dirty.lake)
    assert outcome(again(dirty)) == {"a.csv": (2, 1, None), "b.csv": (1, 1, None)}
    assert catalog.head(dirty.lake) == head + 1
    assert dirty.raw() == ["1", "2", "2", "4", "5", "7"]
    # Still bad, for the reasons of the contract as it is now.
    assert dirty.reasons() == [
        (4, ["can't be parsed: 2 fields, the header has 8"]),
        (5, ["quantity: not a INTEGER", "unit_price: below -5"]),
    ]
    counts = [(e.records, e.rows_raw, e.rows_quarantined) for e in dirty.entries()]
    assert counts == [(4, 3, 1), (3, 2, 1), (1, 1, 0)]
    assert check(dirty.lake) == []
    assert outcome(again(dirty)) == {"a.csv": (0, 1, None), "b.csv": (0, 1, None)}
    assert catalog.head(dirty.lake) == head + 1
    # The next intake reads the one delivery that retry had no reason to read.
    assert [e.path.rsplit("/", 1)[1] for e in dirty.run().changed] == ["c.csv"]
    assert dirty.raw() == ["1", "2", "2", "4", "5", "7"]


def test_retry_of_one_delivery_leaves_the_others(dirty):
    dirty.contract = with_minimum(dirty.contract, -5)
    assert outcome(again(dirty, "b.csv")) == {"b.csv": (1, 1, None)}
    assert dirty.raw() == ["1", "4", "5", "7"]
    assert again(dirty, "c.csv") == []
    with pytest.raises(SourceError, match=r"no delivery 'd\.csv'"):
        again(dirty, "d.csv")


def test_rows_whose_time_has_come_need_no_other_contract(shop, a_row):
    shop.deliver("a.csv", a_row(1, InvoiceDate="2024-07-01 10:00:00"))
    shop.run()
    assert outcome(again(shop)) == {"a.csv": (0, 1, None)}
    shop.now = datetime(2024, 8, 1)
    assert outcome(again(shop)) == {"a.csv": (1, 0, None)}
    assert shop.raw() == ["1"]
    assert again(shop) == []


def test_deliveries_that_are_gone_changed_or_refused_now_stay_and_say_so(dirty, a_row):
    (dirty.folder / "a.csv").unlink()
    dirty.deliver("b.csv", a_row(5))
    head, reasons = catalog.head(dirty.lake), dirty.reasons()
    found = outcome(again(dirty))
    assert found["a.csv"][:2] == (0, 3)
    assert found["a.csv"][2].startswith("the file is gone")
    assert found["b.csv"][2].startswith("its content has changed since")
    assert catalog.head(dirty.lake) == head
    assert dirty.reasons() == reasons
    dirty.run()
    assert dirty.raw() == ["1", "5", "7"]
    dirty.deliver("d.csv", a_row(8, UnitPrice="-1"))
    dirty.run()
    dirty.contract = with_minimum(dirty.contract, -5)
    found = outcome(again(dirty))
    assert found["a.csv"][2].startswith("the file is gone")
    assert found["d.csv"] == (1, 0, None)
    assert dirty.raw() == ["1", "5", "7", "8"]
    assert check(dirty.lake) == []


def test_what_the_contract_refuses_now_keeps_its_rows(dirty):
    columns = tuple(
        replace(c, inputs=("Land",), expression='"Land"') if c.name == "country" else c
        for c in dirty.contract.columns
    )
    dirty.contract = replace(dirty.contract, columns=columns)
    found = outcome(again(dirty))
    assert all("it is refused: missing column Land" in problem for _, _, problem in found.values())
    assert dirty.raw() == ["1", "4", "7"]


def test_a_file_that_changes_while_it_is_read_rolls_all_back(dirty, monkeypatch):
    from ops_platform.ingest import rows

    def meddling(*given):
        counts = insert(*given)
        dirty.deliver("b.csv", ["9"])
        return counts

    insert = rows.insert
    dirty.contract = with_minimum(dirty.contract, -5)
    monkeypatch.setattr(rows, "insert", meddling)
    with pytest.raises(SourceError, match=r"b\.csv: changed while being read"):
        again(dirty)
    assert dirty.raw() == ["1", "4", "7"]
    assert check(dirty.lake) == []


KILLED = """
import os, sys
from datetime import datetime
from pathlib import Path, PurePath
from ops_platform.ingest import ledger
from ops_platform.ingest.contract_file import read_contract
from ops_platform.ingest.retry import retry
from ops_platform.lake.location import Lake

ledger.write = lambda *given: os.kill(os.getpid(), 9)
lake, folder, contract = map(Path, sys.argv[1:])
retry(Lake(lake, lake / "data"), read_contract(contract), folder, datetime(2030, 1, 1))
"""


def test_killed_in_between_nothing_is_lost_or_twice(shop, a_row):
    shop.deliver("a.csv", a_row(1), a_row(2, InvoiceDate="2024-07-01 10:00:00"))
    shop.run()
    given = [shop.lake.home, shop.folder, PROJECT / "contracts" / "orders.odcs.yaml"]
    command = [sys.executable, "-c", KILLED, *map(str, given)]
    assert subprocess.run(command, check=False).returncode == -9
    assert shop.raw() == ["1"]
    assert check(shop.lake) == []
    shop.now = datetime(2024, 8, 1)
    assert outcome(again(shop)) == {"a.csv": (1, 0, None)}
    assert shop.raw() == ["1", "2"]
    assert check(shop.lake) == []


def test_at_the_prompt(tmp_path, monkeypatch, a_row, shop):
    shop.deliver("a.csv", a_row(1), a_row(2, UnitPrice="-1"), ["3"])
    contracts = tmp_path / "contracts"
    contracts.mkdir()
    text = (PROJECT / "contracts" / "orders.odcs.yaml").read_text()
    (contracts / "orders.odcs.yaml").write_text(text)
    for name, value in {
        "HOME": tmp_path / "home", "CONTRACTS": contracts, "SOURCE_ORDERS": shop.folder,
    }.items():  # fmt: skip
        monkeypatch.setenv(f"OPS_{name}", str(value))

    def ops(command, code=0):
        done = CliRunner().invoke(app, command.split())
        assert done.exit_code == code, done.output
        return done.stdout

    ops("ingest")
    assert [s["rows"] for s in json.loads(ops("quarantine list --json"))] == [1, 1]
    assert "unit_price: below 0" in ops("quarantine list")
    told = ops("quarantine show orders --reason below")
    assert "a.csv:3\n  unit_price: below 0\n" in told
    assert "UnitPrice=-1" in told
    assert "1 of 1 rows" in told
    assert json.loads(ops("quarantine show orders --limit 1 --json"))["rows"] == 2
    mended = text.replace("          minimum: 0\n", "          minimum: -1\n")
    (contracts / "orders.odcs.yaml").write_text(mended)
    assert "1 rows taken in, 1 stay in quarantine" in ops("quarantine retry orders")
    (shop.folder / "a.csv").unlink()
    assert "the file is gone" in ops("quarantine retry orders --delivery a.csv", code=1)
    assert json.loads(ops("quarantine retry orders --json", code=1))[0]["still"] == 1
    ops("quarantine retry ordres", code=1)
