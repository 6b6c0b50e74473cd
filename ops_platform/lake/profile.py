"""Profiles by day: what a table's columns were like, in one pass, and sums that add up over days.

A number falls into bins whose edges are the same for every table and for ever, ten to a decade, so
that days, months and tables can be added and compared (as in DDSketch; Masson et al., VLDB 2019).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Literal

import duckdb

# A time's part is its hour, a number's its bin, a text's the text itself; of a `key` every value
# is kept, where of a text only the most frequent are.
Kind = Literal["number", "time", "text", "key"]
TOP = 32
# As many of a column's smallest hashes: they estimate the distinct values of several days together
# with an error of about 1/8 (K minimum values; Bar-Yossef et al., RANDOM 2002).
SKETCH = 64
BINS_A_DECADE = 10
# Days this close are read as one span: files that hold none of their rows are not opened.
SPAN_GAP_DAYS = 7
OTHER = ""


@dataclass(frozen=True)
class Profile:
    """One column over some days; profiles add up.

    Parameters
    ----------
    rows, nulls : counted.
    distinct : counted for one day; estimated from `sketch` for several.
    least, greatest, total, squares : of a number: its range, sum and sum of squares.
    parts : rows by part (bin, hour or text); what has none of its own is in OTHER.
    sketch : the SKETCH smallest hashes of its values, ascending.
    """

    rows: int
    nulls: int
    distinct: int
    least: float | None
    greatest: float | None
    total: float | None
    squares: float | None
    parts: Mapping[str, int]
    sketch: Sequence[int]

    def __add__(self, other: "Profile") -> "Profile":
        """Both together."""
        sketch = tuple(sorted({*self.sketch, *other.sketch})[:SKETCH])
        return Profile(
            self.rows + other.rows,
            self.nulls + other.nulls,
            _distinct(sketch),
            _both(min, self.least, other.least),
            _both(max, self.greatest, other.greatest),
            _both(_sum, self.total, other.total),
            _both(_sum, self.squares, other.squares),
            added([self.parts, other.parts]),
            sketch,
        )


def added(counts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    """The sum of several parts."""
    total: dict[str, int] = {}
    for parts in counts:
        for part, count in parts.items():
            total[part] = total.get(part, 0) + count
    return total


def _sum(one: float, other: float) -> float:
    return one + other


def _both(of, one: float | None, other: float | None) -> float | None:  # type: ignore[no-untyped-def]
    given = [value for value in (one, other) if value is not None]
    return of(*given) if len(given) == 2 else given[0] if given else None


def _distinct(sketch: Sequence[int]) -> int:
    if len(sketch) < SKETCH:
        return len(sketch)
    return round((SKETCH - 1) * 2**64 / sketch[-1])


SHAPE = (
    '"column" VARCHAR, rows BIGINT, nulls BIGINT, "distinct" BIGINT, least DOUBLE, '
    "greatest DOUBLE, total DOUBLE, squares DOUBLE, parts MAP(VARCHAR, BIGINT), sketch UBIGINT[]"
)


def profile_query(
    table: str, period: str, columns: Mapping[str, Kind], days: Iterable[date | None]
) -> str:
    """The SQL that profiles these days of `table` in one scan: `period` and the columns of SHAPE.

    Parameters
    ----------
    table : as SQL names it.
    period : the column, of type DATE or TIMESTAMP, whose date is a row's day.
    columns : to profile, each with its kind.
    days : None is for the rows that have no day.
    """
    # Each column by itself, which takes half as long as grouping sets, whose rows hold all columns.
    cells = ", ".join(f"{_name(name)} AS c{at}" for at, name in enumerate(columns))
    counted = " UNION ALL ".join(
        _counted(name, f"c{at}", kind) for at, (name, kind) in enumerate(columns.items())
    )
    return f"""
    WITH picked AS MATERIALIZED (
        SELECT {_name(period)}::DATE AS period, {cells} FROM {table}
        WHERE {_within(_name(period), days)}
    ),
    counted AS MATERIALIZED ({counted}),
    summed AS (
        SELECT period, "column", sum(n)::BIGINT AS rows,
            coalesce(sum(n) FILTER (value IS NULL), 0)::BIGINT AS nulls,
            count(value) AS "distinct", min(number) AS least, max(number) AS greatest,
            sum(number * n) AS total, sum(number * number * n) AS squares,
            -- What md5_number_lower gives, which goes by way of texts and takes thrice as long.
            min((md5_number(value) >> 64)::UBIGINT, {SKETCH}) FILTER (value IS NOT NULL) AS sketch
        FROM counted GROUP BY ALL
    ),
    ranked AS (
        SELECT period, "column", part, sum(n)::BIGINT AS n, any_value(top) AS top,
            row_number() OVER (PARTITION BY period, "column" ORDER BY sum(n) DESC, part) AS place
        FROM counted WHERE value IS NOT NULL GROUP BY period, "column", part
    ),
    parted AS (
        SELECT period, "column", map_from_entries(list((part, n) ORDER BY part)) AS parts
        FROM (
            SELECT period, "column", sum(n)::BIGINT AS n,
                CASE WHEN place > top THEN {_text(OTHER)} ELSE part END AS part
            FROM ranked GROUP BY ALL
        ) GROUP BY period, "column"
    )
    SELECT summed.* EXCLUDE (sketch),
        coalesce(parts, MAP {{}}::MAP(VARCHAR, BIGINT)) AS parts,
        coalesce(summed.sketch, []) AS sketch
    FROM summed LEFT JOIN parted
        ON parted.period IS NOT DISTINCT FROM summed.period AND parted."column" = summed."column"
    """


def _counted(name: str, cell: str, kind: Kind) -> str:
    number = f"CASE WHEN isfinite({cell}::DOUBLE) THEN {cell}::DOUBLE END"
    return f"""
        SELECT period, {_text(name)} AS "column", n, {cell}::VARCHAR AS value,
            {number if kind == "number" else "NULL::DOUBLE"} AS number,
            {_PARTS[kind].format(c=cell)} AS part,
            {TOP if kind == "text" else "NULL::INTEGER"} AS top
        FROM (SELECT period, {cell}, count(*) AS n FROM picked GROUP BY ALL)
    """


_PARTS: dict[Kind, str] = {
    "number": (
        "CASE WHEN {c} IS NULL THEN NULL WHEN NOT isfinite({c}::DOUBLE) THEN 'not finite' "
        f"WHEN {{c}} = 0 THEN '0' ELSE "
        f"(sign({{c}}) * (floor(log10(greatest(abs({{c}}::DOUBLE), 1e-9)) * {BINS_A_DECADE}) + "
        f"{10 * BINS_A_DECADE}))::INTEGER::VARCHAR END"
    ),
    "time": "hour({c})::VARCHAR",
    "text": "{c}::VARCHAR",
    "key": "{c}::VARCHAR",
}


def _within(column: str, days: Iterable[date | None]) -> str:
    """The days as spans, by which the engine leaves out the files of other days."""
    conditions = []
    for span in _spans(sorted(day for day in days if day is not None)):
        first, after = span[0], span[-1] + timedelta(days=1)
        inside = [first + timedelta(days=n) for n in range((after - first).days)]
        left_out = ", ".join(f"DATE '{day}'" for day in inside if day not in set(span))
        but = f" AND {column}::DATE NOT IN ({left_out})" if left_out else ""
        conditions.append(f"({column} >= DATE '{first}' AND {column} < DATE '{after}'{but})")
    if None in set(days):
        conditions.append(f"{column} IS NULL")
    return " OR ".join(conditions) or "false"


def _spans(days: Sequence[date]) -> list[list[date]]:
    spans: list[list[date]] = []
    for day in days:
        if spans and (day - spans[-1][-1]).days <= SPAN_GAP_DAYS:
            spans[-1].append(day)
        else:
            spans.append([day])
    return spans


def _name(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _text(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def read_profiles(
    connection: duckdb.DuckDBPyConnection, query: str, values: Sequence[object] = ()
) -> dict[date, dict[str, Profile]]:
    """The profiles of a query of `period` and the columns of SHAPE: by day, by column."""
    found: dict[date, dict[str, Profile]] = {}
    for period, column, *measured in connection.execute(query, values).fetchall():
        found.setdefault(period, {})[column] = Profile(*measured)
    return found
