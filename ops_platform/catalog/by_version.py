"""Lineage of what happened: deliveries taken in, versions trained on them, releases made."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from ops_platform.catalog.by_column import Part, source_id
from ops_platform.catalog.lineage import (
    DELIVERY,
    RELEASE,
    ROWS,
    VALUE,
    VERSION,
    Edge,
    Node,
)
from ops_platform.errors import LakeError, ReleaseError
from ops_platform.ingest import ledger
from ops_platform.ingest.ledger import Entry
from ops_platform.lake.connect import connect
from ops_platform.lake.location import Lake
from ops_platform.models.registry import Registry, Version
from ops_platform.serve import release


@dataclass(frozen=True)
class Happened:
    """Nodes and edges, and by version and release the deliveries that they learned from."""

    parts: list[Part]
    fitted_on: dict[str, frozenset[str]]


def happened(
    lake: Lake, registry: Registry | None, releases: Path, sources: list[str], models: list[str]
) -> Happened:
    """What the ledger, the registry and the releases say; nothing where there is no lake yet.

    Raises RegistryError when the registry can't be reached.
    """
    held = _held(lake, sources, None) if lake.exists else {}
    parts = [part for name, entry in held.items() for part in _delivery(name, entry, current=True)]
    fitted_on: dict[str, frozenset[str]] = {}
    for model in models if registry else ():
        assert registry is not None
        for version in (registry.version(model, number) for number in registry.numbers(model)):
            seen = _seen(lake, sources, version)
            for name in seen.keys() - held.keys():
                parts += _delivery(name, seen[name], current=False)
            made = list(_version(releases, version, len(seen)))
            parts += made
            fitted_on |= {node.id: frozenset(seen) for node in made if isinstance(node, Node)}
    return Happened(parts, fitted_on)


def _held(lake: Lake, sources: Iterable[str], snapshot: int | None) -> Mapping[str, Entry]:
    """By their names in the graph, the deliveries whose rows a snapshot holds."""
    with connect(lake, snapshot=snapshot) as connection:
        return {
            f"{source_id(source)}/{sha256[:12]}": entry
            for source in sources
            for sha256, entry in ledger.held(ledger.read(connection, source)).items()
        }


def _seen(lake: Lake, sources: list[str], version: Version) -> Mapping[str, Entry]:
    """The deliveries in a version's snapshot; none where this lake does not hold it."""
    try:
        return _held(lake, sources, int(version.tags["snapshot"]))
    except (KeyError, LakeError):
        # A registry may be shared by several homes.
        return {}


def _delivery(name: str, entry: Entry, *, current: bool) -> Iterator[Part]:
    about = f"{Path(entry.path).name}, {entry.rows_raw:,} rows"
    if entry.rows_quarantined:
        about += f", {entry.rows_quarantined:,} quarantined"
    yield Node(name, DELIVERY, about if current else f"{about}, no longer held", current)
    yield Edge(name, name.rpartition("/")[0], ROWS)


def _version(releases: Path, version: Version, deliveries: int) -> Iterator[Part]:
    model, tags = version.name, version.tags
    name = f"models/{model}@{version.version}"
    about = ", ".join(
        [
            f"as of {tags.get('as_of')}",
            f"snapshot {tags.get('snapshot')}",
            f"training set {tags.get('training_set', '')[:12]}",
            f"{deliveries:,} deliveries",
        ]
    )
    yield Node(name, VERSION, about)
    yield Edge(f"models/{model}/training_set", name, VALUE)
    folder = release.folder_of(releases, model)
    for place in sorted(folder.glob(f"v{version.version}-*")):
        made = f"releases/{model}/{place.name}"
        yield Node(made, RELEASE, "serves" if _serves(folder, place.name) else "")
        yield Edge(name, made, VALUE)


def _serves(folder: Path, name: str) -> bool:
    try:
        return release.pointed(folder) == name
    except ReleaseError:
        return False
