"""What a kind of model must give, so that its models are trained, judged and made again alike."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any, Protocol

import pandas as pd

from ops_platform.features.known_by import ByDelivery
from ops_platform.lake.location import Lake
from ops_platform.lake.published import Published
from ops_platform.models.estimators import Estimator

# The column of the version under judgement.
CHALLENGER = "challenger"


@dataclass(frozen=True)
class TrainingSet:
    """The exact rows that a version is fitted on.

    Parameters
    ----------
    rows : what the estimator's `fit` takes.
    as_of : the newest day that was used.
    first_day : the oldest.
    pointer : the published snapshot that they were read from.
    digest : of the rows, whatever their order.
    by_delivery : by mart, the sources whose records were known from their delivery on.
    """

    rows: pd.DataFrame
    as_of: date
    first_day: date
    pointer: Published
    digest: str
    by_delivery: ByDelivery


@dataclass(frozen=True)
class Rules:
    """How versions are judged: window lengths in days, and the margins that fresher may lose.

    `margin` is a share of the champion's score over all, `segment_margin` one in a segment.
    """

    longest_days: int
    shortest_days: int
    margin: float
    segment_margin: float


@dataclass(frozen=True)
class Judged:
    """How contenders did on a window that none was fitted on.

    Parameters
    ----------
    scores : by customer (rows) and contender (columns), CHALLENGER among them; more is better.
    segments : by the name of a guarded segment, the same scores there.
    more : further metrics, by name.
    details : what else the record keeps and the card shows, as values that JSON can hold.
    """

    scores: pd.DataFrame
    segments: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    more: Mapping[str, float] = field(default_factory=dict)
    details: Mapping[str, Any] = field(default_factory=dict)


class Task(Protocol):
    """A kind of model: from what it learns, how it is judged, and how it answers.

    Attributes
    ----------
    method : that of the estimator by which models of this kind are known.
    metric : the name in the registry of what the gate compares; more is better.
    title : the same, for people.
    baselines : the names of what a model must beat.
    row : what the rows of its training set are, behind their number.
    limits : sentences for the card on what a version can't do.
    """

    method: str
    metric: str
    title: str
    baselines: Sequence[str]
    row: str
    limits: Sequence[str]

    def queries(self, kind: type[Estimator]) -> list[str]:
        """SQL on the feature tables of all that its training set is made of, for the lineage."""
        ...

    def training_set(
        self, kind: type[Estimator], lake: Lake, pointer: Published, by_delivery: ByDelivery
    ) -> TrainingSet:
        """The rows of a snapshot with features; of marts `by_delivery` as they had come in by then.

        Raises TrainingError where there are none, or its features are not of one day and of its
        marts; LakeError where the snapshot is gone.
        """
        ...

    def follows_from_marts(self, lake: Lake, training: TrainingSet) -> bool:
        """Whether the marts of the same snapshot give these rows."""
        ...

    def window(self, kind: type[Estimator], rules: Rules) -> Rules:
        """The rules within which a version of this kind can be judged."""
        ...

    def known_before(
        self, kind: type[Estimator], lake: Lake, training: TrainingSet, cut: date
    ) -> pd.DataFrame:
        """The rows that could have been fitted on before `cut`, as they were known then.

        None where they are too few to fit anything on.
        """
        ...

    def baseline(self, name: str) -> Estimator:
        """An unfitted baseline."""
        ...

    def judge(
        self,
        contenders: Mapping[str, Estimator],
        lake: Lake,
        training: TrainingSet,
        cut: date,
        seed: int,
    ) -> Judged:
        """How fitted contenders foretold what happened from `cut` to the training set's as-of."""
        ...

    def signature(self, model: Estimator) -> Any:
        """What `predict` takes and gives, as MLflow's ModelSignature."""
        ...

    def predict(self, model: Estimator, given: pd.DataFrame) -> pd.DataFrame:
        """What a fitted model answers to rows of the signature's inputs."""
        ...

    def told(self, details: Mapping[str, Any]) -> Iterator[str]:
        """Lines of the model card on the details of its judgement."""
        ...
