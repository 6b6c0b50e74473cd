"""`ops status`: where everything stands."""

from typing import Any

import typer
from rich.markup import escape
from rich.table import Table

from ops_platform.prompt import Json, console, print_json, working


def status(as_json: Json = False) -> None:
    """Deliveries and rows by source, the published snapshot, and each model's champion.

    Exit code 1 when a model can't be told of; all else is.
    """
    with working("reading the lake and the registry") as settings:
        from ops_platform.status import status as read

        state = read(settings)
    if as_json:
        print_json(state)
    else:
        _show(state)
    if any("fault" in (champion or {}) for champion in state["models"].values()):
        raise typer.Exit(1)


def _show(state: dict[str, Any]) -> None:
    console.print(
        f"environment: {state['environment']}, home {escape(state['home'])}", soft_wrap=True
    )
    table = Table("source", "deliveries", "delivered", "raw", "quarantined", "troubled")
    for name, source in state["sources"].items():
        table.add_row(
            name if source["connected"] else f"{name} (not connected)",
            *(f"{source[key]:,}" for key in ("deliveries", "rows_delivered", "rows_raw")),
            f"{source['rows_quarantined']:,}",
            str(len(source["troubled"])),
        )
    console.print(table)
    for name, source in state["sources"].items():
        for entry in source["troubled"]:
            told = f"{name}: {entry['path']} {entry['status']} {entry['reason'] or ''}"
            console.print(escape(told))
    console.print(f"published snapshot: {_or_none(state['published'])}")
    for name, champion in state["models"].items():
        console.print(escape(f"{name}: {_champion(name, champion)}"), soft_wrap=True)


def _or_none(pointer: dict[str, int] | None) -> str:
    return "none yet" if pointer is None else f"{pointer['snapshot']} (marts {pointer['marts']})"


def _champion(model: str, champion: dict[str, Any] | None) -> str:
    from ops_platform.models.kinds import task_of

    if champion is None:
        return "no champion yet"
    if "fault" in champion:
        return str(champion["fault"])
    task = task_of(model)
    baselines = ", ".join(
        f"{name.replace('_', ' ')} {champion[f'{name}_{task.metric}']:.4f}"
        for name in task.baselines
    )
    return (
        f"champion is version {champion['version']}, as of {champion['as_of']}; {task.title} from "
        f"{champion['window']['start']} on {champion[task.metric]:.4f} ({baselines})"
    )
