"""Column-level lineage from raw to mart, read off the compiled SQL of dbt's manifest."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlglot import exp, parse_one
from sqlglot.errors import SqlglotError
from sqlglot.lineage import lineage
from sqlglot.optimizer.qualify import qualify
from sqlglot.optimizer.scope import build_scope

from ops_platform.errors import OpsError

Lineage = dict[str, list[tuple[str, str]]]
MADE = ("model.", "snapshot.")


def column_lineage(
    manifest: Mapping[str, Any], raw_columns: Mapping[str, Sequence[str]]
) -> dict[str, Lineage]:
    """For each model or snapshot (by unique id): its columns and the (parent's id, column) of each.

    `raw_columns` names the columns of each source table. A model whose SQL sqlglot can't resolve
    has an empty lineage, and its columns are those that its YAML documents. Raises OpsError when
    a dbt source has no contract.
    """
    parents = {
        _relation(node): unique_id
        for unique_id, node in {**manifest["sources"], **manifest["nodes"]}.items()
        if unique_id.startswith(("source.", *MADE))
    }
    schema: dict[str, Any] = {}
    for node in manifest["sources"].values():
        if node["name"] not in raw_columns:
            raise OpsError(
                f"the dbt source {node['source_name']}.{node['name']} has no contract: "
                f"write contracts/{node['name']}.odcs.yaml"
            )
        _add(schema, _relation(node), raw_columns[node["name"]])
    found: dict[str, Lineage] = {}
    for unique_id in _in_order(manifest):
        node = manifest["nodes"][unique_id]
        found[unique_id] = _of_model(node["compiled_code"], schema, parents)
        _add(schema, _relation(node), list(found[unique_id]) or list(node["columns"]))
    return found


def _relation(node: Mapping[str, Any]) -> tuple[str, str, str]:
    return node["database"], node["schema"], node.get("alias") or node["name"]


def _add(schema: dict[str, Any], relation: tuple[str, str, str], columns: Sequence[str]) -> None:
    database, namespace, name = relation
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


def _of_model(
    sql: str, schema: dict[str, Any], parents: Mapping[tuple[str, str, str], str]
) -> Lineage:
    try:
        parsed = parse_one(sql, dialect="duckdb")
        if parsed.find(exp.Columns, exp.Pivot):
            # They make columns that only the engine can name; sqlglot goes on with wrong ones.
            return {}
        query = qualify(parsed, schema=schema, dialect="duckdb")
        scope = build_scope(query)
        return {
            column: _sources(lineage(column, query, schema, dialect="duckdb", scope=scope), parents)
            for column in query.named_selects
        }
    except SqlglotError:
        return {}


def _sources(root: Any, parents: Mapping[tuple[str, str, str], str]) -> list[tuple[str, str]]:
    found = {
        (parents[relation], node.name.split(".")[-1].strip('"'))
        for node in root.walk()
        if isinstance(node.source, exp.Table)
        for relation in [(node.source.catalog, node.source.db, node.source.name)]
        if relation in parents
    }
    return sorted(found)
