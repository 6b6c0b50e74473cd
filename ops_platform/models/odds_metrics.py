"""How good probabilities are: average precision, reliability, and intervals over customers."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ops_platform.models import bootstrap

# Of whether it came true, the probabilities and how often each customer counts in each resample.
Metric = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]
# 64 resamples of 100,000 customers are 51 MB at once.
BATCH = 64
BINS = 10


@dataclass(frozen=True)
class Figure:
    """A metric of all customers, its 95 % interval, and its value in each resample (r,)."""

    value: float
    low: float
    high: float
    resampled: np.ndarray


def figure(
    metric: Metric, is_true: np.ndarray, probability: np.ndarray, counts: np.ndarray
) -> Figure:
    """A metric with its interval, over resamples as of `resamples`."""
    (value,) = metric(is_true, probability, np.ones((1, len(is_true)), dtype=np.int32))
    starts = range(0, len(counts), BATCH)
    found = np.concatenate([metric(is_true, probability, counts[n : n + BATCH]) for n in starts])
    low, high = np.nanquantile(found, bootstrap.WITHIN)
    return Figure(float(value), float(low), float(high), found)


def average_precision(
    is_true: np.ndarray, probability: np.ndarray, counts: np.ndarray
) -> np.ndarray:
    """Average precision in each resample; equals scikit-learn's, ties included.

    Parameters
    ----------
    is_true : bool (n,).
    probability : float64 (n,).
    counts : (r, n), how often each customer is in each resample.

    Returns
    -------
    float64 (r,), NaN where nothing came true.
    """
    order = np.argsort(-probability, kind="stable")
    hits = np.cumsum(counts[:, order] * is_true[order], axis=1, dtype=float)
    shown = np.cumsum(counts[:, order], axis=1, dtype=float)
    # Customers of the same probability can't be told apart, so they are taken at once.
    ends = np.flatnonzero(np.append(np.diff(probability[order]) != 0, True))
    hits, shown = hits[:, ends], shown[:, ends]
    with np.errstate(invalid="ignore"):
        precision = np.where(shown > 0, hits / shown, 0.0)
        gained = np.diff(hits, axis=1, prepend=0.0)
        return np.asarray((precision * gained).sum(axis=1) / hits[:, -1])


def brier_score(is_true: np.ndarray, probability: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """The mean squared error in each resample, float64 (r,); less is better (Brier, 1950)."""
    errors = (probability - is_true) ** 2
    return np.asarray((counts * errors).sum(axis=1) / counts.sum(axis=1))


def resamples(n: int, seed: int) -> np.ndarray:
    """How often each of n customers is in each resample: int32 (bootstrap.RESAMPLES, n)."""
    return np.concatenate([drawn.astype(np.int32) for drawn in bootstrap.counts(n, seed)])


def reliability(is_true: np.ndarray, probability: np.ndarray) -> list[dict[str, float]]:
    """By tenths of the customers, of growing probability: `foretold` and `observed` shares."""
    order = np.argsort(probability, kind="stable")
    return [
        {
            "customers": float(len(part)),
            "foretold": float(probability[part].mean()),
            "observed": float(is_true[part].mean()),
        }
        for part in np.array_split(order, BINS)
        if len(part)
    ]
