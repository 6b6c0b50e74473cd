"""`ops models` and `ops reproduce`: versions are listed, gone back to, and made again."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.box import SIMPLE_HEAD
from rich.markdown import Markdown
from rich.markup import escape
from rich.table import Column, Table

from ops_platform.errors import OpsError, RegistryError
from ops_platform.prompt import Json, console, errors, print_json, working
from ops_platform.settings import PROJECT, Settings

if TYPE_CHECKING:
    from ops_platform.models.comparison import Finding
    from ops_platform.models.registry import Registry, Version

models_app = typer.Typer(help="Versions of models: list, show, roll back.", no_args_is_help=True)
COLOURS = {"identical": "green", "different": "red", "not comparable": "yellow"}


def reproduce(
    name: Annotated[
        str | None, typer.Argument(help="models/<model>@1; <model> alone is its champion.")
    ] = None,
    every: Annotated[
        bool, typer.Option("--all", help="Every version that is kept, of this model or of all.")
    ] = False,
    in_recorded_environment: Annotated[
        bool, typer.Option(help="Install the requirements.lock of a version where it is another.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Make a version again from its record, and compare bit for bit; nothing is written.

    Exit code 0 when identical, 1 when different, 2 where it can't be told here.
    """
    if name is None and not every:
        raise typer.BadParameter("name a model or a version, or ask for --all")
    from ops_platform.lake.scratch import scratch_folder

    with working("making versions again") as settings:
        try:
            registry, found = registry_of(settings), []
            with scratch_folder(settings.home / "scratch" / "reproduce") as scratch:
                for version in _versions(registry, name, every):
                    told = {"model": version.name, "version": version.version}
                    one = _reproduced(settings, registry, version, scratch, in_recorded_environment)
                    found.append(told | asdict(one))
                    errors.print(escape(f"{version.name}@{version.version}: {one.outcome}"))
        except OpsError as error:
            # Exit code 1 is kept for what was made again and is different.
            errors.print(f"[bold red]error:[/] {escape(str(error))}", soft_wrap=True)
            raise typer.Exit(2) from error
    if as_json:
        print_json(found if every else found[0])
    else:
        _show(found)
    outcomes = {one["outcome"] for one in found}
    raise typer.Exit(1 if "different" in outcomes else 2 if "not comparable" in outcomes else 0)


def registry_of(settings: Settings) -> "Registry":
    """The registry of versions.

    Raises RegistryError where there is none, since asking it would make it.
    """
    from ops_platform.models.registry import Registry

    if settings.mlflow_uri is None and not (settings.home / "mlflow").exists():
        raise RegistryError(f"there is no version in {settings.home} yet: materialize the graph")
    return Registry(settings.mlflow_tracking_uri, settings.mlflow_artifact_root)


def _versions(registry: "Registry", name: str | None, every: bool) -> "list[Version]":
    from ops_platform.models.estimators import names

    if name is not None and not every:
        return [_version(registry, name)]
    models = names() if name is None else [parsed(name)[0]]
    found = [version for model in models for version in registry.versions(model)]
    if not found:
        raise RegistryError(f"there is no version of {', '.join(models)}")
    return found


def _version(registry: "Registry", name: str) -> "Version":
    """The version that is named; of a model alone its champion, or the newest before the first."""
    model, number = parsed(name)
    if number is not None:
        return registry.version(model, number)
    found = registry.champion(model) or registry.newest(model)
    if found is None:
        raise RegistryError(f"there is no version of a model {model!r}")
    return found


def parsed(name: str) -> tuple[str, int | None]:
    """The model and the version of `recommender@3`, which the lineage calls models/..."""
    model, at, number = name.removeprefix("models/").partition("@")
    if at and not (number.isdecimal() and int(number)):
        raise OpsError(f"{name!r} names no version: say {model}@1, or {model} alone")
    return model, int(number) if at else None


def _reproduced(
    settings: Settings, registry: "Registry", version: "Version", scratch: Path, install: bool
) -> "Finding":
    from ops_platform.models.comparison import Finding
    from ops_platform.models.reproduce import reproduce as made_again

    try:
        return made_again(
            settings, registry, version, PROJECT, scratch, in_recorded_environment=install
        )
    except OpsError as error:
        return Finding("not comparable", "record", str(error))


def _show(found: list[dict[str, Any]]) -> None:
    table = Table(Column("version", no_wrap=True), "outcome", "first in", "told")
    for one in found:
        colour = COLOURS[one["outcome"]]
        table.add_row(
            f"{one['model']}@{one['version']}",
            f"[{colour}]{one['outcome']}[/]",
            "" if one["outcome"] == "identical" else one["part"],
            escape(one["told"]),
        )
    console.print(table)


@models_app.command("list")
def models_list(as_json: Json = False) -> None:
    """Every version of every model: what it learned from, why, the verdict, and which serves."""
    from ops_platform.models.estimators import names
    from ops_platform.models.kinds import task_of

    with working("reading the registry") as settings:
        registry = registry_of(settings)
        found = [
            _summary(settings, registry, version)
            for model in names()
            for version in registry.versions(model)
        ]
    if as_json:
        print_json(found)
        return
    table = Table(
        *(Column(name, no_wrap=True) for name in ("version", "as of")),
        *("decision", "score", "cause", ""),
        box=SIMPLE_HEAD,
        padding=0,
    )
    for one in found:
        score = one["metrics"].get(task_of(one["model"]).metric)
        table.add_row(
            f"{one['model']}@{one['version']}",
            one["as_of"],
            one["decision"],
            "" if score is None else f"{score:.4f}",
            escape(one["cause"]),
            "serves" if one["serves"] else "rolled back" if one["rolled_back"] else "",
        )
    console.print(table)


def _summary(settings: Settings, registry: "Registry", version: "Version") -> dict[str, Any]:
    from ops_platform.models.registry import ROLLED_BACK

    told = {name: version.tags.get(name, "") for name in ("as_of", "decision", "cause")}
    return {
        "model": version.name,
        "version": version.version,
        **told,
        "metrics": dict(version.metrics),
        "serves": _serving(settings, registry, version.name) == version.version,
        "rolled_back": version.tags.get(ROLLED_BACK),
    }


def _serving(settings: Settings, registry: "Registry", name: str) -> int | None:
    """The version that answers: that of the pointer, or of the alias where there are no releases
    of its own."""
    from ops_platform.models.kinds import recommenders
    from ops_platform.serve import release

    if name not in recommenders():
        champion = registry.champion(name)
        return champion.version if champion else None
    folder = release.folder_of(settings.releases, name)
    pointed = release.pointed(folder)
    return None if pointed is None else release.version_of(pointed, folder)


@models_app.command("show")
def models_show(
    name: Annotated[str, typer.Argument(help="<model>@1; <model> alone is its champion.")],
    as_json: Json = False,
) -> None:
    """The card of a version; as JSON the whole record of what it was made of."""
    from ops_platform.models import provenance
    from ops_platform.models.card import CARD

    with working("reading the registry") as settings:
        registry = registry_of(settings)
        version = _version(registry, name)
        card = registry.document(version, CARD).decode()
        record, sealed = provenance.read(registry, version)
        summary = _summary(settings, registry, version)
    if as_json:
        print_json({**summary, "sealed": sealed, "record": record})
        return
    word = "" if sealed else ", [red]whose record is not as it was registered[/]"
    console.print(f"version {version.version} of {version.name}{word}")
    # A prompt shows no pictures.
    text, *pictures = card.split("\n![")
    # For a program as it is.
    console.print(Markdown(text) if console.is_terminal else escape(text), highlight=False)
    if pictures:
        console.print(f"Its pictures are among the artifacts of MLflow's run {version.run_id}.")


@models_app.command("rollback")
def models_rollback(
    name: Annotated[str, typer.Argument(help="The model.")],
    to: Annotated[
        int | None, typer.Option(help="The version; else the one that served before.")
    ] = None,
) -> None:
    """Let an earlier version serve again; the one that is left is not promoted again by itself."""
    from ops_platform.ingest.contract import customer_key
    from ops_platform.ingest.contract_file import read_contracts
    from ops_platform.lake.location import Lake
    from ops_platform.models.estimators import estimator
    from ops_platform.serve.rollback import roll_back

    with working("going back") as settings:
        # Another name would be told to have no champion.
        estimator(name)
        key = customer_key(read_contracts(settings.contracts, settings.hash_key))
        lake, registry = Lake.at(settings), registry_of(settings)
        served = roll_back(lake, registry, settings.releases, name, settings.now(), key, to)
    word = "serves now" if served.moved else "serves already"
    told = f": release {served.release}" if served.release else ""
    console.print(f"{name} version {served.version} {word}{told}")
