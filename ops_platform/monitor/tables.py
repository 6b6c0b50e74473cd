"""The monitor's tables in the lake: what is normal for each version, and how each day was."""

from dataclasses import dataclass
from datetime import date

import duckdb
import pandas as pd

from ops_platform.lake.session import has_table
from ops_platform.monitor.reference import Reference

REFERENCE = "monitor.reference"
DRIFT = "monitor.drift"

_DRIFT_COLUMNS = (
    "model VARCHAR, version BIGINT, period DATE, feature VARCHAR, reference DOUBLE, value DOUBLE, "
    "effect DOUBLE, statistic DOUBLE, bound DOUBLE, alarm BOOLEAN"
)
_REFERENCE_COLUMNS = (
    "model VARCHAR, version BIGINT, feature VARCHAR, mean DOUBLE, sd DOUBLE, units BIGINT, "
    "dispersion DOUBLE, days BIGINT, first_day DATE, last_day DATE"
)


@dataclass(frozen=True)
class Last:
    """The newest day that was judged for a version, and the statistic that the next starts from."""

    period: date
    statistic: float


def make(connection: duckdb.DuckDBPyConnection) -> None:
    """Make the tables where they are missing (in a write)."""
    connection.execute("CREATE SCHEMA IF NOT EXISTS monitor")
    connection.execute(f"CREATE TABLE IF NOT EXISTS {REFERENCE} ({_REFERENCE_COLUMNS})")
    connection.execute(f"CREATE TABLE IF NOT EXISTS {DRIFT} ({_DRIFT_COLUMNS})")


def read_reference(
    connection: duckdb.DuckDBPyConnection, model: str, version: int
) -> Reference | None:
    """What is normal for a version; None where it has not been calibrated."""
    if not has_table(connection, REFERENCE):
        return None
    rows = connection.execute(
        f"SELECT * EXCLUDE (model, version) FROM {REFERENCE} WHERE model = ? AND version = ? "
        "ORDER BY feature",
        [model, version],
    ).df()
    if rows.empty:
        return None
    first = rows.iloc[0]
    return Reference(
        rows.set_index("feature")[["mean", "sd", "units"]],
        float(first["dispersion"]),
        int(first["days"]),
        first["first_day"].date(),
        first["last_day"].date(),
    )


def write_reference(
    connection: duckdb.DuckDBPyConnection, model: str, version: int, reference: Reference
) -> None:
    """Keep what is normal for a version (in a write)."""
    rows = reference.features.reset_index().assign(
        model=model,
        version=version,
        dispersion=reference.dispersion,
        days=reference.days,
        first_day=reference.first_day,
        last_day=reference.last_day,
    )
    _append(connection, REFERENCE, rows)


def write_drift(
    connection: duckdb.DuckDBPyConnection, model: str, version: int, rows: pd.DataFrame
) -> None:
    """Add judged days (in a write)."""
    _append(connection, DRIFT, rows.assign(model=model, version=version))


def _append(connection: duckdb.DuckDBPyConnection, table: str, rows: pd.DataFrame) -> None:
    connection.register("appended", rows)
    connection.execute(f"INSERT INTO {table} BY NAME SELECT * FROM appended")
    connection.unregister("appended")


def read_drift(connection: duckdb.DuckDBPyConnection, model: str, version: int) -> pd.DataFrame:
    """All judged days of a version, in order; empty where there are none."""
    if not has_table(connection, DRIFT):
        return pd.DataFrame(columns=[column.split()[0] for column in _DRIFT_COLUMNS.split(", ")])
    return connection.execute(
        f"SELECT * FROM {DRIFT} WHERE model = ? AND version = ? ORDER BY period, feature",
        [model, version],
    ).df()


def last_judged(drift: pd.DataFrame) -> Last | None:
    """The newest judged day of `read_drift`'s rows, None where there is none."""
    watched = drift[drift["statistic"].notna()]
    if watched.empty:
        return None
    newest = watched.iloc[-1]
    return Last(newest["period"].date(), 0.0 if newest["alarm"] else float(newest["statistic"]))
