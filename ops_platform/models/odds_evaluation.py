"""How good probabilities are beside their baselines, fitted before a cut and judged after it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, timedelta

import duckdb
import numpy as np
import pandas as pd

from ops_platform.errors import TrainingError
from ops_platform.features.known_by import ByDelivery
from ops_platform.features.point_in_time import LABEL_TIME
from ops_platform.models import bootstrap
from ops_platform.models import odds_metrics as metrics
from ops_platform.models.estimators import Foretells
from ops_platform.models.foretelling import BASELINES, DAY, probabilities
from ops_platform.models.labels import IS_TRUE, MART, label_times, labelled, midnight

METRICS = {"average precision": metrics.average_precision, "Brier score": metrics.brier_score}


@dataclass(frozen=True)
class Figure:
    """How a contender did by one metric, and the model's value less its own.

    `low` and `high` are the ends of a 95 % interval by a bootstrap over customers, paired for the
    difference, which is None for the model itself.
    """

    metric: str
    contender: str
    customers: int
    share: float
    value: float
    low: float
    high: float
    difference: float | None
    difference_low: float | None
    difference_high: float | None


def evaluate(
    connection: duckdb.DuckDBPyConnection,
    name: str,
    model: Foretells,
    cut: date,
    newest: date,
    seed: int,
    by_delivery: ByDelivery,
) -> list[Figure]:
    """The figures of a model and its baselines on the horizon from `cut` on; the model's first.

    `newest` is the newest day of the data, `by_delivery` as of `labelled`. Raises TrainingError
    where there is too little before the cut to learn from, or its horizon has not passed, or nobody
    bought in it.
    """
    if (needed := cut + timedelta(days=model.horizon_days - 1)) > newest:
        raise TrainingError(
            f"what came of {cut} is known when {needed} has passed, and the data ends on {newest}: "
            "choose an earlier cut"
        )
    first = connection.execute(f"SELECT min(day) FROM {MART}").fetchone()
    assert first is not None
    times = label_times(model, cut - timedelta(days=model.horizon_days), first[0])
    if not times:
        raise TrainingError(
            f"before {cut} there are not {model.horizon_days} days more than the first day, "
            f"{first[0]}: choose a later cut"
        )
    rows = labelled(connection, model, [*times, midnight(cut)], by_delivery)
    is_after = rows[LABEL_TIME] == midnight(cut)
    known, after = rows[~is_after], rows[is_after]
    contenders = {
        name: model.fit(known, cut - DAY),
        **{one: kind().fit(known, cut - DAY) for one, kind in BASELINES.items()},
    }
    if not after[IS_TRUE].any():
        raise TrainingError(f"no known customer bought in the days from {cut}: choose another cut")
    return list(_figures(after, probabilities(contenders, after), seed))


def _figures(
    after: pd.DataFrame, foretold: Mapping[str, np.ndarray], seed: int
) -> Iterator[Figure]:
    is_true = after[IS_TRUE].to_numpy(dtype=bool)
    counts, own = metrics.resamples(len(after), seed), next(iter(foretold))
    for metric, of in METRICS.items():
        found = {name: metrics.figure(of, is_true, one, counts) for name, one in foretold.items()}
        for name, one in found.items():
            ends: tuple[float | None, ...] = (None, None, None)
            if name != own:
                paired = np.nanquantile(found[own].resampled - one.resampled, bootstrap.WITHIN)
                ends = (found[own].value - one.value, *(float(end) for end in paired))
            share, whole = float(is_true.mean()), (one.value, one.low, one.high)
            yield Figure(metric, name, len(after), share, *whole, *ends)
