"""The picture of a replay: what each policy gains over never retraining, week by week."""

import io
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from ops_platform.replay.backtest import DAILY, NEVER, Backtest
from ops_platform.replay.figures import TASKS, values

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SIZE = (10.0, 8.0)  # inches
WEEK = pd.Timedelta(days=7)


def picture(backtest: Backtest) -> bytes:
    """A PNG: for each task the gain over never by week, and when each policy trained.

    The same backtest gives the same bytes.
    """
    # Not by pyplot, which keeps state and looks for a display.
    from matplotlib.figure import Figure

    figure = Figure(figsize=SIZE, layout="constrained")
    *panels, trained = figure.subplots(
        len(TASKS) + 1, sharex=True, gridspec_kw={"height_ratios": [3, 3, 1.5]}
    )
    shown = [name for name in backtest.walks if name != NEVER]
    colours = {name: f"C{place}" for place, name in enumerate(shown)}
    colours[DAILY] = "black"
    for axes, task in zip(panels, TASKS, strict=True):
        by_visit = values(backtest, task)
        weeks = pd.DatetimeIndex(by_visit.index.get_level_values("day")).floor(WEEK)
        gained = by_visit.sub(by_visit[NEVER], axis=0).groupby(weeks).mean()
        for name in shown:
            axes.plot(gained.index, gained[name], color=colours[name], label=name)
        axes.axhline(0, color="grey", linewidth=0.8)
        axes.set_ylabel(f"{task}:\nNDCG@20 over {NEVER}")
        axes.grid(alpha=0.3)
    panels[0].legend(loc="upper left", ncols=2)
    _trainings(trained, backtest, colours)
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=100, metadata={"Software": None})
    return content.getvalue()


def _trainings(axes: "Axes", backtest: Backtest, colours: dict[str, str]) -> None:
    """A mark a training, a row a policy; daily's would be one line."""
    rows = [name for name in backtest.walks if name not in (NEVER, DAILY)]
    for place, name in enumerate(rows):
        days = [np.datetime64(one.as_of, "D") for one in backtest.walks[name].trainings]
        axes.plot(days, [place] * len(days), "|", markersize=12, color=colours[name])
    axes.set_yticks(range(len(rows)), rows)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_xlabel("trained at the end of")
    axes.grid(axis="x", alpha=0.3)
