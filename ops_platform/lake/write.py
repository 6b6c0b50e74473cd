"""Writing: one writer at a time, one transaction a write, whole or not at all."""

import hashlib
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import duckdb

from ops_platform.lake import catalog
from ops_platform.lake.connect import ALIAS, connect
from ops_platform.lake.location import Lake
from ops_platform.lake.lock import write_lock

T = TypeVar("T")
ATTEMPTS = 4
_REFUSED_COMMITS = ("database is locked", "Transaction conflict", "could not serialize")


def write(
    lake: Lake,
    work: Callable[[duckdb.DuckDBPyConnection], T],
    prepare: Callable[[duckdb.DuckDBPyConnection], object] = lambda connection: None,
) -> T:
    """Run `work` in one transaction of the lake, under its lock, and return what it returns.

    `work` may run again when the catalog refused the commit, so it must have no other effect.
    `prepare` is what the connection needs before the transaction, say another attachment.
    Raises what `work` raises, rolled back; LakeBusyError when the lock is not had in time.
    """
    with write_lock(lake):
        with open_writer(lake) as connection:
            prepare(connection)
            result = _with_retries(connection, work)
        record_digests(lake)
        return result


def snapshot_being_made(connection: duckdb.DuckDBPyConnection) -> int:
    """The id of the snapshot that the open transaction of `write` makes, if it changes anything.

    It is sure only because this process holds the write lock.
    """
    row = connection.execute(
        f"SELECT max(snapshot_id) + 1 FROM ducklake_snapshots('{ALIAS}')"
    ).fetchone()
    assert row is not None
    return int(row[0])


@contextmanager
def open_writer(lake: Lake) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection that may write; only for a caller that holds the lock."""
    lake.data_path.mkdir(parents=True, exist_ok=True)
    with connect(lake, read_only=False) as connection:
        catalog.prepare(lake)
        yield connection


def _with_retries(
    connection: duckdb.DuckDBPyConnection, work: Callable[[duckdb.DuckDBPyConnection], T]
) -> T:
    for attempt in range(ATTEMPTS):
        connection.begin()
        try:
            result = work(connection)
            connection.commit()
            return result
        except BaseException as error:
            _roll_back(connection)
            refused = isinstance(error, duckdb.Error) and any(
                sign in str(error) for sign in _REFUSED_COMMITS
            )
            if not refused or attempt == ATTEMPTS - 1:
                raise
            time.sleep(0.1 * 2**attempt)
    raise AssertionError("unreachable")


def _roll_back(connection: duckdb.DuckDBPyConnection) -> None:
    try:
        connection.rollback()
    except duckdb.TransactionException:
        # A commit that failed has already ended the transaction.
        return


def digest_new_files(lake: Lake) -> int:
    """Record the digests of what a writer that is not `write`, dbt, has left; their number."""
    with write_lock(lake):
        catalog.prepare(lake)
        return record_digests(lake)


def record_digests(lake: Lake) -> int:
    """Record the SHA-256 of every file that has none yet, and forget files that are gone.

    Returns the number of files read. Called while the files' pages are still in memory. A file
    that is missing or has another size than the catalog says is left for `check` to report: the
    write that calls this has been committed.
    """
    listed = {file.name: file for file in catalog.files(lake)}
    known = catalog.digests(lake).keys()
    new = {
        file: sha256(file.path)
        for name, file in listed.items()
        if name not in known and file.size == file.bytes
    }
    gone = known - listed.keys()
    if new or gone:
        catalog.record(lake, new, gone)
    return len(new)


def sha256(path: Path) -> str:
    """The SHA-256 of a file's bytes, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
