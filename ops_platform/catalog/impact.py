"""`ops impact`: all that a delivery went into, from its rows to the releases that served."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from ops_platform.catalog.by_column import source_id
from ops_platform.catalog.lineage import COLUMN, TABLE, VERSION, Branch, Graph, Node, walk
from ops_platform.errors import SourceError
from ops_platform.ingest import ledger
from ops_platform.ingest.ledger import Entry
from ops_platform.lake.connect import connect
from ops_platform.lake.location import Lake
from ops_platform.serve import history, release

FEATURES = "features."
QUARANTINE = "quarantine."


@dataclass(frozen=True)
class Served:
    """A release that learned from a delivery.

    Attributes
    ----------
    release : its name; `version` is the model's, as `models/<model>@1`.
    served : when it did, as (start, end) in ISO times; the end is None while it still serves.
    """

    release: str
    version: str
    served: tuple[tuple[str, str | None], ...]


@dataclass(frozen=True)
class Impact:
    """What one delivery went into.

    Attributes
    ----------
    source, path, sha256, status : as the ledger has them.
    held : whether the lake holds its rows now.
    rows_raw, rows_quarantined : how many it brought.
    tables : the tables made from its source, by their columns; `features` of those the feature
        tables.
    versions : the model versions whose snapshot held its rows.
    releases : of those versions.
    """

    source: str
    path: str
    sha256: str
    status: str
    held: bool
    rows_raw: int
    rows_quarantined: int
    tables: dict[str, list[str]]
    features: list[str]
    versions: list[str]
    releases: list[Served]


def find(lake: Lake, sources: Iterable[str], delivery: str) -> list[Entry]:
    """The ledger's entries that are meant: by a path, a file's name or how a SHA-256 begins.

    Raises SourceError when there is none, LakeError when there is no lake.
    """
    with connect(lake) as connection:
        entries = [entry for source in sources for entry in ledger.read(connection, source)]
    found = {entry.sha256: entry for entry in ledger.named(entries, delivery)}
    if len({entry.source for entry in found.values()}) > 1:
        raise SourceError(f"{delivery!r} names deliveries of several sources: say its path")
    return list(found.values())


def impact(graph: Graph, entry: Entry, releases: Path) -> Impact:
    """What a delivery went into, by the lineage graph and the history of what served.

    Parameters
    ----------
    releases : where the releases of each model lie.
    """
    name = f"{source_id(entry.source)}/{entry.sha256[:12]}"
    below = _nodes(walk(graph, graph.nodes[source_id(entry.source)], up=False))
    tables = _tables(below)
    versions = [
        node.id
        for node in graph.nodes.values()
        if node.kind == VERSION and name in graph.fitted_on.get(node.id, ())
    ]
    return Impact(
        entry.source,
        entry.path,
        entry.sha256,
        entry.status,
        entry.status in ledger.HELD,
        entry.rows_raw,
        entry.rows_quarantined,
        tables,
        [table for table in tables if table.startswith(FEATURES)],
        versions,
        [one for version in versions for one in _releases(version, releases)],
    )


def _nodes(branch: Branch) -> list[Node]:
    return [branch.node, *(node for one in branch.branches for node in _nodes(one))]


def _tables(nodes: Iterable[Node]) -> dict[str, list[str]]:
    """The tables among the nodes with their columns among them, each once, in the walk's order."""
    tables: dict[str, list[str]] = {}
    for node in nodes:
        if node.kind == TABLE and not node.id.startswith(QUARANTINE):
            tables.setdefault(node.id, [])
        elif node.kind == COLUMN:
            table, _, column = node.id.rpartition(".")
            if column not in tables.setdefault(table, []):
                tables[table].append(column)
    return tables


def _releases(version: str, releases: Path) -> list[Served]:
    """The releases of a version that are there or have served."""
    model, _, number = version.removeprefix("models/").partition("@")
    folder = release.folder_of(releases, model)
    stretches = history.stretches(folder)
    names = {place.name for place in folder.glob(f"v{number}-*")}
    names |= {one.release for one in stretches if one.release.startswith(f"v{number}-")}
    return [
        Served(
            name, version, tuple((one.start, one.end) for one in stretches if one.release == name)
        )
        for name in sorted(names)
    ]
