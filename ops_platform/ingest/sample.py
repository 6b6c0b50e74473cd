"""What a sample of a source's deliveries looks like: its format, and the facts of each column.

Every value is looked at as the text that it is delivered as; of Parquet the types are known.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

import duckdb

from ops_platform.errors import ContractError
from ops_platform.ingest.sql import literal, quoted

SHAPES = {
    "integer": r"[+-]?(0|[1-9][0-9]{0,17})",
    "decimal": r"[+-]?(0|[1-9][0-9]{0,12})(\.[0-9]{1,4})?",
    "digits": r"[0-9]+",
    "boolean": r"(?i)true|false",
    "iso date": r"[0-9]{4}-[0-9]{2}-[0-9]{2}",
    "iso time": r"[0-9]{4}-[0-9]{2}-[0-9]{2}[ T][0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,6})?)?Z?",
    "zoned time": r"[0-9]{4}-[0-9]{2}-[0-9]{2}[ T][0-9]{2}:[0-9]{2}:[0-9]{2}.*(Z|[+-][0-9:]{2,5})",
    "uuid": r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}",
    "hexadecimal": r"[0-9a-f]{32}|[0-9a-f]{40}|[0-9a-f]{64}",
    "capitals": r"[A-Z]{2,3}",
    "letters and digits": r"[A-Z]+[0-9]+",
    "letters, digits": r"[A-Z]+-[0-9]+",
    "e-mail": r"[^@\s]+@[^@\s]+\.[A-Za-z]{2,}",
    "phone": r"(\+|00)[0-9][0-9 ()./-]{6,18}|\(?0[0-9]{1,5}\)?[ /-][0-9][0-9 /-]{3,}",
    "ip": r"([0-9]{1,3}\.){3}[0-9]{1,3}",
    "iban": r"[A-Z]{2}[0-9]{2}( ?[A-Z0-9]{4}){3,7}( ?[A-Z0-9]{1,4})?",
}
# As `strptime` reads them; where a sample fits several, the first is taken.
FORMATS = tuple(
    f"{day}{clock}"
    for clock in ("", " %H:%M", " %H:%M:%S")
    for day in ("%d/%m/%Y", "%m/%d/%Y", "%d.%m.%Y", "%d-%m-%Y", "%Y/%m/%d")
)
FEW = 8
NESTED = ("STRUCT", "MAP", "UNION", "BLOB", "BIT")


@dataclass(frozen=True)
class SampleColumn:
    """A column of a sample, by the engine's count.

    Parameters
    ----------
    name : as the source writes it; `kind` its type, where the format has types.
    rows, filled, distinct : how many there are, have a value, and differ.
    low, high : the least and greatest number, or ISO time, if all are such.
    shapes : which of SHAPES how many values have, as a whole.
    formats : which of FORMATS all values can be read by.
    values : the few values of a column that has few.
    days : the greatest distance between days that follow each other, of a column of times.
    """

    name: str
    kind: str | None
    rows: int
    filled: int
    distinct: int
    shapes: dict[str, int]
    formats: tuple[str, ...] = ()
    low: float | str | None = None
    high: float | str | None = None
    values: tuple[str, ...] = ()
    days: int = 0

    @property
    def is_time(self) -> bool:
        """Whether all values are days or times."""
        return isinstance(self.low, str)

    def all_are(self, shape: str) -> bool:
        """Whether there are values, and all have this shape."""
        return bool(self.filled) and self.shapes[shape] == self.filled


@dataclass(frozen=True)
class Sample:
    """A sample: its format in the contract's word, its columns, and the names of nested ones."""

    format: str
    has_header: bool
    columns: list[SampleColumn]
    nested: list[str]


def read_sample(path: Path) -> Sample:
    """Look at a CSV, TSV, JSON lines or Parquet file, compressed or not.

    Raises ContractError when it can't be read as one, has no rows, or is delimited otherwise.
    """
    if not path.is_file():
        raise ContractError(f"{path}: there is no such file")
    with duckdb.connect(config={"autoinstall_known_extensions": False}) as engine:
        try:
            return _read(engine, path)
        except duckdb.Error as error:
            told = str(error).splitlines()[0]
            raise ContractError(f"{path}: the engine can't read it: {told}") from error


def _read(engine: duckdb.DuckDBPyConnection, path: Path) -> Sample:
    endings, file = {suffix.lower() for suffix in path.suffixes}, literal(str(path))
    if endings & {".json", ".jsonl", ".ndjson"}:
        kind, has_header = "json", True
        source = f"read_json({file}, format = 'newline_delimited', sample_size = -1)"
    elif ".parquet" in endings:
        kind, has_header, source = "parquet", True, f"read_parquet({file})"
    else:
        kind, has_header, source = _text(engine, path, file)
    types = {name: str(of) for name, of, *_ in engine.execute(f"DESCRIBE FROM {source}").fetchall()}
    nested = [name for name, of in types.items() if of.startswith(NESTED) or of.endswith("]")]
    if kind == "json":
        texts = ", ".join(f"{literal(name)}: 'VARCHAR'" for name in types)
        source = f"read_json({file}, format = 'newline_delimited', columns = {{{texts}}})"
    engine.execute(f"CREATE TABLE sample AS SELECT COLUMNS(*)::VARCHAR FROM {source}")
    if engine.execute("SELECT 1 FROM sample LIMIT 1").fetchone() is None:
        raise ContractError(f"{path}: has no rows to draft a contract from")
    return Sample(
        kind,
        has_header,
        [
            _column(engine, name, types[name] if kind == "parquet" else None)
            for name in types
            if name not in nested
        ],
        nested,
    )


def _text(engine: duckdb.DuckDBPyConnection, path: Path, file: str) -> tuple[str, bool, str]:
    found = engine.execute(
        f"SELECT Delimiter, HasHeader, len(Columns) FROM sniff_csv({file}, sample_size = -1)"
    ).fetchone()
    assert found is not None
    delimiter, has_header, count = found
    kind = {",": "csv", "\t": "tsv"}.get(delimiter)
    if kind is None:
        raise ContractError(
            f"{path}: is delimited by {delimiter!r}: deliveries are comma (csv) or tab separated "
            "(tsv), JSON lines or Parquet"
        )
    names = "" if has_header else ", ".join(literal(f"column_{n + 1}") for n in range(count))
    return (
        kind,
        has_header,
        f"read_csv({file}, delim = {literal(delimiter)}, header = {str(has_header).lower()}, "
        f"all_varchar = true, quote = '\"', escape = '\"'{names and f', names = [{names}]'})",
    )


def _column(engine: duckdb.DuckDBPyConnection, name: str, kind: str | None) -> SampleColumn:
    text = f"nullif({quoted(name)}, '')"
    engine.execute(f"CREATE OR REPLACE TEMP TABLE value AS SELECT {text} AS t FROM sample")
    has = ", ".join(
        f"count(*) FILTER (regexp_full_match(t, {literal(shape)}))" for shape in SHAPES.values()
    )
    found = engine.execute(f"SELECT count(*), count(t), count(DISTINCT t), {has} FROM value")
    rows, filled, distinct, *counts = found.fetchone() or ()
    shapes = dict(zip(SHAPES, counts, strict=True))
    return _measured(engine, SampleColumn(name, kind, rows, filled, distinct, shapes))


def _measured(engine: duckdb.DuckDBPyConnection, column: SampleColumn) -> SampleColumn:
    formats = () if column.all_are("iso date") else tuple(_formats(engine, column.filled))
    moment = f"strptime(t, {literal(formats[0])})" if formats else "TRY_CAST(t AS TIMESTAMP)"
    number = "TRY_CAST(t AS DOUBLE)"
    found = engine.execute(
        f"""
        SELECT count({number}) FILTER (isfinite({number})), min({number}), max({number}),
               count({moment}), min({moment}), max({moment}),
               (SELECT max(day - before) FROM (
                    SELECT day, lag(day) OVER (ORDER BY day) AS before
                    FROM (SELECT DISTINCT {moment}::DATE AS day FROM value))),
               (SELECT list(t ORDER BY t) FROM (SELECT DISTINCT t FROM value LIMIT {FEW}))
        FROM value
        """
    ).fetchone()
    assert found is not None
    numbers, least, most, times, first, last, days, values = found
    low, high = None, None
    if column.filled and numbers == column.filled:
        low, high = least, most
    elif column.filled and times == column.filled:
        low, high = _iso(first), _iso(last)
    return replace(
        column,
        formats=formats,
        low=low,
        high=high,
        values=tuple(values or ()) if column.distinct <= FEW else (),
        days=days or 0,
    )


def _iso(moment: datetime) -> str:
    return moment.isoformat(sep=" ")


def _formats(engine: duckdb.DuckDBPyConnection, filled: int) -> Iterator[str]:
    if not filled:
        return
    fits = ", ".join(f"count(try_strptime(t, {literal(one)}))" for one in FORMATS)
    counts = engine.execute(f"SELECT {fits} FROM value").fetchone() or ()
    yield from (one for one, count in zip(FORMATS, counts, strict=True) if count == filled)
