"""The one write lock: a file lock beside a SQLite catalog, an advisory lock on a Postgres one."""

import hashlib
import time
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from filelock import FileLock, Timeout

from ops_platform.errors import LakeBusyError, LakeError
from ops_platform.lake import seal
from ops_platform.lake.location import Lake

# The Dagster pool of steps that write. It has no limit by default: a killed run would never free
# its slot, and the lock guards anyway.
POOL = "lake"


@contextmanager
def write_lock(lake: Lake) -> Iterator[None]:
    """Hold the lake's write lock; freed when the process dies, whichever way.

    The catalog's seal is off meanwhile. Raises LakeBusyError after `lake.lock_seconds`.
    """
    lake.home.mkdir(parents=True, exist_ok=True)
    held = _file_lock(lake) if lake.catalog_url is None else _advisory_lock(lake, lake.catalog_url)
    with held:
        seal.lift(lake)
        try:
            yield
        finally:
            seal.put(lake)


@contextmanager
def _file_lock(lake: Lake) -> Iterator[None]:
    try:
        with FileLock(lake.home / "write.lock", timeout=lake.lock_seconds):
            yield
    except Timeout as error:
        raise _busy(lake) from error


@contextmanager
def _advisory_lock(lake: Lake, url: str) -> Iterator[None]:
    key = int.from_bytes(hashlib.sha256(b"ops write lock").digest()[:8], signed=True)
    deadline = time.monotonic() + lake.lock_seconds
    try:
        opened = psycopg.connect(url, autocommit=True, connect_timeout=10)
    except psycopg.Error as error:
        raise LakeError(
            f"the lake's catalog, {lake.catalog_name}, can't be reached: {error}"
        ) from error
    with opened as connection:
        while not _advisory_try(connection, key):
            if time.monotonic() > deadline:
                raise _busy(lake)
            time.sleep(0.05)
        yield


def _advisory_try(connection: psycopg.Connection, key: int) -> bool:
    row = connection.execute("SELECT pg_try_advisory_lock(%s)", (key,)).fetchone()
    return bool(row and row[0])


def _busy(lake: Lake) -> LakeBusyError:
    return LakeBusyError(
        f"another process has been writing to the lake at {lake.home} for more than "
        f"{lake.lock_seconds:g} s: wait for it, or raise OPS_LOCK_SECONDS"
    )
