"""What each customer will buy next: personal repeat purchases joined with EASE."""

from collections.abc import Mapping
from datetime import date
from typing import Any, Self

import numpy as np
import pandas as pd
from scipy import sparse
from scipy.linalg import lapack
from sklearn.base import BaseEstimator
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from ops_platform.errors import TrainingError
from ops_platform.models.interactions import IdsLike, Interactions, numbered, positions
from ops_platform.models.ranking import POPULARITY_WEIGHT, Recommendations, recommend

# How often products are bought again is read from the last three windows of 30 days.
REBUY_WINDOWS = 3
REBUY_DAYS = 30
# A product counts as if 20 more customers had it with the average rate of buying again ...
REBUY_PRIOR = 20
# ... and its trend as if half of the demand were spread evenly over all products.
TREND_PRIOR = 0.5
# Rates of few purchases are noisy, so both are taken at less than their face value.
REBUY_POWER = 0.5
TREND_POWER = 0.25


class Recommender(BaseEstimator):
    """Scores `history @ links`: what the customer bought, and what goes with it.

    `history` holds for each customer and product the days on which it was bought, each fading
    by half in `half_life_days`. `links` joins the products: off its diagonal are the
    weights of EASE (Steck, "Embarrassingly Shallow Autoencoders for Sparse Data", WWW 2019),
    the strongest `neighbours` of each product; on it `repeat_weight` times how readily the
    product is bought again; and each column is weighted by the recent trend of its product.
    Time-decayed personal frequency as in TIFU-KNN (Hu et al., SIGIR 2020).

    The linear algebra costs O(m^3) time and three m x m float64 arrays for m products.

    Parameters
    ----------
    half_life_days : a purchase counts half as much after so many days.
    regularisation : of EASE, in customer-days.
    repeat_weight : of buying the same product again, against buying what goes with it.
    trend_half_life_days : what "recent" means in the trend and in the popularity.
    neighbours : how many other products each product is linked to.
    threads : of the linear algebra; another number gives other last digits.
    seed : recorded for provenance; nothing in this model is random.

    Attributes
    ----------
    customers_ : str (n,), sorted ids of the training set.
    products_ : str (m,), sorted.
    history_ : float64 CSR (n, m).
    links_ : float32 CSR (m, m).
    popularity_ : float64 (m,), share of the recent demand.
    """

    def __init__(
        self,
        half_life_days: float = 365.0,
        regularisation: float = 400.0,
        repeat_weight: float = 0.5,
        trend_half_life_days: float = 14.0,
        neighbours: int = 200,
        threads: int = 2,
        seed: int = 0,
    ) -> None:
        """Store the parameters."""
        self.half_life_days = half_life_days
        self.regularisation = regularisation
        self.repeat_weight = repeat_weight
        self.trend_half_life_days = trend_half_life_days
        self.neighbours = neighbours
        self.threads = threads
        self.seed = seed

    def fit(self, interactions: pd.DataFrame, as_of: date) -> Self:
        """Learn from distinct (customer_id, product_id, day) up to `as_of`.

        Raises
        ------
        TrainingError : the interactions are refused by `numbered`, or a parameter is not
            positive.
        """
        self._check_parameters()
        known = numbered(interactions, as_of)
        recent = _decay(known.age, self.trend_half_life_days)
        demand = np.bincount(known.product, weights=recent, minlength=len(known.products))
        self.customers_, self.products_ = known.customers, known.products
        self.popularity_ = demand / demand.sum()
        self.history_ = _matrix(known, _decay(known.age, self.half_life_days))
        self.links_ = self._links(known)
        return self

    def recommend(self, customers: IdsLike, k: int = 20) -> Recommendations:
        """The k best products for each of n customers; unknown ones get the popular products.

        Raises
        ------
        ValueError : k < 1.
        """
        position = positions(customers, self.customers_)
        return recommend(self._score, position, self.products_, k)

    def state(self) -> dict[str, np.ndarray]:
        """All that was learned, as plain arrays by name."""
        return {
            "customers": self.customers_,
            "products": self.products_,
            "popularity": self.popularity_,
            **_arrays("history", self.history_),
            **_arrays("links", self.links_),
        }

    @classmethod
    def from_state(cls, params: Mapping[str, Any], state: Mapping[str, np.ndarray]) -> Self:
        """The fitted model that had these parameters and this state."""
        model = cls(**params)
        model.customers_, model.products_ = state["customers"], state["products"]
        model.popularity_ = state["popularity"]
        customers, products = len(model.customers_), len(model.products_)
        model.history_ = _from_arrays("history", state, (customers, products))
        model.links_ = _from_arrays("links", state, (products, products))
        return model

    def _check_parameters(self) -> None:
        for name, value in self.get_params().items():
            if name != "seed" and not value > 0:
                raise TrainingError(f"Recommender({name}={value!r}): it must be above 0.")

    def _links(self, known: Interactions) -> sparse.csr_array:
        counts = _matrix(known, np.ones(len(known.age)))
        weights = _strongest(ease(counts, self.regularisation, self.threads), self.neighbours)
        again = self.repeat_weight * _rebuy_rate(known) ** REBUY_POWER
        trend = _trend(known, self.popularity_) ** TREND_POWER
        links = (weights + sparse.diags_array(again)) @ sparse.diags_array(trend)
        return _sorted(sparse.csr_array(links).astype(np.float32))

    def _score(self, position: np.ndarray) -> np.ndarray:
        seen = position >= 0
        scores = np.tile(POPULARITY_WEIGHT * self.popularity_, (len(position), 1))
        scores[seen] += (self.history_[position[seen]] @ self.links_).toarray()
        return scores


def ease(counts: sparse.csr_array, regularisation: float, threads: int) -> np.ndarray:
    """The item-item weights of EASE in closed form: -P / diag(P), zero on the diagonal.

    P is the inverse of the regularised Gram matrix, by Cholesky, which takes a third of the
    time of a general inverse.

    Parameters
    ----------
    counts : CSR (n_customers, m).
    regularisation : above 0, added to the diagonal of the Gram matrix.
    threads : of BLAS, fixed because the last digits depend on it.

    Returns
    -------
    float64 (m, m); column j foretells product j.

    Raises
    ------
    TrainingError : the Gram matrix is not positive definite in floating point.
    """
    gram = (counts.T @ counts).toarray(order="F")
    gram[np.diag_indices_from(gram)] += regularisation
    with threadpool_limits(limits=threads):
        factor, failed = lapack.dpotrf(gram, lower=1, overwrite_a=1)
        if failed:
            raise TrainingError(
                f"EASE can't invert the co-purchases with regularisation={regularisation}: "
                "raise it."
            )
        inverse, _ = lapack.dpotri(factor, lower=1, overwrite_c=1)
    # LAPACK fills the lower triangle only.
    inverse = np.tril(inverse) + np.tril(inverse, -1).T
    weights = np.asarray(inverse / -np.diag(inverse))
    np.fill_diagonal(weights, 0.0)
    return weights


def _decay(age: np.ndarray, half_life_days: float) -> np.ndarray:
    return np.asarray(0.5 ** (age / half_life_days))


def _matrix(known: Interactions, weight: np.ndarray) -> sparse.csr_array:
    """Customers by products: the summed weights of the interactions."""
    shape = (len(known.customers), len(known.products))
    return _sorted(sparse.csr_array((weight, (known.customer, known.product)), shape=shape))


def _strongest(weights: np.ndarray, neighbours: int) -> sparse.csr_array:
    """The `neighbours` largest weights, by absolute value, in each row."""
    n = min(neighbours, weights.shape[1])
    column = np.argpartition(-np.abs(weights), n - 1, axis=1)[:, :n]
    row = np.repeat(np.arange(len(weights)), n)
    kept = np.take_along_axis(weights, column, axis=1).ravel()
    return sparse.csr_array((kept, (row, column.ravel())), shape=weights.shape)


def _rebuy_rate(known: Interactions) -> np.ndarray:
    """How readily each product is bought again, as a ratio to the average product (m,).

    Of the customers who came back in a window and had the product before it: the share that
    bought it in the window.
    """
    had = again = np.zeros(len(known.products))
    for start in range(REBUY_DAYS, REBUY_DAYS * REBUY_WINDOWS + 1, REBUY_DAYS):
        owners = _matrix(known, (known.age >= start).astype(float)) > 0
        inside = (known.age < start) & (known.age >= start - REBUY_DAYS)
        buyers = _matrix(known, inside.astype(float)) > 0
        back = np.isin(np.arange(len(known.customers)), known.customer[inside])
        had = had + owners[back].sum(axis=0)
        again = again + owners.multiply(buyers).sum(axis=0)
    if again.sum() == 0:
        # Too short a history to tell products apart.
        return np.ones(len(known.products))
    average = again.sum() / had.sum()
    return np.asarray((again + REBUY_PRIOR * average) / (had + REBUY_PRIOR) / average)


def _trend(known: Interactions, recent: np.ndarray) -> np.ndarray:
    """Share of the recent demand by share of the whole demand, smoothed (m,)."""
    whole = np.bincount(known.product, minlength=len(known.products)) / len(known.product)
    prior = TREND_PRIOR / len(known.products)
    return np.asarray((recent + prior) / (whole + prior))


def _sorted(matrix: sparse.csr_array) -> sparse.csr_array:
    """One representation for one matrix, so that equal states have equal digests."""
    matrix.sum_duplicates()
    matrix.eliminate_zeros()
    return matrix


def _arrays(name: str, matrix: sparse.csr_array) -> dict[str, np.ndarray]:
    return {
        f"{name}_data": matrix.data,
        f"{name}_indices": matrix.indices.astype(np.int32),
        f"{name}_indptr": matrix.indptr.astype(np.int64),
    }


def _from_arrays(
    name: str, state: Mapping[str, np.ndarray], shape: tuple[int, int]
) -> sparse.csr_array:
    parts = tuple(state[f"{name}_{part}"] for part in ("data", "indices", "indptr"))
    return sparse.csr_array(parts, shape=shape)
