"""Column-level lineage from raw to mart, read off the compiled SQL of dbt's manifest."""

from collections.abc import Mapping, Sequence
from typing import Any, cast

from sqlglot import exp, parse_one
from sqlglot.errors import SqlglotError
from sqlglot.lineage import Node, lineage
from sqlglot.optimizer.qualify import qualify
from sqlglot.optimizer.scope import build_scope

from ops_platform.errors import OpsError
from ops_platform.lake.connect import ALIAS

Lineage = dict[str, list[tuple[str, str]]]
MADE = ("model.", "snapshot.")
# By database, schema and table: the columns, for sqlglot.
Schema = dict[str, Any]


def column_lineage(
    manifest: Mapping[str, Any], raw_columns: Mapping[str, Sequence[str]]
) -> dict[str, Lineage]:
    """For each model or snapshot (by unique id): its columns and the (parent's id, column) of each.

    `raw_columns` names the columns of each source table. A model whose SQL sqlglot can't resolve
    has an empty lineage, and its columns are those that its YAML documents. Raises OpsError when
    a dbt source has no contract.
    """
    parents = {
        relation(node): unique_id
        for unique_id, node in {**manifest["sources"], **manifest["nodes"]}.items()
        if unique_id.startswith(("source.", *MADE))
    }
    schema: Schema = {}
    for node in manifest["sources"].values():
        if node["name"] not in raw_columns:
            raise OpsError(
                f"the dbt source {node['source_name']}.{node['name']} has no contract: "
                f"write contracts/{node['name']}.odcs.yaml"
            )
        add_table(schema, relation(node), raw_columns[node["name"]])
    found: dict[str, Lineage] = {}
    for unique_id in _in_order(manifest):
        node = manifest["nodes"][unique_id]
        found[unique_id] = columns_of(node["compiled_code"], schema, parents)
        # A snapshot has columns of dbt's own, which its YAML documents and its SQL does not make.
        add_table(schema, relation(node), [*found[unique_id], *node["columns"]])
    return found


def relation(node: Mapping[str, Any]) -> tuple[str, str, str]:
    """The table that a node of the manifest stands for."""
    return node["database"], node["schema"], node.get("alias") or node["name"]


def add_table(schema: Schema, table: tuple[str, str, str], columns: Sequence[str]) -> None:
    """Let sqlglot know a table's columns; their types decide nothing here."""
    database, namespace, name = table
    tables = schema.setdefault(database, {}).setdefault(namespace, {})
    tables[name] = dict.fromkeys(columns, "VARCHAR")


def _in_order(manifest: Mapping[str, Any]) -> list[str]:
    """The models, parents first."""
    order: list[str] = []

    def visit(unique_id: str) -> None:
        if unique_id in order or not unique_id.startswith(MADE):
            return
        for parent in manifest["nodes"][unique_id]["depends_on"]["nodes"]:
            visit(parent)
        order.append(unique_id)

    for unique_id in sorted(manifest["nodes"]):
        visit(unique_id)
    return order


def columns_of(sql: str, schema: Schema, parents: Mapping[tuple[str, str, str], str]) -> Lineage:
    """A query's columns, and the (parent, column) that each one's value is computed from.

    Empty where sqlglot can't resolve the query. `schema` and `parents` are of its tables.
    """
    try:
        query = qualified(sql, schema)
        scope = build_scope(query)
        return {
            column: sources(lineage(column, query, schema, dialect="duckdb", scope=scope), parents)
            for column in query.named_selects
        }
    except SqlglotError:
        return {}


def qualified(sql: str, schema: Schema) -> exp.Query:
    """The query with every name resolved; raises SqlglotError where that can't be done."""
    parsed = parse_one(sql, dialect="duckdb")
    if parsed.find(exp.Columns, exp.Pivot):
        # They make columns that only the engine can name; sqlglot goes on with wrong ones.
        raise SqlglotError("only the engine can name the columns of COLUMNS() and PIVOT")
    query = cast(exp.Query, qualify(parsed, schema=schema, dialect="duckdb", catalog=ALIAS))
    if query.is_star or query.find(exp.TableColumn):
        # sqlglot follows a whole row to nothing, as if it were a constant.
        raise SqlglotError("a whole row as one value has columns that are not told apart")
    return query


def sources(root: Node, parents: Mapping[tuple[str, str, str], str]) -> list[tuple[str, str]]:
    """The (parent, column) in which sqlglot's lineage of a column ends."""
    found = {
        (parents[relation], node.name.split(".")[-1].strip('"'))
        for node in root.walk()
        if isinstance(node.source, exp.Table)
        for relation in [(node.source.catalog, node.source.db, node.source.name)]
        if relation in parents
    }
    return sorted(found)
