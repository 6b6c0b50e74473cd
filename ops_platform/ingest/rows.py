"""Moving a delivery's rows into and out of `raw.<source>` and `quarantine.<source>`."""

from collections import Counter, defaultdict
from datetime import datetime
from pathlib import Path

import duckdb

from ops_platform.ingest import ledger, quarantine
from ops_platform.ingest.contract import Contract
from ops_platform.ingest.typed_read import literal, quoted, read_text, reasons, typed, typed_rows
from ops_platform.lake.check import LEDGER, tables

Header = tuple[str, ...]
_FORGET_REJECTS = "DROP TABLE reject_errors; DROP TABLE reject_scans"


class UnreadableError(Exception):
    """The engine failed on one of these files, and the transaction with it."""

    def __init__(self, header: Header, paths: list[Path]) -> None:
        super().__init__(f"{len(paths)} files")
        self.header, self.paths = header, paths


def make_tables(connection: duckdb.DuckDBPyConnection, contract: Contract) -> None:
    """Make the source's tables and the ledger, as the contract types them, where missing."""
    there = tables(connection)
    columns = ", ".join(f"{quoted(c.name)} {c.type}" for c in contract.columns)
    for name, shape in (
        (f"raw.{contract.name}", f"{columns}, _delivery VARCHAR"),
        (f"quarantine.{contract.name}", quarantine.COLUMNS),
        (LEDGER, ledger.COLUMNS),
    ):
        if name not in there:
            schema, table = name.split(".")
            connection.execute(f"CREATE SCHEMA IF NOT EXISTS {schema}")
            connection.execute(f"CREATE TABLE {schema}.{quoted(table)} ({shape})")


def delete(
    connection: duckdb.DuckDBPyConnection, contract: Contract, deliveries: list[str]
) -> None:
    """Take these deliveries' rows out again."""
    for schema in ("raw", "quarantine"):
        connection.execute(
            f"DELETE FROM {schema}.{quoted(contract.name)} WHERE _delivery IN (SELECT unnest(?))",
            [deliveries],
        )


def insert(
    connection: duckdb.DuckDBPyConnection,
    contract: Contract,
    deliveries: dict[Path, str],
    headers: dict[Path, Header],
    now: datetime,
) -> dict[str, tuple[int, int]]:
    """Read the files into raw and quarantine; the rows of each, counted by the engine.

    `deliveries` gives each file's SHA-256. Files of one header are read together. Raises
    UnreadableError when the engine's own reading fails.
    """
    by_header: dict[Header, dict[Path, str]] = defaultdict(dict)
    for path, delivery in deliveries.items():
        by_header[headers[path]][path] = delivery
    counted: dict[str, tuple[int, int]] = {}
    for header, group in by_header.items():
        try:
            counted |= _insert_alike(connection, contract, header, group, now)
        except duckdb.Error as error:
            raise UnreadableError(header, list(group)) from error
    return counted


def _insert_alike(
    connection: duckdb.DuckDBPyConnection,
    contract: Contract,
    header: Header,
    deliveries: dict[Path, str],
    now: datetime,
) -> dict[str, tuple[int, int]]:
    rows = typed_rows(contract, read_text(contract, header, list(deliveries)), now)
    which = ", ".join(f"({literal(str(path))}, {literal(sha)})" for path, sha in deliveries.items())
    columns = ", ".join(typed(column.name) for column in contract.columns)
    raw = f"raw.{quoted(contract.name)}"
    connection.execute(
        f"INSERT INTO {raw} SELECT {columns}, delivery FROM ({rows}) "
        f"JOIN (VALUES {which}) AS deliveries(path, delivery) ON path = filename "
        "WHERE is_good"
    )
    bad = quarantine.unparsed(connection)
    bad += quarantine.located(contract, header, _broken(connection, contract, header, rows, now))
    quarantine.insert(connection, contract, bad, deliveries)
    good = dict(
        connection.execute(
            f"SELECT _delivery, count(*) FROM {raw} WHERE _delivery IN (SELECT unnest(?)) GROUP BY 1",
            [list(deliveries.values())],
        ).fetchall()
    )
    broken = Counter(deliveries[one.path] for one in bad)
    return {sha: (good.get(sha, 0), broken[sha]) for sha in deliveries.values()}


def _broken(
    connection: duckdb.DuckDBPyConnection,
    contract: Contract,
    header: Header,
    rows: str,
    now: datetime,
) -> list[quarantine.BadRecord]:
    record = ", ".join(quoted(name) for name in header)
    found = connection.execute(
        f"SELECT filename, {reasons(contract, now)}, [{record}] FROM ({rows}) "
        "WHERE NOT is_good"
    ).fetchall()
    connection.execute(_FORGET_REJECTS)
    return [
        quarantine.BadRecord(Path(path), None, tuple(why), dict(zip(header, texts, strict=True)))
        for path, why, texts in found
    ]


def unreadable(
    contract: Contract, failed: UnreadableError, now: datetime
) -> dict[Path, str]:
    """Which of the files that failed together fail alone, and why; tried outside the lake."""
    why: dict[Path, str] = {}
    with duckdb.connect() as scratch:
        for path in failed.paths:
            rows = typed_rows(contract, read_text(contract, failed.header, [path]), now)
            try:
                scratch.execute(f"SELECT count(*) FILTER (is_good) FROM ({rows})")
                scratch.execute(_FORGET_REJECTS)
            except duckdb.Error as error:
                why[path] = f"the engine can't read it: {str(error).splitlines()[0]}"
    return why
