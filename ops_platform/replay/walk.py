"""A policy's walk through history: asked at the end of each day, it knows what was known then."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import cache
from itertools import pairwise

import numpy as np
import pandas as pd

from ops_platform.errors import MonitorError
from ops_platform.monitor.alarm_rule import AlarmRule
from ops_platform.monitor.alarms import Alarm, alarms
from ops_platform.monitor.judgement import COLUMNS, judge
from ops_platform.monitor.policy import Policy, Standing
from ops_platform.monitor.profile import NDCG
from ops_platform.monitor.reference import SPAN_DAYS, Reference, require_history, summarise
from ops_platform.monitor.retraining import Cause, Rules, next_attempt
from ops_platform.monitor.standing import of_past, traffic
from ops_platform.replay.input_walk import InputWalk
from ops_platform.replay.period import Period
from ops_platform.replay.store import Store

_NOT_WATCHED = pd.DataFrame(columns=list(COLUMNS)).astype({"period": "datetime64[us]"})


@dataclass(frozen=True)
class Training:
    """A retraining: at the end of which day, why, and the seconds that the fit took."""

    as_of: date
    why: str
    seconds: float


@dataclass(frozen=True)
class Walk:
    """What a policy did.

    Attributes
    ----------
    ndcg, discovery : float64 (n,), of each visit of the period by the champion of its day; as in
        `Scores`.
    trainings : after the first champion, in order.
    """

    ndcg: np.ndarray
    discovery: np.ndarray
    trainings: tuple[Training, ...]


class Walker:
    """Walks policies through the days of a period.

    Parameters
    ----------
    model : its name.
    store : how the recipe does as of each day.
    period : whose days; the first champion is of the day before them.
    rule : raises the alarms.
    inputs : raises those of the inputs.
    """

    def __init__(
        self, model: str, store: Store, period: Period, rule: AlarmRule, inputs: InputWalk
    ) -> None:
        """Keep what is given."""
        self.model, self.period, self.inputs = model, period, inputs
        self.store, self._rule = store, rule
        # Many days and policies ask for the same.
        self.judged, self.traffic = cache(self._judged), cache(self._traffic)
        self.past = cache(self._past)
        visits = store.visits
        self._visitors = pd.DataFrame(
            {
                "day": visits.day.astype("datetime64[us]"),
                "first_day": visits.first_day[visits.customer].astype("datetime64[us]"),
            }
        )

    def walk(self, policy: Policy, rules: Rules) -> Walk:
        """What comes of a policy, under the cool-down, shortest window and budget of `rules`."""
        champions: tuple[date, ...] = (self.period.start,)
        trainings, served = list[Training](), list[date]()
        for day in self.period.days:
            served.append(champions[-1])
            if day == self.period.days[-1]:
                break
            standing = Standing(day, champions[-1], Then(self, day, champions))
            why = _decided(policy, standing, rules, trainings)
            if why is not None:
                champions = (*champions, day)
                trainings.append(Training(day, why, self.store.at(day).seconds))
        ndcg, discovery = zip(*map(self._scores, served, self.period.days), strict=True)
        return Walk(np.concatenate(ndcg), np.concatenate(discovery), tuple(trainings))

    def _scores(self, as_of: date, day: date) -> tuple[np.ndarray, np.ndarray]:
        """Of the visits of a day, by the champion of an earlier one."""
        visits, scores = self.store.visits, self.store.at(as_of)
        ends = (visits.first_after(one) for one in (day - timedelta(days=1), day))
        of_day = slice(*(end - visits.first_after(as_of) for end in ends))
        return scores.ndcg[of_day], scores.discovery[of_day]

    def _judged(self, as_of: date) -> pd.DataFrame:
        """As `monitor.drift` has it, each later day of the champion of a day; of none before it."""
        days = self._profile(as_of, self.period.days[-1])
        try:
            found = judge(days, self._reference(as_of), self._rule)
        except MonitorError:
            # As in production a champion that can't be watched raises no alarm.
            found = _NOT_WATCHED
        return found.assign(model=self.model)

    def _traffic(self, as_of: date) -> pd.DataFrame:
        """The trade of each later day, as the champion of a day knows its customers."""
        return traffic(self._visitors, as_of)

    def _past(self, champions: tuple[date, ...]) -> pd.DataFrame:
        """The judged days of all champions but the last, of each until the next was fitted."""
        lives = enumerate(pairwise(champions), start=1)
        return of_past([(one, ends[0], self.judged_until(one, *ends)) for one, ends in lives])

    def judged_until(self, version: int, as_of: date, until: date) -> pd.DataFrame:
        """The judged days of a champion up to a day."""
        drift = self.judged(as_of)
        return drift[drift["period"] <= pd.Timestamp(until)].assign(version=version)

    def _reference(self, as_of: date) -> Reference:
        cut = as_of - timedelta(days=SPAN_DAYS)
        require_history(cut, as_of, self.period.history)
        return summarise(self._profile(cut, as_of))

    def _profile(self, as_of: date, until: date) -> pd.DataFrame:
        """The NDCG's rows of `profile` for the model of a day, after it and up to another."""
        visits, scores = self.store.visits, self.store.at(as_of)
        after = visits.first_after(as_of)
        count = visits.first_after(until) - after
        known = scores.known[:count]
        rows = pd.DataFrame(
            {
                "day": visits.day[after:][:count][known].astype("datetime64[us]"),
                "value": scores.ndcg[:count][known],
                "squares": scores.ndcg[:count][known] ** 2,
            }
        )
        by_day = rows.groupby("day", as_index=False)
        found = by_day.agg(
            units=("value", "size"), total=("value", "sum"), squares=("squares", "sum")
        )
        return found.assign(feature=NDCG)


class Then:
    """The `Evidence` of a champion at the end of a day, as production would have read it.

    Parameters
    ----------
    champions : as-ofs, oldest first; the last is of the one that serves.
    """

    def __init__(self, walker: Walker, day: date, champions: tuple[date, ...]) -> None:
        """Keep what is given; what a policy asks for is looked up then."""
        self._walker, self._day, self._champions = walker, day, champions

    def judged(self) -> pd.DataFrame:
        """As `Evidence`."""
        number, as_of = len(self._champions), self._champions[-1]
        return self._walker.judged_until(number, as_of, self._day)

    def alarms(self) -> Sequence[Alarm]:
        """As `Evidence`."""
        return alarms(self.judged())

    def input_alarms(self) -> Sequence[Alarm]:
        """As `Evidence`."""
        found = self._walker.inputs.alarms(self._champions)
        return [alarm for alarm in found if alarm.period <= self._day]

    def past(self) -> pd.DataFrame:
        """As `Evidence`."""
        return self._walker.past(self._champions)

    def traffic(self) -> pd.DataFrame:
        """As `Evidence`."""
        days = self._walker.traffic(self._champions[-1])
        return days[days["period"] <= pd.Timestamp(self._day)]


def _decided(
    policy: Policy, standing: Standing, rules: Rules, trainings: Sequence[Training]
) -> str | None:
    """Why there is a training now, None where there is none."""
    reason = policy.reason(standing)
    if reason is None:
        return None
    number, why = next_attempt(
        Cause(reason.key, reason.text),
        [],
        rules,
        as_of=standing.day,
        unfit="",
        champion_as_of=standing.as_of,
        trained_this_month=sum(one.as_of >= standing.day.replace(day=1) for one in trainings),
        # Only a back-off after failures asks for the time, and here none fails.
        system_time=datetime.min.replace(tzinfo=UTC),
    )
    return why if number is not None else None
