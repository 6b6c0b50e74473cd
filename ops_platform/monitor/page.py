"""The monitor's page of a model and day: one HTML file that needs nothing else."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from ops_platform.monitor import figures
from ops_platform.monitor.profile import NDCG
from ops_platform.monitor.report import Report

if TYPE_CHECKING:
    from matplotlib.figure import Figure

HERE = Path(__file__).parent
DAYS_SHOWN = 120
# Of a model; a page takes half a megabyte.
PAGES_KEPT = 400
# Cohen (1988) calls a larger effect large; a population stability index above it is one too.
LARGE_EFFECT, LARGE_PSI = 0.8, 0.25


def page(report: Report, drawn: "Mapping[str, Figure]") -> str:
    """The page with the pictures of `draw`; the same report gives the same bytes."""
    environment = Environment(
        loader=FileSystemLoader(HERE),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("page.html.j2").render(
        report=report,
        shown=report.days.tail(DAYS_SHOWN).iloc[::-1],
        # Made here, of numbers and names of columns.
        pictures={name: Markup(figures.svg(one, name)) for name, one in drawn.items()},  # noqa: S704
    )


def write(report: Report, drawn: "Mapping[str, Figure]", folder: Path) -> Path:
    """Write the page of the report's model and day into a folder, whose oldest go; its place."""
    place = folder / report.model / f"{report.day or 'nothing-published'}.html"
    place.parent.mkdir(parents=True, exist_ok=True)
    aside = place.with_suffix(".part")
    aside.write_text(page(report, drawn), encoding="utf-8")
    aside.replace(place)
    for old in _by_day(folder, report.model)[:-PAGES_KEPT]:
        old.unlink(missing_ok=True)
    return place


def newest(folder: Path, model: str) -> Path | None:
    """The newest page of a model in a folder, None where there is none."""
    return next(reversed(_by_day(folder, model)), None)


def _by_day(folder: Path, model: str) -> list[Path]:
    # Not the one of before anything was published, which would be the last by name.
    return sorted((folder / model).glob("[0-9]*.html"))


def as_markdown(drawn: "Mapping[str, Figure]") -> str:
    """The pictures of `draw` within Markdown, for Dagster's pages; empty without any."""
    return "\n\n".join(figures.markdown(one, name) for name, one in drawn.items())


def draw(report: Report) -> "dict[str, Figure]":
    """What there is to draw of the last DAYS_SHOWN days, by name."""
    drawn = {}
    if not report.days.empty:
        drawn["performance"] = figures.performance(report.days.tail(DAYS_SHOWN))
    if not report.foretold.empty:
        drawn["foretold"] = figures.foretold(report.foretold.tail(DAYS_SHOWN))
    if not report.drift.empty:
        watched = report.drift[report.drift["feature"] == NDCG].tail(DAYS_SHOWN)
        drawn["statistic"] = figures.statistic(watched)
        last = report.drift[report.drift["period"].isin(watched["period"])]
        drawn["features"] = figures.by_feature(last, "effect size", LARGE_EFFECT)
    if not report.inputs.empty and report.inputs["psi"].notna().any():
        psi = report.inputs.rename(columns={"psi": "effect"}).dropna(subset=["effect"])
        last = psi[psi["period"].isin(sorted(psi["period"].unique())[-DAYS_SHOWN:])]
        drawn["inputs"] = figures.by_feature(
            last, "population stability index", LARGE_PSI, signed=False
        )
    return drawn
