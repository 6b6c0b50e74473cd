"""What the catalog database knows: DuckLake's snapshots and files, and our own small tables.

DuckLake's tables are read as its specification (v1.0) lays them out; ours begin with `ops_`,
live in the same database and so are backed up with it.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb

from ops_platform.errors import LakeError
from ops_platform.lake.location import Lake
from ops_platform.lake.lock import write_lock
from ops_platform.lake.session import has_table, session

_OWN = (
    "ops_published (snapshot_id BIGINT, marts_snapshot_id BIGINT)",
    "ops_build (name VARCHAR PRIMARY KEY, snapshot_id BIGINT, inputs VARCHAR)",
    "ops_pin (holder VARCHAR PRIMARY KEY, snapshot_id BIGINT)",
    "ops_file_digest (path VARCHAR PRIMARY KEY, bytes BIGINT, sha256 VARCHAR)",
    "ops_last_changed (table_id BIGINT PRIMARY KEY, snapshot_id BIGINT)",
)

# A renamed table has a row for each name: distinct.
_FILES = """
SELECT DISTINCT f.file_size_bytes, f.path, f.path_is_relative, t.path, t.path_is_relative, s.path
FROM {files} f
JOIN ducklake_table t ON t.table_id = f.table_id
JOIN ducklake_schema s ON s.schema_id = t.schema_id
"""

_LAST_CHANGED = """
SELECT begin_snapshot AS changed FROM ducklake_table WHERE table_id = $id
UNION ALL SELECT snapshot_id FROM ops_last_changed WHERE table_id = $id
UNION ALL SELECT begin_snapshot FROM ducklake_data_file WHERE table_id = $id
UNION ALL SELECT end_snapshot FROM ducklake_data_file WHERE table_id = $id
UNION ALL SELECT partial_max FROM ducklake_data_file WHERE table_id = $id
UNION ALL SELECT begin_snapshot FROM ducklake_column WHERE table_id = $id
UNION ALL SELECT end_snapshot FROM ducklake_column WHERE table_id = $id
UNION ALL SELECT begin_snapshot FROM ducklake_delete_file WHERE table_id = $id
UNION ALL SELECT end_snapshot FROM ducklake_delete_file WHERE table_id = $id
"""

_LIVE_TABLES = """
SELECT s.schema_name, t.table_name, t.table_id
FROM ducklake_table t JOIN ducklake_schema s ON s.schema_id = t.schema_id
WHERE t.end_snapshot IS NULL AND s.end_snapshot IS NULL
"""


@dataclass(frozen=True)
class LakeFile:
    """A Parquet file of the lake: relative path, absolute path and recorded size in bytes."""

    name: str
    path: Path
    bytes: int

    @property
    def size(self) -> int | None:
        """The bytes that lie there; None when there is no such file."""
        try:
            return self.path.stat().st_size
        except FileNotFoundError:
            return None


def prepare(lake: Lake) -> None:
    """Make our own tables in the catalog where they are missing (called by the writer)."""
    with session(lake) as connection:
        for table in _OWN:
            connection.execute(f"CREATE TABLE IF NOT EXISTS {table}")


def require(lake: Lake) -> None:
    """Raise LakeError when there is no lake."""
    if not lake.exists:
        raise LakeError(f"there is no lake at {lake.home} yet: materialize raw/orders first")


def head(lake: Lake) -> int:
    """The newest snapshot id; raises LakeError when there is no lake."""
    require(lake)
    return int(_rows(lake, "SELECT max(snapshot_id) FROM ducklake_snapshot")[0][0])


def last_changed(lake: Lake) -> dict[str, int]:
    """Each live table, as `schema.table`, with the id of the snapshot that last changed it."""
    if not lake.exists:
        return {}
    return {name: changed for _, name, changed in _changes(lake)}


def keep_last_changed(lake: Lake) -> None:
    """Write down what `last_changed` says: the traces it reads go with upkeep, its answer stays."""
    rows = _changes(lake)
    with session(lake) as connection:
        connection.execute("DELETE FROM ops_last_changed")
        for table_id, _, changed in rows:
            connection.execute("INSERT INTO ops_last_changed VALUES (?, ?)", [table_id, changed])


def _changes(lake: Lake) -> list[tuple[int, str, int]]:
    """Each live table's id, its name as `schema.table`, and the snapshot that last changed it."""
    with session(lake) as connection:
        live = connection.execute(_LIVE_TABLES).fetchall()
        return [
            (table_id, f"{schema}.{table}", _changed(connection, table_id))
            for schema, table, table_id in live
        ]


def _changed(connection: duckdb.DuckDBPyConnection, table_id: int) -> int:
    rows = connection.execute(_LAST_CHANGED, {"id": table_id}).fetchall()
    return max(int(changed) for (changed,) in rows if changed is not None)


def files(lake: Lake) -> list[LakeFile]:
    """Every data and delete file that any unexpired snapshot reads."""
    with session(lake) as connection:
        rows = [
            row
            for kind in ("ducklake_data_file", "ducklake_delete_file")
            for row in connection.execute(_FILES.format(files=kind)).fetchall()
        ]
    return [_lake_file(lake, *row) for row in rows]


def _lake_file(
    lake: Lake, size: int, file: str, relative: bool, table: str, in_schema: bool, schema: str
) -> LakeFile:
    path = Path(file)
    if relative:
        path = (Path(schema) / table if in_schema else Path(table)) / path
    path = lake.data_path / path
    name = path.relative_to(lake.data_path) if path.is_relative_to(lake.data_path) else path
    return LakeFile(str(name), path, size)


def dropped(lake: Lake, seconds: float) -> dict[str, Path]:
    """The files that no snapshot reads since so many seconds, by their name in the catalog."""
    rows = _rows(
        lake,
        "SELECT path FROM ducklake_files_scheduled_for_deletion "
        "WHERE epoch(schedule_start::TIMESTAMPTZ) <= epoch(now()) - ?",
        [seconds],
    )
    # Relative to the data's folder, unless absolute.
    return {path: lake.data_path / path for (path,) in rows}


def forget_dropped(lake: Lake, names: Iterable[str]) -> None:
    """Take from the catalog what `dropped` found, once it is removed."""
    with session(lake) as connection:
        for name in names:
            connection.execute(
                "DELETE FROM ducklake_files_scheduled_for_deletion WHERE path = ?", [name]
            )


def digests(lake: Lake) -> dict[str, str]:
    """The recorded SHA-256 of each file, by its name."""
    return dict(_rows(lake, "SELECT path, sha256 FROM ops_file_digest"))


def record(lake: Lake, new: Mapping[LakeFile, str], gone: Iterable[str]) -> None:
    """Record the SHA-256 of new files, and forget those that are gone."""
    with session(lake) as connection:
        for name in gone:
            connection.execute("DELETE FROM ops_file_digest WHERE path = ?", [name])
        for file, sha256 in new.items():
            connection.execute(
                "INSERT INTO ops_file_digest VALUES (?, ?, ?)", [file.name, file.bytes, sha256]
            )


def build_is_current(lake: Lake, name: str, inputs: str, tables: list[str]) -> bool:
    """Whether `tables` stand as the build `name` left them, from these very inputs."""
    built = built_at(lake, name)
    if built is None or build_inputs(lake, name) != inputs:
        return False
    changed = last_changed(lake)
    return all(changed.get(table, built + 1) <= built for table in tables)


def build_inputs(lake: Lake, name: str) -> str:
    """What the last complete build `name` was made from; empty before the first."""
    rows = _own_rows(lake, "SELECT inputs FROM ops_build WHERE name = ?", [name])
    return str(rows[0][0]) if rows else ""


def record_build(lake: Lake, name: str, inputs: str, snapshot: int) -> None:
    """Remember that the build `name` made its tables, complete as of `snapshot`."""
    with write_lock(lake), session(lake) as connection:
        connection.execute("DELETE FROM ops_build WHERE name = ?", [name])
        connection.execute("INSERT INTO ops_build VALUES (?, ?, ?)", [name, snapshot, inputs])


def built_at(lake: Lake, name: str) -> int | None:
    """The snapshot that the last complete build `name` left, or None."""
    return builds(lake).get(name)


def builds(lake: Lake) -> dict[str, int]:
    """Every complete build with the snapshot that it left."""
    return dict(_own_rows(lake, "SELECT name, snapshot_id FROM ops_build"))


def pin(lake: Lake, holder: str, snapshot: int) -> None:
    """Keep `snapshot` from upkeep for `holder` (say `models/recommender@3`).

    Waits for the lock: upkeep, which holds it, either sees the pin or has ended before. Raises
    LakeError when the snapshot has been expired.
    """
    with write_lock(lake), session(lake) as connection:
        require_snapshot(connection, snapshot)
        connection.execute("DELETE FROM ops_pin WHERE holder = ?", [holder])
        connection.execute("INSERT INTO ops_pin VALUES (?, ?)", [holder, snapshot])


def pins(lake: Lake) -> dict[str, int]:
    """Every holder of a snapshot with the id that it needs."""
    return dict(_own_rows(lake, "SELECT holder, snapshot_id FROM ops_pin"))


def require_snapshot(connection: duckdb.DuckDBPyConnection, snapshot: int) -> None:
    """Raise LakeError when upkeep has expired `snapshot`, or it never was."""
    query = "SELECT 1 FROM ducklake_snapshot WHERE snapshot_id = ?"
    if not connection.execute(query, [snapshot]).fetchall():
        raise LakeError(
            f"the lake's snapshot {snapshot} is gone: upkeep expired it before anything kept it; "
            "start again from the newest"
        )


def pointer(lake: Lake) -> tuple[int, int] | None:
    """The published snapshot and that of its marts."""
    rows = _own_rows(lake, "SELECT snapshot_id, marts_snapshot_id FROM ops_published")
    return (rows[0][0], rows[0][1]) if rows else None


def move_pointer(lake: Lake, snapshot: int, marts: int) -> None:
    """Publish these snapshots; only for a caller that holds the lock."""
    with session(lake) as connection:
        for needed in (snapshot, marts):
            require_snapshot(connection, needed)
        connection.execute("DELETE FROM ops_published")
        connection.execute(
            "INSERT INTO ops_published (snapshot_id, marts_snapshot_id) VALUES (?, ?)",
            [snapshot, marts],
        )


def _rows(lake: Lake, query: str, values: Sequence[object] = ()) -> list[Any]:
    with session(lake) as connection:
        return connection.execute(query, values).fetchall()


def _own_rows(lake: Lake, query: str, values: Sequence[object] = ()) -> list[Any]:
    """Rows of a table of ours; none where no writer has made it yet."""
    if not lake.exists:
        return []
    with session(lake) as connection:
        there = has_table(connection, "ops_published")
        return connection.execute(query, values).fetchall() if there else []
