"""Probabilities: whether something comes true of each customer within a horizon, from features."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import date, timedelta
from typing import Any, cast

import numpy as np
import pandas as pd
import pandera.ibis as pa

from ops_platform.errors import TrainingError
from ops_platform.features.known_by import ByDelivery
from ops_platform.features.point_in_time import LABEL_TIME
from ops_platform.lake.connect import connect
from ops_platform.lake.digest import digest_rows
from ops_platform.lake.location import Lake
from ops_platform.lake.published import Published
from ops_platform.models import odds_metrics as metrics
from ops_platform.models.estimators import Estimator, Foretells
from ops_platform.models.labels import IS_TRUE, MART, label_times, labelled, midnight, views_of
from ops_platform.models.odds_baselines import BaseRate, RecencyFrequency
from ops_platform.models.recommending import COUNTRIES, day_of_features
from ops_platform.models.segments import of_customers
from ops_platform.models.task import CHALLENGER, Judged, Rules, TrainingSet

DAY = timedelta(days=1)
USED_SHOWN, SHUFFLES = 10, 3
BASELINES: dict[str, type[RecencyFrequency] | type[BaseRate]] = {
    "recency_frequency": RecencyFrequency,
    "base_rate": BaseRate,
}


class Foretelling:
    """What is likely to come true of each customer: see `Task`.

    The gate compares the Brier score by customer, negated as scikit-learn's `neg_brier_score`.
    """

    method = "predict_proba"
    metric = "neg_brier_score"
    title = "Negated Brier score"
    baselines: Sequence[str] = tuple(BASELINES)
    row = "customers at a moment"
    limits: Sequence[str] = (
        "A customer who has never bought has no probability.",
        "What comes of a season that its history does not hold is not foreseen.",
    )

    def queries(self, kind: type[Estimator]) -> list[str]:
        """SQL on the feature tables of all that its training set is made of."""
        return [
            f"SELECT {', '.join(('customer_id', *view.features_named))} FROM {view.table}"
            for view in views_of(cast(type[Foretells], kind))
        ]

    def training_set(
        self, kind: type[Estimator], lake: Lake, pointer: Published, by_delivery: ByDelivery
    ) -> TrainingSet:
        """Customers at label times whose horizon has passed; raises as `Task`."""
        model = cast(Foretells, kind())
        with connect(lake, snapshot=pointer.snapshot) as connection:
            first = connection.execute(f"SELECT min(day) FROM {MART}").fetchone()
            if first is None or first[0] is None:
                raise TrainingError(
                    "the training set is empty: no customer has bought a product yet"
                )
            as_of = day_of_features(connection, pointer)
            times = label_times(model, as_of + DAY - timedelta(model.horizon_days), first[0])
            rows = labelled(connection, model, times, by_delivery)
            connection.register("training_rows", rows)
            digest = digest_rows(connection, "SELECT * FROM training_rows")
        return TrainingSet(rows, as_of, first[0], pointer, digest, by_delivery)

    def follows_from_marts(self, lake: Lake, training: TrainingSet) -> bool:
        """It does: the rows are made from the marts themselves."""
        return True

    def window(self, kind: type[Estimator], rules: Rules) -> Rules:
        """A whole horizon: before it has passed there is no telling."""
        days = cast(Foretells, kind()).horizon_days
        return replace(rules, longest_days=days - 1, shortest_days=days)

    def known_before(
        self, kind: type[Estimator], lake: Lake, training: TrainingSet, cut: date
    ) -> pd.DataFrame:
        """The rows whose horizon had passed by then; none where there is nothing to tell apart."""
        horizon = timedelta(days=cast(Foretells, kind()).horizon_days)
        rows = training.rows[training.rows[LABEL_TIME] + horizon <= midnight(cut)]
        newest = rows[rows[LABEL_TIME] == rows[LABEL_TIME].max()]
        return rows if newest[IS_TRUE].nunique() == 2 else rows[:0]

    def baseline(self, name: str) -> Estimator:
        """An unfitted baseline."""
        return BASELINES[name]()

    def judge(
        self,
        contenders: Mapping[str, Estimator],
        lake: Lake,
        training: TrainingSet,
        cut: date,
        seed: int,
    ) -> Judged:
        """Squared errors by customer known at `cut`; average precision with its intervals."""
        rows = training.rows[training.rows[LABEL_TIME] == midnight(cut)]
        is_true = rows[IS_TRUE].to_numpy(dtype=bool)
        if not is_true.any():
            return Judged(pd.DataFrame())
        foretold = probabilities(contenders, rows)
        scores = pd.DataFrame(
            {name: -((one - is_true) ** 2) for name, one in foretold.items()},
            index=pd.Index(rows["customer_id"].to_numpy(dtype=str), name="customer_id"),
        )
        counts = metrics.resamples(len(rows), seed)
        more: dict[str, float] = {}
        for name, one in foretold.items():
            prefix = "" if name == CHALLENGER else f"{name}_"
            found = metrics.figure(metrics.average_precision, is_true, one, counts)
            more |= {
                f"{prefix}average_precision": found.value,
                f"{prefix}average_precision_low": found.low,
                f"{prefix}average_precision_high": found.high,
            }
        details = {
            "average_precision": more,
            "reliability": metrics.reliability(is_true, foretold[CHALLENGER]),
            "used": _used(cast(Foretells, contenders[CHALLENGER]), rows, is_true, seed),
        }
        return Judged(scores, _segments(scores, lake, training.pointer, cut), more, details)

    def signature(self, model: Estimator) -> Any:
        """From features to a probability."""
        from mlflow.models import ModelSignature
        from mlflow.types import ColSpec, DataType, Schema

        features = [
            ColSpec(
                # A whole number that may be missing comes as a double.
                DataType.long if _is_whole(view.schema.columns[name]) else DataType.double,
                f"{view.name}__{name}",
            )
            for view in views_of(cast(Foretells, model))
            for name in view.features_named
        ]
        return ModelSignature(
            inputs=Schema(features),
            outputs=Schema([ColSpec(DataType.double, "probability")]),
        )

    def predict(self, model: Estimator, given: pd.DataFrame) -> pd.DataFrame:
        """One `probability` for each row of features."""
        return pd.DataFrame({"probability": cast(Foretells, model).predict_proba(given)[:, 1]})

    def told(self, details: Mapping[str, Any]) -> Iterator[str]:
        """Average precision, and the reliability curve by tenths of the customers."""
        precision = details["average_precision"]
        yield "| | average precision | interval |"
        yield "|---|---|---|"
        for name in [one for one in precision if one.endswith("average_precision")]:
            who = name.removesuffix("average_precision").replace("_", " ").strip()
            yield (
                f"| {who or 'this version'} | {precision[name]:.4f} | "
                f"{precision[f'{name}_low']:.4f} to {precision[f'{name}_high']:.4f} |"
            )
        yield ""
        yield "| customers, by tenths | foretold | came true |"
        yield "|---|---|---|"
        for one in details["reliability"]:
            yield f"| {one['customers']:,.0f} | {one['foretold']:.3f} | {one['observed']:.3f} |"
        yield ""
        yield "| most used features | Brier score lost when it is shuffled among customers |"
        yield "|---|---|"
        for name, lost in details["used"].items():
            yield f"| {name.replace('__', '.')} | {lost:+.4f} |"
        yield ""


def _used(model: Foretells, rows: pd.DataFrame, is_true: np.ndarray, seed: int) -> dict[str, float]:
    """The features without which the Brier score is worst (Breiman, "Random Forests", 2001)."""
    # Only here: it takes a second to import, and who trains nothing does without.
    from sklearn.inspection import permutation_importance

    features = rows[[name for name in rows.columns if "__" in str(name)]]

    def score(fitted: Foretells, shuffled: pd.DataFrame, came_true: np.ndarray) -> float:
        return -float(np.mean((fitted.predict_proba(shuffled)[:, 1] - came_true) ** 2))

    found = permutation_importance(
        model, features, is_true, scoring=score, n_repeats=SHUFFLES, random_state=seed
    )
    lost = pd.Series(found["importances_mean"], index=features.columns)
    return {str(name): float(one) for name, one in lost.nlargest(USED_SHOWN).items()}


def _segments(
    scores: pd.DataFrame, lake: Lake, pointer: Published, cut: date
) -> dict[str, pd.DataFrame]:
    with connect(lake, snapshot=pointer.snapshot) as connection:
        bought = f"SELECT DISTINCT customer_id, day FROM {MART} WHERE day < ?"
        known = connection.execute(bought, [cut]).df()
        countries = dict(connection.execute(COUNTRIES).fetchall())
    return {
        name: scores[scores.index.isin(customers)]
        for name, customers in of_customers(known, countries, cut).items()
    }


def _is_whole(column: pa.Column) -> bool:
    return str(column.dtype).startswith("int") and not column.nullable


def probabilities(contenders: Mapping[str, Estimator], rows: pd.DataFrame) -> dict[str, np.ndarray]:
    """What each says of each row that it comes true."""
    return {
        name: cast(Foretells, model).predict_proba(rows)[:, 1] for name, model in contenders.items()
    }
