"""Recommenders: learned from who bought what on which day, judged by NDCG on later purchases."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import date, timedelta
from typing import Any

import duckdb
import numpy as np
import pandas as pd

from ops_platform.errors import TrainingError
from ops_platform.features.build import query, stamps_of
from ops_platform.features.known_by import ByDelivery
from ops_platform.features.view import find_views
from ops_platform.features.views import customer_products
from ops_platform.lake.connect import connect
from ops_platform.lake.digest import digest_rows
from ops_platform.lake.location import Lake
from ops_platform.lake.published import Published
from ops_platform.models.baselines import PersonalFrequency, Popularity
from ops_platform.models.estimators import Estimator, recommends
from ops_platform.models.judging import judge_groups
from ops_platform.models.segments import newcomers, of_customers
from ops_platform.models.task import Judged, Rules, TrainingSet

K = 20
BASELINES: dict[str, type[Popularity] | type[PersonalFrequency]] = {
    "popularity": Popularity,
    "personal_frequency": PersonalFrequency,
}
ROWS = (
    f"SELECT customer_id, product_id, day FROM {customer_products.VIEW.table} "
    "ORDER BY customer_id, product_id, day"
)
COUNTRIES = "SELECT customer_id, country FROM marts.dim_customers WHERE country IS NOT NULL"


class Recommending:
    """What each customer buys next: see `Task`."""

    method = "recommend"
    metric = f"ndcg_at_{K}"
    title = f"NDCG@{K}"
    baselines: Sequence[str] = tuple(BASELINES)
    row = "distinct customer, product and day"
    limits: Sequence[str] = (
        "Customers it has not seen get what is popular, and are in none of the figures above.",
        "Only products bought up to the last day of its data can be recommended.",
    )

    def queries(self, kind: type[Estimator]) -> list[str]:
        """SQL on the feature tables of all that its training set is made of."""
        return [ROWS]

    def training_set(
        self, kind: type[Estimator], lake: Lake, pointer: Published, by_delivery: ByDelivery
    ) -> TrainingSet:
        """The interactions of a snapshot, all of which have been delivered; raises as `Task`."""
        with connect(lake, snapshot=pointer.snapshot) as connection:
            if not stamps_of(connection, [customer_products.VIEW]):
                raise TrainingError(
                    "the training set is empty: no customer has bought a product yet"
                )
            as_of = day_of_features(connection, pointer)
            rows = connection.execute(ROWS).df()
            first: date = pd.Timestamp(rows["day"].min()).date()
            digest = digest_rows(connection, ROWS)
        return TrainingSet(rows, as_of, first, pointer, digest, {})

    def follows_from_marts(self, lake: Lake, training: TrainingSet) -> bool:
        """Whether the marts still give the interactions that the features hold."""
        with connect(lake, snapshot=training.pointer.snapshot) as connection:
            made = interactions_by(connection, training.as_of)
        order = list(made.columns)
        held = training.rows[order].sort_values(order, ignore_index=True)
        return bool(pd.DataFrame.equals(made.sort_values(order, ignore_index=True), held))

    def window(self, kind: type[Estimator], rules: Rules) -> Rules:
        """As the rules are: any purchase can be judged."""
        return rules

    def known_before(
        self, kind: type[Estimator], lake: Lake, training: TrainingSet, cut: date
    ) -> pd.DataFrame:
        """The interactions as they were known then: later cancellations not applied."""
        with connect(lake, snapshot=training.pointer.snapshot) as connection:
            return interactions_by(connection, cut - timedelta(days=1))

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
        """NDCG@20 by customer on what was bought from `cut` on, and so in each segment."""
        is_later = pd.to_datetime(training.rows["day"]) >= pd.Timestamp(cut)
        known, bought = training.rows[~is_later], training.rows[is_later]
        models = {name: recommends(model) for name, model in contenders.items()}
        new = bought[bought["product_id"].isin(newcomers(known, cut))]
        judged = judge_groups(models, {"": bought, "product newcomers": new}, K)
        scores = judged.pop("")
        with connect(lake, snapshot=training.pointer.snapshot) as connection:
            countries = dict(connection.execute(COUNTRIES).fetchall())
        segments = {
            name: scores[scores.index.isin(customers)]
            for name, customers in of_customers(known, countries, cut).items()
        }
        return Judged(scores, segments | judged)

    def signature(self, model: Estimator) -> Any:
        """From customer_id to ranks."""
        from mlflow.models import ModelSignature
        from mlflow.types import ColSpec, DataType, Schema

        columns = {
            "customer_id": DataType.string,
            "rank": DataType.long,
            "product_id": DataType.string,
            "score": DataType.double,
        }
        return ModelSignature(
            inputs=Schema([ColSpec(DataType.string, "customer_id")]),
            outputs=Schema([ColSpec(kind, name) for name, kind in columns.items()]),
        )

    def predict(self, model: Estimator, given: pd.DataFrame) -> pd.DataFrame:
        """Rows customer_id, rank (from 1), product_id, score for each customer_id."""
        customers = given["customer_id"].to_numpy(dtype=str)
        ranked = recommends(model).recommend(customers)
        n, k = ranked.product_id.shape
        return pd.DataFrame(
            {
                "customer_id": np.repeat(customers, k),
                "rank": np.tile(np.arange(1, k + 1), n),
                "product_id": ranked.product_id.ravel(),
                "score": ranked.scores.ravel(),
            }
        )

    def told(self, details: Mapping[str, Any]) -> Iterator[str]:
        """Nothing more than the table of contenders."""
        yield from ()


def day_of_features(connection: duckdb.DuckDBPyConnection, pointer: Published) -> date:
    """The one day of the published features; raises TrainingError as `Task.training_set`."""
    stamps = stamps_of(connection, find_views())
    if {marts for marts, _ in stamps} != {pointer.marts} or len(stamps) > 1:
        raise TrainingError(
            f"the features are of (marts snapshot, as-of) {sorted(stamps)}, not all of one day "
            f"and of the published marts, {pointer.marts}: materialize all features"
        )
    return stamps.pop()[1]


def interactions_by(connection: duckdb.DuckDBPyConnection, day: date) -> pd.DataFrame:
    """The distinct customer_id, product_id, day that were known at the end of `day`."""
    sql = query(connection, customer_products.VIEW, day, "lake")
    return connection.execute(f"SELECT customer_id, product_id, day FROM ({sql}) ORDER BY ALL").df()
