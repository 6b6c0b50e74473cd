"""How good a model is beside its baselines, with confidence intervals: all items, and discovery."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, Literal, Protocol

import numpy as np
import pandas as pd

from ops_platform.errors import TrainingError
from ops_platform.models import als, bootstrap
from ops_platform.models.baselines import Baseline, Ease, PersonalFrequency, Popularity
from ops_platform.models.interactions import IdsLike
from ops_platform.models.judging import judge
from ops_platform.models.ranking import Recommendations

Task = Literal["all items", "discovery"]
Say = Callable[[str], object]

K = 20
REGULARISATIONS = (100.0, 200.0, 400.0, 800.0)
# Of the history, what EASE's regularisation is chosen on.
VALIDATION_DAYS = 30
PAIR = ["customer_id", "product_id"]


class Discoverer(Protocol):
    """A fitted model that can leave out what a customer bought before."""

    customers_: np.ndarray
    products_: np.ndarray

    def recommend(
        self, customers: IdsLike, k: int = 20, discovery: bool = False
    ) -> Recommendations:
        """The k best products for each of n customers."""
        ...


@dataclass(frozen=True)
class Figure:
    """How a contender did: mean NDCG@20 and how many times it the model reached.

    `low` and `high` are the ends of a 95 % interval by a bootstrap over customers, paired for the
    ratio, which is None for the model itself and for a contender that scored 0.
    """

    task: Task
    contender: str
    customers: int
    ndcg: float
    low: float
    high: float
    ratio: float | None
    ratio_low: float | None
    ratio_high: float | None


class _Discovering:
    """A model asked for what the customer never bought."""

    def __init__(self, model: Discoverer) -> None:
        self.customers_, self.products_ = model.customers_, model.products_
        self._model = model

    def recommend(self, customers: IdsLike, k: int = 20) -> Recommendations:
        return self._model.recommend(customers, k, discovery=True)


def fit_contenders(
    name: str,
    model: Any,
    known: pd.DataFrame,
    as_of: date,
    *,
    seed: int = 0,
    say: Say = lambda text: None,
) -> dict[str, Discoverer]:
    """The model, first, and what it is compared with, all fitted on the same rows.

    implicit's ALS is among them where that package is installed.

    Parameters
    ----------
    name : what the model is called.
    model : an unfitted `Estimator`.
    known : columns customer_id, product_id, day, known at the end of `as_of`.
    """
    say(f"choosing the regularisation of ease up to {as_of}")
    others: dict[str, Baseline] = {
        "popularity": Popularity(),
        "personal_frequency": PersonalFrequency(),
        "ease": Ease(chosen_regularisation(known, as_of)),
    }
    if als.is_installed():
        others["implicit_als"] = als.ImplicitAls(seed=seed)
    fitted: dict[str, Discoverer] = {}
    for contender, one in {name: model, **others}.items():
        say(f"fitting {contender} up to {as_of}")
        fitted[contender] = one.fit(known, as_of)
    return fitted


def chosen_regularisation(known: pd.DataFrame, as_of: date) -> float:
    """That of EASE which discovers best in the last VALIDATION_DAYS, fitted on the days before.

    The middle one where the history is too short to tell.
    """
    cut = pd.Timestamp(as_of - timedelta(days=VALIDATION_DAYS))
    days = pd.to_datetime(known["day"])
    before, later = known[days <= cut], known.loc[days > cut, PAIR].drop_duplicates()
    if before.empty:
        return REGULARISATIONS[len(REGULARISATIONS) // 2]
    models = {str(one): _Discovering(Ease(one).fit(before, cut.date())) for one in REGULARISATIONS}
    means = judge(models, new_pairs(later, before), K).mean().fillna(0.0).to_numpy()
    return REGULARISATIONS[int(np.argmax(means))]


def new_pairs(bought: pd.DataFrame, known: pd.DataFrame) -> pd.DataFrame:
    """What of `bought` is not in `known`, by customer and product."""
    before = pd.MultiIndex.from_frame(known[PAIR])
    return bought[~pd.MultiIndex.from_frame(bought[PAIR]).isin(before)]


def evaluate(
    contenders: Mapping[str, Discoverer],
    known: pd.DataFrame,
    relevant: pd.DataFrame,
    *,
    seed: int = 0,
) -> list[Figure]:
    """Each contender's figures for both tasks; the first is the model.

    Parameters
    ----------
    contenders : fitted on `known`, by name.
    relevant : columns customer_id, product_id: what was bought in the window. Known customers and
        products count; for discovery, what the customer had never bought.
    seed : of the bootstrap.

    Raises
    ------
    TrainingError : nobody who is known bought anything in the window.
    """
    discovering = {name: _Discovering(model) for name, model in contenders.items()}
    scores: dict[Task, pd.DataFrame] = {
        "all items": judge(contenders, relevant, K),
        "discovery": judge(discovering, new_pairs(relevant, known), K),
    }
    if scores["all items"].empty:
        raise TrainingError(
            "no known customer bought a known product in the window: choose an earlier cut, before "
            "the newest day of the data, or more days"
        )
    return [
        figure
        for task, found in scores.items()
        if len(found)
        for figure in _figures(task, found, seed)
    ]


def _figures(task: Task, scores: pd.DataFrame, seed: int) -> list[Figure]:
    values = scores.to_numpy(dtype=float)
    means, resampled = values.mean(axis=0), bootstrap.means(values, seed)
    low, high = np.quantile(resampled, bootstrap.WITHIN, axis=0)
    figures = []
    for column, contender in enumerate(scores.columns):
        ratios = None
        if column > 0 and resampled[:, column].min() > 0:
            ends = np.quantile(resampled[:, 0] / resampled[:, column], bootstrap.WITHIN)
            ratios = means[0] / means[column], *ends
        figures.append(
            Figure(
                task,
                str(contender),
                len(scores),
                *(float(one[column]) for one in (means, low, high)),
                *(map(float, ratios) if ratios else (None, None, None)),
            )
        )
    return figures
