"""What the catalog database knows: DuckLake's snapshots and files, and our own small tables.

DuckLake's tables are read as its specification (v1.0) lays them out; ours begin with `ops_`,
live in the same database and so are backed up with it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa

from ops_platform.errors import LakeError
from ops_platform.lake.location import Lake
from ops_platform.lake.lock import write_lock

_own = sa.MetaData()
PUBLISHED = sa.Table(
    "ops_published",
    _own,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("snapshot_id", sa.BigInteger, nullable=False),
    sa.Column("marts_snapshot_id", sa.BigInteger, nullable=False),
)
BUILD = sa.Table(
    "ops_build",
    _own,
    sa.Column("name", sa.String, primary_key=True),
    sa.Column("snapshot_id", sa.BigInteger, nullable=False),
    sa.Column("inputs", sa.String, nullable=False),
)
PIN = sa.Table(
    "ops_pin",
    _own,
    sa.Column("holder", sa.String, primary_key=True),
    sa.Column("snapshot_id", sa.BigInteger, nullable=False),
)
FILE_DIGEST = sa.Table(
    "ops_file_digest",
    _own,
    sa.Column("path", sa.String, primary_key=True),
    sa.Column("bytes", sa.BigInteger, nullable=False),
    sa.Column("sha256", sa.String, nullable=False),
)

LAST_CHANGED = sa.Table(
    "ops_last_changed",
    _own,
    sa.Column("table_id", sa.BigInteger, primary_key=True),
    sa.Column("snapshot_id", sa.BigInteger, nullable=False),
)

# A renamed table has a row for each name: distinct.
_FILES = """
SELECT DISTINCT f.path AS file_path, f.path_is_relative AS file_relative,
       f.file_size_bytes AS bytes,
       t.path AS table_path, t.path_is_relative AS table_relative,
       s.path AS schema_path, s.path_is_relative AS schema_relative
FROM {files} f
JOIN ducklake_table t ON t.table_id = f.table_id
JOIN ducklake_schema s ON s.schema_id = t.schema_id
"""

_LAST_CHANGED = """
SELECT t.begin_snapshot AS changed FROM ducklake_table t WHERE t.table_id = :id
UNION ALL SELECT begin_snapshot FROM ducklake_data_file WHERE table_id = :id
UNION ALL SELECT end_snapshot FROM ducklake_data_file WHERE table_id = :id
UNION ALL SELECT partial_max FROM ducklake_data_file WHERE table_id = :id
UNION ALL SELECT begin_snapshot FROM ducklake_column WHERE table_id = :id
UNION ALL SELECT end_snapshot FROM ducklake_column WHERE table_id = :id
UNION ALL SELECT begin_snapshot FROM ducklake_delete_file WHERE table_id = :id
UNION ALL SELECT end_snapshot FROM ducklake_delete_file WHERE table_id = :id
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
    _own.create_all(lake.catalog)


def require(lake: Lake) -> None:
    """Raise LakeError when there is no lake."""
    if not lake.exists:
        raise LakeError(f"there is no lake at {lake.home} yet: materialize raw/orders first")


def head(lake: Lake) -> int:
    """The newest snapshot id; raises LakeError when there is no lake."""
    require(lake)
    with lake.catalog.connect() as connection:
        return int(
            connection.execute(
                sa.text("SELECT max(snapshot_id) FROM ducklake_snapshot")
            ).scalar_one()
        )


def last_changed(lake: Lake) -> dict[str, int]:
    """Each live table, as `schema.table`, with the id of the snapshot that last changed it."""
    if not lake.exists:
        return {}
    return {name: changed for _, name, changed in _changes(lake)}


def keep_last_changed(lake: Lake) -> None:
    """Write down what `last_changed` says: the traces it reads go with upkeep, its answer stays."""
    prepare(lake)
    rows = [{"table_id": table, "snapshot_id": changed} for table, _, changed in _changes(lake)]
    with lake.catalog.begin() as connection:
        connection.execute(sa.delete(LAST_CHANGED))
        if rows:
            connection.execute(sa.insert(LAST_CHANGED), rows)


def _changes(lake: Lake) -> list[tuple[int, str, int]]:
    """Each live table's id, its name as `schema.table`, and the snapshot that last changed it."""
    with lake.catalog.connect() as connection:
        kept: dict[int, int] = {}
        if sa.inspect(connection).has_table(LAST_CHANGED.name):
            rows = connection.execute(sa.select(LAST_CHANGED))
            kept = {row.table_id: row.snapshot_id for row in rows}
        live = connection.execute(sa.text(_LIVE_TABLES)).all()
        return [
            (table, f"{row.schema_name}.{row.table_name}", _changed(connection, table, kept))
            for row in live
            for table in [int(str(row.table_id))]
        ]


def _changed(connection: sa.Connection, table_id: int, kept: Mapping[int, int]) -> int:
    found = connection.execute(sa.text(_LAST_CHANGED), {"id": table_id}).all()
    traces = [int(str(row.changed)) for row in found if row.changed is not None]
    return max(kept.get(table_id, 0), *traces)


def files(lake: Lake) -> list[LakeFile]:
    """Every data and delete file that any unexpired snapshot reads."""
    with lake.catalog.connect() as connection:
        rows = [
            dict(row._mapping)
            for kind in ("ducklake_data_file", "ducklake_delete_file")
            for row in connection.execute(sa.text(_FILES.format(files=kind)))
        ]
    return [_lake_file(lake, row) for row in rows]


def _lake_file(lake: Lake, row: Mapping[str, object]) -> LakeFile:
    path = Path(str(row["file_path"]))
    for level in ("table", "schema"):
        if not row[f"{'file' if level == 'table' else 'table'}_relative"]:
            break
        path = Path(str(row[f"{level}_path"])) / path
    path = lake.data_path / path
    name = path.relative_to(lake.data_path) if path.is_relative_to(lake.data_path) else path
    return LakeFile(str(name), path, int(str(row["bytes"])))


def build_is_current(lake: Lake, name: str, inputs: str, tables: list[str]) -> bool:
    """Whether `tables` stand as the build `name` left them, from these very inputs."""
    if not lake.exists:
        return False
    changed = last_changed(lake)
    with lake.catalog.connect() as connection:
        row = connection.execute(sa.select(BUILD).where(BUILD.c.name == name)).one_or_none()
    return (
        row is not None
        and row.inputs == inputs
        and all(changed.get(table, row.snapshot_id + 1) <= row.snapshot_id for table in tables)
    )


def build_inputs(lake: Lake, name: str) -> str:
    """What the last complete build `name` was made from; empty before the first."""
    with lake.catalog.connect() as connection:
        found = connection.execute(sa.select(BUILD.c.inputs).where(BUILD.c.name == name))
        return found.scalar_one_or_none() or ""


def record_build(lake: Lake, name: str, inputs: str, snapshot: int) -> None:
    """Remember that the build `name` made its tables, complete as of `snapshot`."""
    with lake.catalog.begin() as connection:
        connection.execute(sa.delete(BUILD).where(BUILD.c.name == name))
        connection.execute(sa.insert(BUILD).values(name=name, snapshot_id=snapshot, inputs=inputs))


def built_at(lake: Lake, name: str) -> int | None:
    """The snapshot that the last complete build `name` left, or None."""
    with lake.catalog.connect() as connection:
        return connection.execute(
            sa.select(BUILD.c.snapshot_id).where(BUILD.c.name == name)
        ).scalar_one_or_none()


def builds(lake: Lake) -> dict[str, int]:
    """Every complete build with the snapshot that it left."""
    with lake.catalog.connect() as connection:
        return {row.name: row.snapshot_id for row in connection.execute(sa.select(BUILD))}


def pin(lake: Lake, holder: str, snapshot: int) -> None:
    """Keep `snapshot` from upkeep for `holder` (say `models/recommender@3`).

    Waits for the lock: upkeep, which holds it, either sees the pin or has ended before. Raises
    LakeError when the snapshot has been expired.
    """
    with write_lock(lake), lake.catalog.begin() as connection:
        require_snapshot(connection, snapshot)
        connection.execute(sa.delete(PIN).where(PIN.c.holder == holder))
        connection.execute(sa.insert(PIN).values(holder=holder, snapshot_id=snapshot))


def unpin(lake: Lake, holder: str) -> None:
    """Let go of what `holder` kept, so that upkeep may expire it."""
    with lake.catalog.begin() as connection:
        connection.execute(sa.delete(PIN).where(PIN.c.holder == holder))


def require_snapshot(connection: sa.Connection, snapshot: int) -> None:
    """Raise LakeError when upkeep has expired `snapshot`, or it never was."""
    query = sa.text("SELECT count(*) FROM ducklake_snapshot WHERE snapshot_id = :id")
    if not connection.execute(query, {"id": snapshot}).scalar_one():
        raise LakeError(
            f"the lake's snapshot {snapshot} is gone: upkeep expired it before anything kept it; "
            "start again from the newest"
        )


def pins(lake: Lake) -> dict[str, int]:
    """Every holder of a snapshot with the id that it needs."""
    with lake.catalog.connect() as connection:
        return {row.holder: row.snapshot_id for row in connection.execute(sa.select(PIN))}
