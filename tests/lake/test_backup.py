import resource
import shutil
import sqlite3
from datetime import date, datetime
from pathlib import Path

import pandas as pd
import pytest

from ops_platform.errors import LakeError
from ops_platform.lake import catalog
from ops_platform.lake.backup import backup
from ops_platform.lake.check import check
from ops_platform.lake.connect import connect
from ops_platform.lake.digest import digest_rows
from ops_platform.lake.location import Lake
from ops_platform.lake.published import Published, publish, published
from ops_platform.lake.restore import restore
from ops_platform.lake.upkeep import upkeep
from tests.lake.conftest import data_file, deliver, flip_a_bit, read, run

AS_OF = date(2024, 3, 31)


def digest(lake, snapshot=None):
    with connect(lake, snapshot=snapshot) as connection:
        return digest_rows(connection, "FROM raw.orders")


@pytest.fixture
def folders(tmp_path):
    """What goes with a lake: releases with a pointer, a database in use."""
    releases, mlflow = tmp_path / "releases", tmp_path / "mlflow"
    (releases / "r1").mkdir(parents=True)
    (releases / "r1" / "model.npz").write_bytes(bytes(1000))
    (releases / "current").symlink_to(releases / "r1")
    (mlflow / "artifacts").mkdir(parents=True)
    (mlflow / "artifacts" / "state").write_text("state")
    with sqlite3.connect(mlflow / "mlflow.db") as database:
        database.execute("PRAGMA journal_mode=WAL")
        database.execute("CREATE TABLE runs (artifact_uri TEXT)")
        database.execute("INSERT INTO runs VALUES (?)", [f"file://{mlflow}/artifacts/1"])
        database.execute("INSERT INTO runs VALUES (?)", [f"{mlflow}-other/1"])
    return {"mlflow": mlflow, "releases": releases}


def elsewhere(tmp_path):
    home = tmp_path / "elsewhere"
    places = {name: home / name for name in ("mlflow", "releases")}
    return Lake(home / "lake", home / "data", None, 10), places


def test_after_upkeep_a_backup_comes_back_in_another_home(sqlite_lake, folders, tmp_path):
    lake = sqlite_lake
    deliver(lake, tmp_path / "orders", 2)
    pinned = catalog.head(lake)
    publish(lake, Published(pinned, pinned), seen=None)
    deliver(lake, tmp_path / "orders", 2, 3)
    run(
        lake,
        "INSERT INTO raw.orders SELECT * FROM raw.orders",
        "DELETE FROM raw.orders WHERE rowid > 1",
    )
    upkeep(lake, 0)
    before = digest(lake), digest(lake, pinned)
    backup(lake, folders, tmp_path / "saved")
    shutil.move(lake.home, tmp_path / "away")  # nothing may be read from where it was
    there, places = elsewhere(tmp_path)
    assert restore(tmp_path / "saved", there, places) == []
    assert check(there) == []
    assert (digest(there), digest(there, pinned)) == before
    assert published(there) == Published(pinned, pinned)
    run(there, "CREATE TABLE t AS SELECT 1 AS a")
    assert (places["releases"] / "current" / "model.npz").read_bytes() == bytes(1000)
    assert (places["releases"] / "current").readlink() == places["releases"] / "r1"
    with sqlite3.connect(places["mlflow"] / "mlflow.db") as database:
        assert database.execute("SELECT * FROM runs").fetchall() == [
            (f"file://{places['mlflow']}/artifacts/1",),
            (f"{folders['mlflow']}-other/1",),
        ]


@pytest.mark.postgres
def test_a_postgres_catalog_comes_back_over_what_has_changed(postgres_url, folders, tmp_path):
    lake = Lake(tmp_path / "lake", tmp_path / "lake" / "data", postgres_url, 10)
    run(lake, "CREATE TABLE t AS SELECT 1 AS a")
    upkeep(lake, 0)
    backup(lake, folders, tmp_path / "saved")
    run(lake, "INSERT INTO t VALUES (2)", "CREATE TABLE u AS SELECT 1 AS a")
    with pytest.raises(LakeError, match="overwrite"):
        restore(tmp_path / "saved", lake, folders)
    moved = Lake(lake.home, tmp_path / "other", postgres_url, 10)
    aside = restore(tmp_path / "saved", moved, folders, overwrite=True)
    assert read(moved, "FROM t") == [(1,)]
    assert check(moved) == []
    assert (lake.home / "catalog.before-restore" / "catalog.pgdump") in [
        path for folder in aside for path in folder.iterdir()
    ]


def test_what_is_there_is_moved_aside_not_lost(sqlite_lake, folders, tmp_path):
    run(sqlite_lake, "CREATE TABLE t AS SELECT 1 AS a")
    backup(sqlite_lake, folders, tmp_path / "saved")
    run(sqlite_lake, "INSERT INTO t VALUES (2)")
    with pytest.raises(LakeError, match="--overwrite"):
        restore(tmp_path / "saved", sqlite_lake, folders)
    aside = restore(tmp_path / "saved", sqlite_lake, folders, overwrite=True)
    assert read(sqlite_lake, "FROM t") == [(1,)]
    kept = tmp_path / "kept"
    (old_catalog, old_data) = (path for path in aside if path.is_relative_to(sqlite_lake.home))
    shutil.copytree(old_catalog, kept)
    restored_data = sqlite_lake.data_path
    restored_data.rename(tmp_path / "second")
    old_data.rename(restored_data)
    assert read(Lake(kept, restored_data), "SELECT count(*) FROM t") == [(2,)]


def test_a_catalog_that_cant_be_read_is_overwritten(sqlite_lake, tmp_path):
    run(sqlite_lake, "CREATE TABLE t AS SELECT 1 AS a")
    backup(sqlite_lake, {}, tmp_path / "saved")
    sqlite_lake.catalog_file.write_bytes(b"no database at all" * 500)
    aside = restore(tmp_path / "saved", sqlite_lake, {}, overwrite=True)
    assert read(sqlite_lake, "FROM t") == [(1,)]
    assert check(sqlite_lake) == []
    assert (aside[0] / "catalog.sqlite").read_bytes().startswith(b"no database at all")


@pytest.mark.parametrize("damage", ["flip", "truncate", "remove", "manifest"])
def test_a_damaged_backup_is_refused_by_name(sqlite_lake, tmp_path, damage):
    run(sqlite_lake, "CREATE TABLE t AS SELECT range AS a FROM range(1000)")
    saved = tmp_path / "saved"
    backup(sqlite_lake, {}, saved)
    path = next((saved / "data").rglob("*.parquet"))
    if damage == "flip":
        flip_a_bit(path, 100)
    elif damage == "truncate":
        path.write_bytes(path.read_bytes()[:-1])
    elif damage == "remove":
        path.unlink()
    else:
        (saved / "manifest.json").write_text("{")
    there, places = elsewhere(tmp_path)
    with pytest.raises(
        LakeError, match="not a whole backup" if damage == "manifest" else path.name
    ):
        restore(saved, there, places)
    assert not there.home.exists()


def test_a_faulty_lake_is_not_backed_up(sqlite_lake, tmp_path):
    run(sqlite_lake, "CREATE TABLE t AS SELECT 1 AS a", "CREATE SCHEMA s")
    run(sqlite_lake, "CREATE TABLE s.t AS SELECT 1 AS a")
    path = data_file(sqlite_lake, "s")
    flip_a_bit(path, 20)
    with pytest.raises(LakeError, match=path.name):
        backup(sqlite_lake, {}, tmp_path / "saved")
    assert not (tmp_path / "saved").exists()


def test_a_backup_is_never_written_over_nor_into_itself(sqlite_lake, folders, tmp_path):
    run(sqlite_lake, "CREATE TABLE t AS SELECT 1 AS a")
    (tmp_path / "saved").mkdir()
    for target in (tmp_path / "saved", folders["releases"] / "saved"):
        with pytest.raises(LakeError, match="name a"):
            backup(sqlite_lake, folders, target)


def test_a_disk_that_fills_leaves_no_half_backup(sqlite_lake, folders, tmp_path):
    """A limit on the size of files stands for the disk: the write fails in the same place."""
    run(sqlite_lake, "CREATE TABLE t AS SELECT 1 AS a")
    (folders["releases"] / "r1" / "large").write_bytes(bytes(2_000_000))
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_500_000, hard))
    try:
        with pytest.raises(LakeError, match="nothing is left of it"):
            backup(sqlite_lake, folders, tmp_path / "saved")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    assert not list(tmp_path.glob("*saved*"))


def test_a_killed_backup_is_not_taken_for_a_whole_one(sqlite_lake, child, tmp_path):
    run(sqlite_lake, "CREATE TABLE t AS SELECT range AS a FROM range(100000)")
    killed = child(
        sqlite_lake,
        f"""
        import os
        from ops_platform.lake import backup
        copy = backup.copy_file
        def copy_then_die(source, target):
            copy(source, target)
            print("copied", flush=True)
            os.kill(os.getpid(), 9)
        backup.copy_file = copy_then_die
        backup.backup(lake, {{}}, Path({str(tmp_path / "saved")!r}))
        """,
    )
    assert killed.wait(10) == -9
    assert not (tmp_path / "saved").exists()
    backup(sqlite_lake, {}, tmp_path / "saved")
    assert not list(tmp_path.glob(".saved*"))


def test_the_champion_answers_after_a_restore(sqlite_lake, tmp_path):
    from ops_platform.models.registry import Registry
    from ops_platform.models.zoo.recommender import Recommender

    run(sqlite_lake, "CREATE TABLE t AS SELECT 1 AS a")
    rows = [(f"c{n % 5}", f"p{n % 7}", pd.Timestamp(AS_OF)) for n in range(60)]
    table = pd.DataFrame(rows, columns=["customer_id", "product_id", "day"]).drop_duplicates()
    model = Recommender(seed=5).fit(table, AS_OF)
    home = tmp_path / "mlflow"
    registry = Registry(f"sqlite:///{home / 'mlflow.db'}", home / "artifacts")
    version = registry.register("recommender", model, metrics={}, tags={}, now=datetime(2024, 4, 1))
    registry.promote("recommender", version)
    backup(sqlite_lake, {"mlflow": home}, tmp_path / "saved")
    home.rename(tmp_path / "gone")
    there = tmp_path / "there" / "mlflow"
    lake = Lake(tmp_path / "there" / "lake", tmp_path / "there" / "lake" / "data")
    restore(tmp_path / "saved", lake, {"mlflow": there})
    again = Registry(f"sqlite:///{there / 'mlflow.db'}", there / "artifacts")
    champion = again.champion("recommender")
    loaded = again.load("recommender", champion.version)
    assert loaded.get_params() == model.get_params()
    assert {name: value.tolist() for name, value in loaded.state().items()} == {
        name: value.tolist() for name, value in model.state().items()
    }
    assert str(home) not in "".join(
        str(row)
        for row in sqlite3.connect(there / "mlflow.db").execute(
            "SELECT artifact_uri FROM runs UNION ALL SELECT artifact_location FROM experiments "
            "UNION ALL SELECT source || coalesce(storage_location, '') FROM model_versions "
            "UNION ALL SELECT artifact_location FROM logged_models"
        )
    )
    assert Path(there / "artifacts").is_dir()
