"""`ops experiment`: a challenger is tried in traffic, and both arms are compared at any time."""

from dataclasses import asdict
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from ops_platform.cli_versions import registry_of
from ops_platform.prompt import Json, console, plain_errors, print_json, working

experiment_app = typer.Typer(
    help="A challenger in traffic: start, stop, show both arms.", no_args_is_help=True
)
Model = Annotated[str, typer.Option(help="The model.")]


@experiment_app.command("start")
def start(
    version: Annotated[int, typer.Argument(min=1, help="The version that is tried.")],
    mode: Annotated[str, typer.Option(help="shadow: only logged; split: shown.")] = "shadow",
    share: Annotated[float, typer.Option(help="Of the customers, above 0 and below 1.")] = 0.1,
    model: Model = "recommender",
) -> None:
    """Let a version answer beside the one that serves, as a shadow or for a share of customers."""
    from ops_platform.models.estimators import estimator, recommends
    from ops_platform.serve import experiment
    from ops_platform.serve.release import folder_of

    modes: list[experiment.Mode] = [experiment.SHADOW, experiment.SPLIT]
    named = next((one for one in modes if one == mode), None)
    if named is None:
        raise typer.BadParameter(f"{mode!r} is no mode: {', '.join(modes)}")
    # What costs more to look at comes later, and what makes a release last.
    with plain_errors():
        experiment.require_share(named, share)
        recommends(estimator(model)())
    with working("reading the registry") as settings:
        registry = registry_of(settings)
        tried = registry.version(model, version)
    with working("making the release ready") as settings:
        from ops_platform.ingest.contract import customer_key
        from ops_platform.ingest.contract_file import read_contracts
        from ops_platform.lake.location import Lake
        from ops_platform.lake.lock import write_lock
        from ops_platform.serve.rollback import release_of

        key = customer_key(read_contracts(settings.contracts, settings.hash_key))
        lake, now, folder = Lake.at(settings), settings.now(), folder_of(settings.releases, model)
        # So that upkeep of releases does not remove what is about to be tried.
        with write_lock(lake):
            made = release_of(lake, registry, folder, tried, now, key)
            begun = experiment.start(folder, made, named, share, now)
    console.print(f"{begun.release} is tried: {begun.mode} of {begun.share:g} of the customers")


@experiment_app.command("stop")
def stop(
    reason: Annotated[str, typer.Option(help="Why, for the record.")] = "stopped by hand",
    model: Model = "recommender",
) -> None:
    """Let only the version that serves answer again."""
    from ops_platform.serve import experiment
    from ops_platform.serve.release import folder_of

    with plain_errors() as settings:
        folder = folder_of(settings.releases, model)
        ended = experiment.stop(folder, settings.now(), reason)
    console.print(escape(_state(asdict(ended))), soft_wrap=True)


@experiment_app.command("show")
def show(
    days: Annotated[int, typer.Option(min=1, help="Within which what was shown is bought.")] = 14,
    model: Model = "recommender",
    as_json: Json = False,
) -> None:
    """Both arms, and whether one does better, by a test that is valid whenever it is looked at."""
    from ops_platform.errors import ReleaseError
    from ops_platform.lake.location import Lake
    from ops_platform.serve import experiment
    from ops_platform.serve.outcomes import ALPHA, report
    from ops_platform.serve.release import folder_of

    with working("comparing the arms") as settings:
        found = experiment.read(folder_of(settings.releases, model))
        if found is None:
            raise ReleaseError(
                f"no challenger of {model!r} was tried yet: see `ops experiment start --help`"
            )
        told = asdict(found) | asdict(report(Lake.at(settings), model, found, days))
    if as_json:
        print_json(told | {"alpha": ALPHA})
        return
    console.print(escape(_state(told)), soft_wrap=True)
    table = Table("arm", "customers", f"bought within {days} days")
    for name, arm in told["arms"].items():
        share = "" if arm["share"] is None else f"{arm['share']:.2%}"
        table.add_row(name, str(arm["customers"]), share)
    console.print(table)
    console.print(_verdict(told, ALPHA), soft_wrap=True)


def _state(told: dict[str, Any]) -> str:
    tried = f"{told['release']}, {told['mode']} of {told['share']:g}, since {told['started_at']}"
    if told["stopped_at"] is None:
        return f"{tried}: goes on"
    return f"{tried}: stopped at {told['stopped_at']}, {told['reason']}"


def _verdict(told: dict[str, Any], alpha: float) -> str:
    found = told["difference"]
    if found is None:
        return f"No customer's {told['days']} days are over yet."
    word = "no difference is shown yet"
    if found["p_value"] <= alpha:
        word = "the challenger does better" if found["mean"] > 0 else "the challenger does worse"
    interval = "its interval is empty: it has changed meanwhile"
    if found["low"] is not None:
        interval = f"within {found['low']:+.4f} and {found['high']:+.4f} with {1 - alpha:.0%}"
    return (
        f"{word}: the difference is {found['mean']:+.4f}, {interval}, p = {found['p_value']:.3g}, "
        f"of {told['observations']} customers; valid at any time"
    )
