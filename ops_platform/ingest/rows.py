"""Moving a delivery's rows into and out of `raw.<source>` and `quarantine.<source>`."""

import re
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import duckdb
from duckdb.func import FunctionNullHandling

from ops_platform.errors import ContractError, SourceError
from ops_platform.ingest import keys, ledger, quarantine, records
from ops_platform.ingest.contract import Contract
from ops_platform.ingest.deliveries import Content, read
from ops_platform.ingest.keyed_hash import key_in_session
from ops_platform.ingest.reclassified import hash_in_place
from ops_platform.ingest.sql import literal, quoted
from ops_platform.ingest.typed_read import (
    FILE,
    read_text,
    reasons,
    stored,
    typed_rows,
)
from ops_platform.lake.check import LEDGER, tables

Header = tuple[str, ...]
# A row's file, its reasons and its texts.
Aside = tuple[str, list[str], list[str | None]]
SET_ASIDE = "ops_set_aside"
WHOLE = ("SMALLINT", "INTEGER", "BIGINT")


class UnreadableError(Exception):
    """The engine failed on one of these files, and the transaction with it."""

    def __init__(self, contents: dict[Path, Content], why: str) -> None:
        """Name the files, what was seen of them, and what failed."""
        super().__init__(f"{len(contents)} files")
        self.contents, self.why = contents, why


def make_tables(connection: duckdb.DuckDBPyConnection, contract: Contract) -> bool:
    """Make the source's tables and the ledger, as the contract types them, where missing.

    A column that is new in the contract is added, and one that is wider there is widened: no row
    is written for either. What is personal only now is hashed; whether anything was. Raises
    ContractError when the contract gives a column a type that is none of these.
    """
    there, hashed = tables(connection), False
    if f"raw.{contract.name}" in there:
        hashed = hash_in_place(connection, contract)
        _evolve(connection, contract)
    columns = ", ".join(f"{quoted(c.name)} {c.stored_type}" for c in contract.columns)
    for name, shape in (
        (f"raw.{contract.name}", f"{columns}, _delivery VARCHAR"),
        (f"quarantine.{contract.name}", quarantine.COLUMNS),
        (LEDGER, ledger.COLUMNS),
    ):
        if name not in there:
            schema, table = name.split(".")
            connection.execute(f"CREATE SCHEMA IF NOT EXISTS {schema}")
            connection.execute(f"CREATE TABLE {schema}.{quoted(table)} ({shape})")
    return hashed


def differing(
    connection: duckdb.DuckDBPyConnection, contract: Contract
) -> list[tuple[str, str | None, str]]:
    """The columns whose type in the raw table is not the contract's: name, that type, this one."""
    table = f"raw.{quoted(contract.name)}"
    types = {name: kind for name, kind, *_ in connection.execute(f"DESCRIBE {table}").fetchall()}
    wanted = [(column.name, column.stored_type.replace(", ", ",")) for column in contract.columns]
    return [(name, types.get(name), kind) for name, kind in wanted if types.get(name) != kind]


def _evolve(connection: duckdb.DuckDBPyConnection, contract: Contract) -> None:
    table = f"raw.{quoted(contract.name)}"
    for name, there, wanted in differing(connection, contract):
        if there is None:
            connection.execute(f"ALTER TABLE {table} ADD COLUMN {quoted(name)} {wanted}")
        elif _is_wider(wanted, there):
            connection.execute(
                f"ALTER TABLE {table} ALTER COLUMN {quoted(name)} SET DATA TYPE {wanted}"
            )
        else:
            why = "narrower" if _is_wider(there, wanted) else "another type"
            raise ContractError(
                f"the contract {contract.name} says {name} is {wanted}, but in the lake it is "
                f"{there}: {why} would lose values, so give the column a new name"
            )


def _is_wider(wide: str, narrow: str) -> bool:
    """Whether each value of `narrow` is one of `wide`, by types that the lake widens in place."""
    if wide in WHOLE and narrow in WHOLE:
        return WHOLE.index(wide) > WHOLE.index(narrow)
    found = [re.fullmatch(r"DECIMAL\((\d+),(\d+)\)", kind) for kind in (wide, narrow)]
    if not (found[0] and found[1]):
        return False
    (digits, scale), (fewer, shorter) = (map(int, one.groups()) for one in found if one)
    return scale >= shorter and digits - scale >= fewer - shorter


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
    deliveries: dict[Path, Content],
    now: datetime,
    scratch: Path,
) -> dict[str, tuple[int, int]]:
    """Read the files into raw and quarantine; by SHA-256, the rows of each, counted by the engine.

    Files of one header are read together; plain copies are made in `scratch`. Raises
    UnreadableError when the reading fails.
    """
    by_header: dict[Header, dict[Path, Content]] = defaultdict(dict)
    for path, content in deliveries.items():
        by_header[content.header][path] = content
    bad: list[quarantine.BadRecord] = []
    key = contract.require_key() if contract.personal_columns else None
    with key_in_session(connection, key):
        for header, group in by_header.items():
            with _failing(contract, group), _reading(contract, header, group, scratch) as reading:
                bad += _insert_alike(connection, contract, reading, now)
    with _failing(contract, deliveries):
        bad += keys.take_out(connection, contract, deliveries, bad)
    shas = {path: content.sha256 for path, content in deliveries.items()}
    quarantine.insert(connection, contract, bad, shas)
    quarantined = Counter(shas[one.path] for one in bad)
    return {
        content.sha256: (content.records - quarantined[content.sha256], quarantined[content.sha256])
        for content in deliveries.values()
    }


@contextmanager
def _failing(contract: Contract, contents: dict[Path, Content]) -> Iterator[None]:
    try:
        yield
    except (duckdb.Error, OSError, ValueError) as error:
        cause = None if contract.personal_columns else error
        raise UnreadableError(contents, _told(contract, error)) from cause


def _told(contract: Contract, error: Exception) -> str:
    """What failed; the engine's own words show what it read, which may be personal data."""
    if not contract.personal_columns:
        return str(error)
    return (isinstance(error, OSError) and error.strerror) or type(error).__name__


@dataclass(frozen=True)
class _Reading:
    """Files of one header, each with the plain file that the engine reads in its place."""

    header: Header
    contents: dict[Path, Content]
    plain: dict[Path, Path]
    unparsed: list[quarantine.BadRecord]

    @property
    def sha256(self) -> dict[Path, str]:
        return {path: content.sha256 for path, content in self.contents.items()}


@contextmanager
def _reading(
    contract: Contract, header: Header, contents: dict[Path, Content], scratch: Path
) -> Iterator[_Reading]:
    with tempfile.TemporaryDirectory(dir=scratch) as copies:
        reading = _Reading(header, contents, {}, [])
        for number, (path, content) in enumerate(contents.items()):
            reading.plain[path] = path
            if not content.is_plain:
                reading.plain[path] = Path(copies, f"{number}.csv")
                found = read(contract, path, header)
                broken = records.write_plain(
                    found,
                    header,
                    contract.delimiter,
                    reading.plain[path],
                    is_headed=not contract.names,
                )
                reading.unparsed.extend(
                    quarantine.BadRecord(path, one.line, one.faults, None) for one in broken
                )
        yield reading


def _insert_alike(
    connection: duckdb.DuckDBPyConnection, contract: Contract, reading: _Reading, now: datetime
) -> list[quarantine.BadRecord]:
    """Take the good rows in; the others, counted to be what is left of the files' records."""
    shas = reading.sha256
    rows = typed_rows(
        contract, read_text(contract, reading.header, list(reading.plain.values())), now
    )
    which = ", ".join(
        f"({literal(str(plain))}, {literal(shas[path])})" for path, plain in reading.plain.items()
    )
    names = ", ".join(quoted(column.name) for column in contract.columns)
    columns = ", ".join(stored(column) for column in contract.columns)
    raw = f"raw.{quoted(contract.name)}"
    record = ", ".join(quoted(name) for name in reading.header)
    with _set_aside(connection) as aside:
        connection.execute(
            f"INSERT INTO {raw} ({names}, _delivery) SELECT {columns}, delivery FROM ({rows}) "
            f"JOIN (VALUES {which}) AS deliveries(path, delivery) ON path = {quoted(FILE)} "
            f"WHERE CASE WHEN is_good THEN true "
            f"ELSE {SET_ASIDE}({quoted(FILE)}, {reasons(contract, now)}, [{record}]) END"
        )
    good = dict(
        connection.execute(
            # Bounds let the lake skip files; the engine counts twenty times as fast as by a list.
            f"SELECT _delivery, count(*) FROM {raw} "
            "WHERE _delivery BETWEEN ? AND ? GROUP BY _delivery",
            [min(shas.values()), max(shas.values())],
        ).fetchall()
    )
    bad = reading.unparsed + _located(contract, reading, aside)
    broken = Counter(shas[one.path] for one in bad)
    for path, one in reading.contents.items():
        # Counted twice, by two readers: what either of them lost or doubled shows here.
        _agree(path, one.records, good.get(one.sha256, 0) + broken[one.sha256])
    return bad


def _agree(path: Path, records: int, counted: int) -> None:
    if counted != records:
        raise ValueError(f"{counted} records were read of {records} in {path.name}")


@contextmanager
def _set_aside(connection: duckdb.DuckDBPyConnection) -> Iterator[list[Aside]]:
    """What the engine's function SET_ASIDE was called with, of each row that is not taken in.

    So that good and bad rows come of one reading: a second would take as long again.
    """
    aside: list[Aside] = []

    def set_aside(file: str, why: list[str], texts: list[str | None]) -> bool:
        aside.append((file, why, texts))
        return False

    connection.create_function(
        SET_ASIDE,
        set_aside,
        ["VARCHAR", "VARCHAR[]", "VARCHAR[]"],
        "BOOLEAN",
        null_handling=FunctionNullHandling.SPECIAL,
        side_effects=True,
    )
    yield aside
    # After a failure the connection is not used again.
    connection.remove_function(SET_ASIDE)


def _located(
    contract: Contract, reading: _Reading, aside: list[Aside]
) -> list[quarantine.BadRecord]:
    header, original = reading.header, {str(plain): path for path, plain in reading.plain.items()}
    return quarantine.located(
        contract,
        header,
        [
            quarantine.BadRecord(
                original[name], None, tuple(why), dict(zip(header, texts, strict=True))
            )
            for name, why, texts in aside
        ],
        {path for path, one in reading.contents.items() if one.is_plain},
    )


def unreadable(
    contract: Contract, failed: UnreadableError, now: datetime, scratch: Path
) -> dict[Path, str]:
    """Which of the files that failed together fail alone, and why; tried outside the lake.

    Raises SourceError when the fault is not the file's but the machine's, and may pass.
    """
    why: dict[Path, str] = {}
    with duckdb.connect(config={"autoinstall_known_extensions": False}) as engine:
        engine.execute(f"SET temp_directory = {literal(str(scratch / 'spilled'))}")
        for path, content in failed.contents.items():
            try:
                with _reading(contract, content.header, {path: content}, scratch) as reading:
                    text = read_text(contract, content.header, [reading.plain[path]])
                    row = engine.execute(
                        "SELECT count(*) FILTER (is_good), count(*) "
                        f"FROM ({typed_rows(contract, text, now)})"
                    ).fetchone()
                    _agree(path, content.records, (row or (0, 0))[1] + len(reading.unparsed))
            except (duckdb.Error, OSError, ValueError) as error:
                told = _told(contract, error).splitlines()[0]
                if _may_pass(error):
                    cause = None if contract.personal_columns else error
                    raise SourceError(
                        f"{path.name} can't be taken into raw.{contract.name} now: {told}: nothing "
                        "was written; make room, and it is tried again at the next look"
                    ) from cause
                why[path] = f"the engine can't read it: {told}"
    return why


def _may_pass(error: Exception) -> bool:
    """Whether it is the machine's fault, its disk or memory, and says nothing of what was read."""
    # A file that is no whole archive raises OSError too, but the system has no number for that.
    return isinstance(error, duckdb.OperationalError) or (
        isinstance(error, OSError) and error.errno is not None
    )
