"""Feature tables: computed in the engine from the published marts, and checked by their schema."""

import hashlib
from dataclasses import dataclass
from datetime import date
from functools import reduce
from operator import or_

import duckdb
import ibis
import ibis.expr.types as ir
import pandas as pd
import pandera.errors
from ibis.backends.sql.datatypes import DuckDBType

from ops_platform.errors import LakeError, NotPublishedError
from ops_platform.features.view import FeatureView, find_views
from ops_platform.lake import catalog
from ops_platform.lake.connect import attach, connect
from ops_platform.lake.location import Lake
from ops_platform.lake.published import Published, published, published_or_none
from ops_platform.lake.session import has_table
from ops_platform.lake.write import snapshot_being_made, write

PUBLISHED = "published"
OWN = ("as_of", "_snapshot")
# The check of pandera that a column holds no null.
NULL = "not_nullable"
UNIQUE = "unique"
FAILING_TOLD = 20
# The mart, and its column, whose newest day is the default as-of.
ORDERS = ("fct_order_lines", "ordered_on")


def newest_day(lake: Lake) -> date:
    """The day of the newest event in the published `raw.orders`: the default as-of."""
    with connect(lake, snapshot=published(lake).marts) as connection:
        row = connection.execute(f"SELECT max({ORDERS[1]}) FROM marts.{ORDERS[0]}").fetchone()
    if row is None or row[0] is None:
        raise LakeError("no orders are published yet, so there is no day to compute features for")
    day: date = row[0]
    return day


def query(
    connection: duckdb.DuckDBPyConnection, view: FeatureView, as_of: date, database: str
) -> str:
    """The view's SQL as of a day, on the marts of an attached `database`."""
    backend = ibis.duckdb.from_connection(connection)
    mart = backend.table(view.mart, database=(database, "marts"))
    return typed(view.expression(mart, as_of))


def typed(rows: ibis.Table) -> str:
    """The SQL of an expression, each column cast to the type that ibis states.

    The engine's own can be wider: a sum of integers is a HUGEINT.
    """
    columns = ", ".join(
        f'CAST("{name}" AS {DuckDBType.to_string(kind)}) AS "{name}"'
        for name, kind in rows.schema().items()
    )
    return f"SELECT {columns} FROM ({ibis.to_sql(rows, dialect='duckdb')})"


def build(lake: Lake, view: FeatureView, as_of: date) -> bool:
    """Make the view's table from the published marts as of a day; False if it stands already.

    Each row carries `as_of` and `_snapshot`, the id of the published marts it was computed from.
    Raises NotPublishedError before the marts are published.
    """
    marts = published(lake).marts
    rows = _published_query(lake, view, as_of, marts)
    inputs = f"{hashlib.sha256(rows.encode()).hexdigest()} as_of={as_of} marts={marts}"
    if catalog.build_is_current(lake, view.table, inputs, [view.table]):
        return False

    def work(connection: duckdb.DuckDBPyConnection) -> int:
        connection.execute("CREATE SCHEMA IF NOT EXISTS features")
        connection.execute(
            f"CREATE OR REPLACE TABLE {view.table} AS "
            f"SELECT *, DATE '{as_of}' AS as_of, {marts}::BIGINT AS _snapshot FROM ({rows}) "
            f"ORDER BY {', '.join(view.entity)}"
        )
        return snapshot_being_made(connection)

    snapshot = write(lake, work, prepare=lambda c: attach(c, lake, PUBLISHED, snapshot=marts))
    catalog.record_build(lake, view.table, inputs, snapshot)
    return True


def _published_query(lake: Lake, view: FeatureView, as_of: date, marts: int) -> str:
    with connect(lake) as connection:
        attach(connection, lake, PUBLISHED, snapshot=marts)
        return query(connection, view, as_of, PUBLISHED)


@dataclass(frozen=True)
class Validation:
    """What the schema says of a table.

    Parameters
    ----------
    rows : checked.
    failures : a row for each failure, with the `column` and the `check` that it breaks.
    failing : the first rows that break a check of a column, whole, by their entity.
    """

    rows: int
    failures: pd.DataFrame
    failing: pd.DataFrame

    @property
    def broken(self) -> list[str]:
        """The checks that are broken, each once, with its column."""
        cases = self.failures.itertuples()
        return list(dict.fromkeys(f"{case.column}: {case.check}" for case in cases))


def validate(connection: duckdb.DuckDBPyConnection, view: FeatureView) -> Validation:
    """Check the view's table in the engine against its pandera schema.

    Its entity must be unique, whatever the schema says of it.
    """
    backend = ibis.duckdb.from_connection(connection)
    table = backend.table(view.name, database=("lake", "features")).drop(*OWN)
    rows, failures = int(table.count().execute()), pd.DataFrame()
    try:
        view.schema.validate(table, lazy=True)
    except pandera.errors.SchemaErrors as error:
        failures = error.failure_cases
        # Beside a value that breaks a check pandera names itself, and in the value the column.
        values = failures["failure_case"].map(lambda case: isinstance(case, dict))
        failures.loc[values, "column"] = failures.loc[values, "failure_case"].map(min)
        if not rows:
            # Whether any of no values is null is itself null, which pandera takes for a yes.
            failures = failures[failures["check"] != NULL]
    repeated = _repeated(table, view)
    failures = pd.concat(
        [failures, pd.DataFrame({"column": list(repeated), "check": UNIQUE, "failure_case": None})]
    )
    return Validation(rows, failures, _failing(table, view, failures, list(repeated.values())))


def _repeated(table: ibis.Table, view: FeatureView) -> dict[str, ir.BooleanValue]:
    """Which rows are repeated, by the columns that must be unique, where there are any.

    In the engine pandera passes over the `unique` of a column.
    """
    columns = view.schema.columns.items()
    keys = {view.entity, *((name,) for name, column in columns if column.unique)}
    repeated = {", ".join(key): table.count().over(group_by=list(key)) > 1 for key in sorted(keys)}
    return {named: rows for named, rows in repeated.items() if table.filter(rows).count().execute()}


def _failing(
    table: ibis.Table, view: FeatureView, failures: pd.DataFrame, wrong: list[ir.BooleanValue]
) -> pd.DataFrame:
    """The first rows that are `wrong` or have a value that breaks a check.

    Of these pandera has the value alone, and of nulls not even that.
    """
    for column, cases in failures.groupby("column"):
        if (cases["check"] == NULL).any():
            wrong.append(table[column].isnull())
        values = [case[column] for case in cases["failure_case"] if isinstance(case, dict)]
        if values:
            wrong.append(table[column].isin(list(dict.fromkeys(values))))
    if not wrong:
        return pd.DataFrame()
    rows = table.filter(reduce(or_, wrong)).order_by(*view.entity).limit(FAILING_TOLD)
    found: pd.DataFrame = rows.to_pandas()
    return found


def stamps_of(
    connection: duckdb.DuckDBPyConnection, views: list[FeatureView]
) -> set[tuple[int, date]]:
    """The (snapshot of the marts, as-of) that the rows of these feature tables are of.

    A view that is newer than the snapshot has no table there yet, and is left out.
    """
    union = " UNION ".join(
        f"SELECT DISTINCT _snapshot, as_of FROM {view.table}"
        for view in views
        if has_table(connection, view.table)
    )
    if not union:
        return set()
    return {(int(snapshot), as_of) for snapshot, as_of in connection.execute(union).fetchall()}


def published_day(lake: Lake) -> date | None:
    """The as-of of the published features, None while there are none."""
    pointer = published_or_none(lake)
    if pointer is None or pointer.snapshot == pointer.marts:
        return None
    with connect(lake, snapshot=pointer.snapshot) as connection:
        days = [as_of for _, as_of in stamps_of(connection, find_views())]
    return max(days, default=None)


def published_with_features(lake: Lake) -> Published:
    """The published snapshot; raises NotPublishedError while its features are not there yet."""
    pointer = published(lake)
    if pointer.snapshot == pointer.marts:
        raise NotPublishedError(
            "the features of the published marts are not published yet: "
            "materialize up to lake/published_features first"
        )
    return pointer
