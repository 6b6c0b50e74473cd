"""A contract's rules beyond single rows, quality and references: found, and what is wrong."""

from collections.abc import Iterator
from typing import Any

import duckdb

from ops_platform.ingest import personal
from ops_platform.ingest.column_faults import Faults, Where, engine_fault, kind_of
from ops_platform.ingest.quality import (
    COLUMN_METRICS,
    METRICS_OF_VALUES,
    OPERATORS,
    SEVERITIES,
    TABLE_METRICS,
    UNITS,
    is_for_people,
    name_of,
    query_of,
)
from ops_platform.ingest.sql import literal, quoted

Columns = tuple[str, ...]


def quality_rules(table: dict[str, Any]) -> Iterator[tuple[Where, dict[str, Any], str | None]]:
    """Each quality rule of a table: where it stands, the rule, and its column if it has one."""
    for n, rule in enumerate(table.get("quality") or []):
        yield ("schema", 0, "quality", n), rule, None
    for index, column in enumerate(table.get("properties") or []):
        for n, rule in enumerate(column.get("quality") or []):
            yield ("schema", 0, "properties", index, "quality", n), rule, column["name"]


def references_of(table: dict[str, Any]) -> Iterator[tuple[Where, Columns, str, Columns]]:
    """Each reference of a table: where it stands, its columns, the source it is to, its columns.

    The source is empty where the reference is not written as `source.column`.
    """
    for n, one in enumerate(table.get("relationships") or []):
        columns = tuple(name.split(".")[-1] for name in _listed(one["from"]))
        yield ("schema", 0, "relationships", n), columns, *_target(one)
    for index, column in enumerate(table.get("properties") or []):
        for n, one in enumerate(column.get("relationships") or []):
            where = ("schema", 0, "properties", index, "relationships", n)
            yield where, (column["name"],), *_target(one)


def _target(one: dict[str, Any]) -> tuple[str, Columns]:
    parts = [name.split(".") for name in _listed(one["to"])]
    sources = {part[0] for part in parts}
    if len(sources) != 1 or any(len(part) != 2 or "/" in "".join(part) for part in parts):
        return "", ()
    return sources.pop(), tuple(part[1] for part in parts)


def _listed(names: str | list[str]) -> list[str]:
    return [names] if isinstance(names, str) else names


def rule_faults(engine: duckdb.DuckDBPyConnection, table: dict[str, Any]) -> Faults:
    """What is wrong with the rules of a table, as far as the table itself tells."""
    columns = {column["name"]: column for column in table.get("properties") or []}
    names = set[str]()
    for where, rule, column in quality_rules(table):
        if is_for_people(rule):
            continue
        faults = [*_quality_faults(engine, rule, columns, column, where)]
        yield from faults
        if not faults and (name := name_of(rule, column)) in names:
            yield where, f"another rule is called {name} already: give it a name"
        elif not faults:
            names.add(name)
    for where, own, source, to in references_of(table):
        if not source or len(to) != len(own):
            yield (*where, "to"), "must name columns of one contract as <source>.<column>"
        for name in own:
            if name not in columns:
                yield (*where, "from"), f"{name!r} is no column of this contract"


def _quality_faults(
    engine: duckdb.DuckDBPyConnection,
    rule: dict[str, Any],
    columns: dict[str, dict[str, Any]],
    column: str | None,
    where: Where,
) -> Faults:
    for name in ("schedule", "scheduler"):
        if name in rule:
            what = "not followed: rules are checked whenever deliveries are taken in"
            yield (*where, name), what
    for name, known in (("severity", SEVERITIES), ("unit", UNITS)):
        if rule.get(name, known[0]) not in known:
            yield (*where, name), f"must be one of {', '.join(known)}, not {rule[name]!r}"
    if rule.get("type") == "custom":
        yield (*where, "type"), "this platform runs no custom engine: write it as library or sql"
        return
    if rule.get("type") == "sql":
        try:
            query = query_of(rule, "any", column)
            kinds = [one.type for one in engine.extract_statements(query)]
        except duckdb.Error as error:
            yield (*where, "query"), f"the engine can't read it: {str(error).splitlines()[0]}"
        else:
            if kinds != [duckdb.StatementType.SELECT]:
                yield (*where, "query"), "must be one SELECT"
    else:
        yield from _metric_faults(engine, rule, columns, column, where)
    if sum(name in rule for name in OPERATORS) != 1:
        yield where, f"needs one of {', '.join(OPERATORS)}"


def _metric_faults(
    engine: duckdb.DuckDBPyConnection,
    rule: dict[str, Any],
    columns: dict[str, dict[str, Any]],
    column: str | None,
    where: Where,
) -> Faults:
    metrics = TABLE_METRICS if column is None else COLUMN_METRICS
    metric, given = rule.get("metric"), rule.get("arguments") or {}
    if metric not in metrics:
        yield (*where, "metric"), f"must be one of {', '.join(metrics)} here, not {metric!r}"
        return
    if metric == "rowCount" and rule.get("unit") == "percent":
        yield (*where, "unit"), "a row count is in rows"
    for name in given:
        if name not in metrics[metric]:
            yield (*where, "arguments", name), f"{metric} has no such argument"
    if metric in ("invalidValues", "duplicateValues") and metrics[metric] and not given:
        yield (*where, "arguments"), f"needed: {' or '.join(metrics[metric])}"
    for name in given.get("properties") or []:
        if name not in columns:
            yield (*where, "arguments", "properties"), f"{name!r} is no column of this contract"
    if "pattern" in given:
        fault = engine_fault(engine, f"SELECT regexp_matches('', {literal(str(given['pattern']))})")
        if fault:
            yield (*where, "arguments", "pattern"), f"no regular expression: {fault}"
    if (
        column is not None
        and metric in METRICS_OF_VALUES
        and personal.is_personal(columns[column].get("classification"))
    ):
        yield (
            (*where, "metric"),
            f"{column} is hashed on entry, and {metric} would judge the hash: write it as enum or "
            "pattern of the column, which are checked before",
        )


def faults_between(document: dict[str, Any], documents: dict[str, dict[str, Any]]) -> Faults:
    """What is wrong with what one contract says of others, with all of them at hand, by name."""
    table = document["schema"][0]
    own = _columns(document)
    for where, columns, source, to in references_of(table):
        here = (*where, "to")
        if source not in documents:
            yield here, f"there is no contract {source}: there are {', '.join(documents)}"
            continue
        there = _columns(documents[source])
        for name, other in zip(columns, to, strict=True):
            if other not in there:
                yield here, f"{source} has no column {other}"
            elif _stored(own[name]) != _stored(there[other]):
                yield (
                    here,
                    f"{name} is {_stored(own[name])}, but {source}.{other} is "
                    f"{_stored(there[other])}: they can't be compared",
                )
    with duckdb.connect(config={"autoinstall_known_extensions": False}) as engine:
        _make_empty_tables(engine, documents)
        for where, rule, column in quality_rules(table):
            if is_for_people(rule):
                continue
            fault = engine_fault(engine, query_of(rule, document["name"], column))
            if fault:
                yield (*where, "query"), f"the engine can't run it: {fault}"


def _columns(document: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {column["name"]: column for column in document["schema"][0]["properties"]}


def _stored(column: dict[str, Any]) -> str:
    """What a column holds in the lake, as far as comparing goes."""
    if personal.is_personal(column.get("classification")):
        return "a hash"
    kind = str(kind_of(column))
    return kind if kind in ("VARCHAR", "BOOLEAN", "DATE", "TIMESTAMP", "TIME") else "a number"


def _make_empty_tables(
    engine: duckdb.DuckDBPyConnection, documents: dict[str, dict[str, Any]]
) -> None:
    engine.execute("CREATE SCHEMA raw")
    for name, document in documents.items():
        columns = ", ".join(
            f"{quoted(column['name'])} "
            + ("VARCHAR" if _stored(column) == "a hash" else str(kind_of(column)))
            for column in document["schema"][0]["properties"]
        )
        engine.execute(f"CREATE TABLE raw.{quoted(name)} ({columns}, _delivery VARCHAR)")
