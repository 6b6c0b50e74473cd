"""What is wrong with a column of a contract, of what the standard allows."""

import re
from collections.abc import Iterator
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import duckdb

from ops_platform.ingest import personal
from ops_platform.ingest.sql import literal, quoted

DEFAULT_TYPES = {
    "string": "VARCHAR",
    "integer": "BIGINT",
    "number": "DOUBLE",
    "boolean": "BOOLEAN",
    "date": "DATE",
    "timestamp": "TIMESTAMP",
    "time": "TIME",
}
_INTEGERS = ("BIGINT", "INTEGER", "SMALLINT")
TYPES = ("VARCHAR", *_INTEGERS, "DOUBLE", "BOOLEAN", "DATE", "TIMESTAMP", "TIME", "DECIMAL(p, s)")
KNOWN_TYPE = re.compile("|".join((*TYPES[:-1], r"DECIMAL\(\d+, ?\d+\)")))
# The engine's types that hold what each logical type means.
FITTING = {
    "integer": _INTEGERS,
    "number": (*_INTEGERS, "DOUBLE", "DECIMAL"),
}
BOUNDS = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum")
LENGTHS = ("minLength", "maxLength")
# Of what the standard lets a contract say of a value; a promise that nobody keeps is refused.
CHECKED = (*BOUNDS, *LENGTHS, "pattern", "defaultTimezone")
Where = tuple[str | int, ...]
Faults = Iterator[tuple[Where, str]]


def kind_of(column: dict[str, Any]) -> str | None:
    """The engine's type of a column, None where the contract leaves it open."""
    return column.get("physicalType") or DEFAULT_TYPES.get(column.get("logicalType", ""))


def engine_fault(engine: duckdb.DuckDBPyConnection, query: str) -> str | None:
    """Why the engine refuses a query, in a line, or None when it runs."""
    try:
        engine.execute(query)
    except duckdb.Error as error:
        return str(error).splitlines()[0]
    return None


def column_faults(
    engine: duckdb.DuckDBPyConnection, column: dict[str, Any], where: Where
) -> Faults:
    """What this platform can't use or does not check in a column."""
    kind = kind_of(column)
    if (
        kind is None
        or not KNOWN_TYPE.fullmatch(kind)
        or engine_fault(engine, f"SELECT NULL::{kind}")
    ):
        what = f"{kind!r} is not a type of the engine: one of {', '.join(TYPES)} is"
        yield (*where, "physicalType"), what
        return
    logical = column.get("logicalType", "")
    fitting = FITTING.get(logical, (DEFAULT_TYPES.get(logical, kind),))
    if kind.split("(")[0] not in fitting:
        what = f"{kind} does not hold the logical type {logical}: one of {', '.join(fitting)} does"
        yield (*where, "physicalType"), what
    yield from _input_faults(engine, column, where)
    yield from _option_faults(engine, column, kind, (*where, "logicalTypeOptions"))
    for index, allowed in enumerate(column.get("enum") or []):
        if allowed["value"] is None or engine_fault(
            engine, f"SELECT {literal(str(allowed['value']))}::{kind}"
        ):
            yield (*where, "enum", index, "value"), f"{allowed['value']!r} is not a {kind}"
    if column.get("semanticType") == "measure":
        yield (*where, "semanticType"), "a measure is made from many rows: write it in a dbt model"
    yield from _classification_faults(column, where)


def _input_faults(
    engine: duckdb.DuckDBPyConnection, column: dict[str, Any], where: Where
) -> Faults:
    inputs, logic = inputs_of(column), "transformLogic"
    if len(inputs) != 1 and not column.get(logic):
        yield (*where, logic), "needed to make one value from several source columns"
    elif column.get(logic):
        names = ", ".join(f"NULL::VARCHAR AS {quoted(name)}" for name in inputs)
        fault = engine_fault(engine, f"SELECT ({column[logic]})::VARCHAR FROM (SELECT {names})")
        if fault:
            yield (*where, logic), f"the engine can't run it: {fault}"


def _option_faults(
    engine: duckdb.DuckDBPyConnection, column: dict[str, Any], kind: str, where: Where
) -> Faults:
    options = column.get("logicalTypeOptions") or {}
    is_text, is_number = kind == "VARCHAR", kind.startswith(("DECIMAL", "DOUBLE", *_INTEGERS))
    for name, value in options.items():
        here = (*where, name)
        if name not in CHECKED:
            yield here, f"this platform does not check it; it checks {', '.join(CHECKED)}"
        elif name in BOUNDS and (is_text or kind == "BOOLEAN"):
            yield here, f"a {kind} has no bounds"
        elif name in BOUNDS and is_number and not _is_number(value):
            yield here, f"must be a number, not {value!r}"
        elif (
            name in BOUNDS
            and not is_number
            and engine_fault(engine, f"SELECT {literal(str(value))}::{kind}")
        ):
            yield here, f"must be a {kind}, not {value!r}"
        elif name in LENGTHS and not (is_text and isinstance(value, int)):
            yield here, f"must be the number of characters of a VARCHAR, not {value!r}"
        elif name == "pattern" and not is_text:
            yield here, f"a {kind} has no pattern: give it the type VARCHAR, or bounds"
    if "defaultTimezone" in options and not _is_timezone(str(options["defaultTimezone"])):
        yield (*where, "defaultTimezone"), "no such time zone is known"
    if "pattern" in options:
        fault = engine_fault(engine, f"SELECT regexp_matches('', {literal(options['pattern'])})")
        if fault:
            yield (*where, "pattern"), f"no regular expression: {fault}"


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_timezone(name: str) -> bool:
    try:
        return bool(ZoneInfo(name))
    except (ZoneInfoNotFoundError, ValueError):
        return False


def _classification_faults(column: dict[str, Any], where: Where) -> Faults:
    word = column.get("classification")
    if word is not None and word.casefold() not in (*personal.PERSONAL, *personal.SHOWN):
        # A word that is not known may mean personal data, which must not be let in by mistake.
        yield (
            (*where, "classification"),
            f"{word!r} is not known: {' or '.join(personal.PERSONAL)} is hashed on entry; "
            f"{', '.join(personal.SHOWN)} are only shown",
        )


def sharing_faults(columns: list[dict[str, Any]], where: Where) -> Faults:
    """Columns that are made from what another one classifies as personal, without a word of it."""
    hidden = {
        name: column["name"]
        for column in columns
        if personal.is_personal(column.get("classification"))
        for name in inputs_of(column)
    }
    for index, column in enumerate(columns):
        shared = [name for name in inputs_of(column) if name in hidden]
        if shared and column.get("classification") is None:
            yield (
                (*where, index, "classification"),
                f"{column['name']} is made from {shared[0]!r}, which {hidden[shared[0]]} says is "
                "personal: classify it too",
            )


def inputs_of(column: dict[str, Any]) -> list[str]:
    """The columns that a source delivers for a column."""
    given = column.get("transformSourceObjects")
    return list(given or [column.get("physicalName") or column["name"]])
