"""Connections to the lake: readers, pinned to a snapshot or at the head, and the one writer."""

import duckdb
from duckdb_extensions import import_extension

from ops_platform.errors import LakeError
from ops_platform.lake.location import Lake

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
    _load_extensions(connection, lake)
    try:
        attach(connection, lake, ALIAS, snapshot=snapshot, read_only=read_only)
        connection.execute(f"USE {ALIAS}")
    except duckdb.Error as error:
        connection.close()
        where = "the Postgres catalog" if lake.catalog_url else lake.catalog_file
        raise LakeError(f"the lake's catalog, {where}, can't be attached: {error}") from error
    return connection


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
    flags += [f"{name} {_literal(value)}" for name, value in options.items()]
    connection.execute(f"ATTACH {_literal(lake.attach_path)} AS {alias} ({', '.join(flags)})")


def _load_extensions(connection: duckdb.DuckDBPyConnection, lake: Lake) -> None:
    names = ["ducklake", "sqlite" if lake.catalog_url is None else "postgres"]
    for name in names:
        try:
            connection.load_extension(name)
        except duckdb.IOException:
            # The signed binary comes as a package: copied once to DuckDB's extension folder.
            import_extension(name)
            connection.load_extension(name)


def _literal(value: str | int) -> str:
    return str(value) if isinstance(value, int) else "'" + value.replace("'", "''") + "'"
