"""The history that policies are replayed on: which visits there were, and what they can tell of."""

from dataclasses import dataclass
from datetime import date

import numpy as np
import pandas as pd

from ops_platform.models.estimators import Recommends
from ops_platform.models.interactions import positions
from ops_platform.monitor.profile import K, ndcg_of_visits


@dataclass(frozen=True)
class Purchases:
    """Products that were bought in visits.

    Attributes
    ----------
    visit : int (n,), position of the visit.
    customer, product : int (n,), positions in the sorted ids.
    """

    visit: np.ndarray
    customer: np.ndarray
    product: np.ndarray

    def after(self, visit: int) -> "Purchases":
        """Those of the visits from this position on, numbered from 0 on."""
        start = int(np.searchsorted(self.visit, visit))
        return Purchases(self.visit[start:] - visit, self.customer[start:], self.product[start:])


@dataclass(frozen=True)
class Visits:
    """The visits of customers who had bought on an earlier day, in order of the days.

    A visit is what a customer bought on a day, each product once.

    Attributes
    ----------
    customers, products : str, sorted ids.
    first_day : datetime64[D], by customer.
    day : datetime64[D] (n,), of each visit.
    customer : int (n,), position of its customer.
    bought : all that was bought in them.
    first_bought : of that, what the customer had not bought on an earlier day.
    """

    customers: np.ndarray
    products: np.ndarray
    first_day: np.ndarray
    day: np.ndarray
    customer: np.ndarray
    bought: Purchases
    first_bought: Purchases

    def __len__(self) -> int:
        """How many."""
        return len(self.day)

    def first_after(self, day: date) -> int:
        """Position of the first visit after a day."""
        return int(np.searchsorted(self.day, np.datetime64(day, "D"), side="right"))


def visits_of(lines: pd.DataFrame) -> Visits:
    """The visits of all purchases of a history, which are in order of the days.

    Parameters
    ----------
    lines : columns day, customer_id (None for a guest), product_id.
    """
    named = lines.loc[lines["customer_id"].notna(), ["day", "customer_id", "product_id"]]
    customer, customers = pd.factorize(named["customer_id"], sort=True)
    product, products = pd.factorize(named["product_id"], sort=True)
    rows = pd.DataFrame({"day": named["day"].to_numpy(), "customer": customer, "product": product})
    rows = rows.drop_duplicates().sort_values(["day", "customer", "product"], ignore_index=True)
    rows["first"] = ~rows.duplicated(["customer", "product"])
    first_day = rows.groupby("customer")["day"].min().to_numpy().astype("datetime64[D]")
    rows = rows[rows["day"].to_numpy() > first_day[rows["customer"]]]
    rows = rows.assign(visit=rows.groupby(["day", "customer"]).ngroup())
    by_visit = rows.drop_duplicates("visit")
    return Visits(
        np.asarray(customers, dtype=str),
        np.asarray(products, dtype=str),
        first_day,
        by_visit["day"].to_numpy().astype("datetime64[D]"),
        by_visit["customer"].to_numpy(),
        _purchases(rows),
        _purchases(rows[rows["first"]]),
    )


def _purchases(rows: pd.DataFrame) -> Purchases:
    return Purchases(*(rows[name].to_numpy() for name in ("visit", "customer", "product")))


@dataclass(frozen=True)
class Scores:
    """How a model did on each visit after its as-of.

    Attributes
    ----------
    ndcg : float64 (n,), NDCG@20 of all that was bought; a product that the model does not know is
        one that it failed to recommend, and a customer whom it does not know is shown what is
        popular.
    discovery : float64 (n,), of what was bought for the first time, by lists without what the model
        knows to have been bought; NaN where nothing was.
    known : bool (n,), whether the model knows the customer.
    seconds : that the fit took.
    """

    ndcg: np.ndarray
    discovery: np.ndarray
    known: np.ndarray
    seconds: float


def score(model: Recommends, visits: Visits, as_of: date, seconds: float) -> Scores:
    """The scores of a model on the visits after its as-of."""
    start = visits.first_after(as_of)
    who, row = np.unique(visits.customer[start:], return_inverse=True)
    count = len(visits) - start
    nothing = np.full(count, np.nan)
    if count == 0:
        return Scores(nothing, nothing, np.zeros(0, dtype=bool), seconds)
    known = positions(visits.customers[who], model.customers_) >= 0
    found = []
    for purchases, discovery in ((visits.bought, False), (visits.first_bought, True)):
        later = purchases.after(start)
        shown = _ranks(model, visits, who, discovery)
        rank = shown[np.searchsorted(who, later.customer), later.product]
        visit, number = np.unique(later.visit, return_inverse=True)
        scores = nothing.copy()
        if len(visit):
            scores[visit] = ndcg_of_visits(number, rank)
        found.append(scores)
    return Scores(found[0], found[1], known[row], seconds)


def _ranks(model: Recommends, visits: Visits, who: np.ndarray, discovery: bool) -> np.ndarray:
    """Place of each product in the list of each of these customers, -1 for none: int8 (n, m)."""
    lists = model.recommend(visits.customers[who], K, discovery=discovery).product_id
    ranks = np.full((len(who), len(visits.products)), -1, dtype=np.int8)
    # What nobody bought, or "" where a list is short, is at -1.
    at = positions(lists, visits.products)
    row, place = np.nonzero(at >= 0)
    ranks[row, at[row, place]] = place
    return ranks
