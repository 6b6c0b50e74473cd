"""One feature, watched: what each day of it says, and the evidence that it has changed."""

from bisect import bisect_left
from collections.abc import Iterator
from datetime import date
from functools import lru_cache, reduce
from operator import add
from typing import Literal

import numpy as np

from ops_platform.lake.profile import Profile
from ops_platform.monitor.e_detector import EDetector, p_values
from ops_platform.monitor.input_shape import Shape, is_number, shape_of
from ops_platform.monitor.recursive import Recursive

# Days that are learned from before one is judged. The first say how a feature is read, and the
# regression's own first residuals are not ranked among.
CALIBRATION_DAYS, REFERENCE_DAYS, UNRANKED_DAYS = 90, 28, 21
# After a change so many days are learned from before a feature is judged again.
RELEARNED_DAYS = 28
# Of fewer rows a day's shares are mostly chance: days are put together until there are as many.
ROWS_MIN = 500
# Days that scores are ranked among, and values that last year's season is taken from.
RANKED_DAYS, KEPT_DAYS = 730, 760
# Days back to the same season, and days around: a parabola through these says how it was.
YEARS, SEASON_DAYS, SEASON_MIN = (365, 730), 15, 16
# Prior variances of the level, the weekdays and last year's season; and of how far off the day
# before was, and the RECENT days. One that is further off than so many times the usual counts as
# that: a change must not become what is expected.
TREND, RECALL, RECALLED = (1e3, *[3.0] * 7, 1.0), (1.0, 1.0, 1.0), 2.0
RECENT = (5, 14)
# What the regression learns from is so old, or a change would teach it to expect the change.
DELAY_DAYS = 14
# Where the regression knows less than this of a day, nothing is bet on it.
LEVERAGE_MAX = 0.3
DECIMALS = 9
# A column with one value is broken where that is less likely than this. Rows of an order are alike,
# so that so many count as one, and little is known of a day with few.
IMPROBABLE, ALIKE = 1e-9, 10

Broken = Literal["vanished", "all null", "constant", "another type"]
State = Literal["learning", "too few rows", "fine"] | Broken


class WatchedFeature:
    """A feature's past, and its evidence.

    Attributes
    ----------
    reference_ : the profile of its first days, None until there are REFERENCE_DAYS.
    shape_ : how a day of it is read.
    days_ : judged days, as ordinals; of several that were put together the last.
    values_, scores_ : (days, streams), of these; the values without their weekday's share.
    """

    def __init__(self) -> None:
        """Begin to learn."""
        self.first_: list[tuple[date, Profile, np.ndarray]] = []
        self.waiting_: Profile | None = None
        self.weekdays_ = np.zeros(7)
        self.reference_: Profile | None = None
        self.looks_, self.judged_from_ = 0, CALIBRATION_DAYS
        self.days_: list[int] = []

    def judge(self, day: date, profile: Profile | None) -> State:
        """Learn from a day, and add to the evidence once enough are known; what was made of it."""
        broken = self._broken(profile)
        if broken is not None or profile is None:
            return broken or "vanished"
        self.waiting_ = profile if self.waiting_ is None else self.waiting_ + profile
        self.weekdays_[day.weekday()] += profile.rows
        if self.waiting_.rows < ROWS_MIN:
            return "too few rows"
        profile, weekdays = self.waiting_, self.weekdays_ / self.weekdays_.sum()
        self.waiting_, self.weekdays_ = None, np.zeros(7)
        if self.reference_ is not None:
            return "fine" if self._look(day, profile, weekdays) else "learning"
        self.first_.append((day, profile, weekdays))
        if len(self.first_) == REFERENCE_DAYS:
            self._begin()
        return "learning"

    def restart(self) -> None:
        """Forget the evidence."""
        if self.reference_ is not None:
            self.evidence_.restart()

    def relearn(self) -> None:
        """Learn the level anew, from the likeliest day of the change on: it has changed."""
        since = self.since
        if self.reference_ is None or since is None:
            return
        self._learn(sum(one[0] < since for one in self.unlearned_))
        self.trend_.relevel()
        self._learn(len(self.unlearned_))
        self.judged_from_ = self.looks_ + RELEARNED_DAYS
        self.evidence_.restart()

    @property
    def statistic(self) -> float:
        """The evidence that it has changed."""
        return self.evidence_.statistic if self.reference_ is not None else 0.0

    @property
    def since(self) -> date | None:
        """The day from which on most of the evidence came, None while there is none."""
        if self.reference_ is None or not self.evidence_.since:
            return None
        return date.fromordinal(self.evidence_.since)

    def _broken(self, profile: Profile | None) -> Broken | None:
        if profile is None or not profile.rows:
            return "vanished"
        if profile.rows == profile.nulls:
            return "all null"
        known = self.reference_ or (self.first_[0][1] if self.first_ else None)
        if known is None:
            return None
        if is_number(profile) != is_number(known):
            return "another type"
        return "constant" if _is_constant(profile, known) else None

    def _begin(self) -> None:
        """Follow what the first days say, and learn from them."""
        reference = reduce(add, [profile for _, profile, _ in self.first_])
        self.begin(reference, shape_of(reference))
        made = np.array([self.shape_.values(profile) for _, profile, _ in self.first_])
        self.center_ = made.mean(axis=0)
        self.scale_ = np.maximum(made.std(axis=0), ROWS_MIN**-0.5)
        for one in self.first_:
            self._look(*one)
        self.first_ = []

    def begin(self, reference: Profile, shape: Shape) -> None:
        """Follow what the shape says, from no day on."""
        self.reference_, self.shape_ = reference, shape
        self.trend_, self.recall_ = (Recursive(shape.streams, one) for one in (TREND, RECALL))
        self.evidence_ = EDetector(shape.streams)
        self.values_ = self.scores_ = self.away_ = np.empty((0, shape.streams))
        self.unlearned_: list[tuple[date, np.ndarray, np.ndarray, np.ndarray]] = []

    def _look(self, day: date, profile: Profile, weekdays: np.ndarray) -> bool:
        """Learn from a day; whether there were enough before it to judge it."""
        values = (self.shape_.values(profile) - self.center_) / self.scale_
        regressors = self._regressors(day, weekdays)
        expected, leverage = self.trend_.expected(regressors)
        away, recalled = values - expected, self._recalled()
        scores = (away - self.recall_.expected(recalled)[0]) / np.sqrt(1 + leverage)
        # What never varies leaves the dust of rounding, which has ranks too.
        scores = np.round(scores, DECIMALS)
        self.unlearned_.append((day, values, regressors, recalled))
        self._learn(len(self.unlearned_) - DELAY_DAYS)
        self.looks_ += 1
        is_judged = self.looks_ > self.judged_from_
        if is_judged:
            p = p_values(scores, self.scores_)
            days = 1 + len(self.scores_)
            self.evidence_.learn(day.toordinal(), p, days, leverage <= LEVERAGE_MAX)
        if self.looks_ > UNRANKED_DAYS:
            self.scores_ = _with(self.scores_, scores, RANKED_DAYS)
        self.days_ = [*self.days_[1 - KEPT_DAYS :], day.toordinal()]
        # Without the weekday, for the season of later years.
        values = values - self.trend_.weights_[:, 1:8] @ weekdays
        self.values_ = _with(self.values_, values, KEPT_DAYS)
        self.away_ = _with(self.away_, away, RECENT[-1])
        return is_judged

    def _regressors(self, day: date, weekdays: np.ndarray) -> np.ndarray:
        """The level, the weekdays and last year's season: (streams, len(TREND))."""
        made = np.empty((self.shape_.streams, len(TREND)))
        made[:, 0], made[:, 1:8], made[:, 8] = 1, weekdays, self._season(day.toordinal())
        return made

    def _recalled(self) -> np.ndarray:
        """How far off the day before, and the RECENT ones, were: (streams, len(RECALL))."""
        if not len(self.away_):
            return np.zeros((self.shape_.streams, len(RECALL)))
        within = self.trend_.within(self.away_, RECALLED)
        made = np.empty((self.shape_.streams, len(RECALL)))
        for at, days in enumerate((1, *RECENT)):
            last = within[-days:]
            made[:, at] = last.sum(axis=0) / len(last)
        return made

    def _learn(self, days: int) -> None:
        """Learn from the oldest days that were not learned from."""
        for _, values, regressors, recalled in self.unlearned_[: max(0, days)]:
            away = self.trend_.learn(values, regressors)
            self.recall_.learn(self.trend_.within(away, RECALLED), recalled)
        self.unlearned_ = self.unlearned_[max(0, days) :]

    def _season(self, day: int) -> np.ndarray | float:
        """How the days of this season were apart from their year, in the years that are known."""
        years = list(self._years(day))
        if not years:
            return 0.0
        known = self.values_[bisect_left(self.days_, day - YEARS[len(years) - 1]) :]
        return np.asarray(sum(years) / len(years) - known.sum(axis=0) / len(known))

    def _years(self, day: int) -> Iterator[np.ndarray]:
        for back in YEARS if self.days_ else ():
            first, last = day - back - SEASON_DAYS, day - back + SEASON_DAYS
            around = slice(bisect_left(self.days_, first), bisect_left(self.days_, last + 1))
            if self.days_[0] <= first and around.stop - around.start >= SEASON_MIN:
                yield (
                    _middle(tuple(one - day + back for one in self.days_[around]))
                    @ (self.values_[around])
                )


def _with(days: np.ndarray, day: np.ndarray, most: int) -> np.ndarray:
    """The last days with one more, so many at most."""
    return np.concatenate([days[1 - most :], day[None]])


@lru_cache(maxsize=256)
def _middle(days: tuple[int, ...]) -> np.ndarray:
    """The weights of values at these days in the parabola's value at day 0 (Savitzky, 1964)."""
    return np.asarray(np.linalg.pinv(np.vander(days, 3))[2])


def _is_constant(profile: Profile, known: Profile) -> bool:
    rows = profile.rows - profile.nulls
    if profile.distinct > 1 or rows < ROWS_MIN:
        return False
    alike = known.parts.get(next(iter(profile.parts)), 0) / sum(known.parts.values())
    # Of a number whose values lie all in one part nothing more is known than how many there were.
    share = alike if len(known.parts) > 1 else 1 / max(1, known.distinct)
    return bool(share ** (rows / ALIKE) < IMPROBABLE)
