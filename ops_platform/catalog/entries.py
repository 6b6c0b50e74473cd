"""What the catalog says of each table, as plain data: all that the page is made from."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from ops_platform.catalog.distribution import Distribution
from ops_platform.catalog.lineage import Graph

PASSED, FAILED, NOT_RUN = "passed", "failed", "not run yet"


@dataclass(frozen=True)
class Check:
    """The last result of an asset check; `failing` are rows, None where it counts none."""

    name: str
    description: str
    blocking: bool
    result: str = NOT_RUN
    failing: int | None = None
    at: datetime | None = None


@dataclass(frozen=True)
class Known:
    """What the graph of assets knows of one: in words, whose it is, and its checks."""

    description: str
    owner: str
    checks: Sequence[Check]


@dataclass(frozen=True)
class Column:
    """A column; `classified` says as what, and by which column where that is not this one."""

    name: str
    type: str
    description: str
    classified: str | None
    distribution: Distribution | None


@dataclass(frozen=True)
class Freshness:
    """The newest published event, what the contract promises, and whether that is kept."""

    newest: datetime | None
    promise: str
    overdue: bool


@dataclass(frozen=True)
class Table:
    """A table of the lake; `origin` says what defines it: a contract, a model or a view."""

    name: str
    description: str
    owner: str
    origin: str
    rows: int
    columns: tuple[Column, ...]
    checks: tuple[Check, ...]
    freshness: Freshness | None


@dataclass(frozen=True)
class Catalog:
    """Everything, as of `made_at`: `snapshot` is the published one that was read."""

    made_at: datetime
    environment: str
    snapshot: int
    tables: tuple[Table, ...]
    graph: Graph
