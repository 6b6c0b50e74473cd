"""Connections to the lake: readers, pinned to a snapshot or at the head, and the one writer.

Loading the extensions costs a DuckDB instance ten times what attaching the lake does, most of it
for checking their signatures. So instances are kept, with nothing attached, and lent again.
"""

import atexit
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path
from uuid import uuid4

import duckdb

from ops_platform.errors import LakeError
from ops_platform.lake.location import Lake
from ops_platform.lake.scratch import scratch_folder
from ops_platform.lake.session import literal, load_extension, reach_catalog

ALIAS = "lake"
_idle: dict[tuple[str, str | None] | None, list[duckdb.DuckDBPyConnection]] = {}


@contextmanager
def connect(
    lake: Lake, *, snapshot: int | None = None, read_only: bool = True
) -> Iterator[duckdb.DuckDBPyConnection]:
    """A DuckDB connection with the lake attached as `lake` and in use, until the block ends.

    `snapshot` pins every read to that snapshot id. Writers use `write` instead, which holds the
    lock. Raises LakeError when there is no lake yet or the catalog can't be reached.
    """
    if read_only and not lake.exists:
        raise LakeError(f"there is no lake at {lake.home} yet: materialize raw/orders first")
    idle = _idle.setdefault(lake.postgres if lake.catalog_url else None, [])
    connection = idle.pop() if idle else _instance(lake)
    try:
        _use(connection, lake, snapshot, read_only)
        yield connection
    except BaseException:
        # It may be in the midst of a transaction, or worse.
        connection.close()
        raise
    try:
        _leave(connection)
    except duckdb.Error:
        # Nothing that was read is in doubt: its snapshot may have been expired meanwhile, say.
        connection.close()
    else:
        idle.append(connection)


def _instance(lake: Lake) -> duckdb.DuckDBPyConnection:
    # Of its own: two instances would give their files the same names.
    spilled = _process_scratch(lake.home / "scratch" / "spilled") / uuid4().hex
    connection = duckdb.connect(
        config={"autoinstall_known_extensions": False, "temp_directory": str(spilled)}
    )
    try:
        make_ready(connection, lake)
    except duckdb.Error as error:
        connection.close()
        raise LakeError(f"DuckDB can't load its extensions: {error}") from error
    return connection


@cache
def _process_scratch(root: Path) -> Path:
    """A scratch folder that goes with the process, as the instances do that spill to it."""
    held = ExitStack()
    atexit.register(held.close)
    return held.enter_context(scratch_folder(root))


def _use(
    connection: duckdb.DuckDBPyConnection, lake: Lake, snapshot: int | None, read_only: bool
) -> None:
    try:
        attach(connection, lake, ALIAS, snapshot=snapshot, read_only=read_only)
        connection.execute(f"USE {ALIAS}")
    except duckdb.Error as error:
        at = "" if snapshot is None else f" at snapshot {snapshot}"
        raise LakeError(
            f"the lake's catalog, {lake.catalog_name}, can't be attached{at}: {error}"
        ) from error


def _leave(connection: duckdb.DuckDBPyConnection) -> None:
    connection.execute("USE memory")
    attached = connection.execute(
        "SELECT database_name FROM duckdb_databases() WHERE NOT internal "
        "AND database_name <> 'memory' AND NOT starts_with(database_name, '__ducklake')"
    ).fetchall()
    for (name,) in attached:
        connection.execute(f'DETACH "{name}"')


def make_ready(connection: duckdb.DuckDBPyConnection, lake: Lake) -> None:
    """Load the extensions that the lake needs, and hand over the catalog's password."""
    load_extension(connection, "ducklake")
    reach_catalog(connection, lake.postgres if lake.catalog_url else None)


def attach(
    connection: duckdb.DuckDBPyConnection,
    lake: Lake,
    alias: str,
    *,
    snapshot: int | None = None,
    read_only: bool = True,
) -> None:
    """Attach the lake under `alias`, pinned to `snapshot` if given (a pinned one only reads)."""
    options = dict(lake.attach_options)
    if snapshot is not None:
        options["SNAPSHOT_VERSION"] = snapshot
    flags = ["READ_ONLY"] if read_only else []
    flags += [f"{name} {literal(value)}" for name, value in options.items()]
    connection.execute(f"ATTACH {literal(lake.attach_path)} AS {alias} ({', '.join(flags)})")
