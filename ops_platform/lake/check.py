"""`ops lake check`: whether everything that the lake says of itself is true."""

from collections.abc import Iterator

import duckdb

from ops_platform.errors import LakeError
from ops_platform.lake import catalog, seal
from ops_platform.lake.connect import connect
from ops_platform.lake.location import Lake
from ops_platform.lake.lock import write_lock
from ops_platform.lake.session import session
from ops_platform.lake.write import record_digests, sha256

LEDGER = "ledger.deliveries"


def check(lake: Lake) -> list[str]:
    """Every fault found, in words; an empty list when the lake holds.

    The catalog is sound and as it was sealed, each file is there with its size and digest, each
    table scans to the count that its files state, and each delivery in the ledger has its rows in
    raw and quarantine, no more, no fewer. Raises LakeError when there is no lake at all.
    """
    with write_lock(lake):
        return faults(lake)


def faults(lake: Lake) -> list[str]:
    """What `check` finds, for a caller that holds the lock."""
    try:
        if lake.exists:
            return [*_catalog_faults(lake)] or _data_faults(lake)
    except LakeError as error:
        return [str(error)]
    if next(lake.data_path.rglob("*.parquet"), None) is None:
        catalog.require(lake)
    return [
        f"{lake.catalog_name}: no catalog, though {lake.data_path} has data files; "
        "restore it from a backup"
    ]


def _data_faults(lake: Lake) -> list[str]:
    # First the digests that a killed writer, or a dbt run by hand, has not recorded.
    catalog.prepare(lake)
    record_digests(lake)
    return list(_file_faults(lake)) or _row_faults(lake)


def _catalog_faults(lake: Lake) -> Iterator[str]:
    if lake.catalog_url is not None:
        return
    with session(lake) as connection:
        said = connection.execute(
            "SELECT * FROM sqlite_query(current_database(), 'PRAGMA integrity_check(5)')"
        ).fetchall()
    yield from (f"{lake.catalog_file}: {line}" for (line,) in said if line != "ok")
    if seal.is_broken(lake):
        yield (
            f"{lake.catalog_file}: it is not as the last write left it, by {seal.path_of(lake)}: "
            "restore it from a backup; or remove that file, if it was changed by hand"
        )


def _file_faults(lake: Lake) -> Iterator[str]:
    recorded = catalog.digests(lake)
    for file in catalog.files(lake):
        size = file.size
        if size is None:
            yield f"{file.path}: missing; restore it from a backup"
        elif size != file.bytes:
            yield f"{file.path}: {size} bytes, {file.bytes} in the catalog"
        elif sha256(file.path) != recorded[file.name]:
            yield f"{file.path}: its SHA-256 is not the recorded one; restore it from a backup"


def _row_faults(lake: Lake) -> list[str]:
    try:
        with connect(lake) as connection:
            return [*_count_faults(lake, connection), *_ledger_faults(connection)]
    except duckdb.Error as error:
        return [f"a table can't be read: {error}"]


_STATED = """
SELECT s.schema_name || '.' || t.table_name AS name,
       coalesce((SELECT sum(record_count) FROM ducklake_data_file f
                 WHERE f.table_id = t.table_id AND f.end_snapshot IS NULL), 0)
     - coalesce((SELECT sum(delete_count) FROM ducklake_delete_file d
                 WHERE d.table_id = t.table_id AND d.end_snapshot IS NULL
                   -- DuckLake lets the delete file of a data file that is gone live on.
                   AND d.data_file_id IN (SELECT data_file_id FROM ducklake_data_file
                                          WHERE end_snapshot IS NULL)), 0) AS stated
FROM ducklake_table t JOIN ducklake_schema s ON s.schema_id = t.schema_id
WHERE t.end_snapshot IS NULL AND s.end_snapshot IS NULL
"""


def _count_faults(lake: Lake, connection: duckdb.DuckDBPyConnection) -> Iterator[str]:
    with session(lake) as catalog_connection:
        stated = catalog_connection.execute(_STATED).fetchall()
    for name, count in stated:
        schema, table = name.split(".", 1)
        # count(*) alone is answered from metadata; a column has to be read.
        columns = connection.execute(f'DESCRIBE "{schema}"."{table}"').fetchall()
        reads = ", ".join(f'count("{column[0]}")' for column in columns)
        scanned = connection.execute(
            f'SELECT count(*), {reads} FROM (SELECT * FROM "{schema}"."{table}")'
        ).fetchone()
        if scanned is None or scanned[0] != count:
            yield f"{name}: {scanned and scanned[0]} rows scanned, {count} in the catalog"


def _ledger_faults(connection: duckdb.DuckDBPyConnection) -> Iterator[str]:
    there = tables(connection)
    sources = {name.removeprefix("raw.") for name in there if name.startswith("raw.")}
    if LEDGER not in there:
        if sources:
            yield f"{LEDGER}: missing, though there is raw.{min(sources)}; restore a backup"
        return
    listed = connection.execute(f"SELECT DISTINCT source FROM {LEDGER}").fetchall()
    for source in sorted(sources | {source for (source,) in listed}):
        for schema, column in (("raw", "rows_raw"), ("quarantine", "rows_quarantined")):
            if f"{schema}.{source}" in there:
                yield from _delivery_faults(connection, source, schema, column)
            else:
                yield f"{schema}.{source}: missing, though the ledger has deliveries of it"


def _delivery_faults(
    connection: duckdb.DuckDBPyConnection, source: str, schema: str, column: str
) -> Iterator[str]:
    rows = connection.execute(
        f"""
        SELECT coalesce(l.sha256, r._delivery, 'NULL'), coalesce(l.{column}, 0), coalesce(r.n, 0)
        FROM (SELECT sha256, {column} FROM {LEDGER}
              WHERE source = ? AND status IN ('taken', 'vanished')) l
        FULL JOIN (SELECT _delivery, count(*) AS n FROM {schema}."{source}"
                   GROUP BY _delivery) r ON r._delivery = l.sha256
        WHERE coalesce(l.{column}, 0) <> coalesce(r.n, 0)
        ORDER BY ALL
        """,
        [source],
    ).fetchall()
    for sha, stated, found in rows:
        yield f"{schema}.{source}: delivery {sha[:12]} has {found} rows, {stated} in the ledger"


def tables(connection: duckdb.DuckDBPyConnection) -> set[str]:
    """The lake's tables and views, as `schema.table`."""
    rows = connection.execute(
        "SELECT table_schema || '.' || table_name FROM information_schema.tables "
        "WHERE table_catalog = current_database()"
    ).fetchall()
    return {name for (name,) in rows}
