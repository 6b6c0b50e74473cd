"""What a model has to beat: what everybody buys, and what the customer bought before."""

from datetime import date
from typing import Self

import numpy as np
import pandas as pd
from scipy import sparse
from sklearn.base import BaseEstimator

from ops_platform.models.interactions import IdsLike, Interactions, numbered, positions
from ops_platform.models.ranking import Recommendations, recommend


def popularity(known: Interactions) -> np.ndarray:
    """On how many distinct customer-days each product was bought: int (n_products,)."""
    return np.bincount(known.product, minlength=len(known.products))


class Popularity(BaseEstimator):
    """The same list for everybody: the products bought on the most distinct customer-days."""

    def fit(self, interactions: pd.DataFrame, as_of: date) -> Self:
        """Count the customer-days of each product; raises TrainingError like `numbered`."""
        known = numbered(interactions, as_of)
        self.customers_, self.products_ = known.customers, known.products
        self.popularity_ = popularity(known)
        return self

    def recommend(self, customers: IdsLike, k: int = 20) -> Recommendations:
        """The k most popular products for each of n customers; raises ValueError for k < 1."""
        position = positions(customers, self.customers_)
        return recommend(self._score, position, self.products_, k)

    def _score(self, position: np.ndarray) -> np.ndarray:
        return np.tile(self.popularity_.astype(float), (len(position), 1))


class PersonalFrequency(BaseEstimator):
    """What the customer bought on the most distinct days; ties and the rest by popularity.

    A strong baseline where people buy the same things again (Hu et al., SIGIR 2020).
    """

    def fit(self, interactions: pd.DataFrame, as_of: date) -> Self:
        """Count the days of each customer and product; raises TrainingError like `numbered`."""
        known = numbered(interactions, as_of)
        self.customers_, self.products_ = known.customers, known.products
        self.popularity_ = popularity(known)
        self.days_ = sparse.csr_array(
            (np.ones(len(known.age)), (known.customer, known.product)),
            shape=(len(known.customers), len(known.products)),
        )
        return self

    def recommend(self, customers: IdsLike, k: int = 20) -> Recommendations:
        """The k products of each of n customers; raises ValueError for k < 1."""
        position = positions(customers, self.customers_)
        return recommend(self._score, position, self.products_, k)

    def _score(self, position: np.ndarray) -> np.ndarray:
        days = self.days_[np.maximum(position, 0)].toarray()
        days[position < 0] = 0
        # Below one day whatever the popularity is, so it decides ties only.
        return np.asarray(days + self.popularity_ / (self.popularity_.max() + 1))
