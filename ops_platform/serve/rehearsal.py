"""Before a release answers customers it is warmed, and its answers to a sample are looked at."""

import math

from ops_platform.errors import ReleaseError
from ops_platform.serve.scorer import Question, Scorer

SAMPLE = 20
K = 10


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
