"""What a contract expects and only warns of: quality, references, freshness and latency."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import duckdb

from ops_platform.ingest import ledger
from ops_platform.ingest.contract import Contract, Reference
from ops_platform.ingest.quality import Quality
from ops_platform.ingest.sql import literal, quoted
from ops_platform.ingest.typed_read import local
from ops_platform.lake.check import LEDGER
from ops_platform.lake.session import has_table

EXAMPLES = 5


@dataclass(frozen=True)
class Finding:
    """Whether an expectation holds, and what was found."""

    holds: bool
    found: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Expectation:
    """A check that blocks nothing.

    Parameters
    ----------
    name, description : of the check in the graph.
    judge : given a connection to the lake and the platform's present (naive UTC), what it finds.
    severity : `error` is shown as such; `info` and `warning` warn.
    """

    name: str
    description: str
    judge: Callable[[duckdb.DuckDBPyConnection, datetime], Finding]
    severity: str = "warning"


def expectations(contract: Contract) -> list[Expectation]:
    """All that the contract expects of its raw table beyond its schema."""
    found = [_of_quality(rule) for rule in contract.quality]
    found += [_of_reference(contract, reference) for reference in contract.references]
    if contract.freshness is not None:
        found.append(
            Expectation(
                "freshness",
                f"The newest {contract.event_time} is no older than {contract.freshness}.",
                lambda connection, now: _fresh(connection, contract, now),
            )
        )
    if contract.latency is not None:
        found.append(
            Expectation(
                "latency",
                f"The newest {contract.event_time} of what was delivered last was no older than "
                f"{contract.latency} when it arrived.",
                lambda connection, now: _prompt(connection, contract),
            )
        )
    return found


def _of_quality(rule: Quality) -> Expectation:
    def judge(connection: duckdb.DuckDBPyConnection, _: datetime) -> Finding:
        try:
            row = connection.execute(rule.query).fetchone()
        except duckdb.Error as error:
            return Finding(False, {"fault": f"the query fails: {str(error).splitlines()[0]}"})
        found = row[0] if row else None
        return Finding(rule.holds(found), {"found": str(found), "expected": rule.expected})

    told = rule.description or f"{rule.name.removeprefix('quality_')} {rule.expected}"
    return Expectation(rule.name, told, judge, rule.severity)


def _of_reference(contract: Contract, reference: Reference) -> Expectation:
    names = ", ".join(reference.columns)
    return Expectation(
        f"reference_{'_'.join(reference.columns)}_to_{reference.source}",
        f"Each {names} is a {', '.join(reference.to)} of {reference.source}. Rows without one "
        "are kept, for it may be delivered later.",
        lambda connection, _: _referenced(connection, contract, reference),
    )


def _referenced(
    connection: duckdb.DuckDBPyConnection, contract: Contract, reference: Reference
) -> Finding:
    other = f"raw.{quoted(reference.source)}"
    if not has_table(connection, other) or not _count(connection, other):
        return Finding(True, {"not judged": f"{reference.source} has delivered nothing yet"})
    same = " AND ".join(
        f"own.{quoted(name)} = other.{quoted(to)}"
        for name, to in zip(reference.columns, reference.to, strict=True)
    )
    own = [f"own.{quoted(name)}" for name in reference.columns]
    there = " AND ".join(f"{name} IS NOT NULL" for name in own)
    broken = (
        f"raw.{quoted(contract.name)} AS own ANTI JOIN {other} AS other ON {same} WHERE {there}"
    )
    rows = _count(connection, broken)
    if not rows:
        return Finding(True, {"rows": 0})
    examples = connection.execute(
        f"SELECT DISTINCT concat_ws(', ', {', '.join(own)}) FROM {broken} ORDER BY 1 "
        f"LIMIT {EXAMPLES}"
    ).fetchall()
    return Finding(False, {"rows": rows, "for example": "; ".join(text for (text,) in examples)})


def _count(connection: duckdb.DuckDBPyConnection, what: str) -> int:
    row = connection.execute(f"SELECT count(*) FROM {what}").fetchone()
    return int(row[0]) if row else 0


def _fresh(connection: duckdb.DuckDBPyConnection, contract: Contract, now: datetime) -> Finding:
    row = connection.execute(
        f"SELECT {_newest(contract)} FROM raw.{quoted(contract.name)}"
    ).fetchone()
    return _within(contract, contract.freshness, row[0] if row else None, now)


def _prompt(connection: duckdb.DuckDBPyConnection, contract: Contract) -> Finding:
    held = ", ".join(map(literal, ledger.HELD))
    deliveries = f"(FROM {LEDGER} WHERE source = {literal(contract.name)} AND status IN ({held}))"
    row = connection.execute(
        f"SELECT {_newest(contract)}, max(delivered_at) FROM raw.{quoted(contract.name)} "
        f"JOIN {deliveries} ON sha256 = _delivery "
        f"WHERE delivered_at = (SELECT max(delivered_at) FROM {deliveries})"
    ).fetchone()
    newest, delivered_at = row if row else (None, None)
    return _within(contract, contract.latency, newest, delivered_at)


def _newest(contract: Contract) -> str:
    return f"max({quoted(str(contract.event_time))})::TIMESTAMP"


def _within(
    contract: Contract, bound: Any, newest: datetime | None, at: datetime | None
) -> Finding:
    if newest is None or at is None:
        return Finding(True, {"not judged": "nothing has been delivered yet"})
    age = local(contract, at) - newest
    return Finding(age <= bound, {"newest": str(newest), "age": str(age), "at most": str(bound)})
