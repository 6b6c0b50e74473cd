"""What a search for hyper-parameters maximizes: the score on windows that lie before the gate's."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pandas as pd

from ops_platform.errors import TrainingError
from ops_platform.lake.location import Lake
from ops_platform.models import provenance
from ops_platform.models.estimators import estimator, unfitted
from ops_platform.models.kinds import task_of
from ops_platform.models.recipe import recipe_of
from ops_platform.models.search import Say, Trial, search
from ops_platform.models.task import CHALLENGER, Rules, TrainingSet

WINDOWS = 2
DAY = timedelta(days=1)


@dataclass(frozen=True)
class Window:
    """The rows that were known before `cut`, and those known at its end, which judge from `cut`."""

    known: pd.DataFrame
    seen: TrainingSet
    cut: date

    def __str__(self) -> str:
        """The days that judge."""
        return f"{self.cut} to {self.seen.as_of}"


def windows(lake: Lake, rows: TrainingSet, name: str, rules: Rules) -> list[Window]:
    """The last WINDOWS windows of one length before any day that the gate may judge on.

    Raises TrainingError where the history is too short for them and as many days to learn from.
    """
    task, kind = task_of(name), estimator(name)
    rules = task.window(kind, rules)
    end = rows.as_of - timedelta(days=rules.longest_days)
    room = (end - rows.first_day).days // (2 * WINDOWS)
    if room < rules.shortest_days:
        raise TrainingError(
            f"{name}: there is too little history to search for hyper-parameters in: {WINDOWS} "
            f"windows of at least {rules.shortest_days} days before {end}, and twice as many days "
            f"to learn from, but it begins on {rows.first_day}: train without a search"
        )
    days = max(rules.shortest_days, min(rules.longest_days, room))
    found = []
    for number in range(WINDOWS):
        after = end - number * timedelta(days=days)
        cut = after - timedelta(days=days)
        seen = task.known_before(kind, lake, rows, after)
        known = task.known_before(kind, lake, rows, cut)
        found.append(Window(known, replace(rows, rows=seen, as_of=after - DAY), cut))
    return found


def searched(
    lake: Lake,
    rows: TrainingSet,
    name: str,
    *,
    trials: int,
    seed: int,
    rules: Rules,
    threads: int,
    journal: Path,
    say: Say = lambda text: None,
) -> list[Trial]:
    """So many trials of the model's SPACE, each the mean score over the windows.

    Raises TrainingError where the model names no space, the history is too short, nobody who is
    known bought anything in a window, or the journal can't be used.
    """
    task, kind = task_of(name), estimator(name)
    space = getattr(kind, "SPACE", {})
    if not space:
        raise TrainingError(
            f"models/zoo/{name}.py: {kind.__name__} has no SPACE, in which to search for its "
            "hyper-parameters: train without a search"
        )
    held = windows(lake, rows, name, rules)

    def score(params: Mapping[str, float]) -> float:
        means = []
        for window in held:
            model = unfitted(name, params, seed=seed, threads=threads)
            model.fit(window.known, window.cut - DAY)
            judged = task.judge({CHALLENGER: model}, lake, window.seen, window.cut, seed)
            if judged.scores.empty:
                raise TrainingError(
                    f"{name}: nobody who was known before bought anything from {window}, so no "
                    "parameters are better than others there: train without a search"
                )
            means.append(float(judged.scores[CHALLENGER].mean()))
        return float(np.mean(means))

    days = ", ".join(map(str, held))
    say(f"searching on {days}, which come before the days that the gate judges on")
    unsearched = kind().get_params()
    with provenance.linear_algebra(threads):
        return search(
            space,
            {one: unsearched[one] for one in space},
            score,
            trials=trials,
            seed=seed,
            # Scores on other days are of another study.
            study=f"{name} {rows.digest[:16]} {recipe_of(kind())[:16]} {seed} {days}",
            journal=journal,
            say=say,
        )
