"""`ops keys`: API keys of the service are made, listed and revoked, effective at once."""

from dataclasses import asdict
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Column, Table

from ops_platform.prompt import Json, console, plain_errors, print_json
from ops_platform.serve.keys import SCOPES, Scope

keys_app = typer.Typer(help="API keys of the service: create, list, revoke.", no_args_is_help=True)


@keys_app.command("create")
def create(
    name: Annotated[str, typer.Argument(help="Who is to have it.")],
    scope: Annotated[
        list[str],
        typer.Option(help=f"What it may, one of {', '.join(SCOPES)}; give it again for more."),
    ],
) -> None:
    """Make a key and print it, once: only a salted hash of it is kept."""
    from ops_platform.serve import keys

    scopes: list[Scope] = [one for one in SCOPES if one in scope]
    if unknown := set(scope) - set(scopes):
        raise typer.BadParameter(f"{min(unknown)!r} is no scope: {', '.join(SCOPES)}")
    with plain_errors() as settings:
        made = keys.create(settings.keys, name, scopes, settings.now())
    # Alone on standard output: KEY=$(ops keys create ...).
    typer.echo(made)


@keys_app.command("list")
def list_keys(as_json: Json = False) -> None:
    """Every key that was made, what it may, and whether it is still good."""
    from ops_platform.serve import keys

    with plain_errors() as settings:
        found = keys.read(settings.keys)
    if as_json:
        hidden = ("salt", "hash")
        print_json(
            [{name: value for name, value in asdict(key).items() if name not in hidden}
             for key in found]
        )  # fmt: skip
        return
    table = Table(Column("id", no_wrap=True), "name", "scopes", "created", "revoked")
    for key in found:
        table.add_row(
            *(key.id, escape(key.name), ", ".join(key.scopes)),
            *(_shown(at) for at in (key.created_at, key.revoked_at)),
        )
    console.print(table)


def _shown(at: str | None) -> str:
    """The day and the second, of which a narrow column makes two lines."""
    return "" if at is None else at.partition(".")[0].replace("T", " ")


@keys_app.command("revoke")
def revoke(identity: Annotated[str, typer.Argument(help="Its id: see `ops keys list`.")]) -> None:
    """Let a key be refused from its next request on."""
    from ops_platform.serve import keys

    with plain_errors() as settings:
        key = keys.revoke(settings.keys, identity, settings.now())
    told = (
        f"was revoked before, at {key.revoked_at}" if key.revoked_at else "is refused from now on"
    )
    console.print(escape(f"key {key.id} of {key.name} {told}"), soft_wrap=True)
