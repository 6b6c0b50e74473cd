"""Watching: each published day since a champion's as-of is judged, once."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta

import duckdb
import pandas as pd

from ops_platform.errors import MonitorError
from ops_platform.features.build import published_with_features, stamps_of
from ops_platform.features.view import find_views
from ops_platform.lake.connect import connect
from ops_platform.lake.location import Lake
from ops_platform.lake.write import write
from ops_platform.models.estimators import estimator, recommends
from ops_platform.models.judging import Fitted
from ops_platform.models.recommending import interactions_by
from ops_platform.models.registry import Registry, Version
from ops_platform.monitor import tables
from ops_platform.monitor.alarm_rule import AlarmRule
from ops_platform.monitor.alarms import Alarm, alarms
from ops_platform.monitor.judgement import judge
from ops_platform.monitor.profile import profile
from ops_platform.monitor.reference import SPAN_DAYS, Reference, calibrate

# Purchases of products after a day, up to another.
LINES = """
SELECT ordered_on AS day, order_id, customer_id, product_id, unit_price::DOUBLE AS unit_price
FROM marts.fct_order_lines
WHERE is_purchase AND is_product AND ordered_on > ? AND ordered_on <= ?
ORDER BY ordered_on, order_line_id
"""


@dataclass(frozen=True)
class Watched:
    """What came of watching a model.

    Parameters
    ----------
    model, version : of the champion; no version where there is none.
    added : the rows of `monitor.drift` that were added; empty where no day was judged.
    drift : all its rows of the champion.
    reason : what was done, or why nothing was.
    """

    model: str
    version: int | None
    added: pd.DataFrame
    drift: pd.DataFrame
    reason: str

    @property
    def periods(self) -> int:
        """How many periods were judged."""
        return 0 if self.added.empty else int(self.added["period"].nunique())

    @property
    def new_alarms(self) -> list[Alarm]:
        """The alarms of the periods that were judged."""
        if self.added.empty:
            return []
        added = set(self.added["period"].dt.date)
        return [alarm for alarm in alarms(self.drift) if alarm.period in added]


def watch(
    lake: Lake,
    registry: Registry,
    name: str,
    rule: AlarmRule,
    over: date,
    unfit: Mapping[date, str] | None = None,
) -> Watched:
    """Judge each published day that has not been judged yet for the champion of the model `name`.

    `over` is the newest day that is over: later ones still have deliveries to come. Of `unfit` are
    the days whose data is at fault, with what is wrong: they are left out, and judged only where
    that is mended or accepted before a later day was judged.

    What is normal for the champion is computed on its first day and kept. A day is judged once,
    in order of the days: what is delivered late for a day that was judged changes nothing. A
    champion that can't be watched, say for too short a history, is reported and raises no alarm.

    Raises
    ------
    NotPublishedError : no features are published yet.
    MonitorError : another run has judged the same days meanwhile.
    """
    nothing = pd.DataFrame()
    champion = registry.champion(name)
    if champion is None:
        return Watched(name, None, nothing, nothing, "there is no champion yet")
    snapshot = published_with_features(lake).snapshot
    with connect(lake) as connection:
        kept = tables.read_reference(connection, name, champion.version)
        drift = tables.read_drift(connection, name, champion.version)
    last = tables.last_judged(drift)
    as_of = date.fromisoformat(champion.tags["as_of"])
    after = last.period if last else as_of
    with connect(lake, snapshot=snapshot) as connection:
        newest = min(over, max(day for _, day in stamps_of(connection, find_views())))
        lines = lines_between(connection, after, newest)
        is_unfit = lines["day"].dt.date.isin(unfit or {})
        told = [(unfit or {})[day] for day in sorted(set(lines.loc[is_unfit, "day"].dt.date))]
        left_out = "".join(f"; left out: {one}" for one in told)
        lines = lines[~is_unfit].reset_index(drop=True)
        if lines.empty:
            reason = f"no day after {after} is over and published yet{left_out}"
            return Watched(name, champion.version, nothing, drift, reason)
        try:
            reference = kept or _calibrated(connection, champion, as_of)
        except MonitorError as error:
            return Watched(name, champion.version, nothing, drift, str(error))
        known = interactions_by(connection, as_of)
    days = profile(recommends(registry.load(name, champion.version)), known, lines)
    rows = judge(days, reference, rule, last.statistic if last else 0.0)
    new = None if kept else reference
    drift = write(lake, lambda connection: _keep(connection, champion, last, new, rows))
    count = rows["period"].nunique()
    return Watched(name, champion.version, rows, drift, f"{count} days judged{left_out}")


def _keep(
    connection: duckdb.DuckDBPyConnection,
    champion: Version,
    last: tables.Last | None,
    reference: Reference | None,
    rows: pd.DataFrame,
) -> pd.DataFrame:
    """Add the rows, and a new reference, where no other run has been here since `last`."""
    name, version = champion.name, champion.version
    tables.make(connection)
    if tables.last_judged(tables.read_drift(connection, name, version)) != last:
        raise MonitorError(f"another run has judged {name} meanwhile: materialize again")
    if reference is not None:
        tables.write_reference(connection, name, version, reference)
    tables.write_drift(connection, name, version, rows)
    return tables.read_drift(connection, name, version)


def lines_between(connection: duckdb.DuckDBPyConnection, after: date, until: date) -> pd.DataFrame:
    """The purchases of products after a day, up to another, in order: as `profile` takes them."""
    return connection.execute(LINES, [after, until]).df()


def _calibrated(connection: duckdb.DuckDBPyConnection, champion: Version, as_of: date) -> Reference:
    def fit(cut: date) -> tuple[Fitted, pd.DataFrame]:
        known = interactions_by(connection, cut)
        return recommends(estimator(champion.name)(**params).fit(known, cut)), known

    params = json.loads(champion.tags["params"])
    first = interactions_by(connection, as_of)["day"].min().date()
    lines = lines_between(connection, as_of - timedelta(days=SPAN_DAYS), as_of)
    return calibrate(fit, lines, as_of, first)
