"""Probation: whether a version that was promoted does worse than the one before it, at any time."""

from collections.abc import Set
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd

from ops_platform.features.build import published_with_features, stamps_of
from ops_platform.features.view import find_views
from ops_platform.lake.connect import connect
from ops_platform.lake.location import Lake
from ops_platform.models.estimators import Recommends, recommends
from ops_platform.models.registry import Registry
from ops_platform.monitor.answers import Answers, served, visits, would_give
from ops_platform.monitor.ripe import unfit_days, waiting
from ops_platform.monitor.scored import bought, score
from ops_platform.serve import history, release
from ops_platform.serve.sequential import Sequence, sequence

ALPHA = 0.05
GOES_ON, PASSED, WORSE = "goes on", "passed", "worse"


@dataclass(frozen=True)
class Probation:
    """What is known of a version since it was promoted.

    Parameters
    ----------
    model, version : that is on probation.
    predecessor : the version that served before it.
    since, until : the first and the last day on which they are compared.
    customers : who bought since, each counted once.
    difference : of their NDCG, the version's less its predecessor's; None before the first.
    decision : GOES_ON, PASSED or WORSE.
    """

    model: str
    version: int
    predecessor: int
    since: date
    until: date
    customers: int
    difference: Sequence | None
    decision: str

    @property
    def told(self) -> str:
        """In a sentence."""
        found = self.difference
        if found is None:
            return f"no customer's days are over yet; it is judged up to {self.until}"
        within = "" if found.low is None else f" ({found.low:+.3f} to {found.high:+.3f} with 95 %)"
        return (
            f"NDCG {found.mean:+.3f}{within} against version {self.predecessor} on "
            f"{self.customers} customers from {self.since} on"
        )


@dataclass(frozen=True)
class Term:
    """Who is on probation against whom, and since which move of the pointer."""

    version: int
    predecessor: int
    moved_at: datetime


def term(releases: Path, name: str) -> Term | None:
    """Who is on probation: what serves, where it was released and was not put there by a person.

    None where it is the first to serve, or a person or a probation went back to it.
    """
    folder = release.folder_of(releases, name)
    pointed = release.pointed(folder)
    if pointed is None:
        return None
    version = release.version_of(pointed, folder)
    own = [m for m in history.read(folder) if release.version_of(m.release, folder) == version]
    predecessor = history.before(folder, version)
    if predecessor is None or any(move.why != "released" for move in own):
        return None
    return Term(version, predecessor, datetime.fromisoformat(own[0].at))


def on_probation(
    lake: Lake,
    registry: Registry,
    found: Term,
    name: str,
    *,
    over: date,
    label_days: int,
    probation_days: int,
    sources: Set[str],
) -> Probation:
    """Compare a version with its predecessor on the same customers, by what these bought.

    Of each customer the first occasion since both were fitted counts at which something was bought
    within the label_days: an answer of the version, or else a day on which the customer bought and
    both answer as they would have. Each observation is seen once, in the order of the days, so the
    test may be looked at daily: with ALPHA it never calls a version worse that is not. It is over
    after probation_days from the promotion, or from its as-of where the clock is ahead of the data.

    Raises
    ------
    NotPublishedError, RegistryError : no features are published, or a version is gone.
    """
    versions = [registry.version(name, one) for one in (found.version, found.predecessor)]
    fitted_until = max(date.fromisoformat(one.tags["as_of"]) for one in versions)
    present, former = (recommends(registry.load(name, one.version)) for one in versions)
    with connect(lake) as connection:
        shown = served(connection, name, over, after=fitted_until)
    snapshot, unfit = published_with_features(lake).snapshot, unfit_days(lake, sources)
    with connect(lake, snapshot=snapshot) as connection:
        newest = min(over, max(day for _, day in stamps_of(connection, find_views())))
        moved = found.moved_at.date()
        until = (moved if moved <= newest else fitted_until) + timedelta(days=probation_days)
        window = (fitted_until, min(until, newest))
        answers = _occasions(connection, present, shown, found.version, window)
        values = _differences(connection, answers, former, newest, label_days, unfit)
    difference = sequence(values, -1.0, 1.0, ALPHA) if len(values) else None
    return Probation(
        name,
        found.version,
        found.predecessor,
        fitted_until + timedelta(days=1),
        until,
        len(values),
        difference,
        _decision(difference, until + timedelta(days=label_days) <= newest),
    )


def _decision(difference: Sequence | None, is_over: bool) -> str:
    if difference is not None:
        # Where no mean fits all that was seen, it began otherwise than it goes on.
        highest = difference.mean if difference.high is None else difference.high
        if highest < 0:
            return WORSE
    return PASSED if is_over else GOES_ON


def _occasions(
    connection: duckdb.DuckDBPyConnection,
    model: Recommends,
    shown: Answers,
    version: int,
    window: tuple[date, date],
) -> Answers:
    """What a version answered within (first, last], and would have answered to who bought else.

    `shown` is of after the first already.
    """
    in_time = shown.units["day"].dt.date <= window[1]
    mine = shown.of((shown.units["version"] == version) & in_time)
    came = visits(connection, model, *window)
    key = ["day", "customer_id"]
    beside = came.merge(mine.units[key], on=key, how="left", indicator=True)
    others = beside.loc[beside["_merge"] == "left_only", key].reset_index(drop=True)
    own = would_give(model, others, version)
    return Answers(
        pd.concat([mine.units, own.units], ignore_index=True),
        pd.concat(
            [mine.lists, own.lists.assign(unit=own.lists["unit"] + len(mine.units))],
            ignore_index=True,
        ),
    )


def _differences(
    connection: duckdb.DuckDBPyConnection,
    answers: Answers,
    former: Recommends,
    newest: date,
    label_days: int,
    unfit: dict[date, str],
) -> np.ndarray:
    """The customers' differences of NDCG, in the order of the days that are ripe."""
    open_days = waiting(
        connection, sorted(set(answers.units["day"].dt.date)), newest, label_days, unfit
    )
    ripe = answers.of(~answers.units["day"].dt.date.isin(open_days))
    purchases = bought(connection, ripe.units, label_days)
    then = would_give(former, ripe.units, 0)
    lead = score(ripe, purchases)["ndcg"] - score(then, purchases)["ndcg"]
    judged = ripe.units.assign(lead=lead).dropna(subset=["lead"])
    judged = judged.sort_values(["day", "customer_id"]).drop_duplicates("customer_id")
    return np.asarray(judged["lead"].to_numpy(dtype=float))
