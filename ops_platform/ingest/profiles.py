"""Each source's days profiled as they come, and judged once they are over."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from itertools import pairwise

import duckdb

from ops_platform.ingest import ledger
from ops_platform.ingest.contract import Contract
from ops_platform.ingest.sql import quoted
from ops_platform.lake import faults
from ops_platform.lake.anomaly import is_missing, judge
from ops_platform.lake.connect import connect
from ops_platform.lake.history import History, Judgement, Watched
from ops_platform.lake.location import Lake
from ops_platform.lake.profile import Kind, profile_query
from ops_platform.lake.session import has_table
from ops_platform.lake.write import write

MISSING = Judgement("missing", "", 0.0, None, None, None, None, None, "warning")


@dataclass(frozen=True)
class Judged:
    """What one look at a source has profiled and judged: days, and the judgements by day."""

    profiled: int
    judged: dict[date, list[Judgement]]


def judge_sources(lake: Lake, contracts: Iterable[Contract], now: datetime) -> dict[str, Judged]:
    """Profile each source's days whose rows have changed, and judge those that are over, by name.

    Only the rows of these days are read. A day that gets late rows, or is corrected, is profiled
    and judged anew by what was known before it; days after it keep their judgement. Nothing is
    written when nothing is new. A source without an event time has no days.
    """
    contracts = list(contracts)
    found = {contract.name: Judged(0, {}) for contract in contracts}
    if not lake.exists:
        return found
    with connect(lake) as connection:
        due = [contract for contract in contracts if _has_news(connection, contract, now)]
    if not due:
        return found
    return found | write(lake, lambda writer: {one.name: _settle(writer, one, now) for one in due})


def _has_news(connection: duckdb.DuckDBPyConnection, contract: Contract, now: datetime) -> bool:
    if contract.event_time is None:
        return False
    if not has_table(connection, f"raw.{quoted(contract.name)}"):
        return False
    return bool(
        _changed_days(connection, contract)
        or faults.unjudged_days(connection, contract.name, now.date())
    )


def _settle(connection: duckdb.DuckDBPyConnection, contract: Contract, now: datetime) -> Judged:
    faults.make(connection)
    changed = _changed_days(connection, contract)
    if changed:
        table, period = f"raw.{quoted(contract.name)}", str(contract.event_time)
        query = profile_query(table, period, kinds(contract), changed)
        faults.write_profiles(connection, contract.name, contract.digest, changed, query)
    over = {day for day in changed if day is not None and day < now.date()}
    days = sorted(over | faults.unjudged_days(connection, contract.name, now.date()))
    if not days:
        return Judged(len(changed), {})
    known = faults.read_judged(connection, contract.name)
    before = {day: judged for day, judged in known.items() if day not in set(days)}
    history = faults.read_history(connection, contract.name, before, days)
    profiles = faults.profiles_of(connection, contract.name, days[0])
    watched = watched_of(contract)
    judged: dict[date, list[Judgement]] = {}
    for day in _with_gaps(days, history):
        if day in profiles:
            judged[day] = judge(day, profiles[day], watched, history)
            history.add(day, profiles[day], judged[day])
        elif day not in before:
            judged[day] = [MISSING] if is_missing(day, history) else []
    faults.write_judgements(connection, contract.name, judged)
    return Judged(len(changed), {day: all_of_it for day, all_of_it in judged.items() if all_of_it})


def _with_gaps(days: Iterable[date], history: History) -> list[date]:
    """The days, and those without rows between each and the one before."""
    found, traded = set(days), sorted({*days, *history.traded})
    for before, day in pairwise(traded):
        if day in found or before in found:
            found |= {before + timedelta(n) for n in range(1, (day - before).days)}
    return sorted(found)


def _changed_days(connection: duckdb.DuckDBPyConnection, contract: Contract) -> set[date | None]:
    """The days whose profile is not of the rows that the raw table now holds."""
    days = faults.read_days(connection, contract.name)
    profiled: dict[str, int] = {}
    for _, parts in days.values():
        for delivery, rows in parts.items():
            profiled[delivery] = profiled.get(delivery, 0) + rows
    held = {
        delivery: entry.rows_raw
        for delivery, entry in ledger.held(ledger.read(connection, contract.name)).items()
        if entry.rows_raw
    }
    news = {one for one in held.keys() | profiled.keys() if held.get(one) != profiled.get(one)}
    changed = {
        day
        for day, (recipe, parts) in days.items()
        if recipe != contract.digest or news & parts.keys()
    }
    return changed | _days_of(connection, contract, news & held.keys())


def _days_of(
    connection: duckdb.DuckDBPyConnection, contract: Contract, deliveries: set[str]
) -> set[date | None]:
    if not deliveries:
        return set()
    rows = connection.execute(
        f"SELECT DISTINCT {quoted(str(contract.event_time))}::DATE FROM "
        f"raw.{quoted(contract.name)} WHERE {faults.DELIVERY} IN (SELECT unnest(?))",
        [sorted(deliveries)],
    ).fetchall()
    return {day for (day,) in rows}


def kinds(contract: Contract) -> dict[str, Kind]:
    """What is profiled of a source: its columns and the delivery of each row."""
    kinds: dict[str, Kind] = {column.name: _kind(column.type) for column in contract.columns}
    return {**kinds, faults.DELIVERY: "key"}


def _kind(type_: str) -> Kind:
    if type_ in ("TIMESTAMP", "DATE", "TIME"):
        return "time"
    return "text" if type_ in ("VARCHAR", "BOOLEAN") else "number"


def watched_of(contract: Contract) -> Watched:
    """What is judged of a source."""
    names = tuple(column.name for column in contract.columns)
    nullable = frozenset(column.name for column in contract.columns if not column.required)
    return Watched(names, nullable, frozenset(names))
