from pathlib import Path

import pytest

from ops_platform.errors import LakeError
from ops_platform.lake import catalog
from ops_platform.lake.check import check
from ops_platform.lake.connect import connect
from ops_platform.lake.digest import digest_rows
from ops_platform.lake.location import Lake
from ops_platform.lake.published import Published, changed_since, publish, published
from ops_platform.lake.upkeep import upkeep
from tests.lake.conftest import data_file, flip_a_bit, run


def digest(lake, snapshot):
    connection = connect(lake, snapshot=snapshot)
    try:
        return digest_rows(connection, "FROM s.t")
    finally:
        connection.close()


def parquet(lake):
    return set(lake.data_path.rglob("*.parquet"))


def grow(lake):
    """Many small files, a correction, a table that is emptied; the snapshots' ids."""
    return [
        run(lake, "CREATE SCHEMA s", "CREATE TABLE s.t (a INT)"),
        *[run(lake, f"INSERT INTO s.t SELECT range + {n} FROM range(100)") for n in range(4)],
        run(lake, "DELETE FROM s.t WHERE a % 7 = 0"),
        *[run(lake, f"INSERT INTO s.t SELECT range + {n} FROM range(100)") for n in range(3)],
        run(lake, "CREATE TABLE gone AS SELECT 1 AS a"),
        run(lake, "DELETE FROM gone"),
    ]


def test_what_is_named_stays_exact_and_the_rest_goes(lake):
    snapshots = grow(lake)
    pinned, marts, public, built = (snapshots[i] for i in (2, 4, 5, 7))
    kept = {pinned, marts, public, built, snapshots[-1]}
    publish(lake, Published(public, marts), seen=None)
    catalog.pin(lake, "models/m@1", pinned)
    catalog.record_build(lake, "dbt", "x", built)
    before = {snapshot: digest(lake, snapshot) for snapshot in kept}
    changed = catalog.last_changed(lake)
    reader = connect(lake, snapshot=pinned)
    files = parquet(lake)
    report = upkeep(lake, 0)
    assert {snapshot: digest(lake, snapshot) for snapshot in kept} == before
    assert digest_rows(reader, "FROM s.t") == before[pinned]
    reader.close()
    for snapshot in set(snapshots) - kept:
        with pytest.raises(LakeError, match=f"at snapshot {snapshot}"):
            connect(lake, snapshot=snapshot)
    assert report.files_merged > report.files_made > 0
    assert report.snapshots_expired == len(snapshots) + 1 - len(kept)  # and DuckLake's own first
    assert len(parquet(lake)) < len(files)
    assert parquet(lake) == {file.path for file in catalog.files(lake)}
    assert published(lake) == Published(public, marts)
    assert catalog.last_changed(lake) == changed, "upkeep is not a change to any table"
    assert check(lake) == []
    run(lake, "INSERT INTO s.t VALUES (1)")
    assert changed_since(lake, snapshots[-1]) == ["s.t"]


def test_a_stale_build_does_not_look_current_after_upkeep(lake):
    """The files whose end told of the change are gone then."""
    run(lake, "CREATE TABLE t AS SELECT 1 AS a", "CREATE TABLE u AS SELECT 1 AS a")
    built = run(lake, "INSERT INTO u VALUES (1)")
    catalog.record_build(lake, "dbt", "x", built)
    run(lake, "DELETE FROM t")
    run(lake, "INSERT INTO u VALUES (2)")
    catalog.record_build(lake, "other", "x", catalog.head(lake))
    for _ in range(2):
        upkeep(lake, 0)
        assert changed_since(lake, built) == ["main.t", "main.u"]
        assert not catalog.build_is_current(lake, "dbt", "x", ["main.t"])


def test_young_snapshots_stay(lake):
    snapshots = grow(lake)
    report = upkeep(lake, 1)
    assert report.snapshots_expired == 0
    for snapshot in snapshots:
        connect(lake, snapshot=snapshot).close()
    assert check(lake) == []


def test_a_killed_writers_files_go_and_other_peoples_stay(lake):
    run(lake, "CREATE TABLE t AS SELECT 1 AS a")
    orphan = lake.data_path / "main" / "t" / "ducklake-0000.parquet"
    foreign = lake.data_path / "mine.parquet"
    orphan.write_bytes(b"half a file")
    foreign.write_bytes(b"my own")
    assert upkeep(lake, 0).orphans_removed == 1
    assert (orphan.exists(), foreign.exists()) == (False, True)
    assert check(lake) == []


def test_a_faulty_lake_is_left_as_it_is(lake):
    snapshots = grow(lake)
    path = data_file(lake, "s")
    flip_a_bit(path, path.stat().st_size // 2)
    files = parquet(lake)
    with pytest.raises(LakeError, match=path.name):
        upkeep(lake, 0)
    assert parquet(lake) == files
    assert catalog.head(lake) == snapshots[-1]


def test_upkeep_again_and_again_changes_nothing_more(lake):
    grow(lake)
    upkeep(lake, 0)
    left = parquet(lake), digest(lake, catalog.head(lake))
    report = upkeep(lake, 0)
    assert (report.files_merged, report.files_removed, report.orphans_removed) == (0, 0, 0)
    assert (parquet(lake), digest(lake, catalog.head(lake))) == left


def test_the_catalog_is_saved_as_it_was_before(sqlite_lake, tmp_path):
    snapshots = grow(sqlite_lake)
    report = upkeep(sqlite_lake, 0)
    saved = tmp_path / "saved"
    saved.mkdir()
    (saved / "catalog.sqlite").write_bytes(Path(report.catalog_backup).read_bytes())
    assert catalog.head(Lake(saved, sqlite_lake.data_path)) == snapshots[-1]
