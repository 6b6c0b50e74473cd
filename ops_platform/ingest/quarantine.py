"""Where rows that break the contract go: their reasons, and the physical line they began on."""

import json
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb

from ops_platform.errors import SourceError
from ops_platform.ingest import ledger
from ops_platform.ingest.contract import Contract
from ops_platform.ingest.deliveries import read
from ops_platform.ingest.sql import quoted
from ops_platform.lake.check import tables

COLUMNS = "_delivery VARCHAR, line BIGINT, reasons VARCHAR[], record VARCHAR"


@dataclass(frozen=True)
class BadRecord:
    """A record that is not taken in: its text by source column, or None if it can't be parsed."""

    path: Path
    line: int | None
    reasons: tuple[str, ...]
    record: dict[str, str | None] | None


def located(contract: Contract, header: tuple[str, ...], bad: list[BadRecord]) -> list[BadRecord]:
    """The same records with their physical lines, found again by content in their files.

    The engine knows no lines for records that it could parse. Records of equal content are
    equally bad, so their content finds them all.
    """
    wanted: dict[Path, dict[tuple[str, ...], list[BadRecord]]] = defaultdict(
        lambda: defaultdict(list)
    )
    for one in bad:
        key = tuple((one.record or {}).get(name) or "" for name in header)
        wanted[one.path][key].append(one)
    return [
        BadRecord(one.path, line, one.reasons, one.record)
        for path, records in wanted.items()
        for one, line in _find_lines(contract, path, header, records)
    ]


def _find_lines(
    contract: Contract,
    path: Path,
    header: tuple[str, ...],
    wanted: dict[tuple[str, ...], list[BadRecord]],
) -> list[tuple[BadRecord, int | None]]:
    found: list[tuple[BadRecord, int | None]] = []
    for record in read(contract, path, header):
        # A record of broken form is in quarantine already, with its line.
        waiting = None if record.faults else wanted.get(tuple(record.fields))
        if waiting:
            found.append((waiting.pop(), record.line))
    return found + [(one, None) for waiting in wanted.values() for one in waiting]


def insert(
    connection: duckdb.DuckDBPyConnection,
    contract: Contract,
    bad: list[BadRecord],
    delivery: dict[Path, str],
) -> None:
    """Append the records to `quarantine.<source>`."""
    if not bad:
        return
    # One statement: each would write a data file of its own.
    connection.execute(
        f'INSERT INTO quarantine."{contract.name}" '
        "SELECT unnest(?::VARCHAR[]), unnest(?::BIGINT[]), unnest(?::VARCHAR[][]), "
        "unnest(?::VARCHAR[])",
        [
            [delivery[one.path] for one in bad],
            [one.line for one in bad],
            [list(one.reasons) for one in bad],
            [one.record and json.dumps(one.record, ensure_ascii=False) for one in bad],
        ],
    )


def sources(connection: duckdb.DuckDBPyConnection) -> list[str]:
    """The sources that have a quarantine, by name."""
    return sorted(
        name.removeprefix("quarantine.")
        for name in tables(connection)
        if name.startswith("quarantine.")
    )


def summary(connection: duckdb.DuckDBPyConnection, source: str) -> list[dict[str, Any]]:
    """How many rows of each delivery are in quarantine for each reason, the most first.

    A row with two reasons counts for both.
    """
    paths = _paths(connection, source)
    found = connection.execute(
        "SELECT _delivery, reason, count(*) FROM (SELECT _delivery, unnest(reasons) AS reason "
        f"FROM quarantine.{quoted(source)}) GROUP BY ALL ORDER BY 3 DESC, 2, 1"
    ).fetchall()
    return [
        {"source": source, "path": paths[sha], "delivery": sha, "reason": reason, "rows": count}
        for sha, reason, count in found
    ]


def show(
    connection: duckdb.DuckDBPyConnection,
    source: str,
    reason: str = "",
    delivery: str | None = None,
    limit: int | None = None,
) -> tuple[int, list[dict[str, Any]]]:
    """How many rows are in quarantine that have a reason with `reason` in it, and the first ones.

    They come in the order of their deliveries and lines, `limit` of them if given; `delivery` (see
    `ledger.named`) restricts them to one. `record` is None where it could not be parsed. Raises
    SourceError when there is no such quarantine or delivery.
    """
    if source not in sources(connection):
        raise SourceError(
            f"there is no quarantine of {source!r}: there is "
            f"{', '.join(sources(connection)) or 'none, for nothing has been taken in yet'}"
        )
    paths = _paths(connection, source)
    wanted = list(paths)
    if delivery is not None:
        held = list(ledger.held(ledger.read(connection, source)).values())
        wanted = [entry.sha256 for entry in ledger.named(held, delivery)]
    chosen = (
        f"FROM quarantine.{quoted(source)} WHERE _delivery IN (SELECT unnest(?::VARCHAR[])) "
        "AND len(list_filter(reasons, lambda why: contains(why, ?))) > 0"
    )
    count = connection.execute(f"SELECT count(*) {chosen}", [wanted, reason]).fetchone()
    rows = connection.execute(
        f"SELECT _delivery, line, reasons, record {chosen} "
        "ORDER BY list_position(?::VARCHAR[], _delivery), line NULLS LAST, record LIMIT ?",
        [wanted, reason, wanted, limit],
    ).fetchall()
    return (count or (0,))[0], [
        {
            "path": paths[sha],
            "delivery": sha,
            "line": line,
            "reasons": reasons,
            "record": record and json.loads(record),
        }
        for sha, line, reasons, record in rows
    ]


def _paths(connection: duckdb.DuckDBPyConnection, source: str) -> dict[str, str]:
    """The path of each delivery whose rows are in the lake, in their order."""
    held = ledger.held(ledger.read(connection, source))
    return {sha: entry.path for sha, entry in held.items()}


def fingerprint(
    connection: duckdb.DuckDBPyConnection, source: str, deliveries: list[str]
) -> tuple[int, int]:
    """How many rows these deliveries have in quarantine, and a digest of rows and reasons."""
    row = connection.execute(
        "SELECT count(*), coalesce(sum(hash(_delivery, line, reasons, record)), 0) "
        f"FROM quarantine.{quoted(source)} WHERE _delivery IN (SELECT unnest(?))",
        [deliveries],
    ).fetchone()
    assert row is not None
    return row
