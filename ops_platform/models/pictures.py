"""The pictures of a model card: quality with intervals, by segment, and version by version."""

import io
from collections.abc import Mapping, Sequence
from datetime import date
from typing import TYPE_CHECKING, Any

from ops_platform.models.task import CHALLENGER

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

QUALITY, SEGMENTS, OVER_TIME = "quality.png", "segments.png", "over_time.png"
WIDTH, ROW = 7.0, 0.35  # inches
SHOWN = "this version"


def pictures(
    record: Mapping[str, Any], title: str, before: Sequence[tuple[date, float]]
) -> dict[str, bytes]:
    """PNG pictures of a version by their file's name, the same ones for the same record.

    Parameters
    ----------
    record : of its provenance.
    title : of the metric.
    before : as-of and score at the gate of each version before it, oldest first.
    """
    found = {QUALITY: _intervals({"": record["quality"]}, title)}
    if record["segments"]:
        found[SEGMENTS] = _intervals(record["segments"], title)
    if before:
        own = (date.fromisoformat(record["data"]["as_of"]), _mean(record["quality"][CHALLENGER]))
        found[OVER_TIME] = _line([*before, own], title)
    return found


def _mean(one: Mapping[str, float]) -> float:
    return float(one["mean"])


def _intervals(groups: Mapping[str, Mapping[str, Mapping[str, float]]], title: str) -> bytes:
    """The mean of each contender with its 95 % interval, a row each, group by group."""
    rows = [
        (group, name, one)
        for group, contenders in sorted(groups.items())
        for name, one in sorted(
            contenders.items(), key=lambda pair: (pair[0] != CHALLENGER, pair[0])
        )
    ]
    figure, axes = _axes(len(rows))
    for place, (_, name, one) in enumerate(rows):
        axes.errorbar(
            one["mean"],
            place,
            # Where all customers score alike, rounding may put the mean beyond both ends.
            xerr=[[max(0.0, one["mean"] - one["low"])], [max(0.0, one["high"] - one["mean"])]],
            fmt="o",
            color="C0" if name == CHALLENGER else "C7",
            capsize=3,
        )
    axes.set_yticks(range(len(rows)), [_label(group, name) for group, name, _ in rows])
    axes.invert_yaxis()
    axes.set_xlabel(f"{title}, 95 % interval over customers")
    axes.grid(axis="x", alpha=0.3)
    return _png(figure)


def _label(group: str, name: str) -> str:
    told = SHOWN if name == CHALLENGER else name.replace("_", " ")
    return f"{group}: {told}" if group else told


def _line(scores: Sequence[tuple[date, float]], title: str) -> bytes:
    figure, axes = _axes(8)
    axes.plot([f"{as_of}" for as_of, _ in scores], [score for _, score in scores], "o-")
    axes.set_xlabel("as of, version by version")
    axes.set_ylabel(f"{title} at the gate")
    axes.set_ylim(bottom=0)
    axes.tick_params(axis="x", rotation=45)
    axes.grid(alpha=0.3)
    return _png(figure)


def _axes(rows: int) -> "tuple[Figure, Axes]":
    # Not by pyplot, which keeps state and looks for a display.
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH, 1 + ROW * rows), layout="constrained")
    return figure, figure.subplots()


def _png(figure: "Figure") -> bytes:
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=100, metadata={"Software": None})
    return content.getvalue()
