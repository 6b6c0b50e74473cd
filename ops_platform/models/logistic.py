"""Logistic regression on standardised columns as plain arrays: fitted by scikit-learn."""

from collections.abc import Mapping

import numpy as np

ARRAYS = ("mean", "scale", "weight", "intercept")
# A little more than nothing of the penalty, for columns that tell the same.
STRENGTH = 1.0


def fit(columns: np.ndarray, is_true: np.ndarray, weights: np.ndarray) -> dict[str, np.ndarray]:
    """The regression by ARRAYS.

    Parameters
    ----------
    columns : float64 (n, m), finite.
    is_true : bool (n,), both values among them.
    weights : float64 (n,), how much each row counts.
    """
    from sklearn.linear_model import LogisticRegression

    mean, scale = columns.mean(axis=0), columns.std(axis=0)
    scale = np.where(scale > 0, scale, 1.0)
    found = LogisticRegression(C=STRENGTH, max_iter=1000, tol=1e-8)
    found.fit((columns - mean) / scale, is_true, sample_weight=weights)
    return {
        "mean": mean,
        "scale": scale,
        "weight": found.coef_[0],
        "intercept": found.intercept_,
    }


def decisions(arrays: Mapping[str, np.ndarray], columns: np.ndarray) -> np.ndarray:
    """The log-odds of each row: float64 (n,)."""
    standard = (columns - arrays["mean"]) / arrays["scale"]
    # A sum along one axis; matmul would depend on the BLAS kernel.
    return np.asarray((standard * arrays["weight"]).sum(axis=1) + arrays["intercept"][0])


def probabilities(odds: np.ndarray) -> np.ndarray:
    """From log-odds to probabilities."""
    return np.asarray(1.0 / (1.0 + np.exp(-odds)))
