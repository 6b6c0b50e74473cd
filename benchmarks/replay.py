"""What retraining policies would have cost and earned on the real orders, at equal numbers too.

`python -m benchmarks.replay` replays 2011-06-01 to 2011-12-09 and exits with 1 where a bound is
missed. The cost of `worth_it` is set so that it trains at most as often as asked, which looks at no
score; its constants were chosen on 2011-02-01 to 2011-05-31. Beside it is the fixed schedule of as
many trainings, and the most that as many could have kept, chosen with hindsight.
"""

import argparse
import json
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from datetime import date, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.graph import Home, materialize, real_orders
from ops_platform.cli_replay import table
from ops_platform.models.evaluation import Task
from ops_platform.monitor.policies.worth_it import WorthIt
from ops_platform.monitor.policy import Reason, Standing
from ops_platform.replay.backtest import UNBOUND, Backtest, beside_the_ends, replay, walker_for
from ops_platform.replay.figures import TASKS, Between, between, figures, resampled_means, values
from ops_platform.replay.period import Period
from ops_platform.replay.picture import picture
from ops_platform.replay.request import request_of
from ops_platform.replay.walk import Walk, Walker

MODEL = "recommender"
PRODUCTION = "cusum+every:28"
ASKED = ["every:28", "cusum", PRODUCTION, "on_performance", "worth_it", "every:7"]
DRIFT_AWARE = {"cusum", PRODUCTION, "on_performance", "worth_it"}
NUMBERS = [4, 8, 16, 32]
# Where the cost for a number is looked for: the number does not fall steadily as the cost grows.
COSTS = np.geomspace(0.1, 100, 150)
KEPT_MIN, TRAININGS_MAX = 0.95, 16
MINUTES_MAX = 10.0
console = Console(width=140)


class OnDays:
    """A schedule: the training is at the end of the first day of trade from each day on."""

    def __init__(self, days: Sequence[date]) -> None:
        """Keep the days, which are in order."""
        self.days = days

    def reason(self, standing: Standing) -> Reason | None:
        """The newest of the days that the champion has not seen."""
        due = [day for day in self.days if standing.as_of < day <= standing.day]
        return Reason(str(due[-1]), "the schedule") if due else None


def evenly(number: int, period: Period) -> list[date]:
    """So many days, as far from one another as from both ends of the period."""
    days = (period.days[-1] - period.start).days
    apart = days / (number + 1)
    return [period.start + timedelta(days=round(apart * one)) for one in range(1, number + 1)]


def with_hindsight(walker: Walker, number: int, task: Task) -> list[date]:
    """The days on which so many trainings would have earned most, by what is known only later.

    Exact, by dynamic programming over the last day that is served before the next training.
    """
    served = _served(walker, task)
    best, before = served[0], list[np.ndarray]()
    for _ in range(number):
        # From where the newest champion serves, by where it ends.
        together = best[:-1, None] + served
        before.append(together.argmax(axis=0))
        best = together.max(axis=0)
    end, days = len(served), list[date]()
    for start in reversed(before):
        end = int(start[end])
        days.append(walker.period.days[end - 1])
    return days[::-1]


def _served(walker: Walker, task: Task) -> np.ndarray:
    """What serving from one day of the period up to before another earns: (n, n + 1).

    The champion is of the day before; -inf where the second is not after the first.
    """
    period, visits = walker.period, walker.store.visits
    earned = np.full((len(period.days), len(period.days) + 1), -np.inf)
    for start, as_of in enumerate([period.start, *period.days[:-1]]):
        scores, after = walker.store.at(as_of), visits.first_after(as_of)
        by_visit = np.nan_to_num(scores.ndcg if task == "all items" else scores.discovery)
        sums = np.append(0.0, np.cumsum(by_visit))
        ends = [visits.first_after(day) - after for day in period.days[start:]]
        earned[start, start + 1 :] = sums[ends]
    return earned


def worth_it_with(walks: Mapping[float, Walk], number: int) -> float:
    """The cost at which `worth_it` trains most often up to so many times.

    The number jumps as the cost grows, so some numbers belong to no cost. Of the costs of one
    number it is the lowest: there the losses of all champions are alike, the last one's too, as the
    days of the schedule's are.

    Parameters
    ----------
    walks : by the cost.
    """
    often = {cost: len(walk.trainings) for cost, walk in walks.items()}
    few_enough = [cost for cost, trainings in often.items() if trainings <= number]
    return max(few_enough, key=lambda cost: (often[cost], -cost))


def at_equal_numbers(walker: Walker, numbers: Sequence[int]) -> tuple[Backtest, dict[int, float]]:
    """The walks of each number of trainings that there is a cost for, and the costs."""
    by_cost = {cost: walker.walk(WorthIt(cost), UNBOUND) for cost in map(float, COSTS)}
    walks, costs = dict[str, Walk](), dict[int, float]()
    for asked in numbers:
        cost = worth_it_with(by_cost, asked)
        number = len(by_cost[cost].trainings)
        say(f"at most {asked} trainings: {number}, cost {cost:.3f}")
        costs[number], walks[f"worth_it {number}"] = cost, by_cost[cost]
        schedules = {f"evenly {number}": evenly(number, walker.period)} | {
            f"hindsight {task} {number}": with_hindsight(walker, number, task) for task in TASKS
        }
        for name, days in schedules.items():
            walks[name] = walker.walk(OnDays(days), UNBOUND)
            assert len(walks[name].trainings) == number, name
    return beside_the_ends(walker, walks), costs


def difference(backtest: Backtest, task: Task, one: str, other: str) -> Between:
    """The mean of a visit by one policy less that by another, paired on the same customers."""
    scores = values(backtest, task)[[one, other]]
    resampled = resampled_means(scores, seed=0)
    return between(float((scores[one] - scores[other]).mean()), resampled[one] - resampled[other])


def compared(backtest: Backtest, costs: dict[int, float]) -> list[dict]:
    """For each number and task what `worth_it` has more than the fixed schedule, and keeps."""
    kept = {(one.policy, one.task): one.kept for one in figures(backtest)}
    return [
        {
            "trainings": number,
            "cost": cost,
            "task": task,
            "more": difference(backtest, task, f"worth_it {number}", f"evenly {number}"),
            "kept": kept[f"worth_it {number}", task],
            "kept_by_schedule": kept[f"evenly {number}", task],
            "kept_with_hindsight": kept[f"hindsight {task} {number}", task],
        }
        for number, cost in costs.items()
        for task in TASKS
    ]


def verdict(more: Between) -> str:
    """What a paired interval says."""
    if more.low >= 0:
        return "more"
    return "less" if more.high < 0 else "not told apart"


def show(rows: list[dict]) -> None:
    """The comparison as a table."""
    shown = Table(
        *("trainings", "cost", "task", "worth_it less schedule", "95 %", ""),
        *("keeps", "schedule", "hindsight"),
        title="at equal numbers of trainings",
    )
    for row in rows:
        more = row["more"]
        shown.add_row(
            str(row["trainings"]),
            f"{row['cost']:.2f}",
            row["task"],
            f"{more.value:+.4f}",
            f"{more.low:+.4f} to {more.high:+.4f}",
            verdict(more),
            *(
                f"{row[name].value:.1%}" if row[name] else ""
                for name in ("kept", "kept_by_schedule", "kept_with_hindsight")
            ),
        )
    console.print(shown)


def say(text: str) -> None:
    """Progress, with the time."""
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


def best_kept(found: Backtest, rows: list[dict], task: Task) -> float:
    """The most of daily's gain that a drift-aware policy keeps with few enough trainings."""
    asked = [
        one.kept.value
        for one in figures(found)
        if one.policy in DRIFT_AWARE
        and one.task == task
        and one.kept
        and len(found.walks[one.policy].trainings) <= TRAININGS_MAX
    ]
    equal = [
        row["kept"].value
        for row in rows
        if row["task"] == task and row["kept"] and row["trainings"] <= TRAININGS_MAX
    ]
    return max(asked + equal)


def missed(found: Backtest, rows: list[dict], minutes: float) -> list[str]:
    """The bounds that are missed."""
    faults = [
        f"at {row['trainings']} trainings, {row['task']}: {verdict(row['more'])}"
        for row in rows
        if row["more"].low < 0
    ]
    for task in TASKS:
        best = best_kept(found, rows, task)
        if best < KEPT_MIN:
            faults.append(
                f"with at most {TRAININGS_MAX} trainings {best:.1%} of the gain is kept, {task}"
            )
    if minutes > MINUTES_MAX:
        faults.append(f"the replay took {minutes:.1f} minutes, {MINUTES_MAX:g} are allowed")
    return faults


def main() -> int:
    """Replay, print the tables and return the exit code."""
    options = _options()
    source = real_orders()
    if options.home is None and source is None:
        console.print("the real order files are absent: set OPS_TEST_REAL_DATA, or give --home")
        return 1
    with TemporaryDirectory(prefix="ops-replay-") as scratch:
        home = Home(options.home or Path(scratch) / "home", source or Path())
        if options.home is None:
            say("materializing the graph")
            materialize(home)
        return _report(home, options)


def _report(home: Home, options: argparse.Namespace) -> int:
    request = request_of(home.settings, MODEL, ASKED, options.first, options.last)
    began = time.monotonic()
    found = replay(request, say)
    minutes = (time.monotonic() - began) / 60
    told = figures(found)
    for task in TASKS:
        console.print(table(found, [one for one in told if one.task == task]))
    console.print(f"the replay took {minutes:.1f} minutes")
    with walker_for(replace(request, policies={}), say) as walker:
        equal, costs = at_equal_numbers(walker, options.numbers)
    rows = compared(equal, costs)
    show(rows)
    if options.picture:
        options.picture.write_bytes(picture(found))
    if options.json:
        written = {"figures": [asdict(one) for one in told], "minutes": minutes, "equal": rows}
        options.json.write_text(json.dumps(written, indent=2, default=vars), encoding="utf-8")
    faults = missed(found, rows, minutes)
    for fault in faults:
        console.print(f"missed: {fault}")
    return 1 if faults else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--from", dest="first", type=date.fromisoformat, default=date(2011, 6, 1))
    parser.add_argument("--to", dest="last", type=date.fromisoformat, default=date(2011, 12, 9))
    parser.add_argument("--numbers", type=int, nargs="+", default=NUMBERS, metavar="N")
    parser.add_argument("--home", type=Path, help="of a platform that has taken the orders in")
    parser.add_argument("--picture", type=Path, metavar="FILE", help="write the picture there")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
