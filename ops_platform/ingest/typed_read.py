"""The SQL that reads deliveries as the contract says: typed rows, and each row's faults."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

from ops_platform.ingest import parquet
from ops_platform.ingest.contract import Column, Contract
from ops_platform.ingest.contract_faults import PARQUET
from ops_platform.ingest.keyed_hash import hashed_sql
from ops_platform.ingest.personal import HASH
from ops_platform.ingest.sql import literal, quoted

# A share of the value: what a DOUBLE, in which both are compared, can't tell apart.
EXACT = 1e-12
# Numbers written in so few characters differ by far more than that.
FEW = 12
FILE = "file of this row"
# So many allowed values are named in a reason.
NAMED = 8
PLAIN_NUMBER = r"^\s*[+-]?[0-9]*\.?[0-9]*\s*$"
INTEGERS = ("BIGINT", "INTEGER", "SMALLINT")
# An offset from UTC, and what is finer than a microsecond: a cast to TIMESTAMP drops both.
# Written like this, as LIKE has it, a time has neither, which is told faster than by a pattern.
WHOLE_SECONDS = "____-__-_____:__:__"
LOST_IN_TIMESTAMP = r":[0-9]{2}(\.[0-9]+)?\s*[+-][0-9]|\.[0-9]{6}[0-9]*[1-9]"


@dataclass(frozen=True)
class Fault:
    """A way in which a row breaks the contract: the reason, and the SQL that is true for it."""

    reason: str
    condition: str


def read_text(contract: Contract, header: Sequence[str], paths: Sequence[Path]) -> str:
    """A query of plain files, all columns as text, and the file of each row as FILE."""
    if contract.format == PARQUET:
        return parquet.text_rows(contract, header, paths, FILE)
    columns = ", ".join(f"{literal(name)}: 'VARCHAR'" for name in header)
    return (
        f"read_csv([{', '.join(literal(str(path)) for path in paths)}], "
        f"columns = {{{columns}}}, header = {not contract.names}, auto_detect = false, "
        f"filename = {literal(FILE)}, delim = {literal(contract.delimiter)}, "
        "quote = '\"', escape = '\"', strict_mode = true)"
    )


def typed_rows(contract: Contract, source: str, now: datetime) -> str:
    """A query over `source` (text rows): its columns, `is_good`, and the contract's columns.

    A column of the contract is named by `typed`, the text that it was made from by `text`.
    """
    texts = ", ".join(
        f"TRY(CAST({c.expression} AS VARCHAR)) AS {text(c.name)}" for c in contract.columns
    )
    values = ", ".join(f"{_cast(c)} AS {typed(c.name)}" for c in contract.columns)
    bad = " OR ".join(fault.condition for fault in faults(contract, now))
    return (
        # What can't be judged is no fault.
        f"SELECT *, coalesce(NOT ({bad}), true) AS is_good FROM "
        f"(SELECT *, {values} FROM (SELECT *, {texts} FROM {source}))"
    )


def reasons(contract: Contract, now: datetime) -> str:
    """An SQL list of the reasons of every fault that a row of `typed_rows` has."""
    cases = ", ".join(
        f"CASE WHEN {fault.condition} THEN {literal(fault.reason)} END"
        for fault in faults(contract, now)
    )
    return f"list_filter([{cases}], lambda reason: reason IS NOT NULL)"


def faults(contract: Contract, now: datetime) -> list[Fault]:
    """Every way in which a delivered row can break the contract, in the order of its columns."""
    found = []
    for column in contract.columns:
        found.append(Fault(f"{column.name}: not a {column.type}", _misfit(column)))
        found += _value_faults(column, text(column.name), typed(column.name))
    if contract.event_time is not None:
        present = literal(local(contract, now).isoformat(sep=" "))
        found.append(
            Fault(
                f"{contract.event_time}: dated after the delivery's arrival",
                f"{typed(contract.event_time)} > {present}",
            )
        )
    return found


def local(contract: Contract, at: datetime) -> datetime:
    """A time in UTC as the clock that the source writes `event_time` by shows it, both naive."""
    zone = next(c.timezone for c in contract.columns if c.name == contract.event_time)
    return at.replace(tzinfo=UTC).astimezone(ZoneInfo(zone)).replace(tzinfo=None)


def stored(column: Column) -> str:
    """The SQL of what the lake keeps of a row of `typed_rows`: a hash of what is personal.

    It is made from the typed value, so that what is equal has one hash, however it is written.
    """
    value = typed(column.name)
    return hashed_sql(value) if column.is_personal else value


def rules(contract: Contract) -> dict[str, list[Fault]]:
    """By column, the ways in which a row that is in the raw table would break the contract."""
    return {column.name: _stored_faults(column) for column in contract.columns}


def _stored_faults(column: Column) -> list[Fault]:
    name = quoted(column.name)
    if not column.is_personal:
        return _value_faults(column, name, name)
    # What it was is gone, so only that may be asked.
    hashed = Fault(f"{column.name}: not hashed", f"NOT regexp_matches({name}, {literal(HASH)})")
    required = [Fault(f"{column.name}: required", f"{name} IS NULL")] if column.required else []
    return [*required, hashed]


def _value_faults(column: Column, given: str, value: str) -> list[Fault]:
    name, found = column.name, []
    if column.required:
        found.append(Fault(f"{name}: required", f"{given} IS NULL"))
    for bound, word, operator in (
        (column.minimum, "below", "<"),
        (column.exclusive_minimum, "not above", "<="),
        (column.maximum, "above", ">"),
        (column.exclusive_maximum, "not below", ">="),
    ):
        if bound is not None:
            limit = f"{literal(bound)}::{column.type}" if isinstance(bound, str) else bound
            told = bound if isinstance(bound, str) else f"{bound:g}"
            found.append(Fault(f"{name}: {word} {told}", f"{value} {operator} {limit}"))
    for length, word, operator in (
        (column.min_length, "shorter", "<"),
        (column.max_length, "longer", ">"),
    ):
        if length is not None:
            reason = f"{name}: {word} than {length} characters"
            found.append(Fault(reason, f"length({value}) {operator} {length}"))
    if column.pattern is not None:
        matches = f"regexp_matches({value}, {literal(column.pattern)})"
        found.append(Fault(f"{name}: does not match {column.pattern}", f"NOT {matches}"))
    if column.values:
        told = ", ".join(map(str, column.values[:NAMED]))
        more = ", ..." if len(column.values) > NAMED else ""
        allowed = ", ".join(f"{literal(str(one))}::{column.type}" for one in column.values)
        found.append(Fault(f"{name}: not one of {told}{more}", f"{value} NOT IN ({allowed})"))
    return found


def _cast(column: Column) -> str:
    name = text(column.name)
    return name if column.type == "VARCHAR" else f"TRY_CAST({name} AS {column.type})"


def _misfit(column: Column) -> str:
    if column.type == "VARCHAR":
        return "false"
    given, value = text(column.name), typed(column.name)
    return f"({given} IS NOT NULL AND {value} IS NULL) OR {_lost(column, given, value)}"


def _lost(column: Column, given: str, value: str) -> str:
    """True where the cast drops a part of what was delivered, 2.5 made 3 say."""
    if column.type.startswith("DECIMAL") or column.type in INTEGERS:
        scale = re.search(r", ?(\d+)\)", column.type)
        fits = rf"^\s*[+-]?[0-9]*(\.[0-9]{{0,{scale[1] if scale else 0}}}0*)?\s*$"
        same = f"{value}::DOUBLE = TRY_CAST({given} AS DOUBLE)"
        off = f"abs({value}::DOUBLE - TRY_CAST({given} AS DOUBLE))"
        return (
            # Most are told from others by comparing DOUBLEs, which is faster than a pattern. What
            # is long is compared so only where it is written in another way, with an exponent say.
            f"CASE WHEN strlen({given}) <= {FEW} AND {same} THEN false "
            f"WHEN regexp_matches({given}, {literal(fits)}) THEN false "
            f"WHEN regexp_matches({given}, {literal(PLAIN_NUMBER)}) THEN true "
            f"ELSE {off} > {EXACT} * abs({value}::DOUBLE) END"
        )
    if column.type == "DATE":
        at = f"TRY_CAST({value} AS TIMESTAMP)"
        # A day that no TIMESTAMP reaches would fail wherever it is compared with one.
        return f"TRY_CAST({given} AS TIMESTAMP) <> {at} OR ({value} IS NOT NULL AND {at} IS NULL)"
    if column.type == "TIMESTAMP":
        lost = f"regexp_matches({given}, {literal(LOST_IN_TIMESTAMP)})"
        return f"CASE WHEN {given} LIKE {literal(WHOLE_SECONDS)} THEN false ELSE {lost} END"
    return "false"


def text(column: str) -> str:
    """The SQL name of the text that a column of the contract is made from."""
    return quoted(f"text of {column}")


def typed(column: str) -> str:
    """The SQL name of a column's typed value, as its contract wants it."""
    return quoted(f"typed {column}")
