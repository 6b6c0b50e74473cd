"""What retraining policies would have cost and earned on the real orders, at equal numbers too.

`python -m benchmarks.replay` replays 2011-06-01 to 2011-12-09 and exits with 1 where a bound is
missed. The cost of `worth_it` is set so that it trains as often as asked, which looks at no score;
its constants were chosen on 2011-02-01 to 2011-05-31.
"""

import argparse
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from datetime import date, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.graph import Home, materialize, real_orders
from ops_platform.cli_replay import table
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
# Where the cost for a number is looked for.
COSTS, HALVINGS = (0.05, 100.0), 14
KEPT_MIN, TRAININGS_MAX = 0.95, 16
MINUTES_MAX = 10.0
console = Console(width=140)


class Evenly:
    """The fixed schedule: so many trainings, as far from one another as from both ends."""

    def __init__(self, number: int, period: Period) -> None:
        """Choose the days; the training is at the end of the first day of trade from each on."""
        days = (period.days[-1] - period.start).days
        self.days = [
            period.start + timedelta(days=round(days * one / (number + 1)))
            for one in range(1, number + 1)
        ]

    def reason(self, standing: Standing) -> Reason | None:
        """The newest of the days that the champion has not seen."""
        due = [day for day in self.days if standing.as_of < day <= standing.day]
        return Reason(str(due[-1]), "the schedule") if due else None


def worth_it_with(walker: Walker, number: int) -> tuple[float, Walk] | None:
    """The lowest cost at which `worth_it` trains so often, and its walk; None where there is none.

    At the lowest the losses of all champions are alike, the last one's too, as the days of the
    schedule's are.
    """
    found, (low, high) = None, COSTS
    for _ in range(HALVINGS):
        cost = float(np.sqrt(low * high))
        walk = walker.walk(WorthIt(cost), UNBOUND)
        if len(walk.trainings) > number:
            low = cost
            continue
        high = cost
        if len(walk.trainings) == number:
            found = cost, walk
    return found


def at_equal_numbers(walker: Walker, numbers: Sequence[int]) -> tuple[Backtest, dict[int, float]]:
    """The walks of both policies for each number, and the costs."""
    walks, costs = dict[str, Walk](), dict[int, float]()
    for number in numbers:
        walks[f"evenly {number}"] = walker.walk(Evenly(number, walker.period), UNBOUND)
        found = worth_it_with(walker, number)
        if found is not None:
            costs[number], walks[f"worth_it {number}"] = found
        say(f"{number} trainings: cost {costs.get(number)}")
    return beside_the_ends(walker, walks), costs


def difference(backtest: Backtest, task: str, one: str, other: str) -> Between:
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
        *("trainings", "cost", "task", "worth_it less schedule", "95 %", "", "keeps", "schedule"),
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
                for name in ("kept", "kept_by_schedule")
            ),
        )
    console.print(shown)


def say(text: str) -> None:
    """Progress, with the time."""
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


def missed(found: Backtest, rows: list[dict], minutes: float) -> list[str]:
    """The bounds that are missed."""
    best = max(
        one.kept.value
        for one in figures(found)
        if one.policy in DRIFT_AWARE
        and one.task == "all items"
        and one.kept
        and len(found.walks[one.policy].trainings) <= TRAININGS_MAX
    )
    faults = [
        f"at {row['trainings']} trainings, {row['task']}: {verdict(row['more'])}"
        for row in rows
        if row["more"].low < 0
    ]
    if best < KEPT_MIN:
        faults.append(f"with at most {TRAININGS_MAX} trainings {best:.1%} of the gain is kept")
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
