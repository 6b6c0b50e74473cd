"""Marts built delivery by delivery are those that one full refresh makes of the same raw tables."""

import random
from pathlib import Path

import pytest

from ops_platform.ingest import ledger
from ops_platform.lake.connect import connect
from ops_platform.lake.digest import digest_rows
from ops_platform.lake.location import Lake
from ops_platform.settings import Settings
from ops_platform.simulate.shop import Shop, write_orders
from ops_platform.transform.data_tests import tables
from ops_platform.transform.project import run_dbt
from tests.transform.conftest import take_in_orders

# Of sources that are not connected here, and of no delivery.
OF_OTHERS = {"marts.fct_events", "snapshots.customers_history"}
ROUNDS, DEEDS = 3, 8


@pytest.mark.long
def test_a_history_of_corrections_ends_in_the_marts_of_a_full_refresh(tmp_path, manifest):
    settings, source = Settings(home=tmp_path / "home"), tmp_path / "orders"
    lake, marts = Lake.at(settings), sorted({*tables(manifest)} - OF_OTHERS)
    waiting = write_orders(Shop(days=24, customers=25, products=12), tmp_path / "shop")
    source.mkdir()
    rng = random.Random(20240601)
    seen, lines = [], []
    for _ in range(ROUNDS):
        for path in [waiting.pop(rng.randrange(len(waiting))) for _ in range(6)]:
            path.rename(source / path.name)
        for _ in range(DEEDS if seen else 0):
            _do_something(rng, source)
        take_in_orders(lake, source)
        assert run_dbt(settings, ["--quiet", "run"]) == 0
        seen.append(_digests(lake, marts))
        lines.append(_lines(lake))
    assert all(seen[0][table] != seen[-1][table] for table in marts)
    # Corrections and not only new files, or this would test nothing but appending.
    statuses = {entry.status for entry in _entries(lake)}
    assert {"taken", "replaced", "vanished", "renamed", "duplicate"} <= statuses
    assert run_dbt(settings, ["--quiet", "run", "--full-refresh"]) == 0
    assert _digests(lake, marts) == seen[-1]
    assert _lines(lake) == lines[-1]


def _do_something(rng: random.Random, source: Path) -> None:
    """Correct, withdraw, rename or double one of the files."""
    path = rng.choice(sorted(source.iterdir()))
    deed = rng.choice(["correct", "correct", "withdraw", "rename", "double"])
    if deed == "correct":
        header, *records = path.read_text(encoding="utf-8").splitlines(keepends=True)
        rng.shuffle(records)
        # Some lines less and one line twice: duplicates are legal.
        kept = records[: max(1, len(records) * 3 // 4)]
        path.write_text("".join([header, *kept, kept[0]]), encoding="utf-8")
    elif deed == "withdraw":
        path.unlink()
    elif deed == "rename":
        path.rename(path.with_name(f"again-{path.name}"))
    else:
        path.with_name(f"copy-{path.name}").write_bytes(path.read_bytes())


def _digests(lake: Lake, marts: list[str]) -> dict[str, str]:
    with connect(lake) as connection:
        return {table: digest_rows(connection, f"SELECT * FROM {table}") for table in marts}


def _lines(lake: Lake) -> int:
    with connect(lake) as connection:
        counts = connection.execute(
            "SELECT (SELECT count(*) FROM marts.fct_order_lines), (SELECT count(*) FROM raw.orders)"
        ).fetchall()
    ((in_mart, in_raw),) = counts
    assert in_mart == in_raw > 0
    return in_mart


def _entries(lake: Lake) -> list[ledger.Entry]:
    with connect(lake) as connection:
        return ledger.read(connection, "orders")
