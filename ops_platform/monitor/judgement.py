"""From a day's profile and what is normal to its drift by feature, and to alarms."""

import numpy as np
import pandas as pd

from ops_platform.monitor.alarm_rule import AlarmRule
from ops_platform.monitor.effects import effect
from ops_platform.monitor.profile import NDCG
from ops_platform.monitor.reference import Reference

# A loss of a tenth is to be found, and half of it is tolerated: seasons alone cost that much.
TOLERATED_LOSS = 0.05
COLUMNS = ("period", "feature", "reference", "value", "effect", "statistic", "bound", "alarm")


def evidence(ndcg: pd.DataFrame, reference: Reference) -> np.ndarray:
    """By how many standard errors each day's NDCG is below what is tolerated: float (n_days,).

    Parameters
    ----------
    ndcg : rows of a profile, of the feature NDCG.
    reference : whose mean, less TOLERATED_LOSS of it, is tolerated.
    """
    mean, sd = (float(reference.features["mean"][NDCG]), float(reference.features["sd"][NDCG]))
    missing = mean * (1 - TOLERATED_LOSS) - ndcg["total"] / ndcg["units"]
    error = sd * reference.dispersion / np.sqrt(ndcg["units"])
    return np.asarray(missing / error, dtype=float)


def judge(
    days: pd.DataFrame, reference: Reference, rule: AlarmRule, statistic: float = 0.0
) -> pd.DataFrame:
    """Drift by day and feature; the NDCG's rows carry the rule's statistic, bound and alarm.

    A day on which no known customer bought has no row, and the statistic passes it by. A feature
    that the reference lacks has no row either.

    Parameters
    ----------
    days : a profile, in order of the days.
    reference : what is normal.
    statistic : that the last judged day left, 0 after an alarm.

    Returns
    -------
    COLUMNS; statistic and bound are null in the rows of the other features.
    """
    ndcg = days[days["feature"] == NDCG].reset_index(drop=True)
    judged = rule.judge(evidence(ndcg, reference).tolist(), statistic)
    verdicts = pd.DataFrame(
        {
            "day": ndcg["day"],
            "statistic": [one.statistic for one in judged],
            "alarm": [one.alarm for one in judged],
        }
    )
    rows = days.merge(verdicts, on="day").join(reference.features[["mean", "sd"]], on="feature")
    rows = rows[rows["mean"].notna()]
    value = rows["total"] / rows["units"]
    watched = rows["feature"] == NDCG
    effects = [
        effect(*one) for one in zip(rows["feature"], value, rows["mean"], rows["sd"], strict=True)
    ]
    return pd.DataFrame(
        {
            "period": rows["day"],
            "feature": rows["feature"],
            "reference": rows["mean"],
            "value": value,
            "effect": effects,
            "statistic": rows["statistic"].where(watched),
            "bound": pd.Series(rule.bound, index=rows.index).where(watched),
            "alarm": rows["alarm"] & watched,
        }
    ).reset_index(drop=True)
