"""What performance is likely to be before labels have come, from what answers are like.

Direct standardisation: the rates of each stratum of answers on days whose labels are there, weighed
by how many answers of it the day has. It sees a change of who comes and of what is answered; it
can't see a change of taste, which shows in labels alone.
"""

import numpy as np
import pandas as pd

# Of the standard normal distribution: 95 % lie within.
WITHIN = 1.96
# Fewer days say too little of how far a day is from what its answers let one expect.
DAYS_MIN = 12
DAYS_MAX = 60
FIGURES = ("hit_rate", "hit_rate_low", "hit_rate_high", "ndcg", "ndcg_low", "ndcg_high")


def estimate(ripe: pd.DataFrame, days: pd.DataFrame) -> pd.DataFrame:
    """Hit rate and NDCG of days without labels, with an interval that holds 95 % of such days.

    The interval is as wide as the days with labels were away from their own estimates, by the
    number of answers.

    Parameters
    ----------
    ripe : rows of `monitor.calibration` with labels, of one model, source and segment. The last
        DAYS_MAX days count.
    days : rows of the same table, of which version, period, stratum and answers are read.

    Returns
    -------
    FIGURES by version and period; empty where fewer than DAYS_MIN days have labels.
    """
    last = np.sort(ripe["period"].unique())[-DAYS_MAX:]
    if len(last) < DAYS_MIN or days.empty:
        return pd.DataFrame(columns=list(FIGURES))
    ripe = ripe[ripe["period"].isin(last)]
    sums = ripe.groupby("period")[["answers", "hits", "buyers", "ndcg"]].sum()
    rates, seen = _rates(ripe), _expected(_rates(ripe), ripe, ["period"])
    found = _expected(rates, days, ["version", "period"])
    hit_rate = (sums["hits"].sum() + 1) / (sums["answers"].sum() + 2)
    hit_spread = max(
        _spread(sums["hits"] / sums["answers"], seen["hit_rate"], sums["answers"]),
        # Where all hit so far, the next need not (Laplace's rule).
        np.sqrt(hit_rate * (1 - hit_rate)),
    )
    sums = sums[sums["buyers"] > 0]
    ndcg_spread = _spread(sums["ndcg"] / sums["buyers"], seen["ndcg"], sums["buyers"])
    for name, spread, size in (
        ("hit_rate", hit_spread, found["answers"]),
        ("ndcg", ndcg_spread, np.maximum(found["answers"] * found["buy"], 1)),
    ):
        half = WITHIN * spread / np.sqrt(size)
        found[f"{name}_low"] = (found[name] - half).clip(lower=0)
        found[f"{name}_high"] = (found[name] + half).clip(upper=1)
    return found[list(FIGURES)]


def _rates(ripe: pd.DataFrame) -> pd.DataFrame:
    """By stratum the shares that hit and that buy, and the buyers' NDCG; -1 is all of them."""
    sums = ripe.groupby("stratum")[["answers", "hits", "buyers", "ndcg"]].sum()
    sums.loc[-1] = sums.sum()
    rates = pd.DataFrame(
        {
            "hit": sums["hits"] / sums["answers"],
            "buy": sums["buyers"] / sums["answers"],
            "gain": sums["ndcg"] / sums["buyers"].where(sums["buyers"] > 0),
        }
    )
    # A stratum in which nobody bought yet is as all are.
    return rates.fillna({"gain": rates.loc[-1, "gain"]})


def _expected(rates: pd.DataFrame, days: pd.DataFrame, key: list[str]) -> pd.DataFrame:
    """Answers, hit_rate, buy and ndcg by the strata of each day's answers, indexed by `key`."""
    known = days["stratum"].where(days["stratum"].isin(rates.index), -1)
    own = rates.loc[known].set_axis(days.index)
    weighed = pd.DataFrame(
        {
            "answers": days["answers"],
            "hits": days["answers"] * own["hit"],
            "buyers": days["answers"] * own["buy"],
            "gains": days["answers"] * own["buy"] * own["gain"],
        }
    )
    sums = weighed.groupby([days[name] for name in key]).sum()
    return pd.DataFrame(
        {
            "answers": sums["answers"],
            "hit_rate": sums["hits"] / sums["answers"],
            "buy": sums["buyers"] / sums["answers"],
            "ndcg": sums["gains"] / sums["buyers"].where(sums["buyers"] > 0),
        }
    )


def _spread(seen: pd.Series, expected: pd.Series, size: pd.Series) -> float:
    """Standard deviation of one unit, as the days' differences from what was expected show it."""
    return float(np.sqrt((size * (seen - expected) ** 2).mean()))
