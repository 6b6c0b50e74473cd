"""Connections to the lake: readers, pinned to a snapshot or at the head, and the one writer."""

import duckdb

from ops_platform.errors import LakeError
from ops_platform.lake.location import Lake
from ops_platform.lake.session import literal, load_extension, reach_catalog

ALIAS = "lake"


def connect(
    lake: Lake, *, snapshot: int | None = None, read_only: bool = True
) -> duckdb.DuckDBPyConnection:
    """A DuckDB connection with the lake attached as `lake` and in use.

    `snapshot` pins every read to that snapshot id. Writers use `write` instead, which holds the
    lock. Raises LakeError when there is no lake yet or the catalog can't be reached.
    """
    if read_only and not lake.exists:
        raise LakeError(f"there is no lake at {lake.home} yet: materialize raw/orders first")
    connection = duckdb.connect(config={"autoinstall_known_extensions": False})
    try:
        make_ready(connection, lake)
        attach(connection, lake, ALIAS, snapshot=snapshot, read_only=read_only)
        connection.execute(f"USE {ALIAS}")
    except duckdb.Error as error:
        connection.close()
        at = "" if snapshot is None else f" at snapshot {snapshot}"
        raise LakeError(
            f"the lake's catalog, {lake.catalog_name}, can't be attached{at}: {error}"
        ) from error
    return connection


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
