"""Where rows that break the contract go: their reasons, and the physical line they began on."""

import json
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import duckdb

from ops_platform.ingest.contract import Contract
from ops_platform.ingest.contract_faults import DELIMITERS
from ops_platform.ingest.deliveries import read
from ops_platform.ingest.personal import hashed
from ops_platform.ingest.records import Record, find_plain

Fields = tuple[str, ...]
COLUMNS = "_delivery VARCHAR, line BIGINT, reasons VARCHAR[], record VARCHAR"


@dataclass(frozen=True)
class BadRecord:
    """A record that is not taken in: its text by source column, or None if it can't be parsed."""

    path: Path
    line: int | None
    reasons: tuple[str, ...]
    record: dict[str, str | None] | None


def located(
    contract: Contract, header: tuple[str, ...], bad: list[BadRecord], plain: set[Path]
) -> list[BadRecord]:
    """The same records with their physical lines, found again by content in their files.

    The engine knows no lines for records that it could parse. Records of equal content are
    equally bad, so their content finds them all. `plain` are the files in plain form.
    """
    wanted: dict[Path, dict[Fields, list[BadRecord]]] = defaultdict(lambda: defaultdict(list))
    for one in bad:
        key = tuple((one.record or {}).get(name) or "" for name in header)
        wanted[one.path][key].append(one)
    return [
        BadRecord(one.path, line, one.reasons, one.record)
        for path, those in wanted.items()
        for one, line in _find_lines(those, _records(contract, path, header, those, path in plain))
    ]


def _records(
    contract: Contract, path: Path, header: Fields, wanted: Collection[Fields], is_plain: bool
) -> Iterator[Record]:
    if is_plain and contract.format in DELIMITERS:
        return find_plain(path, contract.delimiter, wanted, is_headed=not contract.names)
    return read(contract, path, header)


def _find_lines(
    wanted: dict[Fields, list[BadRecord]], records: Iterator[Record]
) -> list[tuple[BadRecord, int | None]]:
    found: list[tuple[BadRecord, int | None]] = []
    for record in records:
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
            [
                one.record and as_text(without_personal(contract, one.record, one.reasons))
                for one in bad
            ],
        ],
    )


def as_text(record: dict[str, str | None]) -> str:
    """A record as quarantine keeps it."""
    return json.dumps(record, ensure_ascii=False)


def without_personal(
    contract: Contract, record: dict[str, str | None], reasons: Iterable[str]
) -> dict[str, str | None]:
    """The texts of a record; where a contract classifies, hashed or left out as that demands.

    Hashed is what a personal column is made from, and what is at fault, for it may be such a value
    in the wrong place. What the contract does not read may be anything, and is left out.
    """
    if not contract.personal_columns:
        return record
    faulty = {reason.split(":")[0] for reason in reasons}
    hidden = {
        name
        for column in contract.columns
        if column.is_personal or column.name in faulty
        for name in column.inputs
    }
    key = contract.require_key()
    return {
        name: hashed(key, text) if text and name in hidden else text
        for name, text in record.items()
        if name in contract.inputs
    }
