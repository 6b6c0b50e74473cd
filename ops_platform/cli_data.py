"""`ops data`: days of a source that are unlike its history, and saying that they are right."""

import getpass
import os
from dataclasses import asdict
from datetime import datetime
from typing import Annotated

import typer
from rich.markup import escape

from ops_platform.lake.acceptance import accept
from ops_platform.lake.faults import faults
from ops_platform.lake.location import Lake
from ops_platform.prompt import Json, console, print_json, working

data_app = typer.Typer(help="Data unlike its own history: list, accept.", no_args_is_help=True)


@data_app.command("faults")
def data_faults(as_json: Json = False) -> None:
    """Every day of a source that is unlike its history, with who accepted it; exit 1 if unfit."""
    with working("reading the judgements") as settings:
        found = faults(Lake.at(settings))
    if as_json:
        print_json([asdict(fault) for fault in found])
    else:
        for fault in found:
            told = f"{fault.told} ({fault.judged.verdict})"
            if fault.accepted:
                told += f", accepted {fault.accepted}"
            console.print(f"[red]{escape(told)}[/]" if fault.is_open else escape(told))
        unfit = sum(fault.is_open for fault in found)
        console.print(f"{len(found)} anomalies, {unfit} of them unfit for training")
    raise typer.Exit(1 if any(fault.is_open for fault in found) else 0)


@data_app.command("accept")
def data_accept(
    source: Annotated[str, typer.Argument(help="The source, `orders` say.")],
    day: Annotated[datetime, typer.Argument(formats=["%Y-%m-%d"], help="YYYY-MM-DD.")],
    why: Annotated[str, typer.Option(help="Kept beside it.")] = "",
) -> None:
    """Say that a day's data is right as it is, or that it was a day without trade.

    Unfit days after it are judged anew, for they may be like it.
    """
    from ops_platform.ingest.contract_file import read_contract_of
    from ops_platform.ingest.profiles import judge_sources

    with working("writing it down, and judging the days after it anew") as settings:
        lake, now = Lake.at(settings), settings.now()
        contract = read_contract_of(source, settings.contracts, settings.hash_key)
        accepted = accept(lake, source, day.date(), who=_who(), why=why, now=now)
        judge_sources(lake, [contract], now)
        unfit = [one for one in faults(lake) if one.source == source and one.is_open]
    console.print(
        escape(f"{source} {day:%Y-%m-%d} is accepted: {', '.join(accepted)}"), soft_wrap=True
    )
    for fault in unfit:
        console.print(f"[red]{escape(f'still unfit: {fault.told}')}[/]", soft_wrap=True)


def _who() -> str:
    """The user's name, or number where a container has no name for it."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())
