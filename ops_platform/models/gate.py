"""The gate: on which events two versions are compared, and which one is to serve."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import date, timedelta
from typing import Any, Literal

import numpy as np
import pandas as pd

from ops_platform.errors import TrainingError

Decision = Literal[
    "first", "better", "no worse and fresher", "worse", "loses a segment", "too early"
]

CUSTOMERS_MIN = 2
# A bootstrap of fewer says more than they can.
SEGMENT_CUSTOMERS_MIN = 30
RESAMPLES = 9999
CONFIDENCE = 0.95
# 64 resamples of 100,000 customers are 51 MB at once.
BATCH = 64


@dataclass(frozen=True)
class Segment:
    """How a guarded segment fared; scores and bounds as in `Verdict`.

    `is_lost` when the challenger loses more than the segment's margin with 95 % confidence.
    """

    name: str
    customers: int
    champion: float
    challenger: float
    lower: float
    upper: float
    is_lost: bool


@dataclass(frozen=True)
class Verdict:
    """Whether a challenger is to be promoted, why, and on what evidence.

    Scores are means over `customers`, more is better; `lower` and `upper` are one-sided 95 % bounds
    of the mean paired difference (challenger - champion). What was not measured is None.
    """

    promote: bool
    decision: Decision
    reason: str
    champion: float | None = None
    challenger: float | None = None
    difference: float | None = None
    lower: float | None = None
    upper: float | None = None
    customers: int = 0
    window_start: date | None = None
    window_end: date | None = None
    segments: tuple[Segment, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """The verdict as plain JSON values, days as ISO text."""
        plain = asdict(self)
        for name in ("window_start", "window_end"):
            plain[name] = plain[name] and plain[name].isoformat()
        return plain


def window(
    as_of: date,
    champion_as_of: date | None,
    first_day: date,
    longest_days: int = 30,
    shortest_days: int = 7,
) -> date | None:
    """The cut between training and judging, or None where it is too early to judge.

    Events before the cut train the challenger, those from the cut to `as_of` (inclusive)
    judge it. The champion must not have seen the window either, so the cut is never at or
    before its as-of.

    Parameters
    ----------
    as_of : newest usable day.
    champion_as_of : newest day that the champion learned from; None for the first version,
        whose window is at most the later half of the history.
    first_day : of the history.
    longest_days : how far the window may reach back from `as_of`.
    shortest_days : a window with fewer days than this, both ends counted, is too early.
    """
    cut = as_of - timedelta(days=longest_days)
    if champion_as_of is None:
        cut = max(cut, first_day + (as_of - first_day + timedelta(days=1)) // 2)
    else:
        cut = max(cut, champion_as_of + timedelta(days=1))
    days = (as_of - cut).days + 1
    return cut if days >= shortest_days else None


def first(challenger_scores: pd.Series, start: date, end: date) -> Verdict:
    """The verdict on a first version: nothing serves yet, so it is promoted.

    Parameters
    ----------
    challenger_scores : by customer, on the window from `start` to `end`; may be empty.
    """
    score = float(challenger_scores.mean()) if len(challenger_scores) else None
    return Verdict(
        promote=True,
        decision="first",
        reason="No version serves yet, so this first one is promoted.",
        challenger=score,
        customers=len(challenger_scores),
        window_start=start,
        window_end=end,
    )


def too_early(
    as_of: date, champion_as_of: date | None, first_day: date, shortest_days: int = 7
) -> Verdict:
    """The verdict where too little lies between what is known and `as_of` to judge on.

    That is fewer than `shortest_days`, or fewer customers than can be compared.
    """
    known_to = champion_as_of or first_day + (as_of - first_day) // 2
    return Verdict(
        promote=False,
        decision="too early",
        reason=(
            f"Too early to judge: after {known_to} and up to {as_of} there are not {shortest_days} "
            f"days with purchases of {CUSTOMERS_MIN} known customers, on which no version was "
            "fitted. Ask again when newer orders have come."
        ),
        window_start=known_to + timedelta(days=1),
        window_end=as_of,
    )


def decide(
    champion_scores: pd.Series,
    challenger_scores: pd.Series,
    *,
    start: date,
    end: date,
    margin: float = 0.01,
    seed: int = 0,
) -> Verdict:
    """Compare two versions on the same customers by a paired bootstrap (Efron, 1979).

    The challenger is better when the lower 95 % bound of the mean paired difference is above
    0, and no worse when it is above `-margin` times the champion's mean; a challenger has
    always seen newer events, so no worse is enough to promote it.

    Parameters
    ----------
    champion_scores, challenger_scores : by customer, more is better; both have the same index.
    start, end : first and last day of the window that the scores are from.
    margin : share of the champion's mean, whatever its sign, that a fresher version may lose.
    seed : of the resampling.

    Raises
    ------
    TrainingError : the customers differ, or there are fewer than two.
    """
    differences = _paired(champion_scores, challenger_scores)
    mean, champion = float(differences.mean()), float(champion_scores.mean())
    lower, upper = _bounds(differences, seed)
    decision: Decision = "worse"
    if lower > 0:
        decision = "better"
    elif lower > -margin * abs(champion):
        decision = "no worse and fresher"
    return Verdict(
        promote=decision != "worse",
        decision=decision,
        reason=_reason(decision, mean, lower, champion, margin, len(differences)),
        champion=champion,
        challenger=float(challenger_scores.mean()),
        difference=mean,
        lower=lower,
        upper=upper,
        customers=len(differences),
        window_start=start,
        window_end=end,
    )


def guard(
    verdict: Verdict,
    segments: Mapping[str, pd.DataFrame],
    *,
    margin: float = 0.05,
    seed: int = 0,
) -> Verdict:
    """The verdict with its segments, held back when the challenger surely loses in one of them.

    Parameters
    ----------
    segments : by name, scores by customer in the columns "champion" and "challenger"; those with
        fewer than SEGMENT_CUSTOMERS_MIN customers are left out.
    margin : share of the champion's mean in a segment, whatever its sign, that may be lost there.
    seed : of the resampling.
    """
    found = tuple(
        _segment(name, scores["champion"], scores["challenger"], margin, seed)
        for name, scores in segments.items()
        if len(scores) >= SEGMENT_CUSTOMERS_MIN
    )
    lost = [one for one in found if one.is_lost]
    if not (verdict.promote and lost):
        return replace(verdict, segments=found)
    told = ", ".join(
        f"{one.name} ({one.customers}: {one.challenger:.4f} where the champion has "
        f"{one.champion:.4f})"
        for one in lost
    )
    return replace(
        verdict,
        promote=False,
        decision="loses a segment",
        reason=f"{verdict.reason} But it surely loses more than {margin:.1%} for {told}, so the "
        "champion stays.",
        segments=found,
    )


def _segment(
    name: str, champion: pd.Series, challenger: pd.Series, margin: float, seed: int
) -> Segment:
    lower, upper = _bounds(_paired(champion, challenger), seed)
    mean = float(champion.mean())
    return Segment(
        name,
        len(champion),
        mean,
        float(challenger.mean()),
        lower,
        upper,
        is_lost=upper < -margin * abs(mean),
    )


def _paired(champion: pd.Series, challenger: pd.Series) -> np.ndarray:
    if not champion.index.equals(challenger.index):
        raise TrainingError(
            "Champion and challenger were scored on different customers "
            f"({len(champion)} and {len(challenger)}); score both in one call of judge."
        )
    if len(champion) < CUSTOMERS_MIN:
        raise TrainingError(
            f"Only {len(champion)} known customers bought in the window; "
            "two are the least that can be compared: wait for more events."
        )
    return (challenger - champion).to_numpy(dtype=float)


def _bounds(differences: np.ndarray, seed: int) -> tuple[float, float]:
    """One-sided 95 % bounds of the mean: below it lies 5 %, and above it 5 %."""
    if np.ptp(differences) == 0:
        return float(differences[0]), float(differences[0])
    from scipy.stats import bootstrap

    # The two-sided 90 % interval has its ends at the two one-sided 95 % bounds.
    interval = bootstrap(
        (differences,),
        np.mean,
        vectorized=True,
        n_resamples=RESAMPLES,
        batch=BATCH,
        confidence_level=2 * CONFIDENCE - 1,
        method="percentile",
        rng=np.random.default_rng(seed),
    ).confidence_interval
    return float(interval.low), float(interval.high)


def _reason(
    decision: Decision, mean: float, lower: float, champion: float, margin: float, customers: int
) -> str:
    found = (
        f"On {customers} customers the challenger scores {mean:+.4f} against the champion's "
        f"{champion:.4f}, and with 95 % confidence not below {lower:+.4f}"
    )
    allowed = f"{-margin * abs(champion):+.4f} (a margin of {margin:.1%})"
    return {
        "better": f"{found}: it is better.",
        "no worse and fresher": f"{found}: within {allowed}, and it has seen newer events.",
        "worse": f"{found}: it may lose more than {allowed}, so the champion stays.",
    }[decision]
