"""How the recommender scores, with numpy alone: one code for the estimator and the service."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

# Popularity fills up the lists, it never outweighs what is known of a customer.
POPULARITY_WEIGHT = 1e-6
# Demand that moves moves first purchases in full, and habits less.
REPEAT_TREND_POWER = 0.25
# What is learned of the products, and what is kept of each customer.
OF_PRODUCTS = (
    *("products", "popularity", "trend", "again", "product_age"),
    *("links_data", "links_indices", "links_indptr"),
)
OF_CUSTOMERS = (
    "customers",
    "history_indices",
    "history_indptr",
    "history_affinity",
    "history_repeat",
)


@dataclass(frozen=True)
class Contributions:
    """What each bought product adds to the affinity of each product.

    Attributes
    ----------
    row : int64 (n,), which of the customers asked for.
    source : int32 (n,), position of the bought product.
    target : int32 (n,), position of the product whose affinity it adds to.
    value : float64 (n,).
    """

    row: np.ndarray
    source: np.ndarray
    target: np.ndarray
    value: np.ndarray

    def __add__(self, other: "Contributions") -> "Contributions":
        """All of both."""
        return Contributions(
            np.concatenate([self.row, other.row]),
            np.concatenate([self.source, other.source]),
            np.concatenate([self.target, other.target]),
            np.concatenate([self.value, other.value]),
        )


class Scoring:
    """Scores of all products for some customers, from plain arrays.

    A product's affinity is the sum, over what the customer bought, of how strongly it is linked to
    that, no less than zero. A product that the customer never bought scores affinity times trend;
    one bought before `(affinity + again * repeat) * trend ** REPEAT_TREND_POWER`. Popularity
    decides where nothing else does.

    Parameters
    ----------
    arrays : those of OF_PRODUCTS and OF_CUSTOMERS: m products and n customers; `links` CSR (m, m),
        `history` CSR (n, m) with two values for each product that a customer bought.
    """

    def __init__(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Keep the arrays; nothing is copied."""
        self.products = arrays["products"]
        self._bounds, self._bought = arrays["history_indptr"], arrays["history_indices"]
        self._affinity, self._repeat = arrays["history_affinity"], arrays["history_repeat"]
        self._links = tuple(arrays[f"links_{part}"] for part in ("data", "indices", "indptr"))
        self._prior = POPULARITY_WEIGHT * arrays["popularity"]
        self._trend, self._again = arrays["trend"], arrays["again"]
        self._repeat_trend = self._trend**REPEAT_TREND_POWER

    def contributions(self, position: np.ndarray) -> Contributions:
        """What adds to which affinity for customers (b,), -1 for one who is not known."""
        row, entry = self._history(position)
        return self._linked(row, self._bought[entry], self._affinity[entry])

    def of_session(self, position: int, products: np.ndarray) -> Contributions:
        """What distinct products add that a customer looks at now, each as if bought today.

        What the history of the customer at this position, -1 for one who is not known, adds for
        them already is not added again.
        """
        weight = np.ones(len(products))
        if position >= 0:
            entries = slice(self._bounds[position], self._bounds[position + 1])
            before = np.zeros(len(self.products))
            before[self._bought[entries]] = self._affinity[entries]
            weight -= before[products]
        return self._linked(np.zeros(len(products), dtype=np.int64), products, weight)

    def _linked(self, row: np.ndarray, source: np.ndarray, weight: np.ndarray) -> Contributions:
        data, targets, bounds = self._links
        of, link = _spread(bounds[source], bounds[source + 1])
        return Contributions(row[of], source[of], targets[link], weight[of] * data[link])

    def score(
        self, position: np.ndarray, found: Contributions, discovery: bool = False
    ) -> np.ndarray:
        """Scores float64 (b, m), finite; under `discovery` -inf for what the customer bought.

        Parameters
        ----------
        position : of b customers, -1 for one who is not known.
        found : their contributions.
        """
        shape = (len(position), len(self.products))
        at = found.row * shape[1] + found.target
        affinity = np.bincount(at, weights=found.value, minlength=shape[0] * shape[1])
        affinity = np.maximum(affinity, 0.0).reshape(shape)
        row, entry = self._history(position)
        bought = self._bought[entry]
        scores = affinity * self._trend + self._prior
        if discovery:
            scores[row, bought] = -np.inf
            return np.asarray(scores)
        habit = affinity[row, bought] + self._again[bought] * self._repeat[entry]
        scores[row, bought] = habit * self._repeat_trend[bought] + self._prior[bought]
        return np.asarray(scores)

    def bought(self, position: int) -> np.ndarray:
        """Positions of the products that the known customer at this position bought, sorted."""
        return np.asarray(self._bought[self._bounds[position] : self._bounds[position + 1]])

    def _history(self, position: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Which of the customers, and which entry of the history, for all that they bought."""
        known = position >= 0
        starts = np.where(known, self._bounds[position], 0)
        return _spread(starts, np.where(known, self._bounds[position + 1], 0))


def _spread(starts: np.ndarray, ends: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """All numbers from each start to before its end, and which of the spans each is in."""
    counts = ends - starts
    span = np.repeat(np.arange(len(counts)), counts)
    return span, np.arange(len(span)) + (starts - (np.cumsum(counts) - counts))[span]
