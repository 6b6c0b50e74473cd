"""Which columns decide what rows a query has: those that it joins, filters and groups by."""

from collections.abc import Iterator, Mapping

from sqlglot import exp, parse_one
from sqlglot.errors import SqlglotError
from sqlglot.lineage import lineage
from sqlglot.optimizer.scope import Scope, build_scope

from ops_platform.lake.connect import ALIAS
from ops_platform.transform.lineage import Schema, qualified, sources

DECIDING = (exp.Where, exp.Join, exp.Group, exp.Having, exp.Qualify)


def rows_of(
    sql: str, schema: Schema, parents: Mapping[tuple[str, str, str], str]
) -> list[tuple[str, str]]:
    """The (parent, column) that decide the rows of a query; empty where it can't be resolved."""
    try:
        root = build_scope(qualified(sql, schema))
        if root is None:
            return []
        found = {
            one
            for scope in root.traverse()
            for column in _deciding(scope)
            for one in _origins(scope, column, schema, parents)
        }
    except SqlglotError:
        return []
    return sorted(found)


def _deciding(scope: Scope) -> Iterator[exp.Column]:
    distinct = bool(scope.expression.args.get("distinct"))
    for column in scope.columns:
        if distinct or isinstance(column.find_ancestor(*DECIDING, exp.Query), DECIDING):
            yield column


def _origins(
    scope: Scope, column: exp.Column, schema: Schema, parents: Mapping[tuple[str, str, str], str]
) -> list[tuple[str, str]]:
    source = scope.sources.get(column.table)
    if isinstance(source, exp.Table):
        parent = parents.get((source.catalog, source.db, source.name))
        return [(parent, column.name)] if parent else []
    if not isinstance(source, Scope):
        return []
    root = lineage(column.name, source.expression, schema, dialect="duckdb", scope=source)
    return sources(root, parents)


def tables_of(sql: str, parents: Mapping[tuple[str, str, str], str]) -> list[str]:
    """The parents that a query reads; empty where it can't be read."""
    try:
        parsed = parse_one(sql, dialect="duckdb")
    except SqlglotError:
        return []
    read = {(table.catalog or ALIAS, table.db, table.name) for table in parsed.find_all(exp.Table)}
    return sorted(parents[relation] for relation in read & parents.keys())
