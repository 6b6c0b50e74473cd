"""What each customer will buy next: habits, what goes with them, and what is in demand now."""

from collections.abc import Iterable, Iterator, Mapping
from datetime import date
from typing import Any, ClassVar, Self

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator

from ops_platform.errors import TrainingError
from ops_platform.models.demand import fading, popularity, rebuy_rate, trend
from ops_platform.models.interactions import IdsLike, Interactions, numbered, positions
from ops_platform.models.item_item import ease, matrix, strongest
from ops_platform.models.moving import MovingEase
from ops_platform.models.ranking import Recommendations, recommend
from ops_platform.models.scoring import OF_CUSTOMERS, OF_PRODUCTS, Scoring
from ops_platform.models.space import Span

# Rates of few purchases are noisy, so they are taken at less than their face value.
REBUY_POWER = 0.5
# A product bought once, long ago, links with this weight; one bought today with 1.
OLD_AFFINITY = 2 / 3


class Recommender(BaseEstimator):
    """Scores as `Scoring` does: repeat purchases joined with EASE, both moved by the demand.

    EASE foretells what a customer buys over the whole history. What is bought next differs by how
    the demand has moved since: by Bayes' rule, each product's score is multiplied by its recent
    share of the demand over its share of the whole. Repeat purchases are time-decayed personal
    frequency as in TIFU-KNN (Hu et al., SIGIR 2020), weighted by how readily the product is
    bought again.

    Parameters
    ----------
    half_life_days : a purchase counts half as much as a habit after so many days.
    link_half_life_days : and half as much more for what goes with it after so many.
    regularisation : of EASE, in customers.
    repeat_weight : of buying the same product again, against buying what goes with it.
    trend_half_life_days : what "recent" means in the trend and in the popularity.
    neighbours : how many other products each product is linked to.
    threads : of the linear algebra; another number gives other last digits.
    seed : recorded for provenance; nothing in this model is random.

    Attributes
    ----------
    customers_ : str (n,), sorted ids of the training set.
    products_ : str (m,), sorted.
    arrays_ : all that was learned, by name, as `Scoring` takes it.
    """

    SPACE: ClassVar[Mapping[str, Span]] = {
        "half_life_days": Span(60.0, 730.0, log=True),
        "link_half_life_days": Span(30.0, 730.0, log=True),
        "regularisation": Span(100.0, 2000.0, log=True),
        "repeat_weight": Span(0.1, 2.0, log=True),
        "trend_half_life_days": Span(2.0, 60.0, log=True),
    }

    def __init__(
        self,
        half_life_days: float = 365.0,
        link_half_life_days: float = 180.0,
        regularisation: float = 400.0,
        repeat_weight: float = 0.5,
        trend_half_life_days: float = 7.0,
        neighbours: int = 200,
        threads: int = 2,
        seed: int = 0,
    ) -> None:
        """Store the parameters."""
        self.half_life_days = half_life_days
        self.link_half_life_days = link_half_life_days
        self.regularisation = regularisation
        self.repeat_weight = repeat_weight
        self.trend_half_life_days = trend_half_life_days
        self.neighbours = neighbours
        self.threads = threads
        self.seed = seed

    def fit(self, interactions: pd.DataFrame, as_of: date | None = None) -> Self:
        """Learn from distinct (customer_id, product_id, day) up to `as_of`, or the newest of them.

        `interactions.by_day` makes them of any table of events. A purchase is as old as it is on
        `as_of`, also when asked later.

        Raises
        ------
        TrainingError : the interactions are refused by `numbered`, or a parameter is not
            positive.
        """
        self._check_parameters()
        known = numbered(interactions, as_of)
        bought = matrix(known, np.ones(len(known.age))) > 0
        weights = ease(bought.astype(float), self.regularisation, self.threads)
        return self._take({**self._of_products(known, weights), **self._of_customers(known)})

    def fits(self, histories: Iterable[tuple[pd.DataFrame, date]]) -> Iterator[Self]:
        """This recipe fitted on one history after another, each with its as-of.

        As `fit` gives it but for rounding, and several times as fast where they differ by days.
        Raises TrainingError as `fit`.
        """
        self._check_parameters()
        moving = MovingEase(self.regularisation, self.threads)
        for interactions, as_of in histories:
            known = numbered(interactions, as_of)
            learned = self._of_products(known, moving.weights(known))
            yield type(self)(**self.get_params())._take({**learned, **self._of_customers(known)})

    def recommend(
        self, customers: IdsLike, k: int = 20, discovery: bool = False
    ) -> Recommendations:
        """The k best products for each of n customers; unknown ones get the popular products.

        Under `discovery` only products that the customer never bought.

        Raises
        ------
        ValueError : k < 1.
        """

        def score(position: np.ndarray) -> np.ndarray:
            found = self._scoring.contributions(position)
            return self._scoring.score(position, found, discovery)

        return recommend(score, positions(customers, self.customers_), self.products_, k)

    def state(self) -> dict[str, np.ndarray]:
        """All that was learned, as plain arrays by name."""
        return dict(self.arrays_)

    @classmethod
    def from_state(cls, params: Mapping[str, Any], state: Mapping[str, np.ndarray]) -> Self:
        """The fitted model that had these parameters and this state."""
        return cls(**params)._take({name: state[name] for name in (*OF_PRODUCTS, *OF_CUSTOMERS)})

    def _take(self, arrays: dict[str, np.ndarray]) -> Self:
        self.arrays_ = arrays
        self.customers_, self.products_ = arrays["customers"], arrays["products"]
        self._scoring = Scoring(arrays)
        return self

    def _check_parameters(self) -> None:
        for name, value in self.get_params().items():
            if name != "seed" and not value > 0:
                raise TrainingError(f"Recommender({name}={value!r}): it must be above 0.")

    def _of_products(self, known: Interactions, weights: np.ndarray) -> dict[str, np.ndarray]:
        links = strongest(weights, self.neighbours).astype(np.float32)
        age = np.zeros(len(known.products), dtype=np.int64)
        np.maximum.at(age, known.product, known.age)
        return {
            "products": known.products,
            "popularity": popularity(known, self.trend_half_life_days),
            "trend": trend(known, self.trend_half_life_days),
            "again": self.repeat_weight * rebuy_rate(known) ** REBUY_POWER,
            "product_age": age,
            "links_data": links.data,
            "links_indices": links.indices.astype(np.int32),
            "links_indptr": links.indptr.astype(np.int64),
        }

    def _of_customers(self, known: Interactions) -> dict[str, np.ndarray]:
        repeat = matrix(known, fading(known.age, self.half_life_days))
        fresh = matrix(known, fading(known.age, self.link_half_life_days))
        return {
            "customers": known.customers,
            "history_indices": repeat.indices.astype(np.int32),
            "history_indptr": repeat.indptr.astype(np.int64),
            "history_affinity": OLD_AFFINITY + (1 - OLD_AFFINITY) * fresh.data,
            "history_repeat": repeat.data,
        }
