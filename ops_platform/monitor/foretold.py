"""Live performance of a model of probabilities: what it foretold of a day, and what came true."""

from collections.abc import Mapping
from datetime import date, timedelta
from typing import Any

import duckdb
import numpy as np
import pandas as pd

from ops_platform.errors import MonitorError
from ops_platform.features.build import published_with_features, stamps_of
from ops_platform.features.known_by import ByDelivery
from ops_platform.features.point_in_time import LABEL_TIME
from ops_platform.features.view import find_views
from ops_platform.lake.connect import connect
from ops_platform.lake.location import Lake
from ops_platform.lake.session import has_table
from ops_platform.lake.write import write
from ops_platform.models.estimators import Foretells, foretells
from ops_platform.models.labels import IS_TRUE, labelled, midnight
from ops_platform.models.odds_baselines import RecencyFrequency
from ops_platform.models.registry import Registry, Version
from ops_platform.monitor.estimate import WITHIN
from ops_platform.monitor.performance import Measured
from ops_platform.monitor.ripe import unfit_days, waiting

FORETOLD = "monitor.foretold"
# The customers of two days in a row are nearly the same.
EVERY_DAYS = 7
_COLUMNS = (
    "model VARCHAR, version BIGINT, period DATE, customers BIGINT, foretold DOUBLE, "
    "came_true DOUBLE, brier DOUBLE, baseline_brier DOUBLE, lead DOUBLE, lead_low DOUBLE, "
    "lead_high DOUBLE, ripe BOOLEAN"
)
_NAMES = [column.split()[0] for column in _COLUMNS.split(", ")]
Foretold = tuple[int, date]


def measure_foretold(
    lake: Lake,
    registry: Registry,
    name: str,
    over: date,
    sources: set[str],
    by_delivery: ByDelivery,
) -> Measured:
    """Bring `monitor.foretold` of a model up to what is published.

    Measured is the day after the champion's as-of, and every EVERY_DAYS days from it on: what the
    champion would have said that morning of each customer known by then. A day is ripe once the
    model's horizon from it on is over and published, and no day up to the end of it is at fault;
    then it is judged for good, beside a baseline that learned from the newest labels of that
    morning.

    Parameters
    ----------
    over : the newest day that is over.
    sources : that purchases come from.
    by_delivery : as of `labelled`.

    Raises
    ------
    NotPublishedError : no features are published yet.
    TrainingError : as `labelled`.
    MonitorError : another run has judged days meanwhile.
    """
    champion = registry.champion(name)
    if champion is None:
        return Measured(name, None, [], {}, pd.DataFrame(), "there is no champion yet")
    snapshot = published_with_features(lake).snapshot
    unfit = unfit_days(lake, sources)
    with connect(lake) as connection:
        kept = read_foretold(connection, name)
    with connect(lake, snapshot=snapshot) as connection:
        newest = min(over, max(day for _, day in stamps_of(connection, find_views())))
        shown, settled = _of(kept), _of(kept[kept["ripe"]])
        waited = shown - settled
        models = _models(registry, name, {champion.version, *(version for version, _ in waited)})
        due = _due(champion, newest) - settled
        asked = {one for one in waited | due if one[0] in models}
        open_ = _open(connection, models, asked, newest, unfit)
        made = [
            {
                "version": version,
                **judge(connection, models[version], day, (version, day) not in open_, by_delivery),
            }
            for version, day in sorted(asked)
            if (version, day) not in open_.keys() & shown
        ]
    gone = sorted({version for version, _ in waited} - models.keys())
    if made or gone:
        rows = pd.DataFrame(made, columns=_NAMES).assign(model=name)
        kept = write(lake, lambda writer: keep(writer, name, settled, gone, rows))
    ripened = sorted(one["period"] for one in made if one["ripe"])
    open_days = {day: why for (_, day), why in open_.items()}
    reason = f"{len(ripened)} days ripe since the last time, {len(open_days)} wait for labels"
    return Measured(name, champion.version, ripened, open_days, kept, reason)


def _open(
    connection: duckdb.DuckDBPyConnection,
    models: Mapping[int, Foretells],
    asked: set[Foretold],
    newest: date,
    unfit: dict[date, str],
) -> dict[Foretold, str]:
    """Those that are not ripe, each with why."""
    found = dict[Foretold, str]()
    for version, model in models.items():
        days = sorted(day for one, day in asked if one == version)
        # Features look back, so a day at fault spoils those of all days after it.
        spoilt = {day: min(unfit) for day in days if unfit and min(unfit) < day}
        told = {day: f"the data is at fault: {unfit[first]}" for day, first in spoilt.items()}
        told |= waiting(connection, days, newest, model.horizon_days, unfit)
        found |= {(version, day): why for day, why in told.items()}
    return found


def judge(
    connection: duckdb.DuckDBPyConnection,
    model: Foretells,
    day: date,
    ripe: bool,
    by_delivery: ByDelivery,
) -> dict[str, Any]:
    """What a model says on the morning of a day, and once the day is ripe how good that was.

    Parameters
    ----------
    connection : sees the published lake.
    by_delivery : as of `labelled`.

    Returns
    -------
    period, customers, foretold (their mean probability), ripe, and of a ripe day came_true (the
    share), brier (the mean squared error; Brier, 1950), and where there were labels to learn from
    baseline_brier and lead: by how much it is lower than the baseline's, with a 95 % interval over
    customers.
    """
    before = midnight(day) - timedelta(days=model.horizon_days)
    times = [before, midnight(day)] if ripe else [midnight(day)]
    rows = labelled(connection, model, times, by_delivery)
    now, learned = (rows[rows[LABEL_TIME] == one] for one in (midnight(day), before))
    found: dict[str, Any] = {"period": day, "customers": len(now), "ripe": ripe}
    if now.empty:
        return found
    foretold = model.predict_proba(now)[:, 1]
    found["foretold"] = float(foretold.mean())
    if not ripe:
        return found
    is_true = now[IS_TRUE].to_numpy(dtype=bool)
    errors = (foretold - is_true) ** 2
    found |= {"came_true": float(is_true.mean()), "brier": float(errors.mean())}
    # Of customers who all came back, or none, nothing can be learned.
    return found | (_beside(learned, now, errors) if learned[IS_TRUE].nunique() == 2 else {})


def _beside(learned: pd.DataFrame, now: pd.DataFrame, errors: np.ndarray) -> dict[str, float]:
    """The baseline's error, and by how much each customer's is lower."""
    baseline = RecencyFrequency().fit(learned, learned[LABEL_TIME].max().date())
    wrong = (baseline.predict_proba(now)[:, 1] - now[IS_TRUE].to_numpy(dtype=bool)) ** 2
    lead = float((wrong - errors).mean())
    half = WITHIN * float((wrong - errors).std()) / np.sqrt(len(now))
    return {
        "baseline_brier": float(wrong.mean()),
        "lead": lead,
        "lead_low": lead - half,
        "lead_high": lead + half,
    }


def read_foretold(connection: duckdb.DuckDBPyConnection, model: str) -> pd.DataFrame:
    """A model's rows of the table, in order; none where there is no such table yet."""
    if not has_table(connection, FORETOLD):
        return pd.DataFrame(columns=_NAMES).astype({"ripe": bool})
    return connection.execute(
        f"SELECT * FROM {FORETOLD} WHERE model = ? ORDER BY period, version", [model]
    ).df()


def _of(rows: pd.DataFrame) -> set[Foretold]:
    days = pd.to_datetime(rows["period"]).dt.date
    return set(zip(rows["version"].astype(int), days, strict=True))


def _due(champion: Version, newest: date) -> set[Foretold]:
    first = date.fromisoformat(champion.tags["as_of"]) + timedelta(days=1)
    days = range(0, (newest - first).days + 1, EVERY_DAYS)
    return {(champion.version, first + timedelta(days=n)) for n in days}


def _models(registry: Registry, name: str, versions: set[int]) -> Mapping[int, Foretells]:
    """Those of the versions that the registry still has."""
    there = versions & set(registry.numbers(name))
    return {version: foretells(registry.load(name, version)) for version in there}


def keep(
    connection: duckdb.DuckDBPyConnection,
    model: str,
    settled: set[Foretold],
    gone: list[int],
    rows: pd.DataFrame,
) -> pd.DataFrame:
    """Put rows in the place of those of the same version and day (in a write); all of the model.

    What waits of the versions `gone` goes: nobody can judge it. Raises MonitorError where others
    than `settled` are ripe by now.
    """
    connection.execute("CREATE SCHEMA IF NOT EXISTS monitor")
    connection.execute(f"CREATE TABLE IF NOT EXISTS {FORETOLD} ({_COLUMNS})")
    kept = read_foretold(connection, model)
    if _of(kept[kept["ripe"]]) != settled:
        raise MonitorError(f"another run has measured {model} meanwhile: materialize again")
    waits_in_vain = "model = ? AND NOT ripe AND list_contains(?::BIGINT[], version)"
    connection.execute(f"DELETE FROM {FORETOLD} WHERE {waits_in_vain}", [model, gone])
    connection.register("made", rows)
    key = "model, version, period"
    connection.execute(f"DELETE FROM {FORETOLD} WHERE ({key}) IN (SELECT {key} FROM made)")
    connection.execute(f"INSERT INTO {FORETOLD} BY NAME SELECT * FROM made")
    connection.unregister("made")
    return read_foretold(connection, model)
