"""Profiles by day of what models see: interactions, features of who traded, scores served.

Each dataset's newest profiled day says where to go on: days before it are not read again, but by a
feature view, whose values as of a day are made from what was known before it.
"""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date

import duckdb
import pandas as pd
import pyarrow as pa

from ops_platform.features.known_by import ByDelivery
from ops_platform.features.point_in_time import LABEL_TIME, training_set
from ops_platform.features.view import FeatureView, find_views
from ops_platform.lake.connect import ALIAS
from ops_platform.lake.profile import SHAPE, Kind, Profile, profile_query, read_profiles
from ops_platform.lake.session import has_table
from ops_platform.models.estimators import estimator
from ops_platform.models.segments import NEW_CUSTOMER_DAYS

PROFILES = "monitor.input_profiles"
_COLUMNS = f"dataset VARCHAR, segment VARCHAR, period DATE, {SHAPE}"
# All rows, and those of customers who first bought in the last days or before.
ALL, NEW, RETURNING = "", "new customers", "returning customers"
SEGMENTS = (ALL, NEW, RETURNING)
INTERACTIONS, SERVED = "interactions", "served"
# Days whose features are made at once.
AT_ONCE = 120
DAY, SEGMENT = "ops_day", "segment"
_ROWS, _LABELS = "ops_input_rows", "ops_input_labels"
_NUMBERS = ("DECIMAL", "DOUBLE", "FLOAT", "BIGINT", "INTEGER", "HUGEINT", "SMALLINT", "UBIGINT")

_SEGMENTED = f"""
SELECT rows.*, CASE
    WHEN first_ordered_on IS NULL THEN NULL
    WHEN first_ordered_on >= {DAY} - {NEW_CUSTOMER_DAYS} THEN '{NEW}' ELSE '{RETURNING}'
END AS {SEGMENT}
FROM ({{rows}}) AS rows
LEFT JOIN {ALIAS}.marts.dim_customers AS customers USING (customer_id)
"""
_INTERACTIONS = f"""
SELECT day AS {DAY}, customer_id, kind, quantity, (amount / nullif(quantity, 0))::DOUBLE AS price,
    homes.country, category
FROM {ALIAS}.marts.fct_interactions
LEFT JOIN {ALIAS}.marts.dim_customers AS homes USING (customer_id)
LEFT JOIN {ALIAS}.marts.dim_products USING (product_id)
WHERE day > ? AND day <= ?
"""
_SERVED = f"""
SELECT served_at::DATE AS {DAY}, customer_id, score, known
FROM {ALIAS}.raw.served
WHERE model = ? AND served_at >= ?::DATE + 1 AND served_at < ?::DATE + 1
    AND shown IS DISTINCT FROM false
"""
_TRADED = f"""
SELECT DISTINCT day AS {DAY}, customer_id FROM {ALIAS}.marts.fct_interactions
WHERE day > ? AND day <= ? ORDER BY ALL
"""
# The day before any.
BEFORE = date(1, 1, 1)


@dataclass(frozen=True)
class Inputs:
    """What a model sees: interactions or the features of views, and the scores that it serves.

    Features are of what had been delivered by then where `by_delivery` says so, as in training.
    """

    model: str
    views: tuple[FeatureView, ...]
    interactions: bool
    by_delivery: ByDelivery

    @property
    def datasets(self) -> tuple[str, ...]:
        """The names of its datasets."""
        seen = (INTERACTIONS,) if self.interactions else tuple(view.name for view in self.views)
        return (*seen, f"{SERVED}/{self.model}")


def inputs_of(model: str, by_delivery: ByDelivery) -> Inputs:
    """What a model sees; raises RegistryError where there is no such model."""
    kind = estimator(model)
    views = getattr(kind, "views", None)
    if views is None:
        return Inputs(model, (), True, by_delivery)
    there = {view.name: view for view in find_views()}
    return Inputs(model, tuple(there[name] for name in views), False, by_delivery)


def make(connection: duckdb.DuckDBPyConnection) -> None:
    """Make the table where it is missing (in a write)."""
    connection.execute("CREATE SCHEMA IF NOT EXISTS monitor")
    connection.execute(f"CREATE TABLE IF NOT EXISTS {PROFILES} ({_COLUMNS})")


def newest(connection: duckdb.DuckDBPyConnection, dataset: str) -> date:
    """The newest profiled day of a dataset; BEFORE where there is none."""
    if not has_table(connection, PROFILES):
        return BEFORE
    row = connection.execute(
        f"SELECT max(period) FROM {PROFILES} WHERE dataset = ?", [dataset]
    ).fetchone()
    return row[0] if row and row[0] else BEFORE


def write(
    connection: duckdb.DuckDBPyConnection,
    dataset: str,
    after: date,
    profiles: Mapping[str, Mapping[date, Mapping[str, Profile]]],
) -> None:
    """Add days of a dataset after one, by segment, day and column (in a write).

    Each day is profiled once: where another run has added days since, theirs stay.
    """
    if newest(connection, dataset) != after:
        return
    rows = [
        {"dataset": dataset, "segment": segment, "period": day, "column": column}
        | {field.name: getattr(profile, field.name) for field in dataclasses.fields(Profile)}
        for segment, days in profiles.items()
        for day, columns in days.items()
        for column, profile in columns.items()
    ]
    if not rows:
        return
    shape = pa.schema(
        [(name, pa.string()) for name in ("dataset", "segment")]
        + [("period", pa.date32()), ("column", pa.string())]
        + [(name, pa.int64()) for name in ("rows", "nulls", "distinct")]
        + [(name, pa.float64()) for name in ("least", "greatest", "total", "squares")]
        + [("parts", pa.map_(pa.string(), pa.int64())), ("sketch", pa.list_(pa.uint64()))]
    )
    connection.register("appended", pa.Table.from_pylist(rows, schema=shape))
    connection.execute(f"INSERT INTO {PROFILES} BY NAME SELECT * FROM appended")
    connection.unregister("appended")


def read(
    connection: duckdb.DuckDBPyConnection, datasets: Sequence[str], after: date, until: date
) -> dict[str, dict[date, dict[str, Profile]]]:
    """The profiles after a day, up to another: by segment and day, of features by full name."""
    names = ", ".join(f'"{field.name}"' for field in dataclasses.fields(Profile))
    if not has_table(connection, PROFILES):
        return {segment: {} for segment in SEGMENTS}
    return {
        segment: read_profiles(
            connection,
            f"""SELECT period, dataset || '/' || "column", {names} FROM {PROFILES}
            WHERE list_contains(?, dataset) AND segment = ? AND period > ? AND period <= ?""",
            [list(datasets), segment, after, until],
        )
        for segment in SEGMENTS
    }


def profile(
    connection: duckdb.DuckDBPyConnection, inputs: Inputs, dataset: str, after: date, until: date
) -> dict[str, dict[date, dict[str, Profile]]]:
    """The profiles of a dataset's days after one, up to another: by segment, day and column.

    Parameters
    ----------
    connection : sees the published lake.
    """
    found: dict[str, dict[date, dict[str, Profile]]] = {segment: {} for segment in SEGMENTS}
    for made in _rows(connection, inputs, dataset, after, until):
        kinds = _kinds(connection, made)
        if not kinds:
            continue  # A view of dates alone, say.
        days = connection.execute(f"SELECT DISTINCT {DAY} FROM {made}").fetchall()
        for segment in SEGMENTS:
            of = made if segment == ALL else f"(FROM {made} WHERE {SEGMENT} = '{segment}')"
            query = profile_query(of, DAY, kinds, [day for (day,) in days])
            found[segment] |= read_profiles(connection, query)
    return found


def rows(
    connection: duckdb.DuckDBPyConnection, inputs: Inputs, dataset: str, after: date, until: date
) -> pd.DataFrame:
    """The rows that a dataset's profiles are made of, without who and when."""
    parts = []
    for table in _rows(connection, inputs, dataset, after, until):
        columns = ", ".join(f'"{name}"' for name in _kinds(connection, table))
        parts.append(connection.execute(f"SELECT {columns} FROM {table} ORDER BY ALL").df())
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()


def _rows(
    connection: duckdb.DuckDBPyConnection, inputs: Inputs, dataset: str, after: date, until: date
) -> Iterator[str]:
    """The dataset's rows as temporary tables, some days at a time, with day and segment."""
    if dataset == INTERACTIONS:
        with _table(connection, _INTERACTIONS, [after, until]) as table:
            yield table
    elif dataset.startswith(f"{SERVED}/"):
        if has_table(connection, "raw.served"):
            with _table(connection, _SERVED, [inputs.model, after, until]) as table:
                yield table
    else:
        view = next(view for view in inputs.views if view.name == dataset)
        yield from _features(connection, view, inputs.by_delivery, after, until)


def _features(
    connection: duckdb.DuckDBPyConnection,
    view: FeatureView,
    by_delivery: ByDelivery,
    after: date,
    until: date,
) -> Iterator[str]:
    """What the view knew, before each day, of the customers who traded on it."""
    traded = connection.execute(_TRADED, [after, until]).df()
    days = sorted(traded[DAY].unique())
    for at in range(0, len(days), AT_ONCE):
        labels = traded[traded[DAY].isin(days[at : at + AT_ONCE])].assign(
            **{LABEL_TIME: lambda rows: pd.to_datetime(rows[DAY])}
        )
        rows = training_set(connection, labels, [view], by_delivery=by_delivery).rows
        named = {f"{view.name}__{name}": name for name in view.features_named}
        rows = rows.rename(columns=named)[[DAY, "customer_id", *named.values()]]
        connection.register(_LABELS, rows)
        try:
            sql = f"SELECT * REPLACE ({DAY}::DATE AS {DAY}) FROM {_LABELS}"
            with _table(connection, sql, []) as table:
                yield table
        finally:
            connection.unregister(_LABELS)


@contextmanager
def _table(
    connection: duckdb.DuckDBPyConnection, rows: str, values: Sequence[object]
) -> Iterator[str]:
    made = f"memory.main.{_ROWS}"
    connection.execute(f"CREATE TABLE {made} AS {_SEGMENTED.format(rows=rows)}", values)
    try:
        yield made
    finally:
        connection.execute(f"DROP TABLE {made}")


def _kinds(connection: duckdb.DuckDBPyConnection, table: str) -> dict[str, Kind]:
    """The columns that are profiled: numbers, and texts with the true and false."""
    found: dict[str, Kind] = {}
    for name, kind, *_ in connection.execute(f"DESCRIBE {table}").fetchall():
        if name in (DAY, SEGMENT, "customer_id"):
            continue
        # Without the digits of a decimal; a list of numbers is none.
        if kind.partition("(")[0] in _NUMBERS:
            found[name] = "number"
        elif kind in ("VARCHAR", "BOOLEAN"):
            found[name] = "text"
    return found
