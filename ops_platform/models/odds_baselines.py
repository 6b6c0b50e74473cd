"""What foretold probabilities have to beat: the share of all, and recency and frequency alone."""

from datetime import date
from typing import Self

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator

from ops_platform.models import logistic

COLUMNS = ["customer_activity__recency_days", "customer_activity__frequency"]


class BaseRate(BaseEstimator):
    """For everybody the share of those of whom it came true at the newest label time."""

    def fit(self, rows: pd.DataFrame, as_of: date) -> Self:
        """Learn from the rows that the model is given."""
        self.share_ = float(_newest(rows)["is_true"].mean())
        return self

    def predict_proba(self, rows: pd.DataFrame) -> np.ndarray:
        """The probability that it does not come true, and that it does: float64 (n, 2)."""
        return np.tile([1.0 - self.share_, self.share_], (len(rows), 1))


class RecencyFrequency(BaseEstimator):
    """Logistic regression on recency and frequency, at the newest label time.

    Of what it was tried on, all label times or a few, the newest alone served it best.
    """

    def fit(self, rows: pd.DataFrame, as_of: date) -> Self:
        """Learn from the rows that the model is given."""
        newest = _newest(rows)
        is_true = newest["is_true"].to_numpy(dtype=bool)
        self.arrays_ = logistic.fit(_columns(newest), is_true, np.ones(len(newest)))
        return self

    def predict_proba(self, rows: pd.DataFrame) -> np.ndarray:
        """The probability that it does not come true, and that it does: float64 (n, 2)."""
        found = logistic.probabilities(logistic.decisions(self.arrays_, _columns(rows)))
        return np.column_stack([1.0 - found, found])


def _newest(rows: pd.DataFrame) -> pd.DataFrame:
    newest: pd.DataFrame = rows[rows["label_time"] == rows["label_time"].max()]
    return newest


def _columns(rows: pd.DataFrame) -> np.ndarray:
    return np.asarray(rows[COLUMNS], dtype=float)
