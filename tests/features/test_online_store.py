"""The online store gives what was written, for keys of any kind, and the same bytes each time."""

import math
import subprocess
import sys
from datetime import date, datetime
from decimal import Decimal

import duckdb
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ops_platform.errors import ReleaseError
from ops_platform.features import online_store
from ops_platform.features.online_export import read_rows, require_same
from ops_platform.features.online_store import Column, OnlineStore, Rows, write
from ops_platform.features.view import find_views
from ops_platform.lake.connect import connect
from tests.features.conftest import AS_OF

KEYS = st.lists(st.tuples(st.text(max_size=6), st.text(max_size=40)), unique=True, max_size=30)


def numbered(keys) -> Rows:
    count = len(keys)
    number = Column("int", np.arange(count), np.zeros(count, dtype=bool))
    return Rows(("a", "b"), "2024-01-01", keys, {"number": number})


@settings(max_examples=40, deadline=None)
@given(KEYS, st.tuples(st.text(max_size=6), st.text(max_size=6)))
def test_every_key_is_found_and_no_other(tmp_path_factory, keys, other):
    path = tmp_path_factory.mktemp("store") / "v.features"
    write(path, numbered(keys))
    store = OnlineStore(path)
    assert len(store) == len(keys)
    assert [store.get(*key) for key in keys] == [{"number": n} for n in range(len(keys))]
    assert (store.get(*other) is None) == (other not in keys)


def test_keys_of_one_hash_are_told_apart(tmp_path, monkeypatch):
    monkeypatch.setattr(online_store, "_hash", lambda key: 7)
    keys = [("a", "bc"), ("ab", "c"), ("", "abc")]
    write(tmp_path / "v.features", numbered(keys))
    store = OnlineStore(tmp_path / "v.features")
    assert [store.get(*key)["number"] for key in keys] == [0, 1, 2]
    assert store.get("abc", "") is None
    assert store.get("\ud800", "\0") is None


def test_a_key_that_stands_twice_is_refused(tmp_path):
    with pytest.raises(ReleaseError, match="v has several rows of one a, b"):
        write(tmp_path / "v.features", numbered([("a", "b"), ("a", "b")]))


@pytest.mark.parametrize("content", [b"", b"short", b"\xff" * 64, bytes(8) + b"{}"])
def test_what_is_no_store_is_refused(tmp_path, content):
    (tmp_path / "v.features").write_bytes(content)
    with pytest.raises(ReleaseError, match="can't be read as an online store"):
        OnlineStore(tmp_path / "v.features")


ONLINE = [view for view in find_views() if view.online]


@pytest.fixture
def folder(lake, tmp_path):
    with connect(lake) as connection:
        for name, rows in read_rows(connection, find_views(), AS_OF).items():
            write(tmp_path / f"{name}.features", rows)
    return tmp_path


@pytest.mark.parametrize("view", ONLINE, ids=lambda view: view.name)
def test_online_is_offline_for_every_entity(lake, folder, view):
    store = OnlineStore(folder / f"{view.name}.features")
    assert store.as_of == AS_OF.isoformat()
    with connect(lake) as connection:
        rows = connection.execute(f"SELECT * EXCLUDE (as_of, _snapshot) FROM {view.table}")
        names = [name for name, *_ in rows.description]
        offline = [dict(zip(names, row, strict=True)) for row in rows.fetchall()]
    assert len(store) == len(offline) > 0
    for row in offline:
        key = [row.pop(name) for name in view.entity]
        assert store.get(*key) == row
        assert [type(value) for value in store.get(*key).values()] == list(map(type, row.values()))


def test_the_same_rows_give_the_same_bytes(lake, folder, tmp_path):
    with connect(lake) as connection:
        for name, rows in read_rows(connection, find_views(), AS_OF).items():
            write(tmp_path / "again", rows)
            assert (tmp_path / "again").read_bytes() == (folder / f"{name}.features").read_bytes()


def test_a_store_that_differs_from_its_table_is_refused(lake, folder):
    path = folder / "customer_activity.features"
    with connect(lake) as connection:
        require_same(connection, find_views(), folder)
        rows = read_rows(connection, find_views(), AS_OF)["customer_activity"]
        rows.features["frequency"].values[0] += 1
        write(path, rows)
        with pytest.raises(ReleaseError, match="the online store of customer_activity says"):
            require_same(connection, find_views(), folder)
        rows.features["frequency"].values[0] -= 1
        more = {
            name: Column(
                one.kind, np.append(one.values, one.values[:1]), np.append(one.is_null, True)
            )
            for name, one in rows.features.items()
        }
        write(path, Rows(rows.entity, rows.as_of, [*rows.keys, ("nobody",)], more))
        with pytest.raises(ReleaseError, match=r"has 3 rows and features\.customer_activity 2"):
            require_same(connection, find_views(), folder)


def test_features_of_another_day_are_refused(lake):
    with connect(lake) as connection, pytest.raises(ReleaseError, match="the release as of 2024"):
        read_rows(connection, find_views(), date(2024, 1, 1))


def test_every_type_that_the_store_holds_is_what_the_engine_says(tmp_path):
    view = next(view for view in find_views() if view.name == "customer_activity")
    with duckdb.connect() as connection:
        connection.execute(
            """
            ATTACH ':memory:' AS lake; USE lake; CREATE SCHEMA features;
            CREATE TABLE features.customer_activity AS
            SELECT 'ann' AS customer_id, -5::INTEGER AS i, 'NaN'::DOUBLE AS f, true AS b, 'é' AS t,
                   DATE '1969-12-31' AS d, TIMESTAMP '2024-01-01 00:00:00.000001' AS s,
                   -0.125::DECIMAL(18, 3) AS m, DATE '2024-01-01' AS as_of, 1 AS _snapshot
            UNION ALL SELECT 'bob', NULL, NULL, NULL, NULL, NULL, NULL, NULL, DATE '2024-01-01', 1
            """
        )
        rows = read_rows(connection, [view], date(2024, 1, 1))["customer_activity"]
        write(tmp_path / "customer_activity.features", rows)
        require_same(connection, [view], tmp_path)
        found = OnlineStore(tmp_path / "customer_activity.features").get("ann")
        connection.execute("ALTER TABLE features.customer_activity ADD COLUMN l INTEGER[]")
        with pytest.raises(ReleaseError, match=r"customer_activity\.l is a INTEGER\[\], which"):
            read_rows(connection, [view], date(2024, 1, 1))
    assert math.isnan(found.pop("f"))
    assert found == {
        "i": -5,
        "b": True,
        "t": "é",
        "d": date(1969, 12, 31),
        "s": datetime(2024, 1, 1, microsecond=1),
        "m": Decimal("-0.125"),
    }


def test_it_is_read_without_engine_or_pandas():
    code = "import sys, ops_platform.features.online_store; print(*sorted(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"duckdb", "pandas", "ibis", "pandera", "pyarrow"} & set(done.stdout.split())
