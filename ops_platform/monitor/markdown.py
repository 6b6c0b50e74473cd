"""What the monitor's assets show of themselves in Dagster: Markdown tables of the last days."""

from typing import Any

import numpy as np
import pandas as pd

from ops_platform.monitor.input_watch import InputsWatched
from ops_platform.monitor.inputs import TOGETHER
from ops_platform.monitor.performance import Measured
from ops_platform.monitor.profile import NDCG
from ops_platform.monitor.reference import SPAN_DAYS
from ops_platform.monitor.shown import DAYS, of_everyone
from ops_platform.monitor.watch import Watched

FEATURES_SHOWN = 20


def performance_table(measured: Measured) -> str:
    """The last days of a model as a Markdown table."""
    title = f"**{measured.model}** version {measured.version}: {measured.reason}"
    if measured.rows.empty:
        return title
    days = of_everyone(measured.rows).tail(DAYS)
    lines = [
        f"| {day['period']:%Y-%m-%d} | {day['version']} | {day['answers']} | {day['hit_rate']:.3f} "
        f"| {day['ndcg']:.3f} | {_or_nothing(day['baseline_ndcg'])} | {_state(day)} |"
        for _, day in days.iterrows()
    ]
    head = "| day | version | answers | hit rate | NDCG | baseline | |"
    return "\n".join([title, "", head, "|---|---|---|---|---|---|---|", *lines])


def foretold_table(measured: Measured) -> str:
    """The last measured days of a model of probabilities as a Markdown table."""
    title = f"**{measured.model}** version {measured.version}: {measured.reason}"
    if measured.rows.empty:
        return title
    lines = [
        f"| {day['period']:%Y-%m-%d} | {day['version']} | {day['customers']} "
        f"| {_or_nothing(day['foretold'])} | {_or_nothing(day['came_true'])} "
        f"| {_or_nothing(day['brier'])} | {_or_nothing(day['baseline_brier'])} | {_state(day)} |"
        for _, day in measured.rows.tail(DAYS).assign(estimated=False).iterrows()
    ]
    head = "| day | version | customers | foretold | came true | Brier score | baseline | |"
    return "\n".join([title, "", head, "|---|---|---|---|---|---|---|---|", *lines])


def _or_nothing(value: float) -> str:
    return "" if np.isnan(value) else f"{value:.3f}"


def _state(day: pd.Series) -> str:
    if day["ripe"]:
        return ""
    return "estimated" if day["estimated"] else "waits for labels"


def drift_table(watched: Watched) -> str:
    """The last days of a champion as a Markdown table."""
    title = f"**{watched.model}** version {watched.version}: {watched.reason}"
    if watched.drift.empty:
        return title
    days = watched.drift[watched.drift["feature"] == NDCG].tail(SPAN_DAYS)
    lines = [
        f"| {day['period']:%Y-%m-%d} | {day['value']:.3f} | {day['reference']:.3f} "
        f"| {day['effect']:+.2f} | {day['statistic']:.2f} | {day['bound']:g} "
        f"| {'**alarm**' if day['alarm'] else ''} |"
        for _, day in days.iterrows()
    ]
    head = f"| day | {NDCG} | reference | effect | statistic | bound | |"
    return "\n".join([title, "", head, "|---|---|---|---|---|---|---|", *lines])


def inputs_table(watched: InputsWatched) -> str:
    """The last judged days of a model, and the newest one's features, as Markdown tables."""
    title = f"**{watched.model}** version {watched.version}: {watched.reason}"
    if watched.added.empty:
        return title
    rows = watched.added[watched.added["segment"] == ""]
    days = rows[rows["feature"] == TOGETHER].tail(DAYS)
    newest = rows[(rows["period"] == rows["period"].max()) & (rows["feature"] != TOGETHER)]
    strongest = newest.sort_values("statistic", ascending=False).head(FEATURES_SHOWN)
    return "\n".join(
        [
            title,
            "",
            "| day | evidence | bound | verdict | |",
            "|---|---|---|---|---|",
            *(_day(row) for _, row in days.iterrows()),
            "",
            "| feature | value | reference | PSI | evidence | verdict |",
            "|---|---|---|---|---|---|",
            *(_feature(row) for _, row in strongest.iterrows()),
        ]
    )


def _day(row: "pd.Series[Any]") -> str:
    said = f"**{row['verdict']}**" if row["alarm"] else row["verdict"]
    return (
        f"| {row['period']} | {row['statistic']:.1f} | {row['bound']:g} | {said} | {row['told']} |"
    )


def _feature(row: "pd.Series[Any]") -> str:
    cells = (row["value"], row["reference"], row["psi"], row["statistic"])
    told = ("" if pd.isna(cell) else f"{cell:.3g}" for cell in cells)
    return f"| {row['feature']} | {' | '.join(told)} | {row['verdict']} |"
