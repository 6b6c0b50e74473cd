"""`ops evaluate`: how good a model is beside its baselines, on days that it was not fitted on."""

from dataclasses import asdict
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Table

from ops_platform.prompt import Json, console, errors, print_json, working

if TYPE_CHECKING:
    from ops_platform.models.evaluation import Figure
    from ops_platform.settings import Settings


def evaluate(
    model: Annotated[str, typer.Argument(help="A file of models/zoo/, say recommender.")],
    cut: Annotated[
        list[datetime] | None,
        typer.Option(
            formats=["%Y-%m-%d"],
            help="The first day of the window that judges; give it again for more windows. "
            "[default: so that the window ends on the published day]",
        ),
    ] = None,
    days: Annotated[int, typer.Option(min=1, help="How long a window is.")] = 30,
    as_json: Json = False,
) -> None:
    """NDCG@20 of a model and its baselines, fitted before each cut and judged on the days after."""
    with working(f"evaluating {model}") as settings:
        windows = _evaluate(settings, model, [one.date() for one in cut or []], days)
    if as_json:
        print_json(
            [
                {"cut": str(start), "end": str(end), "figures": [asdict(one) for one in figures]}
                for start, end, figures in windows
            ]
        )
        return
    for start, end, figures in windows:
        for task in dict.fromkeys(figure.task for figure in figures):
            told = [figure for figure in figures if figure.task == task]
            console.print(_table(f"{start} to {end}, {task}", model, told))


def _evaluate(
    settings: "Settings", model: str, cuts: list[date], days: int
) -> list[tuple[date, date, list["Figure"]]]:
    from ops_platform.lake.connect import connect
    from ops_platform.lake.location import Lake
    from ops_platform.models.estimators import estimator
    from ops_platform.models.evaluation import PAIR, fit_contenders
    from ops_platform.models.evaluation import evaluate as judged
    from ops_platform.models.recommending import interactions_by
    from ops_platform.models.training import read_training_set

    def say(text: str) -> None:
        errors.print(escape(text), highlight=False)

    lake, kind = Lake.at(settings), estimator(model)
    rows = read_training_set(lake, model)
    windows = []
    with connect(lake, snapshot=rows.pointer.snapshot) as connection:
        for start in cuts or [rows.as_of - timedelta(days=days - 1)]:
            before, end = start - timedelta(days=1), start + timedelta(days=days - 1)
            end = min(end, rows.as_of)
            known, later = (interactions_by(connection, day) for day in (before, end))
            inside = later["day"].astype("datetime64[s]") >= datetime(*start.timetuple()[:3])
            seed = settings.seed
            contenders = fit_contenders(model, kind(seed=seed), known, before, seed=seed, say=say)
            say(f"judging on {start} to {end}")
            relevant = later.loc[inside, PAIR].drop_duplicates()
            windows.append((start, end, judged(contenders, known, relevant, seed=seed)))
    return windows


def _table(title: str, model: str, figures: list["Figure"]) -> Table:
    customers = figures[0].customers
    table = Table(
        *("", "NDCG@20", "95 %", f"{escape(model)} / it", "95 %"),
        title=f"{title}: {customers:,} customers",
    )
    for one in figures:
        ratio = ("", "")
        if one.ratio is not None:
            ratio = (f"{one.ratio:.3f}", f"{one.ratio_low:.3f} to {one.ratio_high:.3f}")
        table.add_row(
            escape(one.contender), f"{one.ndcg:.4f}", f"{one.low:.4f} to {one.high:.4f}", *ratio
        )
    return table
