"""What is normal for a champion: its recipe fitted earlier, judged on days that it had not seen.

The champion itself scores far too well on the days that it was fitted on.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
import pandas as pd

from ops_platform.errors import MonitorError
from ops_platform.models.judging import Fitted
from ops_platform.monitor.profile import NDCG, profile

# A champion of this age is retrained by the fallback, so the days that say what is normal are as
# far from their fit as those that it serves on. A new champion begins the statistic anew: were it
# replaced more often, a slow drift would never add up to an alarm.
SPAN_DAYS = 28
# A model that was fitted on less than this is not what the champion is.
HISTORY_DAYS_MIN = 28
DAYS_MIN = 12
SD_MIN = 1e-6

Fit = Callable[[date], tuple[Fitted, pd.DataFrame]]


@dataclass(frozen=True)
class Reference:
    """What is normal for one version.

    Parameters
    ----------
    features : indexed by feature: mean and sd of a unit's values, and the number of units.
    dispersion : standard deviation of the days' NDCG in the standard errors that its visits
        give it, at least 1: what makes the visits of a day alike.
    days : trading days that it was computed from.
    first_day, last_day : of these.
    """

    features: pd.DataFrame
    dispersion: float
    days: int
    first_day: date
    last_day: date


def calibrate(fit: Fit, lines: pd.DataFrame, as_of: date, first_day: date) -> Reference:
    """The reference of a champion: its recipe fitted SPAN_DAYS before, judged on the days since.

    Parameters
    ----------
    fit : the recipe, fitted on the interactions up to a day; the model, and these.
    lines : as for `profile`; those of the SPAN_DAYS up to `as_of` count.
    as_of : the champion's.
    first_day : of the history.

    Raises
    ------
    MonitorError : there are fewer than HISTORY_DAYS_MIN days to fit on or DAYS_MIN days to judge.
    """
    cut = as_of - timedelta(days=SPAN_DAYS)
    require_history(cut, as_of, first_day)
    model, known = fit(cut)
    within = (lines["day"] > pd.Timestamp(cut)) & (lines["day"] <= pd.Timestamp(as_of))
    return summarise(profile(model, known, lines[within]))


def require_history(cut: date, as_of: date, first_day: date) -> None:
    """Raise MonitorError where there are fewer than HISTORY_DAYS_MIN days up to `cut` to fit on."""
    if (cut - first_day).days + 1 < HISTORY_DAYS_MIN:
        raise MonitorError(
            f"the champion's history, {first_day} to {as_of}, is too short to say what is normal: "
            f"{SPAN_DAYS} days judge a model that was fitted on at least {HISTORY_DAYS_MIN} days; "
            "a champion with a longer history will be watched"
        )


def summarise(days: pd.DataFrame) -> Reference:
    """The reference that the profile of some days gives.

    Raises MonitorError when fewer than DAYS_MIN of them have purchases of known customers, or
    when all visits scored the same, so that there is no telling what is chance.
    """
    judged = days[days["feature"] == NDCG]
    if len(judged) < DAYS_MIN:
        raise MonitorError(
            f"in the {SPAN_DAYS} days up to the champion's as-of known customers bought on "
            f"{len(judged)}; {DAYS_MIN} are needed to say what is normal"
        )
    features = days.groupby("feature")[["units", "total", "squares"]].sum()
    mean = features["total"] / features["units"]
    # Rounding may take a constant's variance below 0.
    variance = np.maximum(features["squares"] / features["units"] - mean**2, 0)
    summary = pd.DataFrame({"mean": mean, "sd": np.sqrt(variance), "units": features["units"]})
    ndcg = summary.loc[NDCG]
    # Of alike visits only rounding is left, far below what one visit could differ by.
    if ndcg["sd"] < SD_MIN:
        raise MonitorError(
            f"all {ndcg['units']:.0f} visits before the champion's as-of have the same NDCG, "
            f"{ndcg['mean']:.3f}: there is no telling what is chance"
        )
    errors = (judged["total"] / judged["units"] - ndcg["mean"]) * np.sqrt(judged["units"])
    return Reference(
        summary,
        max(1.0, float(np.sqrt((errors**2).mean()) / ndcg["sd"])),
        len(judged),
        judged["day"].min().date(),
        judged["day"].max().date(),
    )
