"""Transactions on the catalog database itself, by the same libraries that DuckLake uses.

Never by Python's `sqlite3`. Two SQLite libraries in one process don't know of each other's locks:
the one that closes the file frees the other's POSIX locks and removes its write-ahead log, and a
commit can be lost (https://www.sqlite.org/howtocorrupt.html, section 2.2.1).
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from itertools import count
from typing import TYPE_CHECKING

import duckdb
from duckdb_extensions import import_extension

from ops_platform.errors import LakeError

if TYPE_CHECKING:
    from ops_platform.lake.location import Lake

_numbers = count()


@contextmanager
def session(lake: "Lake") -> Iterator[duckdb.DuckDBPyConnection]:
    """One transaction of the catalog, its tables in reach by their bare names.

    Raises LakeError when the catalog can't be reached or refuses.
    """
    name = f"catalog_{next(_numbers)}"
    cursor = _engine(lake.postgres if lake.catalog_url else None).cursor()
    try:
        # Attached anew each time: DuckDB remembers which tables an attached Postgres has.
        cursor.execute(f"ATTACH {literal(lake.catalog_path)} AS {name} ({_options(lake)})")
        try:
            cursor.execute(f"USE {name}")
            cursor.begin()
            yield cursor
            cursor.commit()
        finally:
            _leave(cursor, name)
    except duckdb.Error as error:
        raise LakeError(f"the lake's catalog, {lake.catalog_name}, refuses: {error}") from error
    finally:
        cursor.close()


def has_table(connection: duckdb.DuckDBPyConnection, name: str) -> bool:
    """Whether a session's catalog, or a lake that is in use, has the table, as SQL names it.

    Not by `duckdb_tables()`: it walks through every catalog that is attached, also those that other
    threads attach and detach meanwhile, and then the process dies. Of a lake the first such walk
    takes longer than attaching it.
    """
    try:
        connection.execute(f"SELECT NULL FROM {name} LIMIT 0")
    except duckdb.CatalogException:
        return False
    return True


def _options(lake: "Lake") -> str:
    if lake.catalog_url is not None:
        return "TYPE postgres"
    return "TYPE sqlite, JOURNAL_MODE 'WAL', BUSY_TIMEOUT 5000"


def _leave(cursor: duckdb.DuckDBPyConnection, name: str) -> None:
    with suppress(duckdb.TransactionException):
        # After a commit, or one that failed, there is none to roll back.
        cursor.rollback()
    cursor.execute("USE memory")
    cursor.execute(f"DETACH {name}")


@cache
def _engine(postgres: tuple[str, str | None] | None) -> duckdb.DuckDBPyConnection:
    engine = duckdb.connect(config={"threads": 1, "autoinstall_known_extensions": False})
    reach_catalog(engine, postgres)
    return engine


def reach_catalog(
    connection: duckdb.DuckDBPyConnection, postgres: tuple[str, str | None] | None
) -> None:
    """Load the catalog's extension, one transaction of it one state; a Postgres one's password."""
    if postgres is None:
        load_extension(connection, "sqlite")
        # Otherwise each scan of a transaction that only reads opens the file anew, so it sees what
        # was committed since, but only in the rows' numbers that there were when it began: in the
        # midst of a merge of files a table is empty, though neither before nor after it was.
        connection.execute("SET GLOBAL sqlite_disable_multithreaded_scans = true")
        return
    load_extension(connection, "postgres")
    if postgres[1] is not None:
        # A secret lives in the connection, so the password is in no path, message or dbt log.
        connection.execute(
            f"CREATE OR REPLACE SECRET (TYPE postgres, PASSWORD {literal(postgres[1])})"
        )


def load_extension(connection: duckdb.DuckDBPyConnection, name: str) -> None:
    """Load an extension; its signed binary comes as a package and is copied once, not fetched."""
    try:
        connection.load_extension(name)
    except duckdb.IOException:
        import_extension(name, con=connection)
        connection.load_extension(name)


def literal(value: str | int) -> str:
    """A value as SQL."""
    return str(value) if isinstance(value, int) else "'" + value.replace("'", "''") + "'"
