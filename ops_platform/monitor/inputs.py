"""The inputs' tables in the lake: each judged day by feature, and the alarms that it raised."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date

import duckdb
import pandas as pd

from ops_platform.errors import MonitorError
from ops_platform.lake.connect import connect
from ops_platform.lake.location import Lake
from ops_platform.lake.profile import Profile
from ops_platform.lake.session import has_table
from ops_platform.monitor.alarms import Alarm
from ops_platform.monitor.input_drift import DayJudged
from ops_platform.monitor.input_profiles import ALL
from ops_platform.monitor.input_shape import is_number, mean
from ops_platform.monitor.measures import of_profiles

INPUTS, STATE = "monitor.inputs", "monitor.input_state"
# The row that the decision is in.
TOGETHER = "all features"
_COLUMNS = (
    "model VARCHAR, version BIGINT, period DATE, feature VARCHAR, segment VARCHAR, "
    "reference DOUBLE, value DOUBLE, psi DOUBLE, jensen_shannon DOUBLE, cramers_v DOUBLE, "
    "chi_square_p DOUBLE, wasserstein DOUBLE, kolmogorov_smirnov DOUBLE, statistic DOUBLE, "
    "bound DOUBLE, alarm BOOLEAN, verdict VARCHAR, since DATE, told VARCHAR"
)
NAMES = [column.split()[0] for column in _COLUMNS.split(", ")]
References = Mapping[str, Mapping[str, Profile]]


@dataclass(frozen=True)
class InputAlarm(Alarm):
    """A day on which the evidence that a model's inputs have changed went beyond its bound.

    Parameters
    ----------
    since : the day from which on it rose.
    """

    since: date

    @property
    def id(self) -> str:
        """Names the alarm: `recommender-inputs-2024-07-12`."""
        return f"{self.model}-inputs-{self.period}"


def newest_input_alarm(lake: Lake, model: str) -> InputAlarm | None:
    """The newest alarm of a model's inputs; None where there is none.

    Its version is that of the champion that had learned from the days before it, 0 without one.
    """
    if not lake.exists:
        return None
    with connect(lake) as connection:
        rows = _read(connection, f"{_OF_MODEL} AND period = ({_NEWEST_ALARM})", [model, model])
    found = input_alarms(rows)
    return found[-1] if found else None


_OF_MODEL = "model = ? AND segment = ''"
_NEWEST_ALARM = f"SELECT max(period) FROM {INPUTS} WHERE model = ? AND alarm"


def input_alarms(inputs: pd.DataFrame) -> list[InputAlarm]:
    """Every alarm among one model's rows of `monitor.inputs`, oldest first."""
    raised = inputs[inputs["alarm"]].sort_values("period")
    return [_alarm(row, inputs[inputs["period"] == row["period"]]) for _, row in raised.iterrows()]


def _alarm(decision: pd.Series, day: pd.DataFrame) -> InputAlarm:
    features = day[(day["feature"] != TOGETHER) & (day["segment"] == ALL)]
    # At least the strongest: their mean may be beyond the bound where none is alone.
    beyond = features["statistic"] >= min(decision["bound"], features["statistic"].max())
    changed = features[beyond].sort_values("statistic", ascending=False)
    told = "; ".join(_told(row) for _, row in changed.iterrows())
    # Of rows that were read the days are timestamps, of those that were just made dates.
    since, period = pd.to_datetime(changed["since"]).min(), pd.Timestamp(decision["period"]).date()
    began = period if pd.isna(since) else since.date()
    return InputAlarm(
        str(decision["model"]),
        0 if pd.isna(decision["version"]) else int(decision["version"]),
        period,
        tuple(changed["feature"]),
        f"inputs since {began}: {told}",
        began,
    )


def _told(row: pd.Series) -> str:
    if pd.isna(row["psi"]):
        return str(row["feature"])
    return (
        f"{row['feature']} {row['value']:.3g} where {row['reference']:.3g} is normal "
        f"(PSI {row['psi']:.2f})"
    )


def rows_of(
    model: str,
    version: int | None,
    judged: DayJudged,
    profiles: References,
    references: References,
    told: str = "",
) -> pd.DataFrame:
    """A judged day as rows of the table.

    Parameters
    ----------
    profiles, references : of the day, and of what it is compared with, by segment and feature.
    told : what is wrong with the data, where something is.
    """
    day: dict[str, object] = {"model": model, "version": version, "period": judged.day}
    decision: dict[str, object] = {"feature": TOGETHER, "segment": ALL}
    decision |= {"statistic": judged.statistic}
    decision |= {"bound": judged.bound, "alarm": judged.alarm, "verdict": judged.verdict}
    made = [day | decision | {"told": told}]
    for one in judged.features:
        for segment, here in profiles.items():
            if segment != ALL and one.feature not in here:
                continue
            row: dict[str, object] = {"feature": one.feature, "segment": segment}
            row |= {"verdict": one.verdict}
            if segment == ALL:
                row |= {"statistic": one.statistic, "since": one.since}
            reference = references.get(segment, {}).get(one.feature)
            made.append(day | row | _effect(reference, here.get(one.feature)))
    frame = pd.DataFrame(made).reindex(columns=NAMES)
    return frame.assign(alarm=frame["alarm"].fillna(False).astype(bool))


def _effect(reference: Profile | None, window: Profile | None) -> dict[str, object]:
    """The reference, the day's value and how far apart they are, where that can be said."""
    if reference is None or window is None:
        return {}
    measures = of_profiles(reference, window)
    if isinstance(measures, str):
        return {}
    values = {"reference": _value(reference, reference), "value": _value(window, reference)}
    return {**values, **asdict(measures)}


def _value(profile: Profile, reference: Profile) -> float | None:
    """The mean of a number; of texts the share of what is the commonest in the reference."""
    if is_number(profile):
        return mean(profile)
    commonest = min(reference.parts, key=lambda part: (-reference.parts[part], part))
    return profile.parts.get(commonest, 0) / sum(profile.parts.values())


def make(connection: duckdb.DuckDBPyConnection) -> None:
    """Make the tables where they are missing (in a write)."""
    connection.execute("CREATE SCHEMA IF NOT EXISTS monitor")
    connection.execute(f"CREATE TABLE IF NOT EXISTS {INPUTS} ({_COLUMNS})")
    connection.execute(
        f"CREATE TABLE IF NOT EXISTS {STATE} (model VARCHAR, period DATE, content BLOB)"
    )


def _read(
    connection: duckdb.DuckDBPyConnection, where: str, values: Sequence[object]
) -> pd.DataFrame:
    if not has_table(connection, INPUTS):
        return pd.DataFrame(columns=NAMES).assign(alarm=lambda rows: rows["alarm"].astype(bool))
    sql = f"SELECT * FROM {INPUTS} WHERE {where} ORDER BY period, feature, segment"
    return connection.execute(sql, values).df()


def read_state(connection: duckdb.DuckDBPyConnection, model: str) -> tuple[date, bytes] | None:
    """The last judged day and what is known since, None before the first."""
    if not has_table(connection, STATE):
        return None
    row = connection.execute(
        f"SELECT period, content FROM {STATE} WHERE model = ?", [model]
    ).fetchone()
    return (row[0], row[1]) if row else None


def unfit_days(connection: duckdb.DuckDBPyConnection, model: str) -> set[date]:
    """The days whose data was at fault when they were judged, be it mended by now or not."""
    if not has_table(connection, INPUTS):
        return set()
    sql = f"SELECT DISTINCT period FROM {INPUTS} WHERE model = ? AND verdict = 'data fault'"
    return {day for (day,) in connection.execute(sql, [model]).fetchall()}


def keep(
    connection: duckdb.DuckDBPyConnection,
    model: str,
    before: date | None,
    judged: pd.DataFrame,
    state: tuple[date, bytes],
) -> None:
    """Add judged days, and what is known after them (in a write).

    Raises MonitorError where another run has judged days since `before`.
    """
    make(connection)
    known = read_state(connection, model)
    if (known and known[0]) != before:
        raise MonitorError(f"another run has judged the inputs of {model}: materialize again")
    connection.register("appended", judged)
    connection.execute(f"INSERT INTO {INPUTS} BY NAME SELECT * FROM appended")
    connection.unregister("appended")
    connection.execute(f"DELETE FROM {STATE} WHERE model = ?", [model])
    connection.execute(f"INSERT INTO {STATE} VALUES (?, ?, ?)", [model, *state])
