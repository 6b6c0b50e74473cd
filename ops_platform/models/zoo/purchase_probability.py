"""How likely each customer is to buy within the next 30 days."""

from collections.abc import Mapping
from datetime import date
from typing import Any, ClassVar, Self

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from ops_platform.errors import TrainingError
from ops_platform.models import logistic, trees
from ops_platform.models.space import Span

ACTIVITY, RHYTHM = "customer_activity", "customer_rhythm"
# Skewed and never missing: the regression takes their logarithms. The trees take these too.
LOGARITHMS = (
    f"{ACTIVITY}__recency_days",
    f"{ACTIVITY}__tenure_days",
    f"{ACTIVITY}__frequency",
    f"{ACTIVITY}__monetary",
    f"{RHYTHM}__visits_faded_30d",
    f"{RHYTHM}__visits_faded_90d",
    f"{RHYTHM}__visits_faded_180d",
    f"{RHYTHM}__last_products",
    f"{RHYTHM}__mean_products",
)
FEATURES = (
    *LOGARITHMS,
    f"{ACTIVITY}__interval_days",
    f"{ACTIVITY}__interval_variation",
    f"{RHYTHM}__last_interval_days",
)
# A visit fades to this within ten half-lives.
FADED_MIN = 1e-3
# In log-odds: beyond what any calibration asks for.
OFFSET_MOST = 100.0


class PurchaseProbability(BaseEstimator):
    """The mean log-odds of gradient-boosted trees and a logistic regression, calibrated.

    The trees see what the regression can't, and the regression goes on where the trees have few
    customers. Newer label times count more. How far apart the probabilities may lie (the slope of
    Platt, 1999) is learned at the newest label time by both as fitted on those whose horizon had
    passed by then. Then both are fitted on all, and an offset lets their mean at the newest label
    time be what came true.

    Parameters
    ----------
    horizon_days : within how many days after the label's time a purchase counts.
    every_days : from one label time to the one before it.
    label_times : how many there are at most.
    half_life_days : a label time so much older counts half.
    iterations, learning_rate, leaves, leaf_rows, regularisation : of the trees.
    seed : by which scikit-learn draws the rows that bound its bins, of more than 200,000.

    Attributes
    ----------
    arrays_ : all that was learned, by name.
    """

    views = (ACTIVITY, RHYTHM)
    SPACE: ClassVar[Mapping[str, Span]] = {
        "half_life_days": Span(14.0, 365.0, log=True),
        "iterations": Span(30, 300, log=True),
        "learning_rate": Span(0.01, 0.2, log=True),
        "leaves": Span(3, 31, log=True),
        "leaf_rows": Span(20, 1000, log=True),
        "regularisation": Span(0.1, 100.0, log=True),
    }

    def __init__(
        self,
        horizon_days: int = 30,
        every_days: int = 10,
        label_times: int = 18,
        half_life_days: float = 56.0,
        iterations: int = 100,
        learning_rate: float = 0.05,
        leaves: int = 8,
        leaf_rows: int = 200,
        regularisation: float = 10.0,
        seed: int = 0,
    ) -> None:
        """Store the parameters."""
        self.horizon_days = horizon_days
        self.every_days = every_days
        self.label_times = label_times
        self.half_life_days = half_life_days
        self.iterations = iterations
        self.learning_rate = learning_rate
        self.leaves = leaves
        self.leaf_rows = leaf_rows
        self.regularisation = regularisation
        self.seed = seed

    def fit(self, rows: pd.DataFrame, as_of: date) -> Self:
        """Learn from customers at label times: `label_time`, the features, and `is_true`.

        Raises
        ------
        TrainingError : nobody bought within the horizon, or everybody did.
        """
        times = pd.to_datetime(rows["label_time"])
        newest = times == times.max()
        passed = times <= times.max() - pd.Timedelta(days=self.horizon_days)
        whole, slope, offset = self._fitted(rows, times), 1.0, 0.0
        if _tells(rows[passed]) and _tells(rows[newest]):
            earlier = self._fitted(rows[passed], times[passed])
            is_true = _is_true(rows[newest])
            slope = _slope(_odds(earlier, rows[newest]), is_true)
            offset = _offset(slope * _odds(whole, rows[newest]), is_true)
        self.arrays_ = {**whole, "calibration": np.array([slope, offset])}
        return self

    def predict_proba(self, rows: pd.DataFrame) -> np.ndarray:
        """The probability of no purchase and of one: float64 (n, 2)."""
        slope, offset = self.arrays_["calibration"]
        found = logistic.probabilities(slope * _odds(self.arrays_, rows) + offset)
        return np.column_stack([1.0 - found, found])

    def state(self) -> dict[str, np.ndarray]:
        """All that was learned, as plain arrays by name."""
        return dict(self.arrays_)

    @classmethod
    def from_state(cls, params: Mapping[str, Any], state: Mapping[str, np.ndarray]) -> Self:
        """The fitted model that had these parameters and this state."""
        model = cls(**params)
        model.arrays_ = dict(state)
        return model

    def _fitted(self, rows: pd.DataFrame, times: pd.Series) -> dict[str, np.ndarray]:
        from sklearn.ensemble import HistGradientBoostingClassifier

        if not _tells(rows):
            raise TrainingError(
                f"of {len(rows)} customers at their label times all bought within "
                f"{self.horizon_days} days, or none did: there is nothing to tell apart"
            )
        age = (times.max() - times).dt.days.to_numpy()
        weights = 0.5 ** (age / self.half_life_days)
        boosted = HistGradientBoostingClassifier(
            learning_rate=self.learning_rate,
            max_iter=self.iterations,
            max_leaf_nodes=self.leaves,
            min_samples_leaf=self.leaf_rows,
            l2_regularization=self.regularisation,
            early_stopping=False,
            random_state=self.seed,
        )
        # Threads would add up in another order, and wait for each other longer than they work.
        with threadpool_limits(limits=1):
            boosted.fit(_features(rows), _is_true(rows), sample_weight=weights)
            linear = logistic.fit(_logarithms(rows), _is_true(rows), weights)
        return {
            **{f"trees_{name}": array for name, array in trees.arrays_of(boosted).items()},
            **{f"linear_{name}": array for name, array in linear.items()},
        }


def _is_true(rows: pd.DataFrame) -> np.ndarray:
    return np.asarray(rows["is_true"], dtype=bool)


def _tells(rows: pd.DataFrame) -> bool:
    return bool(rows["is_true"].nunique() == 2)


def _features(rows: pd.DataFrame) -> np.ndarray:
    return np.asarray(rows[list(FEATURES)].to_numpy(dtype=float, na_value=np.nan))


def _logarithms(rows: pd.DataFrame) -> np.ndarray:
    values = np.asarray(rows[list(LOGARITHMS)], dtype=float)
    faded = np.array(["faded" in name for name in LOGARITHMS])
    least = np.where(faded, np.maximum(values, FADED_MIN), np.maximum(values, 0.0) + 1.0)
    return np.asarray(np.log(least))


def _odds(arrays: Mapping[str, np.ndarray], rows: pd.DataFrame) -> np.ndarray:
    """The mean of both log-odds, before the calibration."""
    boosted = {name: arrays[f"trees_{name}"] for name in trees.ARRAYS}
    linear = {name: arrays[f"linear_{name}"] for name in logistic.ARRAYS}
    both = trees.decisions(boosted, _features(rows)), logistic.decisions(linear, _logarithms(rows))
    return np.asarray((both[0] + both[1]) / 2)


def _slope(odds: np.ndarray, is_true: np.ndarray) -> float:
    """What the log-odds have to be multiplied by."""
    found = logistic.fit(odds[:, None], is_true, np.ones(len(odds)))
    return float(found["weight"][0] / found["scale"][0])


def _offset(odds: np.ndarray, is_true: np.ndarray) -> float:
    """What has to be added to the log-odds for their mean probability to be what came true."""
    from scipy.optimize import brentq

    def excess(offset: float) -> float:
        return float(logistic.probabilities(odds + offset).mean() - is_true.mean())

    return float(brentq(excess, -OFFSET_MOST, OFFSET_MOST))
