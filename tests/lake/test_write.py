import signal

import duckdb
import pytest

from ops_platform.errors import LakeBusyError, LakeError
from ops_platform.lake import catalog
from ops_platform.lake.check import check
from ops_platform.lake.connect import connect
from ops_platform.lake.location import Lake
from ops_platform.lake.lock import write_lock
from ops_platform.lake.write import ATTEMPTS, digest_new_files, open_writer, write
from tests.lake.conftest import HOLDER, data_file, quick, read, run


def test_a_write_that_fails_changes_nothing(lake):
    before = run(lake, "CREATE TABLE t AS SELECT 1 AS a")

    def work(connection):
        connection.execute("INSERT INTO t VALUES (2)")
        connection.execute("CREATE TABLE u AS SELECT 1 AS a")
        raise KeyError("on purpose")

    with pytest.raises(KeyError):
        write(lake, work)
    assert catalog.head(lake) == before
    assert read(lake, "FROM t") == [(1,)]
    assert catalog.last_changed(lake) == {"main.t": before}


def test_one_write_over_several_tables_is_one_snapshot(lake):
    first = run(lake, "CREATE TABLE t (a INT)")
    assert run(lake, "INSERT INTO t VALUES (1)", "CREATE TABLE u AS FROM t") == first + 1


def test_a_refused_commit_is_tried_again_and_other_errors_are_not(sqlite_lake):
    run(sqlite_lake, "CREATE TABLE t (a INT)")
    tries = []

    def refused_twice(connection):
        tries.append(1)
        connection.execute("INSERT INTO t VALUES (1)")
        if len(tries) < 3:
            raise duckdb.TransactionException("Transaction conflict")

    write(sqlite_lake, refused_twice)
    assert (len(tries), read(sqlite_lake, "FROM t")) == (3, [(1,)])

    def always(connection):
        tries.append(1)
        raise duckdb.TransactionException("database is locked")

    tries.clear()
    with pytest.raises(duckdb.TransactionException):
        write(sqlite_lake, always)
    assert len(tries) == ATTEMPTS
    tries.clear()
    with pytest.raises(duckdb.CatalogException):
        write(sqlite_lake, lambda c: (tries.append(1), c.execute("FROM missing")))
    assert len(tries) == 1


def test_a_commit_that_another_writer_got_in_before_is_tried_again(lake):
    """Not under the lock, as by a tool of somebody else's."""
    run(lake, "CREATE TABLE t AS SELECT 1 AS a")
    tries = []

    def work(connection):
        tries.append(1)
        connection.execute("UPDATE t SET a = a + 1")
        if len(tries) == 1:
            with open_writer(lake) as other:
                other.execute("UPDATE t SET a = a + 10")

    write(lake, work)
    assert (len(tries), read(lake, "FROM t")) == (2, [(12,)])


def test_the_lock_excludes_another_process_until_it_is_killed(lake, child):
    run(lake, "CREATE TABLE t AS SELECT 1 AS a")
    holder = child(lake, HOLDER)
    with quick(lake) as impatient, pytest.raises(LakeBusyError, match=r"0\.3 s.*OPS_LOCK_SECONDS"):
        run(impatient, "INSERT INTO t VALUES (2)")
    assert read(lake, "FROM t") == [(1,)], "a reader does not wait"
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    run(lake, "INSERT INTO t VALUES (2)")
    assert read(lake, "FROM t ORDER BY a") == [(1,), (2,)]


def test_a_writer_waits_for_its_turn(lake, child):
    run(lake, "CREATE TABLE t AS SELECT 1 AS a")
    with write_lock(lake):
        waiting = child(
            lake,
            """
            from ops_platform.lake.write import write
            print("waiting", flush=True)
            write(lake, lambda connection: connection.execute("INSERT INTO t VALUES (2)"))
            """,
        )
        with pytest.raises(Exception, match="timed out"):
            waiting.wait(1)
        assert read(lake, "SELECT count(*) FROM t") == [(1,)]
    assert waiting.wait(20) == 0
    assert read(lake, "SELECT count(*) FROM t") == [(2,)]


@pytest.mark.long
def test_a_killed_writer_leaves_the_lake_whole(lake, child):
    run(lake, "CREATE TABLE a (n INT)", "CREATE TABLE b (n INT)")
    for _ in range(2):
        writer = child(
            lake,
            """
            from ops_platform.lake.write import write
            def work(connection):
                for table in "ab":
                    connection.execute(f"INSERT INTO {table} SELECT range FROM range(20000)")
            write(lake, work)
            print("going", flush=True)
            while True:
                write(lake, work)
            """,
        )
        # Somewhere in a later write, wherever that is by now.
        found = catalog.head(lake)
        while catalog.head(lake) <= found:
            pass
        writer.kill()
        writer.wait()
        counts = read(lake, "SELECT (SELECT count(*) FROM a), (SELECT count(*) FROM b)")[0]
        assert counts[0] == counts[1]
        assert counts[0] % 20000 == 0
    assert check(lake) == []
    run(lake, "INSERT INTO a VALUES (1)")


def test_a_file_that_goes_missing_does_not_fail_the_next_write(sqlite_lake):
    run(sqlite_lake, "CREATE TABLE t AS SELECT 1 AS a", "CREATE SCHEMA s")
    with write_lock(sqlite_lake), open_writer(sqlite_lake) as other:
        other.execute("CREATE TABLE s.u AS SELECT 1 AS a")
    data_file(sqlite_lake, "s").unlink()
    run(sqlite_lake, "INSERT INTO t VALUES (2)")
    assert digest_new_files(sqlite_lake) == 0
    assert "missing" in check(sqlite_lake)[0]


def test_digests_of_a_lake_that_only_another_tool_has_written(lake):
    lake.data_path.mkdir(parents=True)
    with connect(lake, read_only=False) as other:
        other.execute("CREATE TABLE t AS SELECT 1 AS a")
    assert digest_new_files(lake) == 1
    assert check(lake) == []


def test_there_is_no_lake_before_the_first_write_nor_after_a_killed_one(lake):
    assert not lake.exists
    with pytest.raises(LakeError, match="no lake"):
        read(lake, "SELECT 1")
    with pytest.raises(LakeError, match="no lake"):
        check(lake)
    assert not lake.exists
    if lake.catalog_url is None:
        lake.catalog_file.touch()
    assert not lake.exists
    assert catalog.last_changed(lake) == {}
    run(lake, "CREATE TABLE t AS SELECT 1 AS a")
    assert lake.exists


def test_a_catalog_that_is_no_database_is_said(sqlite_lake):
    sqlite_lake.home.mkdir(parents=True)
    sqlite_lake.catalog_file.write_text("not a database, but long enough to be read as one " * 20)
    for act in (
        lambda lake: read(lake, "SELECT 1"),
        catalog.head,
        lambda lake: run(lake, "CREATE TABLE t (a INT)"),
    ):
        with pytest.raises(LakeError, match=r"catalog\.sqlite.*not a database"):
            act(sqlite_lake)


@pytest.mark.postgres
@pytest.mark.parametrize("wrong", ["password", "port"])
def test_a_postgres_that_refuses_is_said_without_the_password(postgres_url, tmp_path, wrong):
    _, place = postgres_url.split("@")
    url = {
        "password": f"postgresql://ops:hunter2@{place}",
        "port": f"postgresql://ops:hunter2@127.0.0.1:1/{place.split('/')[1]}",
    }[wrong]
    lake = Lake(tmp_path, tmp_path / "data", url, 1)
    for act in (
        lambda: run(lake, "SELECT 1"),
        lambda: read(lake, "SELECT 1"),
        lambda: catalog.head(lake),
        lambda: write(lake, lambda connection: None),
        lambda: check(lake),
    ):
        with pytest.raises(LakeError, match="host=127") as caught:
            act()
        error = caught.value
        while error is not None:
            assert "hunter2" not in f"{error!r}"
            error = error.__cause__ or error.__context__
    assert "hunter2" not in f"{lake!r} {lake.attach_path}"
