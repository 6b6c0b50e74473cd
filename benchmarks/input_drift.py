"""False alarms and detection of the inputs' alarm, on streams whose truth is known.

`python -m benchmarks.input_drift` takes about ten minutes on one core, and exits with 1 when a
bound is missed. Beside it, on the same streams, are the field's habits and a CUSUM that was tuned
on other streams.
"""

import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from copy import deepcopy
from statistics import median

import numpy as np
from rich.console import Console
from rich.table import Table
from scipy.stats import beta, chi2

from ops_platform.lake.anomaly import judge
from ops_platform.lake.history import History, Watched
from ops_platform.lake.profile import BINS_A_DECADE, Profile
from ops_platform.monitor.input_drift import FALSE_ALARM_DAYS, InputDrift
from ops_platform.simulate.streams import (
    BINS,
    CATEGORIES,
    COUNTRIES,
    FEATURES,
    NUMBERS,
    Change,
    Kind,
    Stream,
    simulate,
    totals,
)

# The rule's numbers were chosen on seeds below 1000, the CUSUM's bound is on TUNED.
SEEDS, TUNED = 1000, range(900, 903)
YEAR, LEARNED, SEASONS = 365, 90, 730
# Kind of stream: its streams, the years that each is judged, and the days before these.
QUIET = {
    "none": (4, 10, LEARNED),
    "weekday only": (5, 10, LEARNED),
    "season only": (5, 22, SEASONS),
}
FOUND_DAYS, FOUND_SHARE, FAULTS_SHARE = 10, 0.95, 0.95
# Kind of change, days before it, streams in which each feature is changed, and days to find it in.
CHANGES: list[tuple[Kind, int, int, int]] = [
    ("sudden", 110, 5, FOUND_DAYS),
    ("sudden", 400, 5, FOUND_DAYS),
    ("slow", 400, 2, 90),
]
TITLE = "{kind} change worth PSI 0.25 in one feature, after {before} days: found in {within} days"
SLOW_DAYS = 60
FAULT_STREAMS, FAULT_DAYS, FAULTS_FROM = 4, 25, 150
RULE, PSI, SHARE, AZURE, CUSUM = (
    "this rule",
    "PSI > 0.2 by feature and day",
    "more than half of the columns drifted",
    "PSI > 0.02 by feature and day",
    "tuned CUSUM",
)
NAMES = [
    *(f"rows/n{at:02}" for at in range(NUMBERS)),
    *(f"rows/c{at}" for at in range(CATEGORIES)),
]
PARTS = [str(at + 10 * BINS_A_DECADE) for at in BINS]
COUNTRY = [chr(ord("A") + at) for at in range(COUNTRIES)]
console = Console(width=120)


def profiles(stream: Stream, day: int) -> dict[str, Profile]:
    """The profiles of a day, by feature."""
    made = {}
    for at, (counts, sums) in enumerate(zip(stream.numbers[day], totals(stream, day), strict=True)):
        made[NAMES[at]] = _profile(PARTS, counts, *sums)
    for at, counts in enumerate(stream.categories[day]):
        made[NAMES[NUMBERS + at]] = _profile(COUNTRY, counts, None, None)
    return made


def _profile(
    names: list[str], counts: np.ndarray, total: float | None, squares: float | None
) -> Profile:
    parts = {names[at]: int(counts[at]) for at in counts.nonzero()[0]}
    rows = sum(parts.values())
    # A number's values are all different.
    distinct = len(parts) if total is None else rows
    return Profile(rows, 0, distinct, None, None, total, squares, parts, ())


def habits(stream: Stream, reference: slice) -> dict[str, np.ndarray]:
    """Whether each of the field's habits alarms, by day; the reference's bins are of tenths."""
    indices, drifted = [], []
    for counts in _binned(stream, reference):
        p = counts[reference].sum(axis=0)
        p = np.maximum(p / p.sum(), 1e-4)
        q = np.maximum(counts / counts.sum(axis=1, keepdims=True), 1e-4)
        indices.append(((q - p) * np.log(q / p)).sum(axis=1))
        # A day of 500 rows against a reference so much larger: the test of goodness of fit.
        statistic = (counts.sum(axis=1, keepdims=True) * (q - p) ** 2 / p).sum(axis=1)
        drifted.append(chi2.sf(statistic, counts.shape[1] - 1) < 0.05)
    psi = np.array(indices)
    return {
        PSI: (psi > 0.2).any(axis=0),
        SHARE: np.mean(drifted, axis=0) > 0.5,
        AZURE: (psi > 0.02).any(axis=0),
    }


def _binned(stream: Stream, reference: slice) -> Iterator[np.ndarray]:
    for at in range(NUMBERS):
        counts = stream.numbers[:, at]
        share = np.cumsum(counts[reference].sum(axis=0)) / counts[reference].sum()
        starts = np.unique(np.searchsorted(share, np.arange(10) / 10, side="right"))
        yield np.add.reduceat(counts, starts, axis=1)
    yield from np.moveaxis(stream.categories, 1, 0)


def standardised(stream: Stream, reference: slice) -> np.ndarray:
    """Each feature's place by day, its weekday taken out, in the reference's deviations."""
    place = np.concatenate(
        [
            stream.numbers @ BINS / stream.numbers.sum(axis=2),
            stream.categories[:, :, ::2].sum(axis=2) / stream.categories.sum(axis=2),
        ],
        axis=1,
    )
    weekday = np.array([day.weekday() for day in stream.days])
    for one in range(7):
        place[weekday == one] -= place[reference][weekday[reference] == one].mean(axis=0)
    return np.asarray(place / place[reference].std(axis=0))


def cusum(values: np.ndarray, bound: float, begin: int) -> np.ndarray:
    """Whether a two-sided CUSUM of any feature alarms, by day; it begins anew after an alarm."""
    sums, alarms = np.zeros((2, values.shape[1])), np.zeros(len(values), dtype=bool)
    sides = np.array([[1.0], [-1.0]])
    for day in range(begin, len(values)):
        sums = np.maximum(0, sums + sides * values[day] - 0.5)
        alarms[day] = sums.max() > bound
        if alarms[day]:
            sums[:] = 0
    return alarms


def tuned_bound() -> float:
    """The least bound at which the CUSUM alarms once a year where nothing changes."""
    made = []
    for seed in TUNED:
        stream = simulate(seed, LEARNED + 5 * YEAR, season=False)
        made.append(standardised(stream, slice(0, LEARNED)))
    for bound in np.arange(5.0, 200.0, 2.5):
        alarms = sum(cusum(values, bound, LEARNED).sum() for values in made)
        if alarms <= 5 * len(made):
            return float(bound)
    return float("inf")


def quiet(bound: float) -> tuple[dict[str, dict[str, int]], dict[str, float]]:
    """Alarms where nothing changes, by kind of stream and rule; and the years of each kind."""
    found: dict[str, dict[str, int]] = {}
    years: dict[str, float] = {}
    for kind, (streams, judged, begin) in QUIET.items():
        found[kind] = defaultdict(int)
        years[kind] = float(streams * judged)
        for seed in range(SEEDS, SEEDS + streams):
            days = begin + judged * YEAR
            stream = simulate(seed, days, season=kind == "season only", weekday=kind != "none")
            reference = slice(begin - LEARNED, begin)
            drift, raised = InputDrift(), 0
            for day in range(days):
                if day == begin:
                    drift.restart()
                alarm = drift.judge(stream.days[day], profiles(stream, day)).alarm
                raised += alarm and day >= begin
            found[kind][RULE] += raised
            for rule, alarms in habits(stream, reference).items():
                found[kind][rule] += int(alarms[begin:].sum())
            values = standardised(stream, reference)
            found[kind][CUSUM] += int(cusum(values, bound, begin).sum())
            print(f"{kind} {seed}: {raised} in {judged} years", file=sys.stderr, flush=True)
    return found, years


def delays(
    kind: Kind, before: int, streams: int, within: int, bound: float
) -> dict[str, list[int]]:
    """Days from a change in each feature to each rule's alarm, `within` + 1 where there is none."""
    found: dict[str, list[int]] = defaultdict(list)
    for seed in range(SEEDS, SEEDS + streams):
        drift = InputDrift()
        # As long as those that change: of another length other days would be drawn.
        quiet = simulate(seed, before + within, season=False)
        for day in range(before):
            drift.judge(quiet.days[day], profiles(quiet, day))
        drift.restart()
        for feature in range(FEATURES):
            change = Change(kind, feature, before, days=SLOW_DAYS)
            stream = simulate(seed, before + within, season=False, change=change)
            reference = slice(before - LEARNED, before)
            rules = habits(stream, reference)
            rules[CUSUM] = cusum(standardised(stream, reference), bound, before)
            for rule, alarms in rules.items():
                found[rule].append(_first(alarms[before:], within))
            found[RULE].append(_delay(deepcopy(drift), stream, before, within))
    return found


def _delay(drift: InputDrift, stream: Stream, before: int, within: int) -> int:
    for day in range(before, before + within):
        if drift.judge(stream.days[day], profiles(stream, day)).alarm:
            return day - before + 1
    return within + 1


def _first(alarms: np.ndarray, within: int) -> int:
    return int(alarms.argmax()) + 1 if alarms.any() else within + 1


def faults() -> dict[str, tuple[int, int]]:
    """Of each data fault how many days are marked unfit, and how many there were."""
    found = {kind: [0, 0] for kind in ("price x100", "missing country")}
    watched = Watched(tuple(NAMES), frozenset(), frozenset(NAMES))
    for seed in range(SEEDS, SEEDS + FAULT_STREAMS):
        days = FAULTS_FROM + FAULT_DAYS
        stream, history = simulate(seed, days), History()
        for day in range(days):
            here = profiles(stream, day)
            for kind in found if day >= FAULTS_FROM else ():
                feature = day % NUMBERS if kind == "price x100" else NUMBERS + day % CATEGORIES
                spoilt = simulate(seed, days, change=Change(kind, feature, day))
                judged = judge(stream.days[day], profiles(spoilt, day), watched, history)
                found[kind][0] += any(
                    one.verdict == "unfit" and one.column == NAMES[feature] for one in judged
                )
                found[kind][1] += 1
            history.add(stream.days[day], here, judge(stream.days[day], here, watched, history))
    return {kind: (named, of) for kind, (named, of) in found.items()}


def rate(alarms: int, years: float) -> str:
    """Alarms a year with their exact 95 % interval (Garwood, 1936)."""
    low = chi2.ppf(0.025, 2 * alarms) / 2 if alarms else 0.0
    high = chi2.ppf(0.975, 2 * alarms + 2) / 2
    return f"{alarms / years:.2f} ({low / years:.2f} to {high / years:.2f})"


def share(found: int, of: int) -> str:
    """A share with its exact 95 % interval (Clopper and Pearson, 1934)."""
    low = beta.ppf(0.025, found, of - found + 1) if found else 0.0
    high = beta.ppf(0.975, found + 1, of - found) if found < of else 1.0
    return f"{found} of {of} ({low:.1%} to {high:.1%})"


def main() -> int:
    """Print the tables; 1 when a bound is missed."""
    begun, missed = time.process_time(), []
    bound = tuned_bound()
    alarms, years = quiet(bound)
    table = Table("rule", *QUIET, title="days with a false alarm, a year")
    for rule in (RULE, CUSUM, PSI, SHARE, AZURE):
        table.add_row(rule, *(rate(alarms[kind][rule], years[kind]) for kind in QUIET))
    table.caption = (
        f"{sum(years.values()):.0f} years; {FEATURES} features, 500 rows a day; the season is "
        f"judged after {SEASONS} days; the CUSUM's bound is {bound:g}"
    )
    console.print(table)
    together = sum(one[RULE] for one in alarms.values())
    console.print(f"{RULE}, all streams: {rate(together, sum(years.values()))} a year")
    if any(alarms[kind][RULE] / years[kind] > YEAR / FALSE_ALARM_DAYS for kind in QUIET):
        missed.append("false alarms")
    for kind, before, streams, within in CHANGES:
        found = delays(kind, before, streams, within, bound)
        table = Table("rule", "found", "median day", "slowest", title=TITLE.format(**locals()))
        for rule in (RULE, CUSUM, PSI, SHARE, AZURE):
            days = found[rule]
            there = [day for day in days if day <= within]
            table.add_row(
                rule,
                share(len(there), len(days)),
                f"{median(days):g}" if 2 * len(there) > len(days) else "none",
                str(max(days)) if len(there) == len(days) else "none",
            )
        console.print(table)
        in_time = sum(day <= within for day in found[RULE]) / len(found[RULE])
        if kind == "sudden" and in_time < FOUND_SHARE:
            missed.append(f"sudden change after {before} days")
    for kind, (named, of) in faults().items():
        console.print(f"{kind}: its day is marked unfit {share(named, of)}")
        if named / of < FAULTS_SHARE:
            missed.append(kind)
    console.print(f"{time.process_time() - begun:.0f} s of one core")
    console.print(f"missed: {', '.join(missed) or 'nothing'}")
    return bool(missed)


if __name__ == "__main__":
    sys.exit(main())
