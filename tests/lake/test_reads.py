import subprocess
import sys

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ops_platform.errors import LakeError
from ops_platform.lake import connect as connect_module
from ops_platform.lake.connect import connect
from ops_platform.lake.digest import digest_rows
from ops_platform.lake.location import Lake
from ops_platform.settings import Settings
from tests.lake.conftest import read, run

VALUES = st.lists(
    st.tuples(
        st.one_of(st.none(), st.integers(-(2**31), 2**31 - 1)),
        st.one_of(st.none(), st.text(st.characters(codec="utf-8"), max_size=5)),
        st.one_of(st.none(), st.floats(width=64)),
    ),
    max_size=8,
)


def digest(rows, threads=2, order=""):
    connection = duckdb.connect(config={"threads": threads})
    connection.execute("CREATE TABLE t (a INT, b VARCHAR, c DOUBLE)")
    if rows:
        connection.executemany("INSERT INTO t VALUES (?, ?, ?)", rows)
    return digest_rows(connection, f"SELECT * FROM t {order}")


@settings(deadline=None, max_examples=25)
@given(VALUES, st.randoms(use_true_random=False))
def test_the_digest_does_not_depend_on_the_order_of_rows(rows, random):
    shuffled = list(rows)
    random.shuffle(shuffled)
    assert digest(shuffled) == digest(rows)


@settings(deadline=None, max_examples=25)
@given(VALUES.filter(bool))
def test_a_row_more_is_another_digest(rows):
    assert digest([*rows, rows[0]]) != digest(rows)
    assert digest(rows[1:]) != digest(rows)


def test_which_row_is_doubled_counts():
    one, two = (1, "x", 0.5), (2, "y", 0.5)
    assert len({digest([one, one, two]), digest([one, two, two]), digest([one, two])}) == 3


def test_the_digest_is_the_same_with_any_number_of_threads():
    query = "SELECT range AS a, range / 7 AS b, (range * 31) % 1000 AS c FROM range(400000)"
    found = set()
    for threads in (1, 2, 4):
        for order in ("", " ORDER BY c, a"):
            with duckdb.connect(config={"threads": threads}) as connection:
                found.add(digest_rows(connection, query + order))
    assert len(found) == 1


@pytest.mark.parametrize(
    "other",
    [
        "SELECT 1 AS a, 'x' AS other",
        "SELECT 1::BIGINT AS a, 'x' AS b",
        "SELECT 1 AS a, 'y' AS b",
        "SELECT 1 AS a, NULL AS b",
        "SELECT 'x' AS b, 1 AS a",
    ],
)
def test_names_types_and_values_count(other):
    connection = duckdb.connect()
    assert digest_rows(connection, "SELECT 1 AS a, 'x' AS b") != digest_rows(connection, other)


def test_a_column_called_rows_does_not_hide_the_others():
    connection = duckdb.connect()
    one, two = (digest_rows(connection, f"SELECT 1 AS rows, {n} AS b") for n in (1, 2))
    assert one != two


def test_near_numbers_differ():
    connection = duckdb.connect()
    one, two = (
        digest_rows(connection, f"SELECT 12345678901234567890.{n}::DECIMAL(38, 3) AS a")
        for n in ("123", "124")
    )
    assert one != two


def test_a_pinned_read_stays_exact(lake):
    pinned = run(lake, "CREATE TABLE t AS SELECT range AS a FROM range(1000)")
    with connect(lake, snapshot=pinned) as reader:
        before = digest_rows(reader, "FROM t")
        run(lake, "DELETE FROM t WHERE a % 3 = 0")
        run(lake, "UPDATE t SET a = -a")
        run(lake, "INSERT INTO t SELECT range FROM range(10)")
        run(lake, "ALTER TABLE t RENAME a TO b")
        assert digest_rows(reader, "FROM t") == before
    with connect(lake, snapshot=pinned) as late:
        assert digest_rows(late, "FROM t") == before
    assert read(lake, "SELECT count(*) FROM t") == [(676,)]


def test_a_snapshot_that_never_was_is_named(lake):
    run(lake, "CREATE TABLE t AS SELECT 1 AS a")
    with pytest.raises(LakeError, match="at snapshot 99"):
        read(lake, "FROM t", 99)


def test_a_reader_can_not_write(lake):
    run(lake, "CREATE TABLE t AS SELECT 1 AS a")
    with connect(lake) as connection, pytest.raises(duckdb.Error, match="read-only"):
        connection.execute("INSERT INTO t VALUES (2)")


def test_a_password_shows_in_no_form_of_the_settings(monkeypatch, tmp_path):
    monkeypatch.setenv("OPS_CATALOG_URL", "postgresql://ops:hunter2@127.0.0.1:1/lake")
    settings = Settings(home=tmp_path)
    lake = Lake.at(settings)
    assert "hunter2" not in f"{settings!r} {lake!r} {lake.attach_path} {lake.attach_options}"
    monkeypatch.setenv("OPS_CATALOG_URL", "mysql://ops:hunter2@127.0.0.1:1/lake")
    with pytest.raises(ValueError, match="must be a postgresql") as caught:
        Settings()
    assert "hunter2" not in str(caught.value)


def test_what_memory_does_not_hold_is_spilled_in_the_home(sqlite_lake, monkeypatch, tmp_path):
    run(sqlite_lake, "CREATE TABLE t AS SELECT range AS a FROM range(10)")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    # A new instance: one that is lent again spills in the home that it was made for.
    monkeypatch.setattr(connect_module, "_idle", {})
    with connect(sqlite_lake) as reader:
        reader.execute("SET memory_limit = '64MB'")
        reader.execute("CREATE TEMP TABLE s AS SELECT uuid()::VARCHAR AS a FROM range(3_000_000)")
        assert list(sqlite_lake.home.glob("scratch/spilled/*/*/*"))
    assert list(elsewhere.iterdir()) == []


def test_nothing_of_a_process_stays_that_has_ended(sqlite_lake):
    run(sqlite_lake, "CREATE TABLE t AS SELECT 1 AS a")
    read_once = (
        "import sys\nfrom pathlib import Path\n"
        "from ops_platform.lake.connect import connect\n"
        "from ops_platform.lake.location import Lake\n"
        "home = Path(sys.argv[1])\n"
        "with connect(Lake(home, home / 'data')): print(len(list(home.glob('scratch/spilled/*'))))"
    )
    home = sqlite_lake.home
    before = set(home.glob("scratch/spilled/*"))
    done = subprocess.run(
        [sys.executable, "-c", read_once, str(home)], capture_output=True, text=True, check=True
    )
    assert int(done.stdout) == len(before) + 2, "its folder and its lock"
    assert set(home.glob("scratch/spilled/*")) == before


def test_threads_may_ask_at_once_whether_there_is_a_lake(sqlite_lake):
    run(sqlite_lake, "CREATE TABLE t AS SELECT 1 AS a")
    # Of its own: it is killed where one thread reads what another has freed.
    ask_at_once = (
        "import sys\nfrom concurrent.futures import ThreadPoolExecutor\nfrom pathlib import Path\n"
        "from ops_platform.lake.catalog import pointer\n"
        "from ops_platform.lake.location import Lake\n"
        "lake = Lake(Path(sys.argv[1]), Path(sys.argv[1]) / 'data')\n"
        "with ThreadPoolExecutor(4) as threads:\n"
        "    asked = list(threads.map(lambda _: (lake.exists, pointer(lake)), range(100)))\n"
        "print(set(asked))"
    )
    command = [sys.executable, "-c", ask_at_once, str(sqlite_lake.home)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "{(True, None)}\n"), done.stderr
