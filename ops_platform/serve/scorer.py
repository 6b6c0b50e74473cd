"""Scores from a release, with numpy alone: the lists of the model itself, and why each product."""

from dataclasses import dataclass

import numpy as np

from ops_platform.models.ranking import top_k
from ops_platform.models.scoring import Contributions, Scoring
from ops_platform.serve.release import Release

REPEATED, NEW, POPULAR = "bought regularly", "new", "popular now"
# Days since the first purchase by anyone for which a product is told to be new.
NEW_DAYS = 30


@dataclass(frozen=True)
class Recommended:
    """A product, its description, its score and the reason why it is recommended."""

    product_id: str
    description: str
    score: float
    reason: str


class Scorer:
    """Answers from one release, as `Scoring` scores.

    Parameters
    ----------
    release : in memory, verified.
    """

    def __init__(self, release: Release) -> None:
        """Number the customers of the release."""
        arrays = release.arrays
        self.manifest = release.manifest
        self._catalog = release.catalog
        self._scoring = Scoring(arrays)
        self._products: list[str] = arrays["products"].tolist()
        self._is_new = arrays["product_age"] < NEW_DAYS
        # Where all began lately nothing is newer than the rest.
        self._is_new &= arrays["product_age"].max(initial=0) >= 2 * NEW_DAYS
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
        position = np.array([self._positions.get(customer_id, -1)])
        found = self._scoring.contributions(position)
        scores = self._scoring.score(position, found)
        best, values = top_k(scores, min(k, len(self._products)))
        reasons = self._reasons(best[0], found, int(position[0]))
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

    def _reasons(self, best: np.ndarray, found: Contributions, position: int) -> list[str]:
        """For each of these products: a habit, or what adds most to its affinity, or its demand."""
        rank = np.full(len(self._products), -1)
        rank[best] = np.arange(len(best))
        row = rank[found.target]
        adds = (row >= 0) & (found.value > 0)
        row, source, value = row[adds], found.source[adds], found.value[adds]
        order = np.lexsort((source, -value, row))
        rows, first = np.unique(row[order], return_index=True)
        strongest = dict(zip(rows.tolist(), source[order][first].tolist(), strict=True))
        bought = set(self._scoring.bought(position).tolist()) if position >= 0 else set()
        return [
            REPEATED if product in bought else self._reason(product, strongest.get(rank))
            for rank, product in enumerate(best.tolist())
        ]

    def _reason(self, product: int, strongest: int | None) -> str:
        if strongest is not None:
            name = self._products[strongest]
            return f"goes with {self._catalog.get(name) or name}"
        return NEW if self._is_new[product] else POPULAR
