"""`ops lake check`: whether everything that the lake says of itself is true."""

from collections.abc import Iterator

import duckdb
import sqlalchemy as sa

from ops_platform.lake import catalog
from ops_platform.lake.connect import connect
from ops_platform.lake.location import Lake
from ops_platform.lake.lock import write_lock
from ops_platform.lake.write import record_digests, sha256

LEDGER = "ledger.deliveries"


def check(lake: Lake) -> list[str]:
    """Every fault found, in words; an empty list when the lake holds.

    Each file is there with its size and digest, each table scans to the count that its files
    state, and each delivery in the ledger has its rows in raw and quarantine, no more, no fewer.
    """
    with write_lock(lake):
        record_digests_of_present(lake)
        faults = list(_file_faults(lake))
        if faults:
            return faults
        connection = connect(lake)
        try:
            return [*_count_faults(lake, connection), *_ledger_faults(connection)]
        except duckdb.Error as error:
            return [f"a table can't be read: {error}"]
        finally:
            connection.close()


def record_digests_of_present(lake: Lake) -> None:
    """Record digests that a killed writer left out, unless a file is missing (a fault by itself)."""
    catalog.prepare(lake)
    if all(file.path.exists() for file in catalog.files(lake)):
        record_digests(lake)


def _file_faults(lake: Lake) -> Iterator[str]:
    with lake.catalog.connect() as connection:
        recorded = {row.path: row for row in connection.execute(sa.select(catalog.FILE_DIGEST))}
    for file in catalog.files(lake):
        if not file.path.exists():
            yield f"{file.path}: missing; restore it from a backup"
        elif file.path.stat().st_size != file.bytes:
            yield f"{file.path}: {file.path.stat().st_size} bytes, {file.bytes} in the catalog"
        elif file.name in recorded and sha256(file.path) != recorded[file.name].sha256:
            yield f"{file.path}: its SHA-256 is not the recorded one; restore it from a backup"


_STATED = """
SELECT s.schema_name || '.' || t.table_name AS name,
       coalesce((SELECT sum(record_count) FROM ducklake_data_file f
                 WHERE f.table_id = t.table_id AND f.end_snapshot IS NULL), 0)
     - coalesce((SELECT sum(delete_count) FROM ducklake_delete_file d
                 WHERE d.table_id = t.table_id AND d.end_snapshot IS NULL), 0) AS stated
FROM ducklake_table t JOIN ducklake_schema s ON s.schema_id = t.schema_id
WHERE t.end_snapshot IS NULL AND s.end_snapshot IS NULL
"""


def _count_faults(lake: Lake, connection: duckdb.DuckDBPyConnection) -> Iterator[str]:
    with lake.catalog.connect() as catalog_connection:
        stated = catalog_connection.execute(sa.text(_STATED)).all()
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
    if LEDGER not in tables(connection):
        return
    held = f"SELECT * FROM {LEDGER} WHERE status IN ('taken', 'vanished')"
    for (source,) in connection.execute(f"SELECT DISTINCT source FROM {LEDGER}").fetchall():
        for schema, column in (("raw", "rows_raw"), ("quarantine", "rows_quarantined")):
            faults = connection.execute(
                f"""
                SELECT coalesce(l.sha256, r._delivery), coalesce(l.{column}, 0), coalesce(r.n, 0)
                FROM (SELECT sha256, {column} FROM ({held}) WHERE source = ?) l
                FULL JOIN (SELECT _delivery, count(*) AS n FROM {schema}."{source}"
                           GROUP BY _delivery) r ON r._delivery = l.sha256
                WHERE coalesce(l.{column}, 0) <> coalesce(r.n, 0)
                """,
                [source],
            ).fetchall()
            for delivery, stated, found in faults:
                yield (
                    f"{schema}.{source}: delivery {delivery[:12]} has {found} rows, "
                    f"{stated} in the ledger"
                )


def tables(connection: duckdb.DuckDBPyConnection) -> set[str]:
    """The lake's tables and views, as `schema.table`."""
    rows = connection.execute(
        "SELECT table_schema || '.' || table_name FROM information_schema.tables "
        "WHERE table_catalog = current_database()"
    ).fetchall()
    return {name for (name,) in rows}
