"""What is known of a table's days before the one that is judged."""

from bisect import bisect_left, insort
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from math import asin, log, sqrt
from typing import Literal

from ops_platform.lake.profile import Profile

Measure = Literal["volume", "nulls", "distinct", "distribution", "missing"]
Verdict = Literal["learning", "fine", "warning", "unfit"]

# Of the same weekdays in the last weeks, and of the days that a distribution is compared with.
WEEKS = 12
REFERENCE, REFERENCE_DAYS = 28, 42


@dataclass(frozen=True)
class Judgement:
    """One measure of one day.

    Parameters
    ----------
    measure, column : what is judged; the volume and a missing day have no column.
    value : rows, share of nulls, share of distinct values, or Jensen-Shannon distance.
    expected : what it was to be, None before enough days are known.
    error : departure from the same weekdays, on the measure's own scale.
    surprise : what of it the last days do not explain.
    residual : what of that neither last year's season nor an accepted anomaly explains.
    chance : of a residual as far out on its side; None before enough are known.
    verdict : `unfit` is a fault of the data, `warning` is to be looked at.
    """

    measure: Measure
    column: str
    value: float
    expected: float | None
    error: float | None
    surprise: float | None
    residual: float | None
    chance: float | None
    verdict: Verdict

    @property
    def is_anomaly(self) -> bool:
        """Whether it warns or marks the day as unfit."""
        return self.verdict in ("warning", "unfit")


@dataclass(frozen=True)
class Watched:
    """What of a table is judged: columns that may be null, and those that have parts."""

    columns: tuple[str, ...]
    nullable: frozenset[str]
    parted: frozenset[str]


@dataclass
class Series:
    """A measure's past: the days that may be learned from."""

    days: list[date] = field(default_factory=list)
    judged: dict[date, Judgement] = field(default_factory=dict)

    def add(self, day: date, one: Judgement) -> None:
        """Learn from a day."""
        insort(self.days, day)
        self.judged[day] = one

    def between(self, first: date, after: date) -> list[Judgement]:
        """The days from `first` on, before `after`."""
        days = self.days[bisect_left(self.days, first) : bisect_left(self.days, after)]
        return [self.judged[day] for day in days]

    def same_weekdays(self, day: date) -> list[float]:
        """The values of the last same weekdays before `day`, scaled, newest first."""
        weeks = (day - timedelta(7 * week) for week in range(1, WEEKS + 1))
        found = [self.judged[known] for known in weeks if known in self.judged]
        return [scaled(one.measure, one.value) for one in found]


@dataclass
class History:
    """What is known of a table; when a day is judged, what comes after it is not looked at.

    Parameters
    ----------
    series : by measure and column.
    profiles : by day, by column; those of REFERENCE_DAYS are used.
    traded : days with rows.
    accepted : day, measure and column of the anomalies that somebody has said are right.
    unfit : by day, the columns whose distribution is not to be learned from.
    """

    series: dict[tuple[Measure, str], Series] = field(default_factory=dict)
    profiles: dict[date, Mapping[str, Profile]] = field(default_factory=dict)
    traded: list[date] = field(default_factory=list)
    accepted: frozenset[tuple[date, Measure, str]] = frozenset()
    unfit: dict[date, set[str]] = field(default_factory=dict)

    def add(self, day: date, profiles: Mapping[str, Profile], judged: Iterable[Judgement]) -> None:
        """Learn from a judged day: what is unfit and not accepted is left out."""
        insort(self.traded, day)
        self.profiles[day] = profiles
        for one in judged:
            if one.verdict != "unfit" or (day, one.measure, one.column) in self.accepted:
                self.series.setdefault((one.measure, one.column), Series()).add(day, one)
            elif one.measure == "distribution":
                self.unfit.setdefault(day, set()).add(one.column)

    def reference(self, day: date, column: str) -> list[Profile]:
        """The column's profiles of the last days before `day`, newest first."""
        found: list[Profile] = []
        for at in range(bisect_left(self.traded, day) - 1, -1, -1):
            known = self.traded[at]
            if len(found) == REFERENCE or known < day - timedelta(REFERENCE_DAYS):
                break
            one = self.profiles.get(known, {}).get(column)
            if one is not None and one.parts and column not in self.unfit.get(known, ()):
                found.append(one)
        return found


def scaled(measure: Measure, value: float) -> float:
    """On a scale on which a measure's noise is about the same whatever its size."""
    if measure == "nulls":
        return 2 * asin(sqrt(value))
    return value if measure == "distribution" else log(max(value, 1e-3))
