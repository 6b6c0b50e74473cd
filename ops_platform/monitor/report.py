"""What is known of a model on a day, gathered for the page and for the prompt."""

from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path

import duckdb
import pandas as pd

from ops_platform.features.build import published_day
from ops_platform.lake.connect import connect
from ops_platform.lake.faults import faults
from ops_platform.lake.location import Lake
from ops_platform.lake.session import has_table
from ops_platform.models.kinds import recommenders
from ops_platform.models.registry import Registry, Version
from ops_platform.monitor import live_tables
from ops_platform.monitor.alarms import Alarm, alarms
from ops_platform.monitor.foretold import read_foretold
from ops_platform.monitor.inputs import INPUTS, TOGETHER, input_alarms
from ops_platform.monitor.notices import moves, of_move
from ops_platform.monitor.probation import Probation, term
from ops_platform.monitor.probation_table import read_probation
from ops_platform.monitor.shown import DAYS, Mean, mean, of_everyone, source_of
from ops_platform.monitor.tables import DRIFT
from ops_platform.serve import release

# The last of the days that have labels.
RECENT = 7
_INPUTS = f"SELECT * FROM {INPUTS} WHERE model = ? AND segment = '' ORDER BY period, feature"


@dataclass(frozen=True)
class Event:
    """Something that happened: when, of what kind, what, and to which version if to one."""

    at: str
    kind: str
    what: str
    version: int | None = None


@dataclass(frozen=True)
class Report:
    """What is known of a model.

    Parameters
    ----------
    model : its name.
    recommends : whether it does; else it foretells, and no NDCG tells of it.
    day : the newest published day; None before the first.
    made_at : by the platform's clock.
    champion : None before the first.
    waits : what the retraining policy waits for, as its sensor said last.
    source : whose answers `days` are of, see `source_of`.
    days : rows of `monitor.performance`, a day and version each.
    recent : mean of the last RECENT of them with labels.
    segments : by segment the mean of the last DAYS of them.
    foretold : rows of `monitor.foretold`, of a model that foretells.
    drift : all rows of `monitor.drift` of every version.
    inputs : rows of `monitor.inputs`; empty where there is no such table.
    probations : by version.
    on_trial : whether what serves is on probation, be it judged yet or not.
    events : alarms, promotions, rollbacks and open faults of the data, newest first.
    """

    model: str
    recommends: bool
    day: date | None
    made_at: datetime
    champion: Version | None
    waits: str
    source: str
    days: pd.DataFrame
    recent: Mean | None
    segments: dict[str, Mean]
    foretold: pd.DataFrame
    drift: pd.DataFrame
    inputs: pd.DataFrame
    probations: dict[int, Probation]
    on_trial: bool
    events: list[Event]

    @property
    def age(self) -> int | None:
        """Days from the champion's as-of to the newest published day."""
        if self.champion is None or self.day is None:
            return None
        return (self.day - date.fromisoformat(self.champion.tags["as_of"])).days

    @property
    def probation(self) -> Probation | None:
        """That of the champion, None where it is on none."""
        return self.probations.get(self.champion.version) if self.champion else None

    @property
    def waiting(self) -> int:
        """How many measured days wait for labels."""
        rows = self.days if self.recommends else self.foretold
        return int((~rows["ripe"].astype(bool)).sum())

    @property
    def last_foretold(self) -> "pd.Series | None":
        """The newest day of `foretold` that has labels."""
        ripe = self.foretold[self.foretold["ripe"]]
        return None if ripe.empty else ripe.iloc[-1]

    def last(self, days: int) -> pd.DataFrame:
        """Of `days` those of so many days back from the newest published one."""
        if self.day is None:
            return self.days
        first = pd.Timestamp(self.day) - pd.Timedelta(days=days - 1)
        return self.days[self.days["period"] >= first]

    def last_drift(self) -> dict[str, float]:
        """By feature its effect on the newest judged day; of inputs the PSI."""
        found = dict[str, float]()
        for rows, value, name in (
            (self.drift, "effect", "{}"), (self.inputs, "psi", "inputs: {} PSI")
        ):  # fmt: skip
            if rows.empty:
                continue
            newest = rows[(rows["period"] == rows["period"].max()) & rows[value].notna()]
            found |= {
                name.format(feature): float(size)
                for feature, size in zip(newest["feature"], newest[value], strict=True)
            }
        return found

    @property
    def versions(self) -> list[int]:
        """Those whose days with labels are the newest: RECENT days, or one that was foretold."""
        rows, newest = (self.days, RECENT) if self.recommends else (self.foretold, 1)
        return sorted({int(one) for one in rows[rows["ripe"].astype(bool)].tail(newest)["version"]})

    @property
    def inputs_verdict(self) -> str:
        """What is said of the newest day of the inputs, say `learning`; empty where nothing is."""
        if self.inputs.empty:
            return ""
        decided = self.inputs[self.inputs["feature"] == TOGETHER]
        return str(decided.iloc[-1]["verdict"]) if len(decided) else ""

    @property
    def answer(self) -> str:
        """Whether the champion is still right, in a sentence."""
        if self.champion is None:
            return "there is no champion yet"
        if self.alarm is not None:
            return f"in doubt: an alarm on {self.alarm.at}"
        if self.versions != [self.champion.version]:
            return f"not known yet: too few days of version {self.champion.version} have labels"
        lead = self._lead
        if lead is None:
            return "no alarm, and nothing to compare it with"
        low, high = lead
        beside = "better than" if low > 0 else "worse than" if high < 0 else "not told apart from"
        return f"{'no' if high < 0 else 'yes'}: no alarm, and {beside} the baseline"

    @property
    def _lead(self) -> tuple[float, float] | None:
        """The interval of the newest lead over the baseline."""
        if self.recommends:
            return None if self.recent is None else (self.recent.low, self.recent.high)
        one = self.last_foretold
        if one is None or pd.isna(one["lead"]):
            return None
        return float(one["lead_low"]), float(one["lead_high"])

    @property
    def alarm(self) -> Event | None:
        """The newest alarm since the champion's as-of, of it or of the inputs."""
        if self.champion is None:
            return None
        since, own = self.champion.tags["as_of"], (None, self.champion.version)
        found = (e for e in self.events if e.kind == "alarm" and e.version in own and e.at > since)
        return next(found, None)


def gather(
    lake: Lake, registry: Registry, releases: Path, name: str, now: datetime, waits: str
) -> Report:
    """All that is known of a model.

    Raises LakeError where there is no lake, RegistryError where the registry can't be read, and
    ReleaseError where the pointer can't.
    """
    with connect(lake) as connection:
        rows = live_tables.read(connection, live_tables.PERFORMANCE, name)
        drift = _read(connection, DRIFT, "SELECT * FROM monitor.drift WHERE model = ?", name)
        inputs = _read(connection, INPUTS, _INPUTS, name)
        probations = read_probation(connection, name)
        foretold = read_foretold(connection, name)
    if not drift.empty:
        drift = drift.sort_values(["period", "version", "feature"], ignore_index=True)
    champion, days = registry.champion(name), of_everyone(rows)
    return Report(
        model=name,
        recommends=name in recommenders(),
        day=published_day(lake),
        made_at=now,
        champion=champion,
        waits=waits,
        source=source_of(rows),
        days=days,
        recent=mean(days[days["ripe"]].tail(RECENT)),
        segments=_by_segment(rows),
        foretold=foretold,
        drift=drift,
        inputs=inputs,
        probations=probations,
        on_trial=term(releases, name) is not None,
        events=_events(lake, releases, name, drift, inputs, probations),
    )


def _read(connection: duckdb.DuckDBPyConnection, table: str, sql: str, model: str) -> pd.DataFrame:
    if not has_table(connection, table):
        return pd.DataFrame()
    return connection.execute(sql, [model]).df()


def _by_segment(rows: pd.DataFrame) -> dict[str, Mean]:
    mine = rows[(rows["source"] == source_of(rows)) & rows["ripe"]]
    last = mine[mine["period"] > mine["period"].max() - pd.Timedelta(days=DAYS)]
    found = {str(segment): mean(group) for segment, group in last.groupby("segment")}
    return {segment: one for segment, one in found.items() if one is not None}


def _events(
    lake: Lake,
    releases: Path,
    name: str,
    drift: pd.DataFrame,
    inputs: pd.DataFrame,
    probations: dict[int, Probation],
) -> list[Event]:
    folder = release.folder_of(releases, name)
    found = [Event(str(one.period), "alarm", one.seen, one.version) for one in _alarms(drift)]
    if not inputs.empty:
        found += [Event(str(one.period), "alarm", one.seen) for one in input_alarms(inputs)]
    for move, left in moves(folder, probations):
        told = of_move(name, move, left)
        found.append(Event(move.at[:16].replace("T", " "), told.kind, f"{told.what}; {told.sure}"))
    found += [Event(str(one.day), "data fault", one.told) for one in faults(lake) if one.is_open]
    # Of the same minute the last is the newest.
    return sorted(found, key=lambda event: event.at)[::-1]


def _alarms(drift: pd.DataFrame) -> list[Alarm]:
    if drift.empty:
        return []
    return [one for _, version in drift.groupby("version") for one in alarms(version)]
