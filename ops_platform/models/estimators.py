"""The estimators of `zoo/`, found by their file's name without any registration."""

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any, Protocol, Self, cast

import numpy as np
import pandas as pd

from ops_platform import plug_ins
from ops_platform.errors import RegistryError
from ops_platform.models import zoo
from ops_platform.models.interactions import IdsLike
from ops_platform.models.ranking import Recommendations


class Estimator(Protocol):
    """What a file of `zoo/` must offer: scikit-learn's parameters, and plain arrays as state.

    What it answers with besides says of which kind it is: see `kinds.py`.
    """

    def __init__(self, *, seed: int = 0) -> None:
        """All parameters have defaults; the seed is always one of them."""
        ...

    def get_params(self) -> dict[str, Any]:
        """The constructor's parameters, which JSON can hold."""
        ...

    def fit(self, rows: pd.DataFrame, as_of: date) -> Self:
        """Learn from the rows of a training set, of nothing after `as_of`."""
        ...

    def state(self) -> dict[str, np.ndarray]:
        """All that was learned, as plain arrays by name."""
        ...

    @classmethod
    def from_state(cls, params: Mapping[str, Any], state: Mapping[str, np.ndarray]) -> Self:
        """The fitted model that had these parameters and this state."""
        ...


class Recommends(Estimator, Protocol):
    """A model that recommends, learned from the distinct (customer_id, product_id, day)."""

    customers_: np.ndarray
    products_: np.ndarray

    def recommend(
        self, customers: IdsLike, k: int = 20, discovery: bool = False
    ) -> Recommendations:
        """The k best products for each of n customers; only ones never bought for `discovery`."""
        ...


class Foretells(Estimator, Protocol):
    """A model that says how likely something is to come true of each customer.

    Attributes
    ----------
    views : the names of the feature views that it learns from, each of a customer.
    horizon_days : within how many days it has to come true.
    every_days, label_times : between two label times, and how many there are at most.
    """

    views: Sequence[str]
    horizon_days: int
    every_days: int
    label_times: int

    def predict_proba(self, rows: pd.DataFrame) -> np.ndarray:
        """The probability that it does not, and that it does: float64 (n, 2)."""
        ...


def recommends(model: Estimator) -> Recommends:
    """The model, which must be one that recommends; raises RegistryError otherwise."""
    if not hasattr(model, "recommend"):
        raise RegistryError(f"{type(model).__name__} is no recommender: name a model that is")
    return cast(Recommends, model)


def foretells(model: Estimator) -> Foretells:
    """The model, which must be one that foretells; raises RegistryError otherwise."""
    if not hasattr(model, "predict_proba"):
        raise RegistryError(f"{type(model).__name__} foretells nothing: name a model that does")
    return cast(Foretells, model)


def names() -> list[str]:
    """The names of all models, sorted: one for each file of `zoo/`."""
    return plug_ins.names(zoo)


def estimator(name: str) -> type[Estimator]:
    """The class `SalesForecast` of `zoo/sales_forecast.py`, for the name `sales_forecast`.

    Raises
    ------
    RegistryError : there is no such file or it holds no such class.
    """
    found: type[Estimator] = plug_ins.class_named(zoo, name, f"model {name!r}", RegistryError)
    return found


def unfitted(name: str, params: Mapping[str, Any], *, seed: int, threads: int) -> Estimator:
    """A model of these parameters, else its defaults, that uses so many threads where it has a say.

    Raises RegistryError as `estimator`.
    """
    kind = estimator(name)
    own = {"threads": threads} if "threads" in kind().get_params() else {}
    return kind(**{**params, **own}, seed=seed)
