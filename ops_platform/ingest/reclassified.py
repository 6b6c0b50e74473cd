"""Columns that a contract calls personal only now: what was taken in before is hashed in place.

Deliveries that are there are read again under the changed contract. The rows of one that has
vanished, or that the contract refuses by now, stay, and would stay plain.
"""

import json
import re
from typing import Any

import duckdb

from ops_platform.ingest import ledger, quarantine
from ops_platform.ingest.contract import Column, Contract, same_but_for_widths
from ops_platform.ingest.keyed_hash import hashed_sql, key_in_session
from ops_platform.ingest.personal import HASH
from ops_platform.ingest.sql import literal, quoted

# A quarantined record by its row: as it is to be kept, and whether it is kept so already.
Records = dict[int, tuple[str | None, bool]]


def has_plain(connection: duckdb.DuckDBPyConnection, contract: Contract) -> bool:
    """Whether rows of the source, read under another contract, hold what this one hashes.

    What looks like a hash is taken for one.
    """
    if not contract.personal_columns:
        return False
    held = ledger.held(ledger.read(connection, contract.name))
    # A contract whose numbers only are wider hashes the same.
    before = [
        sha
        for sha, entry in held.items()
        if not same_but_for_widths(entry.contract, contract.digest)
    ]
    if not before or contract.key is None:
        # Without the key it can't be told: the run that is to hash fails, and says so.
        return bool(before)
    types = _types(connection, contract)
    plain = [f"NOT {_is_hash(quoted(c.name))}" for c in _personal(contract) if c.name in types]
    row = connection.execute(
        f"SELECT count(*) FILTER ({' OR '.join(plain) or 'false'}) "
        f"FROM raw.{quoted(contract.name)} WHERE _delivery IN (SELECT unnest(?))",
        [before],
    ).fetchone()
    records = _records(connection, contract, before)
    return bool(row and row[0]) or not all(is_kept for _, is_kept in records.values())


def hash_in_place(connection: duckdb.DuckDBPyConnection, contract: Contract) -> bool:
    """Hash by the contract's key whatever `has_plain` finds; whether there was anything.

    Columns of other types become texts. Both tables are made anew: a table's files and its least
    and greatest values, which the catalog keeps, go only with the table and its snapshots.
    """
    if not contract.personal_columns:
        return False
    types, found = _types(connection, contract), has_plain(connection, contract)
    there = [column for column in _personal(contract) if column.name in types]
    if not found and all(types[column.name] == "VARCHAR" for column in there):
        return False
    hashes = ", ".join(f"{_hashed(column)} AS {quoted(column.name)}" for column in there)
    with key_in_session(connection, contract.require_key()):
        _make_anew(connection, f"raw.{quoted(contract.name)}", f"SELECT * REPLACE ({hashes})")
    records = _records(connection, contract)
    _make_anew(
        connection,
        f"quarantine.{quoted(contract.name)}",
        "SELECT * REPLACE (map_extract_value(map($1::BIGINT[], $2::VARCHAR[]), rowid) AS record)",
        [[*records], [record for record, _ in records.values()]],
    )
    return found


def _make_anew(
    connection: duckdb.DuckDBPyConnection,
    table: str,
    selected: str,
    values: list[list[Any]] | None = None,
) -> None:
    schema, name = table.split(".", 1)
    beside = f"{schema}.{quoted('hashed rows')}"
    # Rows that were taken first stay first: a key belongs to the first row that has it.
    connection.execute(
        f"CREATE TABLE {beside} AS {selected} FROM {table} ORDER BY rowid", values or []
    )
    connection.execute(f"DROP TABLE {table}")
    connection.execute(f"ALTER TABLE {beside} RENAME TO {name}")


def _personal(contract: Contract) -> list[Column]:
    return [column for column in contract.columns if column.is_personal]


def _types(connection: duckdb.DuckDBPyConnection, contract: Contract) -> dict[str, str]:
    found = connection.execute(f"DESCRIBE raw.{quoted(contract.name)}").fetchall()
    return {name: kind for name, kind, *_ in found}


def _is_hash(value: str) -> str:
    return f"regexp_matches({value}::VARCHAR, {literal(HASH)})"


def _hashed(column: Column) -> str:
    """As `typed_read.stored` makes it of a value that is delivered now."""
    name = quoted(column.name)
    text = f"coalesce(TRY_CAST({name} AS {column.type})::VARCHAR, {name}::VARCHAR)"
    return f"CASE WHEN {_is_hash(name)} THEN {name}::VARCHAR ELSE {hashed_sql(text)} END"


def _records(
    connection: duckdb.DuckDBPyConnection, contract: Contract, deliveries: list[str] | None = None
) -> Records:
    """The quarantined records of these deliveries, or of all."""
    rows = connection.execute(
        f"SELECT rowid, reasons, record FROM quarantine.{quoted(contract.name)} "
        "WHERE $1::VARCHAR[] IS NULL OR list_contains($1::VARCHAR[], _delivery)",
        [deliveries],
    ).fetchall()
    kept: Records = {}
    for row, reasons, record in rows:
        now = record and _kept(contract, json.loads(record), reasons)
        kept[row] = (now, now == record)
    return kept


def _kept(contract: Contract, record: dict[str, str | None], reasons: list[str]) -> str:
    hidden = quarantine.without_personal(contract, record, reasons)
    for name in hidden:
        if re.fullmatch(HASH, record[name] or ""):
            hidden[name] = record[name]
    return quarantine.as_text(hidden)
