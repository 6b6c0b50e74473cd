"""Which customers were known at a moment, whether they bought soon after, and what was known."""

from collections.abc import Sequence
from datetime import date, datetime, time, timedelta

import duckdb
import pandas as pd

from ops_platform.features.known_by import ByDelivery
from ops_platform.features.point_in_time import LABEL_TIME, training_set
from ops_platform.features.view import FeatureView, find_views
from ops_platform.lake.connect import ALIAS
from ops_platform.models.estimators import Foretells

IS_TRUE = "is_true"
MART = f"{ALIAS}.marts.fct_interactions"
# A purchase counts if it is not cancelled within the horizon, known is who has bought before.
_LABELS = f"""
WITH bought AS (
    SELECT DISTINCT label_time, customer_id FROM (
        SELECT moments.label_time, customer_id, product_id, purchased_on
        FROM moments JOIN {MART} AS events
          ON purchased_on >= moments.label_time
         AND day < moments.label_time + to_days(?)
        GROUP BY ALL HAVING sum(quantity) > 0
    )
),
known AS (
    SELECT DISTINCT moments.label_time, customer_id
    FROM moments JOIN {MART} AS events ON day < moments.label_time
)
SELECT customer_id, label_time, bought.customer_id IS NOT NULL AS {IS_TRUE}
FROM known LEFT JOIN bought USING (label_time, customer_id)
ORDER BY label_time, customer_id
"""


def label_times(model: Foretells, newest: date, first_day: date) -> list[datetime]:
    """The moments to learn from, oldest first: at `newest` and before it, where days are known."""
    times = (newest - timedelta(days=model.every_days * n) for n in range(model.label_times))
    return sorted(midnight(day) for day in times if day > first_day)


def midnight(day: date) -> datetime:
    """The moment at which a day begins."""
    return datetime.combine(day, time())


def labelled(
    connection: duckdb.DuckDBPyConnection,
    model: Foretells,
    times: Sequence[datetime],
    by_delivery: ByDelivery,
) -> pd.DataFrame:
    """Each customer known at each moment: whether it came true within the horizon, and features.

    Columns customer_id, label_time, IS_TRUE and `<view>__<feature>`. Who bought only longer ago
    than the views look back is left out. Features of marts in `by_delivery` are of what had been
    delivered by then; raises TrainingError as `training_set`.
    """
    moments = pd.DataFrame({LABEL_TIME: pd.to_datetime(list(times))})
    connection.register("moments", moments)
    try:
        labels = connection.execute(_LABELS, [model.horizon_days]).df()
    finally:
        connection.unregister("moments")
    views = views_of(model)
    rows = training_set(connection, labels, views, by_delivery=by_delivery).rows
    known = rows[[f"{views[0].name}__{views[0].features_named[0]}"]].notna().all(axis=1)
    return rows[known].reset_index(drop=True)


def current(connection: duckdb.DuckDBPyConnection, model: Foretells) -> pd.DataFrame:
    """Each customer of the feature tables with their features, as `labelled`, in order of the ids.

    The tables are of the end of one day; what comes after it is what the model is asked.
    """
    first, *others = views_of(model)
    columns = [
        f'{view.name}."{name}" AS {view.name}__{name}'
        for view in (first, *others)
        for name in view.features_named
    ]
    joins = [f"LEFT JOIN {view.table} AS {view.name} USING (customer_id)" for view in others]
    return connection.execute(
        f"SELECT customer_id, {', '.join(columns)} FROM {first.table} AS {first.name} "
        f"{' '.join(joins)} ORDER BY customer_id"
    ).df()


def views_of(model: Foretells | type[Foretells]) -> list[FeatureView]:
    """The views that a model learns from, in its order."""
    there = {view.name: view for view in find_views()}
    return [there[name] for name in model.views]
