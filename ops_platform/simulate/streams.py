"""Daily streams of features whose truth is known: rows by bin, fast enough for hundreds of years.

Each feature has a level that moves with the weekday, the season and by a chance that lasts some
days; a day's rows are drawn around it. What else happens to it is a `Change`.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Literal

import numpy as np
from scipy.optimize import brentq
from scipy.special import ndtr, softmax

NUMBERS, CATEGORIES = 16, 4
FEATURES = NUMBERS + CATEGORIES
# A number is log-normal: its standard deviation in decades, and bins of a tenth of a decade.
SD, PER_DECADE = 0.3, 10
BINS = np.arange(-30, 50)
COUNTRIES = 8
# In standard deviations of a feature: weekdays, and at most the season's wave and its peak before
# Christmas.
WEEKDAY, WAVE, PEAK, PEAK_AT, PEAK_DAYS = 0.15, 0.4, 0.4, 340, 12
# The chance of a day, what of it is left on the next, and the part that all features share.
CHANCE, KEPT, SHARED = 0.06, 0.6, 0.5

Kind = Literal["sudden", "slow", "price x100", "missing country"]


@dataclass(frozen=True)
class Change:
    """What happens to a feature from the day at the position `at` on.

    Parameters
    ----------
    kind : `sudden` and `slow` move the level, at once or over `days`, by as much as is worth the
        population stability index `psi`; `price x100` is of a number, and of a category `missing
        country` takes its commonest away.
    feature : its position: numbers first, then categories.
    """

    kind: Kind
    feature: int
    at: int
    psi: float = 0.25
    days: int = 60


@dataclass(frozen=True)
class Stream:
    """Rows by bin.

    Parameters
    ----------
    days : in their order.
    numbers : (days, NUMBERS, bins); bin b holds 10^(b / 10) up to 10^((b + 1) / 10), for b in BINS.
    categories : (days, CATEGORIES, COUNTRIES).
    """

    days: list[date]
    numbers: np.ndarray
    categories: np.ndarray


def simulate(
    seed: int,
    days: int,
    *,
    rows: int = 500,
    season: bool = True,
    weekday: bool = True,
    change: Change | None = None,
    start: date = date(2015, 1, 1),
) -> Stream:
    """So many days of so many rows; the same for the same seed, up to the change whatever it is."""
    rng, *drawn = np.random.default_rng(seed).spawn(3)
    dates = [start + timedelta(n) for n in range(days)]
    level = _chance(rng, days)
    at_weekday, wave = rng.normal(0, WEEKDAY, (7, FEATURES)), rng.uniform(-1, 1, (3, FEATURES))
    if weekday:
        level += at_weekday[[day.weekday() for day in dates]]
    base = rng.normal(0, 0.7, (CATEGORIES, COUNTRIES))
    if season:
        level += _season(np.array([day.timetuple().tm_yday for day in dates]), wave)
    if change is not None and change.kind in ("sudden", "slow"):
        over = 1 if change.kind == "sudden" else change.days
        grown = np.clip((np.arange(days) - change.at + 1) / over, 0, 1)
        level[:, change.feature] += _size(change, base) * grown
    shares = shares_of(level, base)
    numbers, categories = (
        one.multinomial(rows, share) for one, share in zip(drawn, shares, strict=True)
    )
    stream = Stream(dates, numbers, categories)
    if change is not None:
        _spoil(stream, change)
    return stream


def shares_of(level: np.ndarray, base: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The shares of the bins of numbers, (days, NUMBERS, bins), and of categories' countries.

    Parameters
    ----------
    level : (days, FEATURES), in standard deviations.
    base : (CATEGORIES, COUNTRIES), logarithm of the countries' usual shares.
    """
    edges = np.append(BINS, BINS[-1] + 1) / PER_DECADE
    below = ndtr((edges - 1) / SD - level[:, :NUMBERS, None])
    below[..., 0], below[..., -1] = 0, 1
    # A level of 1 moves the logarithm of every country's share by about 1, up or down.
    leaning = np.resize([1.0, -1.0], COUNTRIES)
    return np.diff(below, axis=-1), softmax(base + level[:, NUMBERS:, None] * leaning, axis=-1)


def _chance(rng: np.random.Generator, days: int) -> np.ndarray:
    own, shared = rng.normal(size=(days, FEATURES)), rng.normal(size=(days, 1))
    news = np.sqrt(1 - SHARED**2) * own + SHARED * shared
    news[1:] *= np.sqrt(1 - KEPT**2)
    for day in range(1, days):
        news[day] += KEPT * news[day - 1]
    return np.asarray(CHANCE * news)


def _season(day_of_year: np.ndarray, size: np.ndarray) -> np.ndarray:
    turn = 2 * np.pi * day_of_year[:, None] / 365.25
    peak = np.exp(-(((day_of_year[:, None] - PEAK_AT) / PEAK_DAYS) ** 2) / 2)
    wave = WAVE / np.sqrt(2) * (size[0] * np.cos(turn) + size[1] * np.sin(turn))
    return np.asarray(wave + PEAK * size[2] * peak)


def _spoil(stream: Stream, change: Change) -> None:
    """Multiply a number by 100, or take the commonest country of a category away."""
    if change.kind == "price x100":
        spoilt = stream.numbers[change.at :, change.feature]
        spoilt[:] = np.roll(spoilt, 2 * PER_DECADE, axis=-1)
    elif change.kind == "missing country":
        spoilt = stream.categories[change.at :, change.feature - NUMBERS]
        spoilt[:, spoilt.sum(axis=0).argmax()] = 0


def _size(change: Change, base: np.ndarray) -> float:
    """By how many standard deviations the level moves for this population stability index."""

    def lacking(size: float) -> float:
        level = np.zeros((2, FEATURES))
        level[1, change.feature] = size
        numbers, categories = shares_of(level, base)
        at = change.feature
        p, q = numbers[:, at] if at < NUMBERS else categories[:, at - NUMBERS]
        # Of bins that nobody is in a share is taken, as the index has it.
        p, q = np.maximum(p, 1e-9), np.maximum(q, 1e-9)
        return float(np.sum((q - p) * np.log(q / p))) - change.psi

    return float(brentq(lacking, 0.0, 5.0))


def totals(stream: Stream, day: int) -> Iterator[tuple[float, float]]:
    """The sum and the sum of squares of each number's rows on the day at this position."""
    middle = 10 ** ((BINS + 0.5) / PER_DECADE)
    for counts in stream.numbers[day]:
        yield float(counts @ middle), float(counts @ middle**2)
