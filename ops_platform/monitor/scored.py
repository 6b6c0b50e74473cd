"""How good answers were, by what the customers bought within the days after."""

import duckdb
import numpy as np
import pandas as pd

from ops_platform.models.metrics import ndcg_at_k
from ops_platform.monitor.answers import Answers, K

# What was bought from the day of the answer on, and kept, as it is known when these days are over.
_BOUGHT = """
SELECT DISTINCT unit, product_id FROM (
    SELECT asked.unit, events.product_id
    FROM asked JOIN marts.fct_interactions AS events
      ON events.customer_id = asked.customer_id AND events.purchased_on >= asked.day::DATE
     AND events.day < asked.day::DATE + to_days($days)
    GROUP BY asked.unit, events.product_id, events.purchased_on
    HAVING sum(events.quantity) > 0
)
ORDER BY unit, product_id
"""


def bought(connection: duckdb.DuckDBPyConnection, units: pd.DataFrame, days: int) -> pd.DataFrame:
    """The products that the customer of each unit bought within so many days: unit, product_id.

    `connection` is pinned to what is published.
    """
    asked = units[["day", "customer_id"]].assign(unit=np.arange(len(units)))
    asked["day"] = asked["day"].astype("datetime64[us]")
    connection.register("asked", asked)
    found = connection.execute(_BOUGHT, {"days": days}).df()
    connection.unregister("asked")
    return found


def score(answers: Answers, purchases: pd.DataFrame) -> pd.DataFrame:
    """Each answer judged by the purchases of `bought`, in the order of its units.

    Returns
    -------
    hit : whether any product of the list was bought.
    buyer : whether anything was.
    ndcg : NDCG at the length of the list; NaN where nothing was bought.
    """
    n = len(answers.units)
    hits = np.zeros((n, K), dtype=bool)
    found = answers.lists.merge(purchases, on=["unit", "product_id"])
    hits[found["unit"].to_numpy(dtype=int), found["rank"].to_numpy(dtype=int)] = True
    relevant = np.bincount(purchases["unit"].to_numpy(dtype=int), minlength=n)
    length = answers.units["length"].to_numpy(dtype=int)
    ndcg = np.full(n, np.nan)
    for k in np.unique(length):
        chosen = (length == k) & (relevant > 0)
        if k and chosen.any():
            ndcg[chosen] = ndcg_at_k(hits[chosen, :k], relevant[chosen], int(k))
    return pd.DataFrame({"hit": hits.any(axis=1), "buyer": relevant > 0, "ndcg": ndcg})
