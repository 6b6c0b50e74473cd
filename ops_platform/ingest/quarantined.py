"""What is in quarantine now, for people: by reason, and row by row."""

import json
from typing import Any

import duckdb

from ops_platform.errors import SourceError
from ops_platform.ingest import ledger
from ops_platform.ingest.sql import quoted
from ops_platform.lake.check import tables


def sources(connection: duckdb.DuckDBPyConnection) -> list[str]:
    """The sources that have a quarantine, by name."""
    return sorted(
        name.removeprefix("quarantine.")
        for name in tables(connection)
        if name.startswith("quarantine.")
    )


def summary(connection: duckdb.DuckDBPyConnection, source: str) -> list[dict[str, Any]]:
    """How many rows of each delivery are in quarantine for each reason, the most first.

    Those of as many stand by reason and path. A row with two reasons counts for both.
    """
    paths = _paths(connection, source)
    found = connection.execute(
        "SELECT _delivery, reason, count(*) FROM (SELECT _delivery, unnest(reasons) AS reason "
        f"FROM quarantine.{quoted(source)}) GROUP BY ALL"
    ).fetchall()
    found.sort(key=lambda row: (-row[2], row[1], paths[row[0]]))
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
