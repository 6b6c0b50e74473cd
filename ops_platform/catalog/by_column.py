"""Lineage by column as contracts, dbt's SQL, feature views and training sets state it."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date
from typing import Any, cast

import ibis
from ibis.backends.sql.datatypes import DuckDBType

from ops_platform.catalog.lineage import (
    COLUMN,
    INPUT,
    ROWS,
    SOURCE,
    TABLE,
    TRAINING_SET,
    UNTOLD,
    VALUE,
    Edge,
    Node,
)
from ops_platform.features.build import OWN
from ops_platform.features.view import FeatureView
from ops_platform.ingest.contract import Contract
from ops_platform.lake.connect import ALIAS
from ops_platform.models.estimators import estimator
from ops_platform.models.kinds import task_of
from ops_platform.transform.lineage import Lineage, Schema, add_table, column_lineage, columns_of
from ops_platform.transform.row_lineage import rows_of, tables_of

DELIVERY_COLUMN = "_delivery"
# What dbt adds to the table of a snapshot.
SNAPSHOT_COLUMNS = ("dbt_scd_id", "dbt_updated_at", "dbt_valid_from", "dbt_valid_to")
Part = Node | Edge
# Which day decides no lineage.
_ANY_DAY = date(2000, 1, 1)


class Tables:
    """The tables that SQL may read, as sqlglot wants them, and what each query is made from."""

    def __init__(self) -> None:
        """No table is known yet."""
        self.schema: Schema = {}
        self.names: dict[tuple[str, str, str], str] = {}

    def add(self, name: str, columns: Sequence[str]) -> None:
        """Let later queries read the table `schema.table`."""
        schema, table = name.split(".")
        add_table(self.schema, (ALIAS, schema, table), columns)
        self.names[ALIAS, schema, table] = name

    def columns(self, sql: str) -> Lineage:
        """Of each column of a query, the (table, column) that its value comes from."""
        return columns_of(sql, self.schema, self.names)

    def rows(self, sql: str, target: str) -> Iterator[Edge]:
        """What decides the rows of `target`, which the query makes."""
        for table in tables_of(sql, self.names):
            yield Edge(table, target, ROWS)
        for table, column in rows_of(sql, self.schema, self.names):
            yield Edge(f"{table}.{column}", target, ROWS)


def by_column(
    contracts: Iterable[Contract],
    manifest: Mapping[str, Any],
    views: Iterable[FeatureView],
    models: Iterable[str],
) -> Iterator[Part]:
    """Nodes and edges from the columns of a delivery to the training set of each model."""
    contracts = list(contracts)
    tables = Tables()
    for contract in contracts:
        tables.add(f"raw.{contract.name}", raw_columns(contract))
        yield from _of_source(contract)
    yield from _of_dbt(manifest, contracts, tables)
    for view in views:
        yield from _of_view(view, manifest, tables)
    for model in models:
        yield from _of_training_set(model, tables)


def raw_columns(contract: Contract) -> list[str]:
    """The columns of a source's raw table."""
    return [*(column.name for column in contract.columns), DELIVERY_COLUMN]


def source_id(name: str) -> str:
    """What the deliveries of a source are called in the graph."""
    return f"deliveries/{name}"


def _of_source(contract: Contract) -> Iterator[Part]:
    source, raw = source_id(contract.name), f"raw.{contract.name}"
    yield Node(source, SOURCE, f"{contract.format}, contract {contract.version}")
    for delivered in contract.inputs:
        yield Node(f"{source}.{delivered}", INPUT)
        yield Edge(source, f"{source}.{delivered}", VALUE)
    yield from _table(raw, raw_columns(contract))
    yield Edge(source, raw, ROWS)
    yield Edge(source, f"{raw}.{DELIVERY_COLUMN}", VALUE)
    for column in contract.columns:
        for delivered in column.inputs:
            yield Edge(f"{source}.{delivered}", f"{raw}.{column.name}", VALUE)
    yield Node(f"quarantine.{contract.name}", TABLE)
    yield Edge(source, f"quarantine.{contract.name}", ROWS)


def _table(name: str, columns: Iterable[str]) -> Iterator[Node]:
    yield Node(name, TABLE)
    for column in columns:
        yield Node(f"{name}.{column}", COLUMN)


def _values(table: str, lineage: Lineage) -> Iterator[Edge]:
    for column, origins in lineage.items():
        for parent, name in origins:
            yield Edge(f"{parent}.{name}", f"{table}.{column}", VALUE)


def _of_dbt(
    manifest: Mapping[str, Any], contracts: list[Contract], tables: Tables
) -> Iterator[Part]:
    raw = {contract.name: raw_columns(contract) for contract in contracts}
    nodes = {**manifest["sources"], **manifest["nodes"]}

    def name(unique_id: str) -> str:
        return f"{nodes[unique_id]['schema']}.{nodes[unique_id]['name']}"

    for unique_id, found in column_lineage(manifest, raw).items():
        table, sql = name(unique_id), nodes[unique_id]["compiled_code"]
        own = SNAPSHOT_COLUMNS if nodes[unique_id]["resource_type"] == "snapshot" else ()
        columns = list(dict.fromkeys([*(found or nodes[unique_id]["columns"]), *own]))
        yield from _table(table, columns)
        if not found:
            for parent in nodes[unique_id]["depends_on"]["nodes"]:
                yield Edge(name(parent), table, UNTOLD)
        named = {c: [(name(parent), col) for parent, col in of] for c, of in found.items()}
        yield from _values(table, named)
        yield from tables.rows(sql, table)
        tables.add(table, columns)


def _of_view(view: FeatureView, manifest: Mapping[str, Any], tables: Tables) -> Iterator[Part]:
    sql = _view_sql(view, manifest)
    lineage = tables.columns(sql)
    columns = [*(lineage or view.schema.columns), *OWN]
    yield from _table(view.table, columns)
    if not lineage:
        mart = _mart(view, manifest)
        yield Edge(f"{mart['schema']}.{mart['name']}", view.table, UNTOLD)
    yield from _values(view.table, lineage)
    yield from tables.rows(sql, view.table)
    tables.add(view.table, columns)


def _view_sql(view: FeatureView, manifest: Mapping[str, Any]) -> str:
    """The view's SQL without any lake: the mart's columns are typed by its dbt contract."""
    mart = _mart(view, manifest)
    types = {
        name: DuckDBType.from_string(column["data_type"])
        for name, column in mart["columns"].items()
    }
    table = ibis.table(types, name=view.mart, catalog=ALIAS, database=mart["schema"])
    return str(ibis.to_sql(view.expression(table, _ANY_DAY), dialect="duckdb"))


def _mart(view: FeatureView, manifest: Mapping[str, Any]) -> Mapping[str, Any]:
    (mart,) = (
        node
        for node in manifest["nodes"].values()
        if node["resource_type"] == "model" and node["name"] == view.mart
    )
    return cast(Mapping[str, Any], mart)


def _of_training_set(model: str, tables: Tables) -> Iterator[Part]:
    name = f"models/{model}/training_set"
    yield Node(name, TRAINING_SET)
    for sql in task_of(model).queries(estimator(model)):
        for origins in tables.columns(sql).values():
            for table, column in origins:
                yield Edge(f"{table}.{column}", name, VALUE)
        yield from tables.rows(sql, name)
