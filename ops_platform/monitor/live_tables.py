"""The tables of live performance in the lake: what was measured, and what estimates learn from."""

from collections.abc import Mapping
from datetime import date

import duckdb
import pandas as pd

from ops_platform.errors import MonitorError
from ops_platform.lake.session import has_table

PERFORMANCE, CALIBRATION = "monitor.performance", "monitor.calibration"
# Where answers come from: the service's log, or what the champion would have given that day.
SERVED, AS_OF = "served", "as of"

_KEY = "model VARCHAR, version BIGINT, period DATE, source VARCHAR, segment VARCHAR"
_SHAPES = {
    PERFORMANCE: f"{_KEY}, answers BIGINT, hits BIGINT, hit_rate DOUBLE, hit_rate_low DOUBLE, "
    "hit_rate_high DOUBLE, baseline_hit_rate DOUBLE, units BIGINT, ndcg DOUBLE, ndcg_low DOUBLE, "
    "ndcg_high DOUBLE, baseline_ndcg DOUBLE, lead DOUBLE, lead_low DOUBLE, lead_high DOUBLE, "
    "ripe BOOLEAN, estimated BOOLEAN",
    CALIBRATION: f"{_KEY}, stratum BIGINT, answers BIGINT, hits BIGINT, buyers BIGINT, "
    "ndcg DOUBLE, ripe BOOLEAN",
}
Settled = Mapping[str, set[tuple[int, date]]]


def read(connection: duckdb.DuckDBPyConnection, table: str, model: str) -> pd.DataFrame:
    """A model's rows of one of the tables, in order; none where there is no such table yet."""
    if not has_table(connection, table):
        # As the engine would answer, with the types that it has.
        columns = (column.split() for column in _SHAPES[table].split(", "))
        none = ", ".join(f"NULL::{kind} AS {name}" for name, kind in columns)
        return connection.execute(f"SELECT {none} LIMIT 0").df().astype({"ripe": bool})
    return connection.execute(
        f"SELECT * FROM {table} WHERE model = ? ORDER BY period, version, source, segment", [model]
    ).df()


def ripe_of(performance: pd.DataFrame) -> dict[str, set[tuple[int, date]]]:
    """By source the versions and days that are judged for good."""
    ripe = performance[performance["ripe"].astype(bool)]
    return {
        str(source): {
            (int(version), day.date())
            for version, day in zip(group["version"], group["period"], strict=True)
        }
        for source, group in ripe.groupby("source")
    }


def is_kept(held: pd.DataFrame, rows: pd.DataFrame) -> bool:
    """Whether new rows of a table are those that are held and not ripe: there is nothing to keep.

    Parameters
    ----------
    held : as `read`.
    """
    held = held[~held["ripe"].astype(bool)].drop(columns="model")
    if rows.empty or held.empty:
        return rows.empty and held.empty
    key = [name for name in ("period", "version", "source", "segment", "stratum") if name in held]
    found = rows[held.columns].astype(held.dtypes.to_dict())
    one, other = (part.sort_values(key, ignore_index=True) for part in (found, held))
    return bool(one.equals(other))


def keep(
    connection: duckdb.DuckDBPyConnection,
    model: str,
    settled: Settled,
    performance: pd.DataFrame,
    calibration: pd.DataFrame,
) -> pd.DataFrame:
    """Put new rows in the place of a model's rows that are not ripe (in a write); all its rows.

    Raises MonitorError where other days than `settled` are ripe by now.
    """
    connection.execute("CREATE SCHEMA IF NOT EXISTS monitor")
    for table, shape in _SHAPES.items():
        connection.execute(f"CREATE TABLE IF NOT EXISTS {table} ({shape})")
    if ripe_of(read(connection, PERFORMANCE, model)) != settled:
        raise MonitorError(f"another run has measured {model} meanwhile: materialize again")
    for table, rows in ((PERFORMANCE, performance), (CALIBRATION, calibration)):
        connection.execute(f"DELETE FROM {table} WHERE model = ? AND NOT ripe", [model])
        if not rows.empty:
            connection.register("appended", rows.assign(model=model))
            connection.execute(f"INSERT INTO {table} BY NAME SELECT * FROM appended")
            connection.unregister("appended")
    return read(connection, PERFORMANCE, model)
