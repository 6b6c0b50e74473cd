"""`ops lake` and `ops check`: the lake is looked after, and looked through."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from ops_platform.prompt import Json, console, errors, print_json, working

lake_app = typer.Typer(help="The lakehouse: check, backup, restore, upkeep.", no_args_is_help=True)
check_app = typer.Typer(help="Look for what must not be there.", no_args_is_help=True)


@check_app.command("pii")
def check_pii(
    sample: Annotated[Path, typer.Option(help="A file of plain values, one a line.")],
    as_json: Json = False,
) -> None:
    """Whether a plain value of the sample stands anywhere in the platform's own state."""
    from ops_platform.ingest.pii import read_sample, scan

    with working("reading all that is kept") as settings:
        report = scan(settings, read_sample(sample))
    if as_json:
        print_json(asdict(report))
    else:
        for one in report.found:
            errors.print(f"[red]line {one.line} of the sample is in {escape(one.place)}[/]")
        for place in report.not_read:
            errors.print(f"not read: {escape(place)}")
        console.print(f"{len(report.found)} places hold a plain value; {report.files} files read")
    raise typer.Exit(1 if report.found else 0)


@lake_app.command("check")
def lake_check(as_json: Json = False) -> None:
    """Whether every file, count and delivery of the lake, release and model is as recorded."""
    from ops_platform.soundness import faults as find

    with working("reading every file of the lake") as settings:
        faults = find(settings)
    if as_json:
        print_json({"holds": not faults, "faults": faults})
    else:
        for fault in faults:
            errors.print(f"[red]{escape(fault)}[/]")
        console.print("the lake holds" if not faults else f"{len(faults)} faults")
    raise typer.Exit(1 if faults else 0)


@lake_app.command("upkeep")
def lake_upkeep(as_json: Json = False) -> None:
    """Merge small files, expire snapshots that nothing keeps, and remove orphaned files."""
    from ops_platform.lake.location import Lake
    from ops_platform.lake.upkeep import upkeep

    with working("keeping the lake") as settings:
        report = upkeep(Lake.at(settings), settings.snapshot_days)
    if as_json:
        print_json(asdict(report))
        return
    for name, value in asdict(report).items():
        console.print(f"{name.replace('_', ' ')}: {value}")


Folder = Annotated[Path, typer.Argument(help="The backup's folder.")]


@lake_app.command("backup")
def lake_backup(folder: Folder) -> None:
    """Copy catalog, data files, MLflow and releases to a new folder, once the lake is checked."""
    from ops_platform.lake.backup import backup
    from ops_platform.lake.location import Lake
    from ops_platform.soundness import require_beside

    with working("backing up") as settings:
        require_beside(settings)
        backup(Lake.at(settings), settings.backed_up_folders, folder)
    console.print(f"backed up to {folder}")


@lake_app.command("restore")
def lake_restore(
    folder: Folder,
    overwrite: Annotated[
        bool, typer.Option(help="Also where there is a lake; it is moved aside.")
    ] = False,
) -> None:
    """Put a backup in place, once each of its files has its digest."""
    from ops_platform.lake.location import Lake
    from ops_platform.lake.restore import restore

    with working("restoring") as settings:
        aside = restore(folder, Lake.at(settings), settings.backed_up_folders, overwrite=overwrite)
    console.print(f"restored from {folder}")
    for place in aside:
        console.print(f"what was there is now {place}")
