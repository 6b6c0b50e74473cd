"""Whether a model's inputs have changed: one decision a day over all features together.

Each day of a feature is a few values (`input_shape`). What weekday, last year's season and the last
days don't explain of them (`recursive`) is ranked among the days before, and bet against
(`e_detector`). The mean of the features' evidence decides, so that one more of them raises no rate.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

from ops_platform.lake.profile import Profile
from ops_platform.monitor.input_feature import WatchedFeature

FALSE_ALARM_DAYS = 365.0
# The rate would be exact if days were alike but for chance. What the regression leaves of the days'
# likeness to each other makes alarms more frequent than that; this makes up for it (measured).
MARGIN = 8.0


@dataclass(frozen=True)
class FeatureJudged:
    """What was made of a feature's day.

    Parameters
    ----------
    feature : its name.
    statistic : the evidence that it has changed.
    since : the day from which on most of it came, None while there is none.
    verdict : `fine`, or why it was not judged: what is broken, or what is lacking.
    """

    feature: str
    statistic: float
    since: date | None
    verdict: str


@dataclass(frozen=True)
class DayJudged:
    """The decision of a day.

    Parameters
    ----------
    statistic, bound : an alarm is raised where the first reaches the second.
    verdict : `alarm`, `fine`, `learning`, `data fault`, `judged already`.
    features : in the order of their names.
    """

    day: date
    statistic: float
    bound: float
    alarm: bool
    verdict: str
    features: tuple[FeatureJudged, ...]

    @property
    def changed(self) -> tuple[str, ...]:
        """The features whose own evidence is beyond the bound, the strongest first."""
        strong = [one for one in self.features if one.statistic >= self.bound]
        return tuple(one.feature for one in sorted(strong, key=lambda one: -one.statistic))


class InputDrift:
    """Judges day after day, each once, and alarms falsely once in so many days at most on average.

    Parameters
    ----------
    false_alarm_days : mean days to a false alarm, at least.

    Attributes
    ----------
    features_ : by name.
    day_ : the last judged, None before the first.
    """

    def __init__(self, false_alarm_days: float = FALSE_ALARM_DAYS) -> None:
        """Begin to learn."""
        self.false_alarm_days = false_alarm_days
        self.features_: dict[str, WatchedFeature] = {}
        self.day_: date | None = None

    def judge(self, day: date, profiles: Mapping[str, Profile]) -> DayJudged:
        """Judge a day by those before it, and learn from it.

        Parameters
        ----------
        profiles : of the day, by feature, named `<dataset>/<column>`; one that is known and is not
            among them has vanished, unless nothing is there of its dataset.
        """
        if self.day_ is not None and day <= self.day_:
            return self._told(day, {}, "judged already")
        if not any(profile.rows for profile in profiles.values()):
            return self._told(day, {}, "no rows")
        self.day_ = day
        there = {_dataset(name) for name, profile in profiles.items() if profile.rows}
        verdicts: dict[str, str] = {}
        for name in sorted(self.features_.keys() | profiles.keys()):
            feature = self.features_.setdefault(name, WatchedFeature())
            if _dataset(name) not in there:
                verdicts[name] = "no rows"
                continue
            verdicts[name] = feature.judge(day, profiles.get(name))
        alarm = self.statistic >= self.bound
        is_learning = "fine" not in verdicts.values()
        judged = self._told(
            day, verdicts, "alarm" if alarm else "learning" if is_learning else "fine"
        )
        if alarm:
            for name in judged.changed:
                self.features_[name].relearn()
            self.restart()
        return judged

    def skip(self, day: date) -> DayJudged:
        """Leave out a day whose data is at fault: it is neither judged nor learned from."""
        if self.day_ is not None and day <= self.day_:
            return self._told(day, {}, "judged already")
        self.day_ = day
        return self._told(day, dict.fromkeys(sorted(self.features_), "data fault"), "data fault")

    def restart(self) -> None:
        """Begin without evidence: a new champion has learned from the days so far, say."""
        for feature in self.features_.values():
            feature.restart()

    @property
    def bound(self) -> float:
        """An alarm is raised where the statistic reaches it."""
        return MARGIN * self.false_alarm_days

    @property
    def statistic(self) -> float:
        """The mean of the features' evidence."""
        if not self.features_:
            return 0.0
        return sum(one.statistic for one in self.features_.values()) / len(self.features_)

    def _told(self, day: date, verdicts: Mapping[str, str], verdict: str) -> DayJudged:
        known = ((name, self.features_[name], said) for name, said in verdicts.items())
        features = tuple(
            FeatureJudged(name, one.statistic, one.since, said) for name, one, said in known
        )
        alarm = verdict == "alarm"
        return DayJudged(day, self.statistic, self.bound, alarm, verdict, features)


def _dataset(feature: str) -> str:
    return feature.rpartition("/")[0]
