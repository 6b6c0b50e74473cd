"""Where rows that break the contract go: their reasons, and the physical line they began on."""

import csv
import json
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import duckdb

from ops_platform.ingest.contract import Contract

COLUMNS = "_delivery VARCHAR, line BIGINT, reasons VARCHAR[], record VARCHAR"


@dataclass(frozen=True)
class BadRecord:
    """A record that is not taken in: its text by source column, or None if it can't be parsed."""

    path: Path
    line: int | None
    reasons: tuple[str, ...]
    record: dict[str, str | None] | None


def unparsed(connection: duckdb.DuckDBPyConnection) -> list[BadRecord]:
    """The records that the last read rejected, with their lines; forgets them."""
    rows = connection.execute(
        """
        SELECT s.file_path, e.line_byte_position, list(DISTINCT lower(e.error_type::VARCHAR))
        FROM reject_errors e JOIN reject_scans s USING (scan_id, file_id)
        GROUP BY ALL ORDER BY ALL
        """
    ).fetchall()
    connection.execute("DROP TABLE reject_errors; DROP TABLE reject_scans")
    by_path: dict[str, list[tuple[int, list[str]]]] = defaultdict(list)
    for path, position, kinds in rows:
        by_path[path].append((position - 1, sorted(kinds)))
    return [
        BadRecord(Path(path), line, tuple(f"can't be parsed: {kind}" for kind in kinds), None)
        for path, found in by_path.items()
        for line, (_, kinds) in zip(
            _lines_at(Path(path), [position for position, _ in found]), found, strict=True
        )
    ]


def _lines_at(path: Path, positions: list[int]) -> list[int]:
    """The physical lines, from 1, on which these byte positions (ascending) are."""
    content, lines, line, before = path.read_bytes(), [], 1, 0
    for position in positions:
        line += content.count(b"\n", before, position)
        lines.append(line)
        before = position
    return lines


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
        for one, line in _find_lines(contract, path, records)
    ]


def _find_lines(
    contract: Contract, path: Path, wanted: dict[tuple[str, ...], list[BadRecord]]
) -> list[tuple[BadRecord, int | None]]:
    found: list[tuple[BadRecord, int | None]] = []
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader, line = csv.reader(file, delimiter=contract.delimiter), 1
        for record in reader:
            waiting = wanted.get(tuple(record))
            if waiting:
                found.append((waiting.pop(), line))
            line = reader.line_num + 1
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
    connection.executemany(
        f'INSERT INTO quarantine."{contract.name}" VALUES (?, ?, ?, ?)',
        [
            [
                delivery[one.path],
                one.line,
                list(one.reasons),
                None if one.record is None else json.dumps(one.record, ensure_ascii=False),
            ]
            for one in bad
        ],
    )
