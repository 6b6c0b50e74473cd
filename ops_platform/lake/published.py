"""The published snapshot: the one state of the lake that readers use."""

from dataclasses import dataclass

import duckdb

from ops_platform.errors import BlockedError, NotPublishedError
from ops_platform.lake import catalog
from ops_platform.lake.location import Lake
from ops_platform.lake.lock import write_lock

# Schemas that no mart is made from: the features come after the marts, the monitor after these.
BESIDE = {"features", "ledger", "monitor", "quarantine"}


@dataclass(frozen=True)
class Published:
    """The pointer.

    Parameters
    ----------
    snapshot : what readers see.
    marts : the snapshot whose raw tables and marts it holds; features carry its id. It equals
        `snapshot` until the features that were built from it are published too.
    """

    snapshot: int
    marts: int


@dataclass(frozen=True)
class BlockingCheck:
    """A check that must hold before a snapshot is published.

    Parameters
    ----------
    table : `schema.table` that it judges.
    name : the check's name, as in the graph.
    failures_sql : a query of one number, the failing rows, on a lake attached as `lake`.
    description : what must hold, in words.
    """

    table: str
    name: str
    failures_sql: str
    description: str = ""

    def failures(self, connection: duckdb.DuckDBPyConnection) -> int:
        """The number of failing rows in the snapshot that `connection` is pinned to."""
        row = connection.execute(self.failures_sql).fetchone()
        return int(row[0] or 0) if row else 0


def published(lake: Lake) -> Published:
    """The published snapshot; raises NotPublishedError when there is none."""
    pointer = published_or_none(lake)
    if pointer is None:
        raise NotPublishedError(
            "nothing is published yet: materialize up to lake/published_marts first"
        )
    return pointer


def published_or_none(lake: Lake) -> Published | None:
    """The published snapshot, or None before the first."""
    pointer = catalog.pointer(lake)
    return None if pointer is None else Published(*pointer)


def publish(lake: Lake, pointer: Published, seen: Published | None) -> None:
    """Move the pointer, atomically, if it still is the one that was `seen` before the checks ran.

    Under the lock, so that upkeep sees either or. Raises BlockedError when another run has
    published meanwhile, LakeError when upkeep has expired what it is to point to.
    """
    with write_lock(lake):
        if published_or_none(lake) != seen:
            raise BlockedError(
                "another run has published a snapshot meanwhile, which stays: materialize again"
            )
        catalog.move_pointer(lake, pointer.snapshot, pointer.marts)


def require(connection: duckdb.DuckDBPyConnection, checks: list[BlockingCheck]) -> None:
    """Run every check on the pinned `connection`; raises BlockedError that names those failing."""
    failing = [(check, check.failures(connection)) for check in checks]
    failing = [(check, count) for check, count in failing if count]
    if failing:
        named = "; ".join(f"{check.table}: {check.name} ({count} rows)" for check, count in failing)
        raise BlockedError(
            f"the published snapshot stays where it was, because blocking checks fail: {named}. "
            "Mend the data or the model and materialize again"
        )


def changed_since(lake: Lake, snapshot: int) -> list[str]:
    """The raw tables and dbt's tables that a later snapshot than `snapshot` has changed."""
    return [
        table
        for table, changed in sorted(catalog.last_changed(lake).items())
        if table.split(".")[0] not in BESIDE and changed > snapshot
    ]


def features_changed_since(lake: Lake, snapshot: int) -> bool:
    """Whether a later snapshot than `snapshot` has changed a feature table."""
    return any(
        table.startswith("features.") and changed > snapshot
        for table, changed in catalog.last_changed(lake).items()
    )
