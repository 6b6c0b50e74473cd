"""Before a release answers customers it is warmed, and its answers to a sample are looked at."""

import math
import time
from collections.abc import Callable
from pathlib import Path

from ops_platform.errors import ReleaseError
from ops_platform.serve import release
from ops_platform.serve.scorer import Question, Scorer

SAMPLE = 20
K = 10
# Longer than the system needs to wake the thread that loads.
REST_SECONDS = 0.0001


class Loading:
    """Loads releases, verified and rehearsed, in a thread beside the one that answers requests.

    It gives the interpreter's lock away at each file and each large array, and has it back only
    where the other thread lets go of it for longer than it takes to wake up: that has to make way.

    Parameters
    ----------
    require_key : raises HashKeyError where a release's customers can't be asked for.
    """

    def __init__(self, require_key: Callable[[release.Manifest], None]) -> None:
        """Begin with none."""
        self._require_key, self._is_under_way = require_key, False

    def scorer(self, place: Path) -> Scorer:
        """The scorer of a release that may answer customers.

        Raises
        ------
        ReleaseError : it can't be loaded, or fails at the sample.
        HashKeyError : its customers can't be asked for.
        """
        self._is_under_way = True
        try:
            self._require_key(release.read_manifest(place))
            scorer = Scorer(release.load(place))
            rehearse(scorer)
            return scorer
        finally:
            self._is_under_way = False

    def make_way(self) -> None:
        """Rest for a moment, but only while a release is loaded."""
        if self._is_under_way:
            time.sleep(REST_SECONDS)


def rehearse(scorer: Scorer) -> None:
    """Ask a release for some customers and a stranger; raises ReleaseError where that fails."""
    known = scorer.sample(SAMPLE)
    for customer in (*known, ""):
        for new_only in (False, True):
            fault = _fault_of(scorer, Question(customer, K, exclude_bought=new_only))
            if fault:
                raise ReleaseError(
                    f"the release {scorer.manifest.release} is whole, and fails at a sample "
                    f"request: {fault}; release another version, or go back with "
                    "`ops models rollback`"
                )


def _fault_of(scorer: Scorer, question: Question) -> str | None:
    try:
        found = scorer.recommend(question)
    except (ArithmeticError, LookupError, ValueError, TypeError) as error:
        return f"{type(error).__name__}: {error}"
    products, scores = [one.product_id for one in found], [one.score for one in found]
    if not (found or question.exclude_bought):
        return "it recommends nothing"
    if len(set(products)) < len(products):
        return "a product is recommended twice"
    if not scorer.not_offered.isdisjoint(products):
        return "it recommends what the catalog does not offer"
    if not all(map(math.isfinite, scores)) or scores != sorted(scores, reverse=True):
        return "its scores do not fall"
    return None
