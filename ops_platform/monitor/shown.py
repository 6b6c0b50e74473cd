"""Live performance as it is told to people: the days that count, and their mean."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from ops_platform.monitor.estimate import WITHIN
from ops_platform.monitor.judged import ALL
from ops_platform.monitor.live_tables import AS_OF, SERVED

# So many customers who bought say something of what was served.
UNITS_MIN = 30
DAYS = 28


@dataclass(frozen=True)
class Mean:
    """Of some days: customers who bought, their NDCG, the baseline's, and the lead over it.

    The interval of the lead is over the customers of these days.
    """

    units: int
    ndcg: float
    baseline: float
    lead: float
    low: float
    high: float


def source_of(rows: pd.DataFrame) -> str:
    """Which answers tell of a model: those served, where enough of them have labels."""
    ripe = rows[rows["ripe"] & (rows["segment"] == ALL)]
    last = ripe[ripe["period"] > ripe["period"].max() - pd.Timedelta(days=DAYS)]
    return SERVED if last.loc[last["source"] == SERVED, "units"].sum() >= UNITS_MIN else AS_OF


def of_everyone(rows: pd.DataFrame) -> pd.DataFrame:
    """A row a day and version, over all customers and of the source that tells of the model."""
    chosen = (rows["segment"] == ALL) & (rows["source"] == source_of(rows))
    return rows[chosen].reset_index(drop=True)


def mean(rows: pd.DataFrame) -> Mean | None:
    """The mean of ripe days over their customers; None where none of them bought."""
    ripe = rows[rows["ripe"] & (rows["units"] > 0)]
    units = ripe["units"].to_numpy(dtype=float)
    if not len(units):
        return None

    def over(name: str) -> float:
        return float((ripe[name] * units).sum() / units.sum())

    errors = ((ripe["lead_high"] - ripe["lead"]) / WITHIN).fillna(0)
    half = WITHIN * float(np.sqrt(((errors * units) ** 2).sum())) / units.sum()
    lead = over("lead")
    return Mean(
        int(units.sum()), over("ndcg"), over("baseline_ndcg"), lead, lead - half, lead + half
    )
