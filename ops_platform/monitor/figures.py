"""The monitor's pictures: live performance, the alarm's statistic, and drift by feature, by day."""

import base64
import io
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH, ROW = 10.0, 0.28  # inches
# Of more the legend would be a picture within the picture.
COLOURS = 33
# The page gives these the colours of its light and its dark ground.
INK, FAINT, LINE, MODEL, OTHER, BAD = (
    *("#1d2430", "#667085", "#d9dee7"),
    *("#1f5fbf", "#b7791f", "#b3261e"),
)
NAMED = {
    **{INK: "--ink", FAINT: "--faint", LINE: "--line"},
    **{MODEL: "--model", OTHER: "--other", BAD: "--bad"},
}


def performance(days: pd.DataFrame) -> "Figure":
    """NDCG and hit rate by day with 95 % intervals, beside the baseline; versions marked.

    Parameters
    ----------
    days : rows of `monitor.performance` of one model, source and segment, in order of the days.
    """
    figure, (gains, hits) = _axes(2, 5.2)
    _measure(gains, days, "ndcg", "NDCG")
    _measure(hits, days, "hit_rate", "hit rate")
    _mark_versions(gains, days)
    figure.legend(
        *gains.get_legend_handles_labels(), loc="outside upper right", ncols=3, frameon=False,
        fontsize=9, labelcolor=INK,
    )  # fmt: skip
    return figure


def _measure(axes: "Axes", days: pd.DataFrame, name: str, title: str) -> None:
    ripe, estimated = days[days["ripe"]], days[days["estimated"]]
    axes.plot(
        ripe["period"], ripe[f"baseline_{name}"], color=OTHER, linestyle="--", linewidth=1.2,
        label="baseline on the same customers",
    )  # fmt: skip
    for rows, fill, label in (
        (ripe, MODEL, "the model, 95 % interval"),
        (estimated, "none", "estimated, labels are awaited"),
    ):
        if rows.empty:
            continue
        below, above = rows[name] - rows[f"{name}_low"], rows[f"{name}_high"] - rows[name]
        axes.errorbar(
            rows["period"], rows[name], yerr=np.maximum([below.fillna(0), above.fillna(0)], 0),
            color=MODEL, marker="o", markersize=4, markerfacecolor=fill, linewidth=1.2,
            linestyle="-" if fill == MODEL else "none", elinewidth=0.8, label=label,
        )  # fmt: skip
    if not estimated.empty:
        axes.axvspan(
            estimated["period"].min() - pd.Timedelta(hours=12),
            estimated["period"].max() + pd.Timedelta(hours=12),
            color=LINE, alpha=0.35, linewidth=0,
        )  # fmt: skip
    axes.set_ylabel(title)


def foretold(days: pd.DataFrame) -> "Figure":
    """What a model foretold and what came true, and its error beside the baseline's, by day.

    Parameters
    ----------
    days : rows of `monitor.foretold` of one model, in order of the days.
    """
    ripe = days[days["ripe"]]
    # Without labels there is nothing but what was foretold.
    figure, (shares, *more) = _axes(1, 2.6) if ripe.empty else _axes(2, 5.2)
    drawn = [(shares, days, "foretold", MODEL, "the model")]
    for errors in more:
        errors.set_ylabel("Brier score, less is better")
        drawn += [
            (shares, ripe, "came_true", INK, "came true"),
            (errors, ripe, "brier", MODEL, "_"),
            (errors, ripe, "baseline_brier", OTHER, "baseline on the same customers"),
        ]
    for axes, rows, name, colour, label in drawn:
        axes.plot(
            rows["period"], rows[name], color=colour, marker="o", markersize=4, linewidth=1.2,
            linestyle="--" if colour == OTHER else "-", label=label,
        )  # fmt: skip
    shares.set_ylabel("share of the customers")
    shares.set_ylim(0, 1)
    _mark_versions(shares, days)
    figure.legend(loc="outside upper right", ncols=3, frameon=False, fontsize=9, labelcolor=INK)
    return figure


def _mark_versions(axes: "Axes", days: pd.DataFrame) -> None:
    """A line in each part of the picture where another version answers, with its number."""
    first = days.groupby("version")["period"].min()
    for version, day in first.items():
        for one in axes.figure.axes:
            one.axvline(day, color=FAINT, linewidth=0.8, linestyle=":")
        axes.text(
            day, 1.02, f" version {version}", transform=axes.get_xaxis_transform(),
            color=FAINT, fontsize=8,
        )  # fmt: skip


def statistic(drift: pd.DataFrame) -> "Figure":
    """The alarm's statistic by day, with its bound; alarms marked.

    Parameters
    ----------
    drift : version, period, statistic, bound and alarm, a row a day, in order of the days.
    """
    figure, (axes,) = _axes(1, 2.6)
    for _, rows in drift.groupby("version"):
        axes.plot(rows["period"], rows["statistic"], color=MODEL, linewidth=1.4)
    axes.plot(
        drift["period"], drift["bound"], color=BAD, linestyle="--", linewidth=1, label="bound"
    )
    raised = drift[drift["alarm"]]
    axes.plot(
        raised["period"], raised["statistic"], color=BAD, marker="v", linestyle="none",
        label="alarm" if len(raised) else "_",
    )  # fmt: skip
    _mark_versions(axes, drift)
    axes.set_ylabel("statistic")
    axes.set_ylim(bottom=0)
    figure.legend(loc="outside upper right", ncols=2, frameon=False, fontsize=9, labelcolor=INK)
    return figure


def by_feature(effects: pd.DataFrame, title: str, most: float, signed: bool = True) -> "Figure":
    """How far each feature is from normal, a row a feature, a column a day.

    Parameters
    ----------
    effects : period, feature and effect.
    most : the effect from which on the colour is the strongest.
    signed : whether an effect can be below 0.
    """
    import matplotlib as mpl

    table = effects.pivot_table(index="feature", columns="period", values="effect")
    figure, (axes,) = _axes(1, 1.2 + ROW * len(table))
    drawn = axes.pcolormesh(
        np.arange(len(table.columns) + 1), np.arange(len(table) + 1), table.to_numpy(dtype=float),
        cmap=mpl.colormaps["RdBu_r" if signed else "Reds"].resampled(COLOURS),
        vmin=-most if signed else 0, vmax=most,
    )  # fmt: skip
    axes.set_yticks(np.arange(len(table)) + 0.5, [str(name) for name in table.index])
    days = [pd.Timestamp(day) for day in table.columns]
    places = range(0, len(days), max(1, len(days) // 8))
    axes.set_xticks([place + 0.5 for place in places], [f"{days[n]:%d %b}" for n in places])
    axes.invert_yaxis()
    axes.grid(visible=False)
    bar = figure.colorbar(drawn, ax=axes, pad=0.01)
    bar.set_label(title, color=FAINT, fontsize=9)
    bar.ax.tick_params(colors=FAINT, labelsize=8)
    bar.outline.set_visible(False)
    return figure


def _axes(rows: int, height: float) -> "tuple[Figure, list[Axes]]":
    # Not by pyplot, which keeps state and looks for a display.
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH, height), layout="constrained")
    figure.patch.set_visible(False)
    all_axes = list(figure.subplots(rows, 1, sharex=True, squeeze=False)[:, 0])
    for axes in all_axes:
        axes.patch.set_visible(False)
        axes.grid(color=LINE, linewidth=0.6)
        axes.tick_params(colors=FAINT, labelsize=9)
        axes.yaxis.label.set_color(FAINT)
        for side in axes.spines.values():
            side.set_visible(False)
    last = all_axes[-1].xaxis
    locator = AutoDateLocator()  # type: ignore[no-untyped-call]
    last.set_major_locator(locator)
    last.set_major_formatter(ConciseDateFormatter(locator))  # type: ignore[no-untyped-call]
    last.get_offset_text().set_color(FAINT)
    return figure, all_axes


def svg(figure: "Figure", name: str) -> str:
    """The picture as SVG to be put into a page, the same one for the same figure.

    Its colours are the page's variables of NAMED; `name` keeps its ids apart from other pictures'.
    """
    import matplotlib as mpl

    content = io.StringIO()
    nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    with mpl.rc_context({"svg.hashsalt": name, "svg.fonttype": "none"}):
        figure.savefig(content, format="svg", metadata=nothing)
    text = content.getvalue()
    text = text[text.index("<svg") :]
    # It would hold for the whole page.
    start, end = text.index("<style"), text.index("</style>") + len("</style>")
    text = text[:start] + text[end:]
    for colour, variable in NAMED.items():
        text = text.replace(colour, f"var({variable})")
    return text


def markdown(figure: "Figure", name: str) -> str:
    """The picture within Markdown, as PNG on white, for Dagster's pages."""
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=80, facecolor="white", metadata={"Software": None})
    return f"![{name}](data:image/png;base64,{base64.b64encode(content.getvalue()).decode()})"
