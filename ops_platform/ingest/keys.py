"""Rows whose key another row has already: the one taken first stays, the later are quarantined.

Rows that were there before stay before rows that come, deliveries that come together stand in the
order in which they are counted, and the rows of one in the order of its lines. What was kept out
for a key comes in with `ops quarantine retry` once the row that had it is gone.
"""

from collections import defaultdict
from pathlib import Path

import duckdb

from ops_platform.ingest.contract import Contract
from ops_platform.ingest.deliveries import Content, read
from ops_platform.ingest.quarantine import BadRecord
from ops_platform.ingest.sql import quoted


def take_out(
    connection: duckdb.DuckDBPyConnection,
    contract: Contract,
    deliveries: dict[Path, Content],
    bad: list[BadRecord],
) -> list[BadRecord]:
    """Take rows with a key that is there out of raw again, and return them as bad records.

    `deliveries` are those just taken in, in their order, and `bad` their records that were not.
    """
    if not deliveries:
        # An empty list is one of no type, as which the engine would read the others' digests.
        return []
    order = [content.sha256 for content in deliveries.values()]
    why: dict[int, str] = {}
    for key in contract.keys:
        reason = f"duplicate key {', '.join(key)}: a row that comes before it has it"
        why |= dict.fromkeys(_later_rows(connection, contract, key, order, [*why]), reason)
    if not why:
        return []
    raw = f"raw.{quoted(contract.name)}"
    placed = connection.execute(
        "SELECT rowid, _delivery, position FROM (SELECT rowid, _delivery, row_number() OVER "
        f"(PARTITION BY _delivery ORDER BY rowid) AS position FROM {raw} "
        "WHERE _delivery IN (SELECT unnest(?))) WHERE rowid IN (SELECT unnest(?))",
        [order, [*why]],
    ).fetchall()
    connection.execute(f"DELETE FROM {raw} WHERE rowid IN (SELECT unnest(?))", [[*why]])
    wanted: dict[str, dict[int, str]] = defaultdict(dict)
    for row, delivery, position in placed:
        wanted[delivery][position] = why[row]
    return [
        record
        for path, content in deliveries.items()
        if content.sha256 in wanted
        for record in _records(contract, path, content, wanted[content.sha256], bad)
    ]


def _later_rows(
    connection: duckdb.DuckDBPyConnection,
    contract: Contract,
    key: tuple[str, ...],
    order: list[str],
    gone: list[int],
) -> list[int]:
    """The new rows before which another row has the same key."""
    names = ", ".join(quoted(name) for name in key)
    there = " AND ".join(f"{quoted(name)} IS NOT NULL" for name in key)
    raw = f"(SELECT rowid, * FROM raw.{quoted(contract.name)} WHERE {there})"
    rows = connection.execute(
        # Only what is there twice is put in order; mostly that is nothing.
        f"""
        SELECT rowid FROM (
            SELECT rowid, place, row_number() OVER
                (PARTITION BY {names} ORDER BY coalesce(place, 0), rowid) AS nth
            FROM {raw}
            LEFT JOIN (SELECT unnest($order) AS _delivery, generate_subscripts($order, 1) AS place)
                USING (_delivery)
            WHERE rowid NOT IN (SELECT unnest($gone::BIGINT[]))
                AND ({names}) IN (
                    SELECT ({names}) FROM {raw} WHERE ({names}) IN (
                        SELECT ({names}) FROM {raw} WHERE _delivery IN (SELECT unnest($order))
                    ) GROUP BY {names} HAVING count(*) > 1
                )
        ) WHERE nth > 1 AND place IS NOT NULL
        """,
        {"order": order, "gone": gone},
    ).fetchall()
    return [row for (row,) in rows]


def _records(
    contract: Contract,
    path: Path,
    content: Content,
    wanted: dict[int, str],
    bad: list[BadRecord],
) -> list[BadRecord]:
    """The records at these positions among those of a delivery that were good."""
    elsewhere = [one.line for one in bad if one.path == path]
    lines = set(elsewhere)
    found, position = [], 0
    for record in read(contract, path, content.header):
        if record.faults or record.line in lines:
            continue
        position += 1
        if position in wanted:
            fields = {
                name: text or None for name, text in zip(content.header, record.fields, strict=True)
            }
            found.append(BadRecord(path, record.line, (wanted[position],), fields))
    if position + len(elsewhere) != content.records:
        raise ValueError(f"the lines of {path.name} don't tell which of its rows are duplicates")
    return found
