import pytest

from ops_platform.errors import BlockedError, LakeError, NotPublishedError
from ops_platform.lake import catalog
from ops_platform.lake.connect import connect
from ops_platform.lake.location import Lake
from ops_platform.lake.published import (
    BlockingCheck,
    Published,
    changed_since,
    features_changed_since,
    publish,
    published,
    published_or_none,
    require,
)
from tests.lake.conftest import run


def test_the_pointer_moves_and_another_process_reads_it(lake, child):
    assert published_or_none(lake) is None
    first = run(lake, "CREATE TABLE t AS SELECT 1 AS a")
    with pytest.raises(NotPublishedError):
        published(lake)
    publish(lake, Published(first, first), seen=None)
    assert published(lake) == Published(first, first)
    second = run(lake, "INSERT INTO t VALUES (2)")
    assert published(lake) == Published(first, first)
    publish(lake, Published(second, first), seen=Published(first, first))
    again = Lake(lake.home, lake.data_path, lake.catalog_url)
    assert published(again) == Published(second, first)


def test_what_is_gone_is_not_published(lake):
    first = run(lake, "CREATE TABLE t AS SELECT 1 AS a")
    publish(lake, Published(first, first), seen=None)
    with pytest.raises(LakeError, match="snapshot 99 is gone"):
        publish(lake, Published(99, first), seen=Published(first, first))
    with pytest.raises(LakeError, match="snapshot 99 is gone"):
        catalog.pin(lake, "models/m@1", 99)
    assert published(lake) == Published(first, first)
    assert catalog.pins(lake) == {}


def test_a_run_that_was_overtaken_does_not_move_the_pointer_back(lake):
    first = run(lake, "CREATE TABLE t AS SELECT 1 AS a")
    publish(lake, Published(first, first), seen=None)
    seen = published(lake)
    second = run(lake, "INSERT INTO t VALUES (2)")
    publish(lake, Published(second, second), seen)
    with pytest.raises(BlockedError, match="another run has published"):
        publish(lake, Published(second, first), seen)
    assert published(lake) == Published(second, second)


def test_a_pin_moves_with_its_holder(lake):
    first = run(lake, "CREATE TABLE t AS SELECT 1 AS a")
    catalog.pin(lake, "m", first)
    second = run(lake, "INSERT INTO t VALUES (2)")
    catalog.pin(lake, "m", second)
    assert catalog.pins(lake) == {"m": second}


def test_changes_are_seen_table_by_table(lake):
    first = run(
        lake,
        "CREATE SCHEMA s",
        "CREATE SCHEMA features",
        "CREATE TABLE s.t AS SELECT 1 AS a",
        "CREATE TABLE features.f (a INT)",
    )
    assert changed_since(lake, first) == []
    for change in (
        "INSERT INTO s.t VALUES (2)",
        "DELETE FROM s.t WHERE a = 2",
        "ALTER TABLE s.t ADD COLUMN b INT",
        "ALTER TABLE s.t DROP COLUMN b",
        "DELETE FROM s.t",
        "CREATE OR REPLACE TABLE s.t AS SELECT 1 AS a",
    ):
        last = catalog.head(lake)
        run(lake, change)
        assert changed_since(lake, last) == ["s.t"], change
        assert not features_changed_since(lake, last)
    last = catalog.head(lake)
    run(lake, "INSERT INTO features.f VALUES (1)")
    assert changed_since(lake, last) == []
    assert features_changed_since(lake, last)


def test_a_build_is_current_until_inputs_or_a_table_change(lake):
    first = run(lake, "CREATE TABLE t AS SELECT 1 AS a")
    assert not catalog.build_is_current(lake, "b", "x", ["main.t"])
    catalog.record_build(lake, "b", "x", first)
    assert catalog.build_is_current(lake, "b", "x", ["main.t"])
    assert not catalog.build_is_current(lake, "b", "y", ["main.t"])
    assert not catalog.build_is_current(lake, "b", "x", ["main.t", "main.u"])
    run(lake, "INSERT INTO t VALUES (2)")
    assert not catalog.build_is_current(lake, "b", "x", ["main.t"])


def test_failing_checks_are_all_named(lake):
    pinned = run(lake, "CREATE TABLE t AS SELECT 1 AS a")
    run(lake, "DELETE FROM t")
    checks = [
        BlockingCheck("main.t", name, f"SELECT count(*) FROM t WHERE a {test}")
        for name, test in (("holds", "> 1"), ("breaks", "= 1"), ("breaks_too", "< 2"))
    ]
    with connect(lake, snapshot=pinned) as connection:
        require(connection, checks[:1])
        with pytest.raises(BlockedError, match=r"breaks \(1 rows\).*breaks_too"):
            require(connection, checks)
