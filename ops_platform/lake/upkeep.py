"""`ops lake upkeep`: merge small files, expire what nothing keeps, remove what nothing reads."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import duckdb

from ops_platform.errors import LakeError
from ops_platform.lake import catalog, catalog_copy
from ops_platform.lake.check import faults
from ops_platform.lake.connect import attach, connect
from ops_platform.lake.location import Lake
from ops_platform.lake.lock import write_lock
from ops_platform.lake.published import published_or_none
from ops_platform.lake.write import open_writer, record_digests

DAY_SECONDS = 86_400
# As long a reader may be at work that had listed the files before upkeep dropped them.
READER_SECONDS = 3_600


@dataclass(frozen=True)
class Report:
    """What upkeep did.

    Parameters
    ----------
    snapshots_expired, snapshots_kept : counts.
    files_merged, files_made : small files, and the files that took their place.
    files_removed : files that no kept snapshot reads any more, this upkeep's from the next on;
        `orphans_removed` those that no snapshot ever read, a killed writer's.
    catalog_backup : the catalog as it was before, or empty without pg_dump.
    """

    snapshots_expired: int
    snapshots_kept: int
    files_merged: int
    files_made: int
    files_removed: int
    orphans_removed: int
    catalog_backup: str


def upkeep(lake: Lake, keep_days: float) -> Report:
    """Keep the lake small, without any change to what a kept snapshot reads.

    Kept are the head, the published snapshot and its marts, every pin, what each complete build
    left, and all snapshots less than `keep_days` older than the newest. That is counted on the
    lake's own clock, the system's: the platform's may be a day of the past.

    Readers see nothing of it: the files that it drops stay for an hour, or for `keep_days` if that
    is less, and go with the next upkeep. So with 0 a reader may miss a file, which it says.

    Raises LakeError, with nothing changed, when the lake does not hold: a merge would give rows
    that a flipped bit changed a digest of their own.
    """
    with write_lock(lake):
        catalog.require(lake)
        _refuse(faults(lake))
        saved = _save_catalog(lake)
        catalog.keep_last_changed(lake)
        with open_writer(lake) as connection:
            report = _keep(lake, connection, keep_days, saved)
        record_digests(lake)
        return report


def _refuse(found: list[str]) -> None:
    if found:
        raise LakeError("upkeep changed nothing, because the lake has faults: " + "; ".join(found))


def _save_catalog(lake: Lake) -> str:
    if lake.catalog_url is not None and catalog_copy.postgres_tool("pg_dump") is None:
        return ""
    ending = "sqlite" if lake.catalog_url is None else "pgdump"
    saved = lake.home / f"catalog.before-upkeep.{ending}"
    partial = saved.with_suffix(".partial")
    partial.unlink(missing_ok=True)
    catalog_copy.save(lake, partial)
    partial.replace(saved)
    return str(saved)


def _keep(
    lake: Lake, connection: duckdb.DuckDBPyConnection, keep_days: float, saved: str
) -> Report:
    needed = _needed(lake) & _snapshots(connection)
    recent = _recent(connection, keep_days)
    before = _contents(lake, needed)
    merged = connection.execute("FROM ducklake_merge_adjacent_files('lake')").fetchall()
    kept = needed | recent | {catalog.head(lake)}
    expired = sorted(_snapshots(connection) - kept)
    if expired:
        # By name: `older_than` would take what a model or the published pointer needs.
        connection.execute(f"CALL ducklake_expire_snapshots('lake', versions => {expired})")
    if _contents(lake, needed) != before:
        raise LakeError(
            "upkeep stopped before it removed any file, because a kept snapshot reads otherwise "
            f"than before: put {saved or 'a backup of the catalog'} back in place"
        )
    removed = _remove_dropped(lake, min(keep_days * DAY_SECONDS, READER_SECONDS))
    return Report(
        snapshots_expired=len(expired),
        snapshots_kept=len(_snapshots(connection)),
        files_merged=sum(row[2] for row in merged),
        files_made=sum(row[3] for row in merged),
        files_removed=removed,
        orphans_removed=_remove_orphans(connection),
        catalog_backup=saved,
    )


def _needed(lake: Lake) -> set[int]:
    """The snapshots that something names."""
    pointer = published_or_none(lake)
    named = {pointer.snapshot, pointer.marts} if pointer else set()
    return {
        catalog.head(lake),
        *named,
        *catalog.pins(lake).values(),
        *catalog.builds(lake).values(),
    }


def _recent(connection: duckdb.DuckDBPyConnection, keep_days: float) -> set[int]:
    rows = connection.execute(
        """
        SELECT snapshot_id FROM ducklake_snapshots('lake')
        WHERE epoch(snapshot_time)
            > (SELECT max(epoch(snapshot_time)) FROM ducklake_snapshots('lake')) - ?
        """,
        [keep_days * DAY_SECONDS],
    ).fetchall()
    return {snapshot for (snapshot,) in rows}


def _snapshots(connection: duckdb.DuckDBPyConnection) -> set[int]:
    rows = connection.execute("SELECT snapshot_id FROM ducklake_snapshots('lake')").fetchall()
    return {snapshot for (snapshot,) in rows}


def _contents(lake: Lake, snapshots: Iterable[int]) -> dict[tuple[int, str, str], object]:
    """For each table of each snapshot the count and the sum of the hashes of its rows."""
    with connect(lake) as connection:
        for snapshot in snapshots:
            attach(connection, lake, f"at_{snapshot}", snapshot=snapshot)
        return {
            (snapshot, schema, table): connection.execute(
                f"""SELECT count(*), sum(hash(ops_row)::HUGEINT)
                    FROM at_{snapshot}."{schema}"."{table}" AS ops_row"""
            ).fetchone()
            for snapshot in snapshots
            for schema, table in _base_tables(connection, f"at_{snapshot}")
        }


def _base_tables(connection: duckdb.DuckDBPyConnection, database: str) -> list[tuple[str, str]]:
    return connection.execute(
        "SELECT table_schema, table_name FROM information_schema.tables "
        "WHERE table_catalog = ? AND table_type = 'BASE TABLE'",
        [database],
    ).fetchall()


def _remove_dropped(lake: Lake, seconds: float) -> int:
    """Remove the files that a merge or an expiry dropped so long ago; their number.

    Not by `ducklake_cleanup_old_files`: on a SQLite catalog it compares times as texts of two
    forms, and finds everything older that was dropped on the same day.
    """
    dropped = catalog.dropped(lake, seconds)
    for path in dropped.values():
        path.unlink(missing_ok=True)
    catalog.forget_dropped(lake, dropped)
    return len(dropped)


def _remove_orphans(connection: duckdb.DuckDBPyConnection) -> int:
    """Remove files that DuckLake named but does not know: nobody writes, so they are dead.

    A Parquet file of another name was put there by a person, and stays.
    """
    listed = connection.execute(
        "FROM ducklake_delete_orphaned_files('lake', cleanup_all => true, dry_run => true)"
    ).fetchall()
    orphans = [Path(path) for (path,) in listed if Path(path).name.startswith("ducklake-")]
    for orphan in orphans:
        orphan.unlink(missing_ok=True)
    return len(orphans)
