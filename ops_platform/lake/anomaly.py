"""Whether a day of a table is unlike its own history: measures, what was to be expected, chances.

Each measure of a day is compared with the same weekdays before and with how the last days departed
from theirs. What is left, the residual, is as far out as few before it, or it is not: the chance is
read off the measure's own past residuals. Chances are spent like a budget of one warning a year.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import date, timedelta
from math import exp, pi, sin, sqrt
from statistics import fmean, median

import numpy as np

from ops_platform.lake.history import (
    REFERENCE_DAYS,
    WEEKS,
    History,
    Judgement,
    Measure,
    Series,
    Verdict,
    Watched,
    scaled,
)
from ops_platform.lake.profile import OTHER, Profile, added

# Of all measures of a table together, over the days of a year.
WARNINGS_A_YEAR = 1.0
DAYS_A_YEAR = 365.25
# How that is split: by measure and side (down, up), and equally among a measure's columns.
SHARES: dict[Measure, tuple[float, float]] = {
    "volume": (0.45, 0.05),
    "nulls": (0.05, 0.15),
    "distinct": (0.05, 0.05),
    "distribution": (0.0, 0.2),
}

WEEKS_MIN = 3
RECENT, RECENT_MIN, RECENT_DAYS = 15, 5, 28
# What is left out at either end of what a mean is taken of.
TRIMMED = 0.2
# Residuals without which nothing is said, and how far back they reach.
RESIDUALS_MIN, RESIDUAL_DAYS = 60, 400
TAIL = 0.2
# Last year's same weeks: 364 days are whole weeks.
YEAR, SEASON_DAYS, SEASON_MIN = timedelta(364), 3, 3
# A weekday on which the table had rows in so many of the last weeks is a working day.
OPEN = 10
# Of fewer rows no share is judged, and none at all may be chance.
ROWS_MIN = 50
# A distribution whose parts hold less than this share of the rows says little.
COVERED = 0.9


def judge(
    day: date, profiles: Mapping[str, Profile], watched: Watched, history: History
) -> list[Judgement]:
    """Every measure of a day with rows, judged by what was known before it.

    Parameters
    ----------
    profiles : of the day, by column; all columns have the same number of rows.
    history : of days before `day`; later ones are not looked at.
    """
    values = list(_values(day, profiles, watched, history))
    columns = Counter(measure for measure, _, _ in values)
    return [
        _judged(day, measure, column, value, history, columns[measure], profiles.get(column))
        for measure, column, value in values
    ]


def _values(
    day: date, profiles: Mapping[str, Profile], watched: Watched, history: History
) -> Iterator[tuple[Measure, str, float]]:
    yield "volume", "", float(next(iter(profiles.values())).rows)
    for column in watched.columns:
        one = profiles.get(column)
        if one is None or one.rows < ROWS_MIN:
            continue
        there = one.rows - one.nulls
        if column in watched.nullable:
            yield "nulls", column, one.nulls / one.rows
        if there:
            yield "distinct", column, one.distinct / there
        if column in watched.parted and there and _is_covered(one.parts):
            before = history.reference(day, column)
            if before:
                reference = added(profile.parts for profile in before)
                yield "distribution", column, distance(one.parts, reference)


def _is_covered(parts: Mapping[str, int]) -> bool:
    return parts.get(OTHER, 0) <= (1 - COVERED) * sum(parts.values())


def distance(parts: Mapping[str, int], reference: Mapping[str, int]) -> float:
    """The Jensen-Shannon distance of two distributions, 0 to 1 (Endres and Schindelin, 2003)."""
    # In one order: the last digits of a sum depend on it.
    names = sorted(parts.keys() | reference.keys())
    p = np.array([parts.get(name, 0) for name in names], dtype=float)
    q = np.array([reference.get(name, 0) for name in names], dtype=float)
    p, q = p / p.sum(), q / q.sum()
    m = (p + q) / 2
    entropy = [-float(np.sum(x * np.log2(np.where(x > 0, x, 1)))) for x in (p, q, m)]
    return sqrt(max(0.0, entropy[2] - (entropy[0] + entropy[1]) / 2))


def _judged(
    day: date,
    measure: Measure,
    column: str,
    value: float,
    history: History,
    columns: int,
    profile: Profile | None,
) -> Judgement:
    series = history.series.get((measure, column), Series())
    here, same = scaled(measure, value), series.same_weekdays(day)
    recent = _errors(series.between(day - timedelta(RECENT_DAYS), day))[-RECENT:]
    error = here - _middle(same) if len(same) >= WEEKS_MIN else None
    judged = Judgement(measure, column, value, None, error, None, None, None, "learning")
    if error is None or len(recent) < RECENT_MIN:
        return judged
    surprise = error - _middle(recent)
    judged = replace(judged, surprise=surprise)
    left = [surprise, *_by_last_year(day, surprise, series)]
    left += _by_accepted(day, judged, error, history, profile)
    residual = min(left, key=abs)
    expected = _unscaled(measure, here - residual)
    judged = replace(judged, expected=expected, residual=residual)
    before = series.between(day - timedelta(RESIDUAL_DAYS), day)
    known = [one.residual for one in before if one.residual is not None]
    if len(known) < RESIDUALS_MIN:
        return judged
    chance = tail_chance(residual, known, NOISE[measure], TAIL_POWER[measure])
    share = SHARES[measure][residual > 0]
    is_rare = chance <= WARNINGS_A_YEAR / DAYS_A_YEAR * share / columns
    verdict = _verdict(measure, value, expected) if is_rare else "fine"
    return replace(judged, chance=chance, verdict=verdict)


def _errors(judged: Iterable[Judgement]) -> list[float]:
    return [one.error for one in judged if one.error is not None]


def _by_last_year(day: date, surprise: float, series: Series) -> Iterator[float]:
    """What is left by last year's season, where it is known."""
    first = day - YEAR - timedelta(SEASON_DAYS)
    a_year_ago = series.between(first, first + timedelta(2 * SEASON_DAYS + 1))
    season = [one.surprise for one in a_year_ago if one.surprise is not None]
    if len(season) >= SEASON_MIN:
        yield surprise - median(season)


def _by_accepted(
    day: date, judged: Judgement, error: float, history: History, profile: Profile | None
) -> Iterator[float]:
    """What is left by the days of the last weeks whose departure somebody has accepted."""
    measure, column, first = judged.measure, judged.column, day - timedelta(REFERENCE_DAYS)
    accepted = [
        known for known, *of in history.accepted if of == [measure, column] and first <= known < day
    ]
    if measure == "distribution" and profile is not None:
        # A distance has an end: as far from what was before, the day may be another fault.
        for known in accepted:
            one = history.profiles.get(known, {}).get(column)
            if one is not None:
                yield error - judged.value + distance(profile.parts, one.parts)
        return
    series = history.series.get((measure, column), Series())
    right = _errors(series.judged[known] for known in accepted if known in series.judged)
    if right:
        yield error - median(right)


def _middle(values: Sequence[float]) -> float:
    """The mean without the TRIMMED share at either end."""
    out = int(TRIMMED * len(values))
    return fmean(sorted(values)[out : len(values) - out])


def tail_chance(
    residual: float, known: Sequence[float], noise: float = 0.0, power: float = 1.0
) -> float:
    """The chance of a residual as far out as this, on its side of those that are known.

    The farthest fifth is taken for exponential, raised to `power`, beyond where it begins. The
    scale is not known but estimated from k excesses, so that the chance of a further one is
    (1 + x / (k scale))^-k: exact for such a tail whatever k is (Geisser, Predictive Inference,
    1993), and too large for a lighter one.

    Parameters
    ----------
    noise : the least scale, for a measure that has never varied.
    power : 1 for an exponential tail, 2 for a normal one.
    """
    far = np.sort(np.asarray(known) * (1 if residual >= 0 else -1))[::-1].clip(min=0) ** power
    k = max(1, round(TAIL * len(far)))
    begins = float(far[k])
    scale = max(float(far[:k].mean()) - begins, noise**power)
    excess = abs(residual) ** power - begins
    return float(k / len(far) * (1 + excess / (k * scale)) ** -k) if excess > 0 else 1.0


def _unscaled(measure: Measure, scaled: float) -> float:
    if measure == "nulls":
        return sin(min(max(scaled, 0.0), pi) / 2) ** 2
    return scaled if measure == "distribution" else exp(scaled)


# A day's rows are the sum of many orders, which brings their tail nearer to a normal one.
TAIL_POWER: dict[Measure, float] = {
    "volume": 1.5,
    "nulls": 1.0,
    "distinct": 1.0,
    "distribution": 1.0,
}
# The least scale of a tail.
NOISE: dict[Measure, float] = {
    "volume": 0.02,
    "nulls": 0.01,
    "distinct": 0.01,
    "distribution": 0.01,
}


def _verdict(measure: Measure, value: float, expected: float) -> Verdict:
    """What so rare a value means: less than these differences nobody needs to know."""
    if measure == "volume":
        times = value / expected
        return "unfit" if times <= 0.7 else "warning" if not 0.8 < times < 1.25 else "fine"
    if measure == "nulls":
        points = value - expected
        return "unfit" if points >= 0.03 else "warning" if abs(points) >= 0.01 else "fine"
    if measure == "distinct":
        return "warning" if not 0.9 < value / expected < 1.1 else "fine"
    return "unfit" if value - expected >= 0.1 else "warning" if value >= 1.2 * expected else "fine"


def is_missing(day: date, history: History) -> bool:
    """Whether a day without rows is one on which there should have been some.

    It is not where its weekday often had none before, where last year had none on the same date or
    weekday of the year, where somebody has accepted it, or where so few rows are usual that there
    may as well be none.
    """
    if (day, "missing", "") in history.accepted or not history.traded:
        return False
    traded, first = set(history.traded), history.traded[0]
    weekdays = [day - timedelta(7 * week) for week in range(1, WEEKS + 1)]
    if weekdays[-1] < first or sum(known in traded for known in weekdays) < OPEN:
        return False
    if any(_was_closed(known, history.traded, traded) for known in _last_year(day)):
        return False
    rows = history.series[("volume", "")].same_weekdays(day)
    return bool(rows) and exp(median(rows)) >= ROWS_MIN


def _last_year(day: date) -> list[date]:
    """The same weekday of last year, and the same date."""
    dates = [day - timedelta(back) for back in (365, 366)]
    same = [known for known in dates if (known.month, known.day) == (day.month, day.day)]
    return [day - YEAR, *same]


def _was_closed(day: date, days: Sequence[date], traded: set[date]) -> bool:
    """Whether a day had no rows though its weekday had, in the weeks around it."""
    weeks = (day + timedelta(7 * week) for week in range(-WEEKS // 2, WEEKS // 2 + 1) if week)
    around = [known for known in weeks if days[0] <= known <= days[-1]]
    opened = sum(known in traded for known in around)
    return (
        day >= days[0]
        and day not in traded
        and bool(around)
        and opened >= OPEN / WEEKS * len(around)
    )
