"""Profiles, judgements and what somebody accepted, in the lake; and the faults that follow."""

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta

import duckdb
import pandas as pd

from ops_platform.lake.check import LEDGER
from ops_platform.lake.connect import connect
from ops_platform.lake.history import REFERENCE_DAYS, History, Judgement, Measure
from ops_platform.lake.location import Lake
from ops_platform.lake.profile import SHAPE, Profile, read_profiles
from ops_platform.lake.session import has_table

PROFILES, JUDGEMENTS = "monitor.profiles", "monitor.judgements"
ACCEPTED = "monitor.acceptances"
# A column of every raw table: the SHA-256 of the delivery that brought the row.
DELIVERY = "_delivery"

_KEY = "source VARCHAR, period DATE"
_JUDGED = (
    'measure VARCHAR, "column" VARCHAR, value DOUBLE, expected DOUBLE, error DOUBLE, '
    "surprise DOUBLE, residual DOUBLE, chance DOUBLE, verdict VARCHAR"
)
_SHAPES = {
    # `recipe` is the digest of the contract that the rows were made by.
    PROFILES: f"{_KEY}, recipe VARCHAR, {SHAPE}",
    JUDGEMENTS: f"{_KEY}, {_JUDGED}",
    # `content` is what was seen, see `CONTENTS`.
    ACCEPTED: f'{_KEY}, measure VARCHAR, "column" VARCHAR, content VARCHAR, who VARCHAR, '
    "why VARCHAR, accepted_at TIMESTAMP",
}
# What a day holds: of a column a digest of its profile, of the day, as column '', its rows. Sums of
# numbers are left out: they depend on their order.
CONTENTS = f"""
SELECT source, period, CASE "column" WHEN '{DELIVERY}' THEN '' ELSE "column" END AS "column",
    CASE "column" WHEN '{DELIVERY}' THEN rows::VARCHAR
    ELSE md5((rows, nulls, "distinct", least, greatest, parts, sketch)::VARCHAR) END AS content
FROM {PROFILES}
"""
NO_ROWS = "0"


@dataclass(frozen=True)
class Fault:
    """An anomaly of a source's day.

    Parameters
    ----------
    source, day : where and when.
    judged : which measure, what it was and what was expected.
    deliveries : the paths of those that brought the day's rows.
    accepted : by whom, when and why it was, in words; None while nobody has.
    """

    source: str
    day: date
    judged: Judgement
    deliveries: tuple[str, ...]
    accepted: str | None

    @property
    def is_open(self) -> bool:
        """Whether it makes the day's data unfit: it is a fault of the data, and not accepted."""
        return self.judged.verdict == "unfit" and self.accepted is None

    @property
    def told(self) -> str:
        """In a sentence."""
        brought = ", ".join(path.rsplit("/", 1)[-1] for path in self.deliveries)
        return f"{self.source} {self.day}: {told(self.judged)}" + (
            f", brought by {brought}" if brought else ""
        )


def told(judged: Judgement) -> str:
    """What was seen, in words."""
    if judged.measure == "missing":
        return "no rows on a working day"
    of = f" of {judged.column}" if judged.column else ""
    value, expected = (
        f"{number:,.0f}" if judged.measure == "volume" else f"{number:.3f}"
        for number in (judged.value, judged.expected or 0.0)
    )
    return f"{judged.measure}{of} {value} where {expected} was expected"


def make(connection: duckdb.DuckDBPyConnection) -> None:
    """Make the tables where they are missing (in a write)."""
    connection.execute("CREATE SCHEMA IF NOT EXISTS monitor")
    for table, shape in _SHAPES.items():
        connection.execute(f"CREATE TABLE IF NOT EXISTS {table} ({shape})")


def write_profiles(
    connection: duckdb.DuckDBPyConnection,
    source: str,
    recipe: str,
    days: Iterable[date | None],
    query: str,
) -> None:
    """Replace the profiles of these days by what `query` finds of them (in a write)."""
    forget(connection, PROFILES, source, days)
    connection.execute(
        f"INSERT INTO {PROFILES} BY NAME SELECT ? AS source, ? AS recipe, * FROM ({query})",
        [source, recipe],
    )


def write_judgements(
    connection: duckdb.DuckDBPyConnection, source: str, judged: Mapping[date, list[Judgement]]
) -> None:
    """Replace the judgements of these days (in a write)."""
    forget(connection, JUDGEMENTS, source, judged)
    rows = [
        {"source": source, "period": day, **dataclasses.asdict(one)}
        for day, all_of_it in judged.items()
        for one in all_of_it
    ]
    if rows:
        connection.register("appended", pd.DataFrame(rows))
        connection.execute(f"INSERT INTO {JUDGEMENTS} BY NAME SELECT * FROM appended")
        connection.unregister("appended")


def forget(
    connection: duckdb.DuckDBPyConnection, table: str, source: str, days: Iterable[date | None]
) -> None:
    """Delete what a table holds of these days (in a write)."""
    connection.execute(
        f"DELETE FROM {table} WHERE source = ? AND (list_contains(?::DATE[], period) "
        "OR (period IS NULL AND ?))",
        [source, [day for day in days if day is not None], None in set(days)],
    )


def read_days(
    connection: duckdb.DuckDBPyConnection, source: str
) -> dict[date | None, tuple[str, dict[str, int]]]:
    """Each profiled day with its recipe and its rows by delivery."""
    if not has_table(connection, PROFILES):
        return {}
    rows = connection.execute(
        f'SELECT period, recipe, parts FROM {PROFILES} WHERE source = ? AND "column" = ?',
        [source, DELIVERY],
    ).fetchall()
    return {period: (recipe, parts) for period, recipe, parts in rows}


def unjudged_days(connection: duckdb.DuckDBPyConnection, source: str, today: date) -> set[date]:
    """The profiled days before `today` that have not been judged."""
    if not has_table(connection, PROFILES):
        return set()
    rows = connection.execute(
        f'SELECT period FROM {PROFILES} WHERE source = ? AND "column" = ? AND period < ? '
        f"EXCEPT SELECT period FROM {JUDGEMENTS} WHERE source = ?",
        [source, DELIVERY, today, source],
    ).fetchall()
    return {day for (day,) in rows}


def read_judged(connection: duckdb.DuckDBPyConnection, source: str) -> dict[date, list[Judgement]]:
    """All judgements of a source, by day."""
    found: dict[date, list[Judgement]] = {}
    if has_table(connection, JUDGEMENTS):
        names = ", ".join(f'"{field.name}"' for field in dataclasses.fields(Judgement))
        rows = connection.execute(
            f"SELECT period, {names} FROM {JUDGEMENTS} WHERE source = ? ORDER BY ALL", [source]
        ).fetchall()
        for period, *judged in rows:
            found.setdefault(period, []).append(Judgement(*judged))
    return found


def read_history(
    connection: duckdb.DuckDBPyConnection,
    source: str,
    judged: Mapping[date, list[Judgement]],
    days: Iterable[date],
) -> History:
    """What was known of a source by these judgements, with the profiles that `days` need."""
    profiles = profiles_of(connection, source, min(days) - timedelta(REFERENCE_DAYS))
    history = History(accepted=frozenset(_accepted(connection, source)))
    for day, all_of_it in judged.items():
        if all_of_it[0].measure != "missing":
            history.add(day, profiles.get(day, {}), all_of_it)
    return history


def profiles_of(
    connection: duckdb.DuckDBPyConnection, source: str, first: date
) -> dict[date, dict[str, Profile]]:
    """A source's profiles from `first` on, by day and column."""
    names = ", ".join(f'"{field.name}"' for field in dataclasses.fields(Profile))
    return read_profiles(
        connection,
        f'SELECT period, "column", {names} FROM {PROFILES} WHERE source = ? AND period >= ?',
        [source, first],
    )


def _accepted(
    connection: duckdb.DuckDBPyConnection, source: str
) -> dict[tuple[date, Measure, str], str]:
    """What was accepted of days that still hold what was seen then: by whom, when and why."""
    if not has_table(connection, ACCEPTED):
        return {}
    rows = connection.execute(
        f"""SELECT a.period, a.measure, a."column", who, accepted_at, why FROM {ACCEPTED} AS a
        LEFT JOIN ({CONTENTS}) AS c
            ON c.source = a.source AND c.period = a.period AND c."column" = a."column"
        WHERE a.source = ? AND a.content = coalesce(c.content, '{NO_ROWS}')""",
        [source],
    ).fetchall()
    return {
        (period, measure, column): f"by {who} at {at:%Y-%m-%d %H:%M}" + (f": {why}" if why else "")
        for period, measure, column, who, at, why in rows
    }


def faults(lake: Lake) -> list[Fault]:
    """Every anomaly of every source, the oldest first."""
    if not lake.exists:
        return []
    with connect(lake) as connection:
        if not has_table(connection, JUDGEMENTS):
            return []
        sources = connection.execute(
            f"SELECT DISTINCT source FROM {JUDGEMENTS} WHERE verdict IN ('warning', 'unfit')"
        ).fetchall()
        return [fault for (source,) in sorted(sources) for fault in _faults(connection, source)]


def _faults(connection: duckdb.DuckDBPyConnection, source: str) -> list[Fault]:
    paths = dict(
        connection.execute(
            f"SELECT sha256, max_by(path, number) FROM {LEDGER} WHERE source = ? GROUP BY 1",
            [source],
        ).fetchall()
    )
    days, accepted = read_days(connection, source), _accepted(connection, source)
    return [
        Fault(
            source,
            day,
            one,
            tuple(sorted(paths.get(sha, sha) for sha in days.get(day, ("", {}))[1])),
            accepted.get((day, one.measure, one.column)),
        )
        for day, judged in read_judged(connection, source).items()
        for one in judged
        if one.is_anomaly
    ]
