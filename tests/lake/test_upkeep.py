from pathlib import Path

import pytest

from ops_platform.errors import LakeError
from ops_platform.lake import catalog
from ops_platform.lake.check import check
from ops_platform.lake.connect import connect
from ops_platform.lake.digest import digest_rows
from ops_platform.lake.location import Lake
from ops_platform.lake.lock import write_lock
from ops_platform.lake.published import Published, changed_since, publish, published
from ops_platform.lake.session import session
from ops_platform.lake.upkeep import upkeep
from tests.lake.conftest import data_file, digests, flip_a_bit, read, run, steps


def snapshots_of(lake):
    return {snapshot for (snapshot,) in read(lake, "SELECT snapshot_id FROM lake.snapshots()")}


def parquet(lake):
    return set(lake.data_path.rglob("*.parquet"))


def grow(lake):
    """Many small files, a correction, a table that is emptied; the snapshots' ids."""
    return steps(
        lake,
        "CREATE SCHEMA s",
        "CREATE TABLE s.t (a INT)",
        *[f"INSERT INTO s.t SELECT range + {n} FROM range(100)" for n in range(4)],
        "DELETE FROM s.t WHERE a % 7 = 0",
        *[f"INSERT INTO s.t SELECT range + {n} FROM range(100)" for n in range(3)],
        "CREATE TABLE gone AS SELECT 1 AS a",
        "DELETE FROM gone",
    )


def test_what_is_named_stays_exact_and_the_rest_goes(lake):
    snapshots = grow(lake)
    pinned, marts, public, built = (snapshots[i] for i in (3, 5, 6, 8))
    kept = {pinned, marts, public, built, snapshots[-1]}
    publish(lake, Published(public, marts), seen=None)
    catalog.pin(lake, "models/m@1", pinned)
    catalog.record_build(lake, "dbt", "x", built)
    before = digests(lake, "s.t", kept)
    changed = catalog.last_changed(lake)
    files = parquet(lake)
    with connect(lake, snapshot=pinned) as reader:
        report = upkeep(lake, 0)
        assert digests(lake, "s.t", kept) == before
        assert digest_rows(reader, "FROM s.t") == before[pinned]
    assert snapshots_of(lake) == kept | {catalog.head(lake)}
    with pytest.raises(LakeError, match=f"at snapshot {snapshots[4]}"):
        read(lake, "FROM s.t", snapshots[4])
    assert report.files_merged > report.files_made > 0
    assert report.snapshots_expired == len(snapshots) + 1 - len(kept)  # and DuckLake's own first
    assert len(parquet(lake)) < len(files)
    assert parquet(lake) == {file.path for file in catalog.files(lake)}
    assert published(lake) == Published(public, marts)
    assert catalog.last_changed(lake) == changed, "upkeep is not a change to any table"
    assert check(lake) == []
    run(lake, "INSERT INTO s.t VALUES (1)")
    assert changed_since(lake, snapshots[-1]) == ["s.t"]


def test_a_stale_build_does_not_look_current_after_upkeep(sqlite_lake):
    """The files whose end told of the change are gone then."""
    run(sqlite_lake, "CREATE TABLE t AS SELECT 1 AS a", "CREATE TABLE u AS SELECT 1 AS a")
    built = run(sqlite_lake, "INSERT INTO u VALUES (1)")
    catalog.record_build(sqlite_lake, "dbt", "x", built)
    run(sqlite_lake, "DELETE FROM t")
    run(sqlite_lake, "INSERT INTO u VALUES (2)")
    catalog.record_build(sqlite_lake, "other", "x", catalog.head(sqlite_lake))
    for _ in range(2):
        upkeep(sqlite_lake, 0)
        assert changed_since(sqlite_lake, built) == ["main.t", "main.u"]
        assert not catalog.build_is_current(sqlite_lake, "dbt", "x", ["main.t"])


def test_young_snapshots_stay(sqlite_lake):
    snapshots = grow(sqlite_lake)
    report = upkeep(sqlite_lake, 1)
    assert report.snapshots_expired == 0
    assert snapshots_of(sqlite_lake) >= set(snapshots)
    assert check(sqlite_lake) == []


def test_a_killed_writers_files_go_and_other_peoples_stay(sqlite_lake):
    run(sqlite_lake, "CREATE TABLE t AS SELECT 1 AS a")
    orphan = sqlite_lake.data_path / "main" / "t" / "ducklake-0000.parquet"
    foreign = sqlite_lake.data_path / "mine.parquet"
    orphan.write_bytes(b"half a file")
    foreign.write_bytes(b"my own")
    assert upkeep(sqlite_lake, 0).orphans_removed == 1
    assert (orphan.exists(), foreign.exists()) == (False, True)
    assert check(sqlite_lake) == []


def test_a_faulty_lake_is_left_as_it_is(sqlite_lake):
    snapshots = grow(sqlite_lake)
    path = data_file(sqlite_lake, "s")
    flip_a_bit(path, path.stat().st_size // 2)
    files = parquet(sqlite_lake)
    with pytest.raises(LakeError, match=path.name):
        upkeep(sqlite_lake, 0)
    assert parquet(sqlite_lake) == files
    assert catalog.head(sqlite_lake) == snapshots[-1]


def test_upkeep_again_and_again_changes_nothing_more(sqlite_lake):
    grow(sqlite_lake)
    upkeep(sqlite_lake, 0)
    newest = catalog.head(sqlite_lake)
    left = parquet(sqlite_lake), digests(sqlite_lake, "s.t", [newest])
    report = upkeep(sqlite_lake, 0)
    assert (report.files_merged, report.files_removed, report.orphans_removed) == (0, 0, 0)
    assert catalog.head(sqlite_lake) == newest
    assert (parquet(sqlite_lake), digests(sqlite_lake, "s.t", [newest])) == left


def test_the_catalog_is_saved_as_it_was_before(sqlite_lake, tmp_path):
    snapshots = grow(sqlite_lake)
    report = upkeep(sqlite_lake, 0)
    saved = tmp_path / "saved"
    saved.mkdir()
    (saved / "catalog.sqlite").write_bytes(Path(report.catalog_backup).read_bytes())
    assert catalog.head(Lake(saved, sqlite_lake.data_path)) == snapshots[-1]


@pytest.mark.parametrize("at_head", [True, False])
def test_a_reader_in_the_midst_sees_one_state(lake, at_head):
    """Its transaction has begun, and it lists a table's files only after they were merged."""
    made = steps(
        lake,
        "CREATE TABLE t AS SELECT 1 AS a",
        *["INSERT INTO t VALUES (1)"] * 4,
        "CREATE TABLE last AS SELECT 1 AS a",
    )
    with connect(lake, snapshot=None if at_head else made[-1]) as reader:
        reader.begin()
        assert reader.execute("FROM last").fetchall() == [(1,)]
        run(lake, "INSERT INTO t VALUES (1)")
        _age(lake, 2)
        report = upkeep(lake, 1)
        assert (report.files_merged, report.files_removed) == (6, 0)
        assert report.snapshots_expired > 0
        assert reader.execute("SELECT sum(a) FROM t").fetchall() == [(5,)]
        assert reader.execute("FROM last").fetchall() == [(1,)]
        reader.rollback()
    assert upkeep(lake, 0).files_removed > 0
    assert parquet(lake) == {file.path for file in catalog.files(lake)}


def _age(lake, days):
    """Make all snapshots but the head as many days old."""
    with write_lock(lake), session(lake) as connection:
        connection.execute(
            "UPDATE ducklake_snapshot SET snapshot_time = now() - to_days(?) WHERE snapshot_id < ?",
            [days, catalog.head(lake)],
        )
