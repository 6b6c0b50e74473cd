"""How the values of each column of a table are distributed, exactly and in one scan."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta

import duckdb

from ops_platform.ingest.sql import quoted

NUMBERS = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "FLOAT", "DOUBLE", "DECIMAL")
DAYS = ("DATE", "TIMESTAMP")
TEXTS = ("VARCHAR", "BOOLEAN")
SHOWN = 8
SPANS = 24
LONGEST = 40
# Of a column of numbers or days: 1-2-5 steps to any power, 270 years of days.
MOST_BINS = 100_000


@dataclass(frozen=True)
class Distribution:
    """Rows by value.

    Parameters
    ----------
    bars : label and rows; of texts only the most frequent, and none where they hardly repeat.
    nulls : rows without a value, or with one that is no finite number.
    different : the number of different values of a text column, None for other types.
    """

    bars: tuple[tuple[str, int], ...]
    nulls: int
    different: int | None


@dataclass(frozen=True)
class _Groups:
    """The groups of one column: their number, the rows in none, and the largest or all."""

    count: int
    nulls: int
    largest: list[tuple[str, int]]


def distributions(
    connection: duckdb.DuckDBPyConnection, table: str, columns: Mapping[str, str]
) -> tuple[int, dict[str, Distribution]]:
    """The rows of a table, and the distribution of each of its columns that has one.

    `columns` maps those that may be shown to their types. Lists and structs have none.
    """
    kinds = {name: kind for name, of in columns.items() if (kind := _kind(of))}
    rows, groups = _grouped(connection, table, kinds)
    empty = _Groups(0, 0, [])
    return rows, {
        name: _distribution(kind, groups.get(name, empty), rows) for name, kind in kinds.items()
    }


def _kind(of: str) -> tuple[str, ...] | None:
    plain = of.split("(")[0].removesuffix(" WITH TIME ZONE")
    # A list's type begins like that of its elements.
    if of.endswith("]"):
        return None
    return next((kind for kind in (NUMBERS, DAYS, TEXTS) if plain in kind), None)


def _bin(name: str, kind: tuple[str, ...]) -> str:
    """The text by which a column's rows are grouped: its bin, its day or itself."""
    if kind == DAYS:
        return f"CAST(CAST({quoted(name)} AS DATE) AS VARCHAR)"
    if kind == TEXTS:
        return f"left(CAST({quoted(name)} AS VARCHAR), {LONGEST})"
    size = f"abs(CAST({quoted(name)} AS DOUBLE))"
    power = f"floor(log10({size}))"
    lead = f"{size} / pow(10, {power})"
    step = f"CASE WHEN {lead} < 2 THEN 0 WHEN {lead} < 5 THEN 1 ELSE 2 END"
    return (
        f"CASE WHEN {size} IS NULL OR NOT isfinite({size}) THEN NULL WHEN {size} = 0 THEN '0' "
        f"ELSE concat(CASE WHEN {quoted(name)} < 0 THEN '-' ELSE '+' END, "
        f"CAST(3 * {power} + {step} AS BIGINT)) END"
    )


def _grouped(
    connection: duckdb.DuckDBPyConnection, table: str, kinds: Mapping[str, tuple[str, ...]]
) -> tuple[int, dict[str, _Groups]]:
    if not kinds:
        row = connection.execute(f"SELECT count(*) FROM {table}").fetchone()
        return (int(row[0]) if row else 0), {}
    names = list(kinds)
    # A marker before each value, so that the one column of a grouping set that is not null tells
    # which set it is.
    binned = ", ".join(
        f"coalesce('v' || {_bin(name, kind)}, 'n') AS b{i}"
        for i, (name, kind) in enumerate(kinds.items())
    )
    sets = ", ".join(f"(b{i})" for i in range(len(names)))
    texts = ", ".join(["-1", *(str(i) for i, k in enumerate(kinds.values()) if k == TEXTS)])
    which = " ".join(f"WHEN b{i} IS NOT NULL THEN {i}" for i in range(len(names)))
    values = ", ".join(f"b{i}" for i in range(len(names)))
    found = connection.execute(
        f"""
        SELECT which, count(*) FILTER (v <> 'n'), sum(n), sum(n) FILTER (v = 'n'),
               max({{'n': n, 'v': v}}, {SHOWN}) FILTER (v <> 'n'),
               max({{'n': n, 'v': v}}, {MOST_BINS}) FILTER (v <> 'n' AND which NOT IN ({texts}))
        FROM (
            SELECT CASE {which} END AS which, coalesce({values}) AS v, count(*) AS n
            FROM (SELECT {binned} FROM {table}) GROUP BY GROUPING SETS ({sets})
        )
        GROUP BY which
        """
    ).fetchall()
    # Each set has every row, in some group of its own.
    rows = max((int(total) for _, _, total, *_ in found), default=0)
    return rows, {
        names[which]: _Groups(
            count, int(nulls or 0), [(one["v"][1:], one["n"]) for one in bins or largest or ()]
        )
        for which, count, _, nulls, largest, bins in found
    }


def _distribution(kind: tuple[str, ...], groups: _Groups, rows: int) -> Distribution:
    if kind == TEXTS:
        repeats = groups.count <= SHOWN or 2 * groups.count < rows - groups.nulls
        bars = tuple(groups.largest[:SHOWN]) if repeats else ()
        return Distribution(bars, groups.nulls, groups.count)
    bars = _spans(groups.largest) if kind == DAYS else _steps(groups.largest)
    return Distribution(bars, groups.nulls, None)


def _steps(bins: list[tuple[str, int]]) -> tuple[tuple[str, int], ...]:
    """Bins of 1-2-5 steps in the order of the numbers, each labelled by its end nearer to 0."""

    def order(label: str) -> float:
        return _edge(label) if label != "0" else 0.0

    return tuple((f"{order(label):g}", n) for label, n in sorted(bins, key=lambda b: order(b[0])))


def _edge(label: str) -> float:
    power, step = divmod(int(label[1:]), 3)
    # Read as text: 10.0 ** -3 * 2 is not 0.002.
    return float(f"{'-' if label[0] == '-' else ''}{(1, 2, 5)[step]}e{power}")


def _spans(days: list[tuple[str, int]]) -> tuple[tuple[str, int], ...]:
    """At most SPANS spans of equally many days, each labelled by its first day."""
    counts = {date.fromisoformat(day): n for day, n in days}
    if not counts:
        return ()
    first, last = min(counts), max(counts)
    width = -(-((last - first).days + 1) // SPANS)
    spans: dict[int, int] = defaultdict(int)
    for day, n in counts.items():
        spans[(day - first).days // width] += n
    return tuple(
        (str(first + timedelta(days=span * width)), spans[span]) for span in range(max(spans) + 1)
    )
