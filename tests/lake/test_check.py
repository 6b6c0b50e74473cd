import os
import random
import sqlite3

import pytest

from ops_platform.lake import catalog, seal
from ops_platform.lake.check import check
from ops_platform.lake.published import Published, publish
from tests.lake.conftest import data_file, deliver, flip_a_bit, run


@pytest.fixture
def delivered(sqlite_lake, tmp_path):
    deliver(sqlite_lake, tmp_path / "orders", 2, 3)
    return sqlite_lake


def test_deliveries_and_their_ledger_hold(lake, tmp_path):
    deliver(lake, tmp_path / "orders", 2, 3)
    assert check(lake) == []
    run(lake, "DELETE FROM raw.orders")
    assert len(check(lake)) == 2


def test_a_lake_that_lived_a_little_holds(lake):
    run(lake, "CREATE TABLE t AS SELECT range AS a FROM range(1000)", "CREATE VIEW v AS FROM t")
    run(lake, "DELETE FROM t WHERE a % 3 = 0", "INSERT INTO t SELECT range FROM range(50)")
    run(lake, "UPDATE t SET a = -a WHERE a % 2 = 0", 'CREATE TABLE "Odd name" (a INT)')
    run(lake, "DELETE FROM t")
    run(
        lake,
        "INSERT INTO t VALUES (1)",
        "CREATE TABLE n AS SELECT NULL AS x, [1] AS y, {'a': 1} AS z",
    )
    run(lake, "CREATE TABLE x__tmp AS SELECT 1 AS a", "ALTER TABLE x__tmp RENAME TO x")
    assert check(lake) == []


def test_a_missing_file_is_named(delivered):
    path = data_file(delivered, "raw")
    path.unlink()
    assert check(delivered) == [f"{path}: missing; restore it from a backup"]


def test_a_truncated_file_is_named(delivered):
    path = data_file(delivered, "raw")
    size = path.stat().st_size
    os.truncate(path, size - 1)
    assert check(delivered) == [f"{path}: {size - 1} bytes, {size} in the catalog"]


@pytest.mark.parametrize("part", [0.1, 0.9])
def test_a_flipped_bit_is_found_wherever_it_is(delivered, part):
    path = data_file(delivered, "raw")
    flip_a_bit(path, int(path.stat().st_size * part))
    (fault,) = check(delivered)
    assert fault.startswith(f"{path}: its SHA-256")


def test_a_flipped_bit_of_a_delete_file_is_found(delivered):
    run(delivered, "DELETE FROM ledger.deliveries WHERE number = 1")
    (path,) = (one.path for one in catalog.files(delivered) if "delete" in one.name)
    flip_a_bit(path, path.stat().st_size // 2)
    (fault,) = check(delivered)
    assert fault.startswith(f"{path}: its SHA-256")


def test_a_flipped_bit_of_the_catalog_is_found_wherever_it_is(delivered):
    """In a number of rows, the published snapshot's id, or where nothing is written at all."""
    file = delivered.catalog_file
    size, rng = file.stat().st_size, random.Random(0)
    for position in [rng.randrange(size) for _ in range(20)]:
        flip_a_bit(file, position)
        faults = check(delivered)
        assert faults, position
        assert all(str(file) in fault for fault in faults)
        flip_a_bit(file, position)
    assert check(delivered) == []


def test_a_write_does_not_seal_a_damaged_catalog(delivered):
    publish(delivered, Published(1, 1), seen=None)
    with sqlite3.connect(delivered.catalog_file) as connection:
        connection.execute("UPDATE ops_published SET snapshot_id = 2")
    run(delivered, "CREATE TABLE t AS SELECT 1 AS a")
    (fault,) = check(delivered)
    assert "it is not as the last write left it" in fault


def test_what_a_killed_writer_left_is_trusted(delivered, child):
    killed = child(
        delivered,
        """
        import sys
        from ops_platform.lake.lock import write_lock
        from ops_platform.lake.write import open_writer
        with write_lock(lake), open_writer(lake) as connection:
            connection.execute("CREATE TABLE t AS SELECT 1 AS a")
            print("committed", flush=True)
            sys.stdin.read()
        """,
    )
    killed.kill()
    killed.wait()
    assert check(delivered) == []


@pytest.mark.parametrize("table", ["raw", "quarantine"])
def test_rows_deleted_behind_the_ledgers_back(delivered, table):
    run(
        delivered,
        f"DELETE FROM {table}.orders WHERE _delivery IN (SELECT min(_delivery) FROM raw.orders)",
    )
    (fault,) = check(delivered)
    assert fault.startswith(f"{table}.orders: delivery ")
    assert fault.endswith(" has 0 rows, 1 in the ledger")


def test_rows_that_no_delivery_brought(delivered):
    run(
        delivered,
        "INSERT INTO raw.orders SELECT * REPLACE ('made up' AS _delivery) FROM raw.orders",
    )
    assert check(delivered) == ["raw.orders: delivery made up has 2 rows, 0 in the ledger"]


def test_a_missing_ledger_or_table(delivered):
    run(delivered, "DROP TABLE quarantine.orders")
    assert check(delivered) == [
        "quarantine.orders: missing, though the ledger has deliveries of it"
    ]
    run(delivered, "DROP TABLE ledger.deliveries")
    assert check(delivered)[0].startswith("ledger.deliveries: missing, though there is raw.orders")


def test_a_lost_catalog_is_a_fault(sqlite_lake):
    run(sqlite_lake, "CREATE TABLE t AS SELECT 1 AS a")
    sqlite_lake.catalog_file.unlink()
    assert "no catalog, though" in check(sqlite_lake)[0]


def test_a_broken_catalog_is_a_fault(sqlite_lake):
    run(sqlite_lake, "CREATE TABLE t AS SELECT 1 AS a")
    pages = sqlite_lake.catalog_file.stat().st_size // 4096
    with sqlite_lake.catalog_file.open("r+b") as file:
        for page in range(pages // 2, pages):
            file.seek(4096 * page)
            file.write(b"\xff" * 4096)
    faults = check(sqlite_lake)
    assert faults
    assert all("catalog" in fault for fault in faults)


def test_a_reader_of_the_seal_that_died_is_replaced_and_only_a_digest_is_a_seal(delivered):
    sealed = seal.path_of(delivered)
    assert seal.DIGEST.fullmatch(sealed.read_text(encoding="ascii"))

    seal._reader(os.getpid()).kill()

    assert not seal.is_broken(delivered)
    sealed.unlink()
    delivered.catalog_file.write_bytes(b"no catalog" * 1000)
    seal.put(delivered)
    assert not sealed.exists()
