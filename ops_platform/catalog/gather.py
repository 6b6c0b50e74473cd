"""From the lake, contracts, dbt's manifest and feature views to the catalog's entries."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import duckdb

from ops_platform.catalog.by_column import DELIVERY_COLUMN
from ops_platform.catalog.distribution import Distribution, distributions
from ops_platform.catalog.entries import Catalog, Column, Freshness, Known, Table
from ops_platform.catalog.lineage import COLUMN, UNTOLD, VALUE, Graph
from ops_platform.catalog.whole import lineage_graph
from ops_platform.features.view import FeatureView, find_views
from ops_platform.ingest.contract import Contract
from ops_platform.ingest.contract_file import read_contracts
from ops_platform.ingest.sql import quoted
from ops_platform.lake.connect import connect
from ops_platform.lake.location import Lake
from ops_platform.lake.published import published
from ops_platform.monitor.freshness import newest_event, overdue
from ops_platform.settings import Settings
from ops_platform.transform.project import read_manifest

# In the order of the walk; what is in none of them comes after, by name.
SCHEMAS = (
    "raw",
    "quarantine",
    "ledger",
    "staging",
    "intermediate",
    "snapshots",
    "marts",
    "features",
    "monitor",
)
# Classifications that keep no values off the page.
OPEN = ("public", "internal")
NOT_TOLD = "lineage unknown, so its values are not shown"
OWN_COLUMNS = {
    DELIVERY_COLUMN: "SHA-256 of the row's delivery.",
    "dbt_scd_id": "dbt's name of the row: a hash of its key and of when it was first seen.",
    "dbt_updated_at": "When dbt last saw the row change.",
    "as_of": "The day up to which events were used.",
    "_snapshot": "The lake snapshot whose marts these features were computed from.",
}
OWN_TABLES = {
    "quarantine": "Records of the source that break its contract, with every reason.",
    "ledger": "Every delivery: where it lay, what it was, and what became of it.",
    "monitor": "What the monitor keeps between its runs.",
}


@dataclass(frozen=True)
class Words:
    """What is written of a table, by people, in one place."""

    origin: str
    description: str
    columns: Mapping[str, str]
    classified: Mapping[str, str]


def gather(settings: Settings, known: Mapping[str, Known]) -> Catalog:
    """Everything that the catalog says, of the published snapshot.

    Raises NotPublishedError before anything is published, OpsError as `lineage_graph` does.
    """
    lake, now = Lake.at(settings), settings.now()
    snapshot = published(lake).snapshot
    contracts = {f"raw.{c.name}": c for c in read_contracts(settings.contracts)}
    words = _words(contracts, read_manifest(settings), find_views())
    graph = lineage_graph(settings)
    classified = classified_columns(graph, words)
    freshness = {}
    for name, contract in contracts.items():
        newest = newest_event(lake, contract, published=False)
        late = overdue(contract, newest, now) is not None
        if contract.freshness is not None:
            freshness[name] = Freshness(newest, _promise(contract), late)
    with connect(lake, snapshot=snapshot) as connection:
        names = sorted(_tables(connection), key=_place)
        tables = tuple(
            _table(connection, name, words.get(name), known.get(name), classified, freshness, graph)
            for name in names
        )
    return Catalog(now, settings.env, snapshot, tables, graph)


def _promise(contract: Contract) -> str:
    return f"one no older than {contract.freshness}".replace(", 0:00:00", "")


def _words(
    contracts: Mapping[str, Contract], manifest: Mapping[str, Any], views: list[FeatureView]
) -> dict[str, Words]:
    found = {
        name: Words(
            f"contract {c.name} {c.version}",
            c.description,
            {column.name: column.description for column in c.columns},
            {column.name: column.classification for column in c.columns if column.classification},
        )
        for name, c in contracts.items()
    }
    for node in manifest["nodes"].values():
        if node["resource_type"] in ("model", "snapshot"):
            found[f"{node['schema']}.{node['name']}"] = Words(
                f"dbt {node['resource_type']} {node['original_file_path']}",
                " ".join(node["description"].split()),
                {name: " ".join(c["description"].split()) for name, c in node["columns"].items()},
                {},
            )
    for view in views:
        found[view.table] = Words(
            f"feature view, version {view.version[:12]}",
            view.description,
            {name: column.description or "" for name, column in view.schema.columns.items()},
            {},
        )
    return found


def classified_columns(graph: Graph, words: Mapping[str, Words]) -> dict[str, str]:
    """By column: its classification, its own or a closed one of what its values are made from.

    Where lineage is unknown any value may come from any column above, and the table is named too.
    """
    found = {
        f"{table}.{column}": said
        for table, of in words.items()
        for column, said in of.classified.items()
    }
    waiting = [(name, name) for name, said in found.items() if not _is_open(said)]
    while waiting:
        name, origin = waiting.pop()
        for target, kind in _made_from(graph, name):
            if target not in found or _is_open(found[target]):
                told = f"{NOT_TOLD}: {origin} is {found[origin]}"
                found[target] = told if kind == UNTOLD else f"{found[origin]}, from {origin}"
                waiting.append((target, origin))
    return found


def _made_from(graph: Graph, column: str) -> Iterator[tuple[str, str]]:
    """The columns whose values come from this one, or may (UNTOLD)."""
    for edge in graph.below.get(column, []):
        if edge.kind == VALUE and graph.nodes[edge.target].kind == COLUMN:
            yield edge.target, VALUE
    for edge in graph.below.get(".".join(column.split(".")[:2]), []):
        if edge.kind == UNTOLD:
            # The table too: of one that documents no columns, more may be made.
            for name in (edge.target, *graph.columns.get(edge.target, ())):
                yield name, UNTOLD


def _is_open(classification: str) -> bool:
    return classification.casefold() in OPEN


def _tables(connection: duckdb.DuckDBPyConnection) -> list[str]:
    rows = connection.execute(
        "SELECT table_schema || '.' || table_name FROM information_schema.tables "
        "WHERE table_catalog = current_database()"
    ).fetchall()
    return [name for (name,) in rows]


def _place(table: str) -> tuple[int, str]:
    schema = table.split(".")[0]
    return (SCHEMAS.index(schema) if schema in SCHEMAS else len(SCHEMAS)), table


def _table(
    connection: duckdb.DuckDBPyConnection,
    name: str,
    words: Words | None,
    known: Known | None,
    classified: Mapping[str, str],
    freshness: Mapping[str, Freshness],
    graph: Graph,
) -> Table:
    schema, table = name.split(".", 1)
    relation = f"{quoted(schema)}.{quoted(table)}"
    types = {n: kind for n, kind, *_ in connection.execute(f"DESCRIBE {relation}").fetchall()}
    if words:
        # A column that the code does not make any more, or in a way that only the engine knows.
        untold = {f"{name}.{n}": NOT_TOLD for n in types if f"{name}.{n}" not in graph.nodes}
        classified = {**untold, **classified}
    # The platform's own tables are not for analysis, and quarantined records may hold anything.
    shown = {
        n: k for n, k in types.items() if words and _is_open(classified.get(f"{name}.{n}", OPEN[0]))
    }
    rows, found = distributions(connection, relation, shown)
    said = words or Words("the platform", OWN_TABLES.get(schema, ""), {}, {})
    return Table(
        name=name,
        description=said.description or (known.description if known else ""),
        owner=known.owner if known else "platform",
        origin=said.origin,
        rows=rows,
        columns=tuple(
            _column(name, column, kind, said, classified, found) for column, kind in types.items()
        ),
        checks=tuple(known.checks) if known else (),
        freshness=freshness.get(name),
    )


def _column(
    table: str,
    name: str,
    kind: str,
    words: Words,
    classified: Mapping[str, str],
    found: Mapping[str, Distribution],
) -> Column:
    return Column(
        name,
        kind,
        words.columns.get(name) or OWN_COLUMNS.get(name, ""),
        classified.get(f"{table}.{name}"),
        found.get(name),
    )
