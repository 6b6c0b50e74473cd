"""What a champion meets on a day of trade: each feature's values, added up by day."""

from collections.abc import Iterator

import numpy as np
import pandas as pd

from ops_platform.models.interactions import positions
from ops_platform.models.judging import Fitted
from ops_platform.models.metrics import ndcg_at_k

K = 20
NDCG = f"ndcg_at_{K}"
# Cohen's h is the effect size of these, the standardised mean difference that of the others.
SHARES = frozenset({"hit_rate", "repeat_share", "unknown_products", "unknown_customers"})
FEATURES = (NDCG, "basket_size", "log_price", *sorted(SHARES))


def profile(model: Fitted, known: pd.DataFrame, lines: pd.DataFrame) -> pd.DataFrame:
    """How the trade of some days looks to a fitted model, by day and feature.

    A known customer is one whom the model was fitted on. A visit is what a customer bought on a
    day, each product once. The features, each a mean over its units:

    - `ndcg_at_20` of the visits of known customers, where a product that the model does not know
      is one that it failed to recommend;
    - `hit_rate`, the share of what was bought in these visits that is among the model's top 20;
    - `repeat_share`, the share of it that the customer had bought by the model's as-of;
    - `basket_size`, products in an order; `log_price`, natural logarithm of the pounds sterling
      paid a piece in a line that is not free of charge;
    - `unknown_products`, the share of lines of a product that the model does not know;
    - `unknown_customers`, the share of visits of customers whom it does not know, guests left out.

    Parameters
    ----------
    model : fitted on the interactions `known`.
    known : columns customer_id, product_id.
    lines : purchases of products: day, order_id, customer_id (None for a guest), product_id,
        unit_price.

    Returns
    -------
    Columns day, feature, units, total and squares: the number of units, the sum of their values
    and of the squares of these. No row where a day has no unit.
    """
    values = [
        pd.DataFrame({"day": days, "feature": feature, "value": np.asarray(value, dtype=float)})
        for feature, days, value in [*_of_visits(model, known, lines), *_of_lines(model, lines)]
    ]
    units = pd.concat(values, ignore_index=True)
    units["squares"] = units["value"] ** 2
    by_day = units.groupby(["day", "feature"], as_index=False, sort=True)
    return by_day.agg(units=("value", "size"), total=("value", "sum"), squares=("squares", "sum"))


Values = tuple[str, pd.Series, np.ndarray | pd.Series]


def _of_visits(model: Fitted, known: pd.DataFrame, lines: pd.DataFrame) -> Iterator[Values]:
    named = lines.loc[lines["customer_id"].notna(), ["day", "customer_id", "product_id"]]
    bought = named.drop_duplicates(ignore_index=True)
    is_known = positions(bought["customer_id"].to_numpy(dtype=str), model.customers_) >= 0
    visitors = bought[["day", "customer_id"]].assign(unknown=~is_known).drop_duplicates()
    yield "unknown_customers", visitors["day"], visitors["unknown"]
    bought = bought[is_known]
    if bought.empty:
        return
    bought = bought.merge(_top(model, bought["customer_id"].unique()), how="left")
    bought = bought.merge(
        known[["customer_id", "product_id"]].drop_duplicates().assign(before=True), how="left"
    )
    hit = bought["rank"].notna()
    yield "hit_rate", bought["day"], hit
    yield "repeat_share", bought["day"], bought["before"].notna()
    visit = bought.groupby(["day", "customer_id"]).ngroup().to_numpy()
    days = bought["day"].iloc[np.unique(visit, return_index=True)[1]]
    yield NDCG, days, ndcg_of_visits(visit, bought["rank"].fillna(-1).to_numpy(dtype=int))


def ndcg_of_visits(visit: np.ndarray, rank: np.ndarray) -> np.ndarray:
    """NDCG@20 of each visit: float64 (n_visits,).

    Parameters
    ----------
    visit : int (n,), of each product that was bought, its visit, numbered from 0 without gaps.
    rank : int (n,), its place in the list that was shown, from 0; -1 where it is not in it.
    """
    hits = np.zeros((visit.max() + 1, K), dtype=bool)
    hits[visit[rank >= 0], rank[rank >= 0]] = True
    return ndcg_at_k(hits, np.bincount(visit), K)


def _top(model: Fitted, customers: np.ndarray) -> pd.DataFrame:
    """The model's lists: customer_id, product_id and rank from 0."""
    products = model.recommend(customers, K).product_id
    return pd.DataFrame(
        {
            "customer_id": np.repeat(customers, products.shape[1]),
            "product_id": products.ravel(),
            "rank": np.tile(np.arange(products.shape[1]), len(customers)),
        }
    )


def _of_lines(model: Fitted, lines: pd.DataFrame) -> Iterator[Values]:
    unknown = positions(lines["product_id"].to_numpy(dtype=str), model.products_) < 0
    yield "unknown_products", lines["day"], unknown
    paid = lines[lines["unit_price"] > 0]
    yield "log_price", paid["day"], np.log(paid["unit_price"].to_numpy(dtype=float))
    baskets = lines.drop_duplicates(["order_id", "product_id"]).groupby("order_id")
    yield "basket_size", baskets["day"].first(), baskets.size()
