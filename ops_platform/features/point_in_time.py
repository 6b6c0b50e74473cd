"""Point-in-time joins: to each label what every view knew before the label's time, and no more."""

from collections.abc import Sequence
from dataclasses import dataclass

import duckdb
import ibis
import pandas as pd
import pyarrow as pa
from ibis.backends.sql.datatypes import DuckDBType

from ops_platform.errors import TrainingError
from ops_platform.features.build import ORDERS, typed
from ops_platform.features.known_by import ByDelivery, arrivals_sql
from ops_platform.features.remarks import remarks
from ops_platform.features.view import AS_OF, FeatureView
from ops_platform.ingest.sql import quoted
from ops_platform.lake.connect import ALIAS

LABEL_TIME, DELIVERY = "label_time", "delivery"
# Names within the query; the row's number keeps the order of the labels.
_LABELS, _MADE, _ROW = "ops_labels", "ops_training_set", "ops_row"


@dataclass(frozen=True)
class LabelledRows:
    """The labels with their features, in the order of the labels.

    Parameters
    ----------
    rows : the labels' own columns, then `<view>__<feature>` of each view; null where the view knew
        nothing of the entity.
    remarks : what is worth a look: views without rows, features that are null or never differ.
    """

    rows: pd.DataFrame
    remarks: tuple[str, ...]


def training_set(
    connection: duckdb.DuckDBPyConnection,
    labels: pd.DataFrame,
    views: Sequence[FeatureView],
    *,
    by_delivery: ByDelivery | None = None,
    database: str = ALIAS,
) -> LabelledRows:
    """Join to each label what the views knew before its time, in one query of the engine.

    An event counts if it is before the label's time, one known by its day only if that day has
    ended by then, and neither if it is longer ago than the view's `ttl`. Of a mart in `by_delivery`
    (see `known_by_delivery`) a row's delivery must have come before the label's time too.

    Parameters
    ----------
    connection : sees the marts of the lake attached as `database`, best pinned to a snapshot.
    labels : the entity columns of every view, `label_time` (naive UTC), and whatever else.

    Raises
    ------
    TrainingError : a column is missing, a time is null, has a zone or is after the lake's newest
        data, a view has several rows of one entity, or can't tell when its rows were delivered.
    """
    _require_usable(labels, views)
    numbered = labels.assign(**{_ROW: range(len(labels))})
    # As Arrow, for DuckDB can't read every DataFrame, one that was turned round, say.
    connection.register(_LABELS, pa.Table.from_pandas(numbered, preserve_index=False))
    try:
        _require_within_the_data(connection, labels, views, database)
        rows = connection.execute(_sql(connection, views, by_delivery or {}, database)).df()
    finally:
        connection.unregister(_LABELS)
    if len(rows) != len(labels):
        raise TrainingError(
            f"{len(labels)} labels became {len(rows)} rows: a view among "
            f"{', '.join(view.name for view in views)} has several rows of one entity; the check "
            "schema of its table shows them"
        )
    return LabelledRows(rows, _remarks(connection, rows, views))


def _require_usable(labels: pd.DataFrame, views: Sequence[FeatureView]) -> None:
    wanted = [LABEL_TIME, *(name for view in views for name in view.entity)]
    missing = sorted({name for name in wanted if name not in labels.columns})
    if missing:
        raise TrainingError(
            f"labels need the columns {', '.join(dict.fromkeys(wanted))}; "
            f"{', '.join(missing)} not found among {', '.join(map(str, labels.columns))}"
        )
    times = labels[LABEL_TIME]
    if times.isna().any():
        raise TrainingError(f"{times.isna().sum()} of {len(labels)} labels have no {LABEL_TIME}")
    if getattr(times.dtype, "tz", None) is not None:
        raise TrainingError(
            f"{LABEL_TIME} is in {times.dtype.tz}; times here are UTC without a zone: "  # type: ignore[union-attr]
            "convert them and drop the zone (tz_convert('UTC').dt.tz_localize(None))"
        )


def _require_within_the_data(
    connection: duckdb.DuckDBPyConnection,
    labels: pd.DataFrame,
    views: Sequence[FeatureView],
    database: str,
) -> None:
    """The newest day is taken to be whole, so labels may be of its end."""
    # A view's own mart may end earlier, on a day when only guests bought.
    of = {ORDERS, *((view.mart, view.event_time) for view in views)}
    newest = " UNION ALL ".join(
        f"SELECT max({quoted(time)})::TIMESTAMP AS newest FROM {database}.marts.{mart}"
        for mart, time in sorted(of)
    )
    found = connection.execute(
        f"""
        WITH data AS (SELECT max(newest) AS newest FROM ({newest}))
        SELECT count(*), any_value(data.newest) FROM {_LABELS}, data
        WHERE {LABEL_TIME} > date_trunc('day', data.newest) + INTERVAL 1 DAY
        """
    ).fetchone()
    if found and found[0]:
        raise TrainingError(
            f"{found[0]} of {len(labels)} labels are of times after the day of the lake's newest "
            f"event, {found[1]}: what was known then is not in the lake yet; leave them out, or "
            "take the newer deliveries in"
        )


def _sql(
    connection: duckdb.DuckDBPyConnection,
    views: Sequence[FeatureView],
    by_delivery: ByDelivery,
    database: str,
) -> str:
    parts = [
        f"labels AS (SELECT * REPLACE (CAST({LABEL_TIME} AS TIMESTAMP) AS {LABEL_TIME}) "
        f"FROM {_LABELS})"
    ]
    columns, joins = [f"labels.* EXCLUDE ({_ROW})"], []
    backend = ibis.duckdb.from_connection(connection)
    for view in views:
        mart = backend.table(view.mart, database=(database, "marts"))
        moments = ibis.table(
            {**{key: mart[key].type() for key in view.join_keys}, AS_OF: "timestamp"},
            name=f"moments_{view.name}",
        )
        arrivals = None
        if view.mart in by_delivery:
            arrivals = _arrivals(view, mart)
            parts.append(
                f"{arrivals.get_name()} AS ({arrivals_sql(database, by_delivery[view.mart])})"
            )
        rows = view.at(mart, moments, arrivals)
        parts += [
            f"{moments.get_name()} AS ({_moments_sql(moments)})",
            f"{quoted(view.name)} AS ({typed(rows)})",
        ]
        same = [f"labels.{LABEL_TIME} = {quoted(view.name)}.{AS_OF}"]
        same += [
            f"CAST(labels.{quoted(one)} AS {DuckDBType.to_string(rows[one].type())}) "
            f"= {quoted(view.name)}.{quoted(one)}"
            for one in view.entity
        ]
        joins.append(f"LEFT JOIN {quoted(view.name)} ON {' AND '.join(same)}")
        columns += [
            f"{quoted(view.name)}.{quoted(one)} AS {quoted(f'{view.name}__{one}')}"
            for one in rows.columns
            if one not in (*view.entity, AS_OF)
        ]
    return (
        f"WITH {', '.join(parts)} SELECT {', '.join(columns)} FROM labels {' '.join(joins)} "
        f"ORDER BY {_ROW}"
    )


def _arrivals(view: FeatureView, mart: ibis.Table) -> ibis.Table:
    if DELIVERY not in mart.columns:
        raise TrainingError(
            f"the contract says that records are known by their delivery, and marts.{view.mart} "
            f"has no column {DELIVERY}, so {view.name} can't tell what had come by then: add the "
            "column to the mart, or leave the view out"
        )
    return ibis.table(
        {DELIVERY: "string", "delivered_at": "timestamp"}, name=f"arrivals_{view.name}"
    )


def _moments_sql(moments: ibis.Table) -> str:
    """The distinct keys and times of the labels: nothing is computed that no label asks for."""
    keys = {name: kind for name, kind in moments.schema().items() if name != AS_OF}
    cast = ", ".join(
        f"CAST({quoted(name)} AS {DuckDBType.to_string(kind)}) AS {quoted(name)}"
        for name, kind in keys.items()
    )
    return f"SELECT DISTINCT {cast}, {LABEL_TIME} AS {AS_OF} FROM labels"


def _remarks(
    connection: duckdb.DuckDBPyConnection, rows: pd.DataFrame, views: Sequence[FeatureView]
) -> tuple[str, ...]:
    features = [
        name for name in rows.columns if name.startswith(tuple(f"{view.name}__" for view in views))
    ]
    connection.register(_MADE, rows)
    try:
        return remarks(connection, _MADE, features)
    finally:
        connection.unregister(_MADE)
