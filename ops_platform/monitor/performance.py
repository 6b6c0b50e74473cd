"""Live performance: what the service answered, and what the customers then did, day by day."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date

import duckdb
import numpy as np
import pandas as pd

from ops_platform.features.build import published_with_features, stamps_of
from ops_platform.features.view import find_views
from ops_platform.lake.connect import connect
from ops_platform.lake.location import Lake
from ops_platform.lake.write import write
from ops_platform.models.estimators import recommends
from ops_platform.models.recommending import COUNTRIES
from ops_platform.models.registry import Registry, Version
from ops_platform.monitor import live_tables
from ops_platform.monitor.answers import Answers, joined, served, visits, would_give
from ops_platform.monitor.estimate import FIGURES, estimate
from ops_platform.monitor.judged import counts, judge, summaries
from ops_platform.monitor.live_tables import AS_OF, SERVED
from ops_platform.monitor.ripe import unfit_days, waiting

# What of a row nothing is said of before its labels are there.
COMPARED = ("baseline_hit_rate", "baseline_ndcg", "lead", "lead_low", "lead_high")


@dataclass(frozen=True)
class Measured:
    """What came of measuring a model.

    Parameters
    ----------
    model, version : of the champion; no version where there is none.
    ripened : the days whose labels are all there since this time.
    waiting : the days whose labels are not, with why where it is not only that they are young.
    rows : all rows of `monitor.performance` of the model.
    reason : what was done, or why nothing was.
    """

    model: str
    version: int | None
    ripened: list[date]
    waiting: dict[date, str]
    rows: pd.DataFrame
    reason: str


def measure(
    lake: Lake, registry: Registry, name: str, over: date, label_days: int, sources: set[str]
) -> Measured:
    """Bring `monitor.performance` of a model up to what is published and was served.

    A day is ripe once the label_days from it on are over and published, and none of them is at
    fault; then it is judged for good. The days before that are marked, estimated, and measured
    again each time. What is served late for a ripe day and version changes nothing.

    Parameters
    ----------
    over : the newest day that is over.
    label_days : within so many days from an answer on its products are to be bought.
    sources : that purchases come from.

    Raises
    ------
    NotPublishedError : no features are published yet.
    MonitorError : another run has measured the same days meanwhile.
    """
    champion = registry.champion(name)
    if champion is None:
        return Measured(name, None, [], {}, pd.DataFrame(), "there is no champion yet")
    snapshot = published_with_features(lake).snapshot
    with connect(lake) as connection:
        kept = live_tables.read(connection, live_tables.PERFORMANCE, name)
        known = live_tables.read(connection, live_tables.CALIBRATION, name)
        settled = live_tables.ripe_of(kept)
        shown = served(connection, name, over, settled.get(SERVED, set()))
    unfit = unfit_days(lake, sources)
    with connect(lake, snapshot=snapshot) as connection:
        newest = min(over, max(day for _, day in stamps_of(connection, find_views())))
        done = settled.get(AS_OF, set())
        own = _as_of(connection, registry, champion, kept, done, newest)
        answers = joined([(SERVED, shown), *own])
        days = sorted(set(answers.units["day"].dt.date))
        open_days = waiting(connection, days, newest, label_days, unfit)
        countries = dict(connection.execute(COUNTRIES).fetchall())
        judged = judge(connection, answers, countries, label_days)
    judged["ripe"] = ~judged["period"].dt.date.isin(open_days)
    strata = counts(judged)
    rows = _with_estimates(summaries(judged), pd.concat([known[known["ripe"]], strata]))
    if not (live_tables.is_kept(kept, rows) and live_tables.is_kept(known, strata)):
        kept = write(lake, lambda writer: live_tables.keep(writer, name, settled, rows, strata))
    ripened = sorted(set(rows[rows["ripe"]]["period"].dt.date))
    reason = f"{len(ripened)} days ripe since the last time, {len(open_days)} wait for labels"
    return Measured(name, champion.version, ripened, open_days, kept, reason)


def _as_of(
    connection: duckdb.DuckDBPyConnection,
    registry: Registry,
    champion: Version,
    kept: pd.DataFrame,
    settled: set[tuple[int, date]],
    newest: date,
) -> Iterator[tuple[str, Answers]]:
    """What the champion would have answered on each day since its as-of, to whoever bought then.

    Former champions answer on the days that waited for labels when they were succeeded.
    """
    open_rows = kept[(kept["source"] == AS_OF) & ~kept["ripe"].astype(bool)]
    former = {int(version) for version in open_rows["version"]} & set(
        registry.numbers(champion.name)
    )
    for number in sorted({champion.version, *former}):
        version = registry.version(champion.name, number)
        model = recommends(registry.load(champion.name, number))
        found = visits(connection, model, date.fromisoformat(version.tags["as_of"]), newest)
        done = {day for one, day in settled if one == number}
        is_open = ~found["day"].dt.date.isin(done)
        if number != champion.version:
            is_open &= found["day"].isin(open_rows.loc[open_rows["version"] == number, "period"])
        yield AS_OF, would_give(model, found[is_open].reset_index(drop=True), number)


def _with_estimates(rows: pd.DataFrame, strata: pd.DataFrame) -> pd.DataFrame:
    """The rows, in which those that are not ripe say what is likely instead of what is so far."""
    unripe = ~rows["ripe"]
    rows.loc[unripe, [*FIGURES, *COMPARED]] = np.nan
    for (source, segment), group in rows[unripe].groupby(["source", "segment"]):
        same = strata[(strata["source"] == source) & (strata["segment"] == segment)]
        found = estimate(same[same["ripe"]], same[~same["ripe"]])
        own = found.reindex(pd.MultiIndex.from_frame(group[["version", "period"]]))
        rows.loc[group.index, list(FIGURES)] = own.to_numpy()
        rows.loc[group.index, "estimated"] = own["hit_rate"].notna().to_numpy()
    return rows
