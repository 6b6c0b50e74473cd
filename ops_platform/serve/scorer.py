"""Scores from a release, with numpy alone: the lists of the model itself, and why each product."""

from dataclasses import dataclass

import numpy as np

from ops_platform.models.ranking import POPULARITY_WEIGHT, top_k
from ops_platform.serve.release import Release

REPEATED, POPULAR = "bought regularly", "popular now"


@dataclass(frozen=True)
class Recommended:
    """A product, its description, its score and the reason why it is recommended."""

    product_id: str
    description: str
    score: float
    reason: str


@dataclass(frozen=True)
class _Contributions:
    """What each bought product adds to the score of each product, a row each.

    Attributes
    ----------
    source : int64 (n,), position of the bought product.
    target : int32 (n,), position of the product whose score it adds to.
    value : float64 (n,).
    """

    source: np.ndarray
    target: np.ndarray
    value: np.ndarray


class Scorer:
    """Answers from one release: popularity, and `history @ links` for customers it knows.

    Parameters
    ----------
    release : in memory, verified.
    """

    def __init__(self, release: Release) -> None:
        """Number the customers of the release."""
        arrays = release.arrays
        self.manifest = release.manifest
        self._catalog = release.catalog
        self._products: list[str] = arrays["products"].tolist()
        self._prior = POPULARITY_WEIGHT * arrays["popularity"]
        self._history = tuple(arrays[f"history_{part}"] for part in ("data", "indices", "indptr"))
        self._links = tuple(arrays[f"links_{part}"] for part in ("data", "indices", "indptr"))
        # By Python's own text: numpy drops NUL characters at the end of one.
        self._positions = {name: n for n, name in enumerate(arrays["customers"].tolist())}

    def knows(self, customer_id: str) -> bool:
        """Whether the customer is in the training set of the release."""
        return customer_id in self._positions

    def recommend(self, customer_id: str, k: int) -> list[Recommended]:
        """The k best products, best first, a tie to the first; fewer where there are not so many.

        Raises
        ------
        ValueError : k < 1.
        """
        if k < 1:
            raise ValueError(f"k must be at least 1, got {k}")
        found = self._contributions(self._positions.get(customer_id))
        scores = self._prior + np.bincount(
            found.target, weights=found.value, minlength=len(self._products)
        )
        best, values = top_k(scores[None, :], min(k, len(self._products)))
        reasons = self._reasons(best[0], found)
        return [
            Recommended(
                product_id=self._products[product],
                description=self._catalog.get(self._products[product], ""),
                score=score,
                reason=reason,
            )
            for product, score, reason in zip(
                best[0].tolist(), values[0].tolist(), reasons, strict=True
            )
        ]

    def _contributions(self, position: int | None) -> _Contributions:
        """In the order in which a sparse product sums them, so the last digits are the same."""
        weights, bought, bounds = self._history
        row = slice(0, 0) if position is None else slice(bounds[position], bounds[position + 1])
        weights, bought = weights[row], bought[row]
        data, targets, bounds = self._links
        starts, counts = bounds[bought], np.diff(bounds)[bought]
        source = np.repeat(np.arange(len(bought)), counts)
        within = np.arange(len(source)) - (np.cumsum(counts) - counts)[source]
        entry = starts[source] + within
        return _Contributions(bought[source], targets[entry], weights[source] * data[entry])

    def _reasons(self, best: np.ndarray, found: _Contributions) -> list[str]:
        """For each of these products, what adds most to its score."""
        rank = np.full(len(self._products), -1)
        rank[best] = np.arange(len(best))
        row = rank[found.target]
        adds = (row >= 0) & (found.value > 0)
        row, source, value = row[adds], found.source[adds], found.value[adds]
        order = np.lexsort((source, -value, row))
        rows, first = np.unique(row[order], return_index=True)
        strongest = dict(zip(rows.tolist(), source[order][first].tolist(), strict=True))
        return [
            self._reason(product, strongest.get(position))
            for position, product in enumerate(best.tolist())
        ]

    def _reason(self, product: int, strongest: int | None) -> str:
        if strongest is None:
            return POPULAR
        if strongest == product:
            return REPEATED
        name = self._products[strongest]
        return f"goes with {self._catalog.get(name) or name}"
