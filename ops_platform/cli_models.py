"""`ops evaluate`: how good a model is beside its baselines, on days that it was not fitted on."""

from collections.abc import Iterator
from dataclasses import asdict
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Column, Table

from ops_platform.cli_versions import parsed, registry_of
from ops_platform.prompt import Json, console, errors, print_json, working

if TYPE_CHECKING:
    from ops_platform.models.estimators import Estimator
    from ops_platform.models.evaluation import Figure
    from ops_platform.models.odds_evaluation import Figure as Odds
    from ops_platform.settings import Settings

    Window = tuple[date, date, list[Figure] | list[Odds]]


def evaluate(
    model: Annotated[
        str,
        typer.Argument(
            help="A file of models/zoo/, say recommender; recommender@2 has the hyper-parameters "
            "of that version."
        ),
    ],
    cut: Annotated[
        list[datetime] | None,
        typer.Option(
            formats=["%Y-%m-%d"],
            help="The first day of the window that judges; give it again for more windows. "
            "[default: so that the window ends on the published day]",
        ),
    ] = None,
    days: Annotated[
        int, typer.Option(min=1, help="How long a window is, of a model that recommends.")
    ] = 30,
    as_json: Json = False,
) -> None:
    """A model and its baselines, fitted before each cut and judged on the days after.

    Recommenders by NDCG@20; probabilities by average precision and Brier score, on what came true
    within the model's own horizon.
    """
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
        for table in _tables(f"{start} to {end}", model, figures):
            console.print(table)


def _evaluate(settings: "Settings", model: str, cuts: list[date], days: int) -> "list[Window]":
    from ops_platform.models.kinds import recommenders

    name, _ = parsed(model)
    one = _asked_for(settings, model)
    if name in recommenders():
        return _ranked(settings, model, one, cuts, days)
    return _foretold(settings, model, one, cuts)


def _asked_for(settings: "Settings", model: str) -> "Estimator":
    """The model with its defaults, or that of the version that is named: a fit begins it anew."""
    from ops_platform.models.estimators import estimator

    name, number = parsed(model)
    if number is None:
        return estimator(name)(seed=settings.seed)
    return registry_of(settings).load(name, number)


def _ranked(
    settings: "Settings", model: str, one: "Estimator", cuts: list[date], days: int
) -> "list[Window]":
    from ops_platform.errors import TrainingError
    from ops_platform.lake.connect import connect
    from ops_platform.lake.location import Lake
    from ops_platform.models.evaluation import PAIR, fit_contenders
    from ops_platform.models.evaluation import evaluate as judged
    from ops_platform.models.recommending import interactions_by
    from ops_platform.models.training import read_training_set

    lake = Lake.at(settings)
    rows = read_training_set(lake, parsed(model)[0])
    windows: list[Window] = []
    with connect(lake, snapshot=rows.pointer.snapshot) as connection:
        for start in cuts or [rows.as_of - timedelta(days=days - 1)]:
            if not rows.first_day < start <= rows.as_of:
                raise TrainingError(
                    f"the history is of {rows.first_day} to {rows.as_of}, and nothing is before or "
                    f"after a cut of {start}"
                )
            before, end = start - timedelta(days=1), start + timedelta(days=days - 1)
            end = min(end, rows.as_of)
            known, later = (interactions_by(connection, day) for day in (before, end))
            inside = later["day"].astype("datetime64[s]") >= datetime(*start.timetuple()[:3])
            seed = settings.seed
            contenders = fit_contenders(model, one, known, before, seed=seed, say=_say)
            _say(f"judging on {start} to {end}")
            relevant = later.loc[inside, PAIR].drop_duplicates()
            windows.append((start, end, judged(contenders, known, relevant, seed=seed)))
    return windows


def _foretold(
    settings: "Settings", model: str, asked: "Estimator", cuts: list[date]
) -> "list[Window]":
    from ops_platform.features.build import newest_day, published_with_features
    from ops_platform.features.known_by import by_delivery_of
    from ops_platform.lake.connect import connect
    from ops_platform.lake.location import Lake
    from ops_platform.models.estimators import foretells
    from ops_platform.models.odds_evaluation import evaluate as judged

    lake = Lake.at(settings)
    one = foretells(asked)
    newest, horizon = newest_day(lake), timedelta(days=one.horizon_days - 1)
    late = by_delivery_of(settings)
    windows: list[Window] = []
    with connect(lake, snapshot=published_with_features(lake).snapshot) as connection:
        for start in cuts or [newest - horizon]:
            _say(f"fitting up to {start - timedelta(days=1)}, judging to {start + horizon}")
            figures = judged(connection, model, one, start, newest, settings.seed, late)
            windows.append((start, start + horizon, figures))
    return windows


def _say(text: str) -> None:
    errors.print(escape(text), highlight=False)


def _tables(title: str, model: str, figures: "list[Figure] | list[Odds]") -> Iterator[Table]:
    from ops_platform.models.evaluation import Figure
    from ops_platform.models.odds_evaluation import Figure as Odds

    ranked = [one for one in figures if isinstance(one, Figure)]
    for task in dict.fromkeys(one.task for one in ranked):
        yield _of_ranking(f"{title}, {task}", model, [one for one in ranked if one.task == task])
    odds = [one for one in figures if isinstance(one, Odds)]
    for metric in dict.fromkeys(one.metric for one in odds):
        yield _of_odds(title, model, [one for one in odds if one.metric == metric])


def _of_ranking(title: str, model: str, figures: "list[Figure]") -> Table:
    customers = figures[0].customers
    table = Table(
        Column(no_wrap=True),
        *("NDCG@20", "95 %", f"{escape(model)} / it", "95 %"),
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


def _of_odds(title: str, model: str, figures: "list[Odds]") -> Table:
    first = figures[0]
    table = Table(
        Column(no_wrap=True),
        *(first.metric, "95 %", "the model less it", "95 %"),
        title=f"{title}: {first.customers:,} customers, true of {first.share:.1%}",
    )
    for one in figures:
        difference = ("", "")
        if one.difference is not None:
            ends = f"{one.difference_low:+.4f} to {one.difference_high:+.4f}"
            difference = (f"{one.difference:+.4f}", ends)
        table.add_row(
            escape(one.contender),
            f"{one.value:.4f}",
            f"{one.low:.4f} to {one.high:.4f}",
            *difference,
        )
    return table
