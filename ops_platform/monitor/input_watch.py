"""Watching a model's inputs: each published day is profiled once, and judged once."""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cache, partial
from typing import Any

import duckdb
import pandas as pd

from ops_platform.features.build import published_with_features, stamps_of
from ops_platform.features.known_by import ByDelivery
from ops_platform.features.view import find_views
from ops_platform.lake.connect import connect
from ops_platform.lake.faults import Fault, faults
from ops_platform.lake.location import Lake
from ops_platform.lake.profile import Profile
from ops_platform.lake.write import write
from ops_platform.models.registry import Registry, Version
from ops_platform.monitor import input_profiles, inputs
from ops_platform.monitor.input_drift import InputDrift
from ops_platform.monitor.input_profiles import ALL, BEFORE, SEGMENTS, Inputs, inputs_of
from ops_platform.monitor.input_state import as_json, from_bytes, to_bytes
from ops_platform.monitor.inputs import InputAlarm
from ops_platform.monitor.whole_row import WholeRow, tell_apart

# What a day is compared with: so many days up to the champion's as-of, or the first there are.
REFERENCE_DAYS, REFERENCE_DAYS_MIN = 90, 28
Days = Mapping[str, Mapping[date, Mapping[str, Profile]]]


@dataclass(frozen=True)
class InputsWatched:
    """What came of watching a model's inputs.

    Parameters
    ----------
    model, version : of the champion; no version where there is none.
    added : the rows of `monitor.inputs` that were added; empty where no day was judged.
    reason : what was done, or why nothing was.
    """

    model: str
    version: int | None
    added: pd.DataFrame
    reason: str

    @property
    def new_alarms(self) -> list[InputAlarm]:
        """Those among `added`, oldest first."""
        return [] if self.added.empty else inputs.input_alarms(self.added)


def watch_inputs(
    lake: Lake,
    registry: Registry,
    name: str,
    over: date,
    sources: Collection[str],
    false_alarm_days: float,
    by_delivery: ByDelivery,
) -> InputsWatched:
    """Profile and judge each published day that has not been yet, for the model `name`.

    `over` is the newest day that is over. Days are judged once, in their order; one whose data is
    unfit is named with the delivery that brought it, and neither judged nor learned from. It is
    unfit where one of `sources` is. Features are of what had been delivered by then of the marts in
    `by_delivery`, see `known_by_delivery`.

    Raises
    ------
    NotPublishedError : no features are published yet.
    MonitorError : another run has judged the same days meanwhile.
    TrainingError : a view can't tell when its rows were delivered.
    """
    champion, seen = registry.champion(name), inputs_of(name, by_delivery)
    version = champion.version if champion else None
    until = _profile_new(lake, seen, over)
    with connect(lake) as connection:
        known = inputs.read_state(connection, name)
        judged = known[0] if known else BEFORE
        # Without what is known the days that were judged are learned from anew, and told no more.
        read = from_bytes(known[1], false_alarm_days) if known else None
        drift, beside = read or (InputDrift(false_alarm_days), {})
        days = input_profiles.read(connection, seen.datasets, drift.day_ or BEFORE, until)
        if max(days[ALL], default=BEFORE) <= judged:
            reason = f"no day after {judged} is over and published yet"
            return InputsWatched(name, version, pd.DataFrame(), reason)
        unfit = [one for one in faults(lake) if one.is_open and one.source in sources]
        profiles = partial(input_profiles.read, connection, seen.datasets, until=until)
        # A day is profiled once, so what was mended meanwhile is as it was.
        spoilt = inputs.unfit_days(connection, name)
        walk = _Walk(seen, champion, drift, unfit, profiles, min(days[ALL]), beside, spoilt)
        rows = walk.judge(days, judged)
    state = (max(days[ALL]), to_bytes(drift, walk.beside))
    write(lake, lambda c: inputs.keep(c, name, known and known[0], rows, state))
    return InputsWatched(name, version, rows, f"{rows['period'].nunique()} days judged")


def told_apart(lake: Lake, alarm: InputAlarm, by_delivery: ByDelivery) -> WholeRow | str:
    """How well the rows since a change are told from those before it, whole; or why not.

    The rows are of the dataset that the strongest of the alarm's features is of. `by_delivery` as
    of `watch_inputs`.
    """
    dataset = alarm.features[0].rpartition("/")[0]
    before = alarm.since - timedelta(days=1)
    with connect(lake, snapshot=published_with_features(lake).snapshot) as connection:
        seen = inputs_of(alarm.model, by_delivery)
        rows = partial(input_profiles.rows, connection, seen, dataset)
        reference = rows(before - timedelta(days=REFERENCE_DAYS), before)
        return tell_apart(reference, rows(before, alarm.period))


def _profile_new(lake: Lake, seen: Inputs, over: date) -> date:
    """Profile what is published of days that are over; the newest such day."""
    snapshot = published_with_features(lake).snapshot
    with connect(lake) as connection:
        after = {name: input_profiles.newest(connection, name) for name in seen.datasets}
    with connect(lake, snapshot=snapshot) as connection:
        until = min(over, max(day for _, day in stamps_of(connection, find_views())))
        found = {
            name: input_profiles.profile(connection, seen, name, after[name], until)
            for name in seen.datasets
        }
    if any(days for one in found.values() for days in one.values()):

        def work(connection: duckdb.DuckDBPyConnection) -> None:
            input_profiles.make(connection)
            for name, profiles in found.items():
                input_profiles.write(connection, name, after[name], profiles)

        write(lake, work)
    return until


class _Walk:
    """A walk over days in their order, from where the last one ended.

    Parameters
    ----------
    unfit : open faults of the data.
    beside : of the last walk, what to begin with.
    spoilt : days whose profiles are of data that was unfit.
    """

    def __init__(
        self,
        seen: Inputs,
        champion: Version | None,
        drift: InputDrift,
        unfit: list[Fault],
        read: Callable[[date], Days],
        first: date,
        beside: Mapping[str, Any],
        spoilt: Collection[date] = (),
    ) -> None:
        self.spoilt = spoilt
        self.seen, self.champion, self.drift, self.unfit = seen, champion, drift, unfit
        # The profiles after a day, up to the newest; those of old days are asked for once.
        self.profiles, self.first = cache(read), first
        # The version that the level was last learned anew for, and what days are compared with.
        self.version: int | None = beside.get("version")
        self.reference_days: int = beside.get("reference_days", 0)
        self.references = {
            segment: {name: Profile(**told) for name, told in features.items()}
            for segment, features in beside.get("references", {}).items()
        }

    @property
    def beside(self) -> dict[str, Any]:
        """What the next walk begins with."""
        references = {
            segment: {name: as_json(profile) for name, profile in features.items()}
            for segment, features in self.references.items()
        }
        return {
            "version": self.version,
            "reference_days": self.reference_days,
            "references": references,
        }

    def judge(self, days: Days, after: date) -> pd.DataFrame:
        """The rows of `monitor.inputs` of the days after one."""
        made = [(day, self._day(days, day)) for day in sorted(days[ALL])]
        return pd.concat([rows for day, rows in made if day > after], ignore_index=True)

    def _day(self, days: Days, day: date) -> pd.DataFrame:
        version = self._champion(day)
        self._refer(day)
        here = {segment: days[segment].get(day, {}) for segment in SEGMENTS}
        told = "; ".join(fault.told for fault in self.unfit if self._spoils(fault, day))
        is_unfit = told or day in self.spoilt
        judged = self.drift.skip(day) if is_unfit else self.drift.judge(day, here[ALL])
        return inputs.rows_of(self.seen.model, version, judged, here, self.references, told)

    def _champion(self, day: date) -> int | None:
        """The version that has learned from the days before; the level begins anew with it."""
        if self.champion is None or day <= _as_of(self.champion):
            return None
        if self.version != self.champion.version:
            self.drift.restart()
            self.version, self.reference_days = self.champion.version, 0
        return self.version

    def _spoils(self, fault: Fault, day: date) -> bool:
        """Features look back, so an unfit day spoils those of all days after it."""
        return fault.day == day or (fault.day < day and not self.seen.interactions)

    def _refer(self, day: date) -> None:
        """Have what days are compared with: the last before the champion's as-of, or before it."""
        if self.reference_days >= REFERENCE_DAYS_MIN:
            return
        is_known = self.champion is not None and self.version == self.champion.version
        until = _as_of(self.champion) if self.champion and is_known else day - timedelta(days=1)
        after = until - timedelta(days=REFERENCE_DAYS)
        unfit = {fault.day for fault in self.unfit} | {*self.spoilt}
        known = self.profiles(min(until, self.first) - timedelta(days=REFERENCE_DAYS))
        within = {one for one in known[ALL] if after < one <= until} - unfit
        self.reference_days = len(within)
        self.references = {
            segment: _added(found[one] for one in sorted(within) if one in found)
            for segment, found in known.items()
        }


def _as_of(champion: Version) -> date:
    return date.fromisoformat(champion.tags["as_of"])


def _added(days: Iterable[Mapping[str, Profile]]) -> dict[str, Profile]:
    """The profiles of several days together, by feature."""
    total: dict[str, Profile] = {}
    for profiles in days:
        for name, profile in profiles.items():
            total[name] = total[name] + profile if name in total else profile
    return total
