"""Answers from a release, with numpy alone: the lists of the model itself, and why each product."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from weakref import proxy

import numpy as np
import orjson

from ops_platform.models.ranking import top_k
from ops_platform.models.scoring import Contributions, Scoring
from ops_platform.serve.release import Product, Release

REPEATED, NEW, POPULAR = "bought regularly", "new", "popular now"
# Days since the first purchase by anyone for which a product is told to be new.
NEW_DAYS = 30
# Of questions with 20 products each about 40 MB.
REMEMBERED = 8192
_UNNAMED = Product("", None, offered=False)


@dataclass(frozen=True)
class Question:
    """Who is asked for, how many products, and which may not be among them.

    Parameters
    ----------
    customer_id : as the release knows it.
    k : at least 1.
    exclude_bought : leave out what the customer ever bought.
    category : only products of it.
    session : products that the customer looks at now: what goes with them is lifted, they are not
        recommended, and those that the release does not know are passed over.
    """

    customer_id: str
    k: int
    exclude_bought: bool = False
    category: str | None = None
    session: tuple[str, ...] = ()


@dataclass(frozen=True)
class Recommended:
    """A product, its description, its score and the reason why it is recommended."""

    product_id: str
    description: str
    score: float
    reason: str


@dataclass(frozen=True)
class Ranked:
    """What is recommended, best first, encoded once.

    Bytes alone, for thousands are remembered: of objects the collector of garbage would walk
    through all, while nobody is answered.

    Parameters
    ----------
    encoded : as JSON, an array of objects.
    logged : what the log says of each product, as JSON without the brace that opens it.
    """

    encoded: bytes
    logged: tuple[bytes, ...]


def encode(products: Sequence[Recommended]) -> Ranked:
    """Products, best first, for the customer and for the log."""
    lines = [
        orjson.dumps({"rank": rank, "product_id": one.product_id, "score": one.score})
        for rank, one in enumerate(products, start=1)
    ]
    return Ranked(orjson.dumps(products), tuple(line[1:] for line in lines))


class Scorer:
    """Answers from one release, as `Scoring` scores.

    The answers to the last `REMEMBERED` questions are kept: a release answers a question always
    the same, and a customer who walks through a shop is asked for at each page.

    Parameters
    ----------
    release : in memory, verified.

    Attributes
    ----------
    manifest : of the release.
    answer : `recommend`, from memory where it can be, and encoded.
    not_offered : products that the model knows and the catalog does not offer.
    """

    def __init__(self, release: Release) -> None:
        """Number the customers and products of the release."""
        arrays = release.arrays
        self.manifest = release.manifest
        self._catalog, self._probabilities = release.catalog, release.probabilities
        self._scoring = Scoring(arrays)
        self._products: list[str] = arrays["products"].tolist()
        entries = [release.catalog.get(product, _UNNAMED) for product in self._products]
        self._offered = np.array([entry.offered for entry in entries], dtype=bool)
        self._category = np.array([entry.category or "" for entry in entries], dtype=str)
        self.not_offered = frozenset(
            product
            for product, entry in zip(self._products, entries, strict=True)
            if not entry.offered
        )
        self._is_new = arrays["product_age"] < NEW_DAYS
        # Where all began lately nothing is newer than the rest.
        self._is_new &= arrays["product_age"].max(initial=0) >= 2 * NEW_DAYS
        # By Python's own text: numpy drops NUL characters at the end of one.
        self._positions = {name: n for n, name in enumerate(arrays["customers"].tolist())}
        self._numbers = {name: n for n, name in enumerate(self._products)}
        # By a weak reference, so that an old release goes when the last request has left it.
        answer = partial(Scorer._answer, proxy(self))
        self.answer: Callable[[Question], Ranked] = lru_cache(REMEMBERED)(answer)

    def knows(self, customer_id: str) -> bool:
        """Whether the customer is in the training set of the release."""
        return customer_id in self._positions

    def sample(self, count: int) -> list[str]:
        """Customers that the release knows, so many where there are, evenly spread."""
        everyone = list(self._positions)
        return everyone[:: max(1, len(everyone) // count)][:count]

    def probability(self, customer_id: str) -> float | None:
        """How likely the customer buys soon; None where the release does not say it."""
        features = self._probabilities and self._probabilities.get(customer_id)
        found = features and features["probability"]
        return found if isinstance(found, float) else None

    def recommend(self, question: Question) -> list[Recommended]:
        """The k best products, best first, a tie to the first; fewer where there are not so many.

        Raises
        ------
        ValueError : k < 1.
        """
        if question.k < 1:
            raise ValueError(f"k must be at least 1, got {question.k}")
        position = self._positions.get(question.customer_id, -1)
        session = self._session(question)
        found = self._scoring.contributions(np.array([position]))
        if len(session):
            found = found + self._scoring.of_session(position, session)
        scores = self._scoring.score(np.array([position]), found, question.exclude_bought)
        scores[0, ~self._allowed(question)] = -np.inf
        scores[0, session] = -np.inf
        best, values = top_k(scores, min(question.k, len(self._products)))
        allowed = ~np.isneginf(values[0])
        best, values = best[0][allowed], values[0][allowed]
        reasons = self._reasons(best, found, position)
        return [
            Recommended(name, self._described(name), score, reason)
            for name, score, reason in zip(
                (self._products[product] for product in best.tolist()),
                values.tolist(),
                reasons,
                strict=True,
            )
        ]

    def bought(self, customer_id: str) -> list[tuple[str, str]]:
        """What the customer bought, each with its description; nothing of one not known."""
        position = self._positions.get(customer_id)
        found = [] if position is None else self._scoring.bought(position).tolist()
        names = [self._products[one] for one in found]
        return [(name, self._described(name)) for name in names]

    def _answer(self, question: Question) -> Ranked:
        return encode(self.recommend(question))

    def _session(self, question: Question) -> np.ndarray:
        known = {self._numbers[one] for one in question.session if one in self._numbers}
        return np.array(sorted(known), dtype=np.int64)

    def _allowed(self, question: Question) -> np.ndarray:
        if question.category is None:
            return self._offered
        return np.asarray(self._offered & (self._category == question.category))

    def _described(self, product_id: str) -> str:
        return self._catalog.get(product_id, _UNNAMED).description

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
            return f"goes with {self._described(name) or name}"
        return NEW if self._is_new[product] else POPULAR
