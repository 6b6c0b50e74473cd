"""What a model has to beat: what everybody buys, what the customer bought before, and EASE."""

from abc import ABC, abstractmethod
from datetime import date
from typing import Self

import numpy as np
import pandas as pd
from scipy import sparse
from sklearn.base import BaseEstimator

from ops_platform.models.interactions import IdsLike, Interactions, numbered, positions
from ops_platform.models.item_item import ease, matrix
from ops_platform.models.ranking import Recommendations, recommend


class Baseline(BaseEstimator, ABC):
    """Numbers what is known and counts its days; a subclass learns from them and scores."""

    def fit(self, interactions: pd.DataFrame, as_of: date) -> Self:
        """Count days and learn; raises TrainingError like `numbered`."""
        known = numbered(interactions, as_of)
        self.customers_, self.products_ = known.customers, known.products
        # CSR (n_customers, n_products): on how many days each product was bought.
        self.days_ = matrix(known, np.ones(len(known.age)))
        self._learn(known)
        return self

    def recommend(
        self, customers: IdsLike, k: int = 20, discovery: bool = False
    ) -> Recommendations:
        """The k best products for each of n customers; raises ValueError for k < 1.

        Under `discovery` only products that the customer never bought.
        """

        def score(position: np.ndarray) -> np.ndarray:
            days = self._days(position)
            scores = self._score(position, days)
            return np.where(days > 0, -np.inf, scores) if discovery else scores

        return recommend(score, positions(customers, self.customers_), self.products_, k)

    def _days(self, position: np.ndarray) -> np.ndarray:
        days = self.days_[np.maximum(position, 0)].toarray()
        days[position < 0] = 0
        return np.asarray(days)

    def _learn(self, known: Interactions) -> None:
        self.popularity_ = np.bincount(known.product, minlength=len(known.products))

    @abstractmethod
    def _score(self, position: np.ndarray, days: np.ndarray) -> np.ndarray:
        """What each product is worth to each of these customers, a row each."""


class Popularity(Baseline):
    """The same list for everybody: the products bought on the most distinct customer-days."""

    def _score(self, position: np.ndarray, days: np.ndarray) -> np.ndarray:
        return np.tile(self.popularity_.astype(float), (len(position), 1))


class PersonalFrequency(Baseline):
    """What the customer bought on the most distinct days; ties and the rest by popularity.

    A strong baseline where people buy the same things again (Hu et al., SIGIR 2020).
    """

    def _score(self, position: np.ndarray, days: np.ndarray) -> np.ndarray:
        # Below one day whatever the popularity is, so it decides ties only.
        return np.asarray(days + self.popularity_ / (self.popularity_.max() + 1))


class Ease(Baseline):
    """EASE (Steck, WWW 2019) on what was bought at all, without any regard to time.

    Parameters
    ----------
    regularisation : in customers.
    threads : of the linear algebra.
    """

    def __init__(self, regularisation: float = 400.0, threads: int = 2) -> None:
        """Store the parameters."""
        self.regularisation = regularisation
        self.threads = threads

    def _learn(self, known: Interactions) -> None:
        bought: sparse.csr_array = (self.days_ > 0).astype(float)
        self.weights_ = ease(bought, self.regularisation, self.threads)

    def _score(self, position: np.ndarray, days: np.ndarray) -> np.ndarray:
        return np.asarray((days > 0).astype(float) @ self.weights_)
