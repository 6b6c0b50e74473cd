"""Parquet deliveries: looked at whole, and read as the texts that every other format delivers.

A value keeps what it is as a text: numbers all their digits, times their microseconds. An instant
(a time with a zone) is written in the zone that its column's contract names. So the typed read,
the faults and the quarantine are those of a text file; a record's line is its row, from 1.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from functools import cache
from pathlib import Path

import duckdb

from ops_platform.errors import SourceError
from ops_platform.ingest.contract import Contract
from ops_platform.ingest.records import Record
from ops_platform.ingest.sql import literal, quoted

INSTANT = "TIMESTAMP WITH TIME ZONE"
NO_VALUES = ("BLOB", "STRUCT", "MAP", "UNION", "VARIANT")
BATCH = 10_000


def look(contract: Contract, path: Path) -> tuple[list[str], int, str | None]:
    """The names of all columns, the number of rows, and why the file must be refused, if so.

    Every value that the contract reads is decoded once. Raises SourceError when the memory or the
    disk fails, which is no verdict on the file.
    """
    if not path.stat().st_size:
        return [], 0, "the file is empty: not even a schema was delivered"
    with closing(_engine().cursor()) as engine:
        try:
            types = _types(engine, path)
        except duckdb.OperationalError as error:
            raise _passing(contract, path, error) from None
        except duckdb.Error:
            return [], 0, "no whole Parquet file, it is cut off or something else: deliver it again"
        fault = _unusable(contract, types)
        if fault:
            return list(types), 0, fault
        values = ", ".join(f"bit_xor(hash({quoted(name)}))" for name in contract.inputs)
        try:
            row = engine.execute(f"SELECT count(*), {values} FROM {_files([path])}").fetchone()
        except duckdb.OperationalError as error:
            raise _passing(contract, path, error) from None
        except duckdb.Error as error:
            # Never in the engine's words: they quote the value.
            damaged = "it is damaged: deliver it again"
            fault = "a text in it is not UTF-8" if "not valid UTF8" in str(error) else damaged
            return list(types), 0, fault
    return list(types), row[0] if row else 0, None


def _passing(contract: Contract, path: Path, error: duckdb.OperationalError) -> SourceError:
    # A file that is cut off or damaged gives errors of other kinds.
    return SourceError(
        f"{path.name} can't be taken into raw.{contract.name} now: {str(error).splitlines()[0]}: "
        "nothing was written; make room, and it is tried again at the next look"
    )


def read(contract: Contract, path: Path, header: Sequence[str]) -> Iterator[Record]:
    """A record for each row: the values of `header` as texts, null as an empty one."""
    with closing(_engine().cursor()) as engine:
        texts = ", ".join(_texts(contract, header, _types(engine, path)))
        found = engine.execute(f"SELECT {texts} FROM {_files([path])}")
        row = 0
        while batch := found.fetchmany(BATCH):
            for values in batch:
                row += 1
                yield Record(row, 1, [value or "" for value in values], ())


def text_rows(contract: Contract, header: Sequence[str], paths: Sequence[Path], file: str) -> str:
    """A query over the files: the columns of `header` as text, and each row's file as `file`."""
    alike: dict[tuple[tuple[str, str], ...], list[Path]] = defaultdict(list)
    with closing(_engine().cursor()) as engine:
        for path in paths:
            # Read together, values of another type would be cast to that of the first file.
            alike[tuple(_types(engine, path).items())].append(path)
    each = [
        f"SELECT {', '.join(_texts(contract, header, dict(types)))}, {quoted(file)} "
        f"FROM {_files(group, file)}"
        for types, group in alike.items()
    ]
    return f"({' UNION ALL '.join(each)})"


def _unusable(contract: Contract, types: dict[str, str]) -> str | None:
    missing = [name for name in contract.inputs if name not in types]
    if missing:
        return f"missing column {', '.join(missing)}; the file has {', '.join(types)[:300]}"
    for name in contract.inputs:
        kind = types[name]
        if kind.startswith(NO_VALUES) or kind.endswith("]"):
            return f"column {name} is of type {kind[:80]}: deliver one plain value a row"
    return None


@cache
def _engine() -> duckdb.DuckDBPyConnection:
    """One for all, each use with a cursor of its own: a new one costs more than most files."""
    return duckdb.connect(config={"autoinstall_known_extensions": False})


def _files(paths: Sequence[Path], file: str | None = None) -> str:
    listed = ", ".join(literal(str(path)) for path in paths)
    named = f", filename = {literal(file)}" if file else ""
    # A folder named `day=2024-01-01` would add a column that is in no file.
    return f"read_parquet([{listed}], hive_partitioning = false{named})"


def _types(engine: duckdb.DuckDBPyConnection, path: Path) -> dict[str, str]:
    described = engine.execute(f"DESCRIBE SELECT * FROM {_files([path])}").fetchall()
    return {name: kind for name, kind, *_ in described}


def _texts(contract: Contract, header: Sequence[str], types: Mapping[str, str]) -> list[str]:
    return [
        f"nullif(CAST({_local(contract, name, types[name])} AS VARCHAR), '') AS {quoted(name)}"
        for name in header
    ]


def _local(contract: Contract, name: str, kind: str) -> str:
    if kind != INSTANT:
        return quoted(name)
    (zone, *_) = [column.timezone for column in contract.columns if name in column.inputs]
    return f"{quoted(name)} AT TIME ZONE {literal(zone)}"
