"""Alarms: which day of a champion raised one, and what was seen then."""

from dataclasses import dataclass
from datetime import date

import pandas as pd

from ops_platform.lake.connect import connect
from ops_platform.lake.location import Lake
from ops_platform.monitor.profile import NDCG
from ops_platform.monitor.tables import read_drift

# Cohen (1988) calls an effect of this size small.
SMALL = 0.2


@dataclass(frozen=True)
class Alarm:
    """A day on which a champion's statistic went beyond its bound.

    Parameters
    ----------
    model, version : of the champion.
    period : the day.
    features : the NDCG, and those whose mean effect since the statistic rose is at least small.
    seen : in a sentence.
    """

    model: str
    version: int
    period: date
    features: tuple[str, ...]
    seen: str

    @property
    def headline(self) -> str:
        """Its id and what was seen first, for a tag or a table."""
        return f"alarm {self.id}: {self.seen.split('; ')[0]}"

    @property
    def id(self) -> str:
        """Names the alarm: `recommender-v3-2024-07-12`."""
        return f"{self.model}-v{self.version}-{self.period}"


def newest_alarm(lake: Lake, model: str, version: int) -> Alarm | None:
    """The newest alarm of a version; None where it has raised none or was never judged."""
    if not lake.exists:
        return None
    with connect(lake) as connection:
        found = alarms(read_drift(connection, model, version))
    return found[-1] if found else None


def alarms(drift: pd.DataFrame) -> list[Alarm]:
    """Every alarm among one version's rows of `monitor.drift`, oldest first."""
    watched = drift[drift["feature"] == NDCG]
    found: list[Alarm] = []
    since: list[pd.Timestamp] = []
    for day, statistic, is_alarm in zip(
        watched["period"], watched["statistic"], watched["alarm"], strict=True
    ):
        since.append(day)
        if is_alarm:
            found.append(_alarm(drift[drift["period"].isin(since)]))
        if is_alarm or statistic == 0:
            # What the next alarm will be about begins after this day.
            since = []
    return found


def _alarm(days: pd.DataFrame) -> Alarm:
    means = days.groupby("feature")[["value", "reference", "effect"]].mean()
    size = means["effect"].abs().drop(NDCG)
    others = size[size >= SMALL].sort_values(ascending=False).index.tolist()
    count = days["period"].nunique()
    told = "; ".join(_told(feature, means.loc[feature]) for feature in (NDCG, *others))
    period = days["period"].max().date()
    return Alarm(
        str(days["model"].iloc[0]),
        int(days["version"].iloc[0]),
        period,
        (NDCG, *others),
        f"over {count} trading day{'s' * (count > 1)} to {period}: {told}",
    )


def _told(feature: str, mean: pd.Series) -> str:
    return (
        f"{feature} {mean['value']:.3f} where {mean['reference']:.3f} is normal "
        f"(effect {mean['effect']:+.2f})"
    )
