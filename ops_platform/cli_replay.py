"""`ops replay`: what each retraining policy would have cost and earned on one's own history."""

from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.box import SIMPLE_HEAD
from rich.markup import escape
from rich.table import Column, Table

from ops_platform.prompt import Json, console, errors, print_json, working

if TYPE_CHECKING:
    from ops_platform.replay.backtest import Backtest
    from ops_platform.replay.figures import Between, Figure

DAY = ["%Y-%m-%d"]


def replay(
    policy: Annotated[
        list[str] | None,
        typer.Option(
            help="A file of monitor/policies/ and its parameters, say every:28; give it again for "
            "more side by side. By default that of OPS_RETRAINING_POLICY."
        ),
    ] = None,
    first: Annotated[
        datetime | None,
        typer.Option(
            "--from", formats=DAY, help="The first day that is judged; by default half-way."
        ),
    ] = None,
    last: Annotated[
        datetime | None,
        typer.Option("--to", formats=DAY, help="The last; by default the newest published."),
    ] = None,
    model: Annotated[str, typer.Option(help="A recommender of models/zoo/.")] = "recommender",
    picture: Annotated[
        Path | None, typer.Option(help="Write the picture there; a PNG.", dir_okay=False)
    ] = None,
    as_json: Json = False,
) -> None:
    """Walk retraining policies through history day by day, beside never and daily retraining.

    What was fitted is kept: a replay that was stopped goes on, and more policies cost little.
    """
    with working("replaying") as settings:
        from ops_platform.replay.backtest import replay as walk
        from ops_platform.replay.figures import figures
        from ops_platform.replay.picture import picture as drawn
        from ops_platform.replay.request import request_of

        days = (one.date() if one else None for one in (first, last))
        found = walk(request_of(settings, model, policy or [], *days), _say)
        told = figures(found, settings.seed)
        if picture is not None:
            picture.parent.mkdir(parents=True, exist_ok=True)
            picture.write_bytes(drawn(found))
    if as_json:
        print_json(_as_json(found, told))
        return
    for task in dict.fromkeys(one.task for one in told):
        console.print(table(found, [one for one in told if one.task == task]))
    if picture is not None:
        console.print(f"picture: {escape(str(picture))}", soft_wrap=True)


def _say(text: str) -> None:
    errors.print(escape(text), highlight=False, soft_wrap=True)


def table(found: "Backtest", told: "list[Figure]") -> Table:
    """The figures of one task, a row a policy."""
    shown = Table(
        Column("policy", no_wrap=True),
        *("trainings", "seconds\nto fit", "NDCG@20", "below daily", "of daily's gain"),
        caption="Of a visit: the mean NDCG@20, and by how much it is below that of daily "
        "retraining. Of daily's gain over never retraining: the share that the policy has. Under "
        "each figure stands its 95 % interval.",
        box=SIMPLE_HEAD,
        padding=0,
        leading=1,
        title=f"{found.model}, {found.first} to {found.last}, {told[0].task}: "
        f"{told[0].visits:,} visits",
    )
    for one in told:
        trainings = found.walks[one.policy].trainings
        shown.add_row(
            escape(one.policy),
            str(len(trainings)),
            f"{sum(training.seconds for training in trainings):.0f}",
            _between(one.ndcg, ".4f"),
            _between(one.regret, "+.4f"),
            _between(one.kept, ".1%") if one.kept else "",
        )
    return shown


def _between(one: "Between", form: str) -> str:
    return f"{one.value:{form}}\n{one.low:{form}} to {one.high:{form}}"


def _as_json(found: "Backtest", told: "list[Figure]") -> dict[str, Any]:
    from ops_platform.replay.figures import TASKS, by_day

    return {
        "model": found.model,
        "from": found.first,
        "to": found.last,
        "first_champion_as_of": found.start,
        "figures": [asdict(one) for one in told],
        "trainings": {
            name: [asdict(one) for one in walk.trainings] for name, walk in found.walks.items()
        },
        "ndcg_at_20_by_day": {
            task: {
                f"{day:%Y-%m-%d}": row for day, row in by_day(found, task).to_dict("index").items()
            }
            for task in TASKS
        },
    }
