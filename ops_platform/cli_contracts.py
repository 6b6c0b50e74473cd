"""`ops quarantine` and `ops contract`: what breaks the contracts, and the contracts themselves."""

from dataclasses import asdict
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from ops_platform.errors import ContractError
from ops_platform.prompt import Json, console, errors, plain_errors, print_json, working

if TYPE_CHECKING:
    from ops_platform.ingest.contract_diff import Diff

quarantine_app = typer.Typer(
    help="Rows that break their contract: list, show, retry.", no_args_is_help=True
)
contract_app = typer.Typer(
    help="Contracts: check them, compare two, draft one.", no_args_is_help=True
)

Source = Annotated[str, typer.Argument(help="The source, as its contract names it.")]
Delivery = Annotated[
    str | None,
    typer.Option(help="Only this one: its path, its file's name, or how its SHA-256 begins."),
]


@quarantine_app.command("list")
def quarantine_list(as_json: Json = False) -> None:
    """Rows in quarantine by source, delivery and reason; a row with two reasons counts twice."""
    from ops_platform.ingest import quarantined
    from ops_platform.lake.connect import connect
    from ops_platform.lake.location import Lake

    with working("reading the quarantine") as settings, connect(Lake.at(settings)) as connection:
        found = [
            one
            for source in quarantined.sources(connection)
            for one in quarantined.summary(connection, source)
        ]
    if as_json:
        print_json(found)
        return
    if not found:
        console.print("nothing is in quarantine")
        return
    table = Table("source", "delivery", "SHA-256", "reason", "rows")
    for one in found:
        table.add_row(
            *(escape(cell) for cell in (one["source"], PurePath(one["path"]).name)),
            one["delivery"][:12],
            escape(one["reason"]),
            f"{one['rows']:,}",
        )
    console.print(table)


@quarantine_app.command("show")
def quarantine_show(
    source: Source,
    reason: Annotated[str, typer.Option(help="Only rows with a reason that has this in it.")] = "",
    delivery: Delivery = None,
    limit: Annotated[int, typer.Option(min=1, help="So many rows at most.")] = 20,
    as_json: Json = False,
) -> None:
    """The rows of a source in quarantine, each with every reason and its physical line."""
    from ops_platform.ingest import quarantined
    from ops_platform.lake.connect import connect
    from ops_platform.lake.location import Lake

    with working("reading the quarantine") as settings, connect(Lake.at(settings)) as connection:
        count, rows = quarantined.show(connection, source, reason, delivery, limit)
    if as_json:
        print_json({"rows": count, "first": rows})
        return
    for row in rows:
        at = f"{row['path']}:{row['line'] or '?'}"
        console.print(f"[bold]{escape(at)}[/]", soft_wrap=True, highlight=False)
        for why in row["reasons"]:
            console.print(f"  [red]{escape(why)}[/]", soft_wrap=True, highlight=False)
        console.print(f"  {escape(_record(row['record']))}", soft_wrap=True, highlight=False)
    console.print(f"{len(rows):,} of {count:,} rows in quarantine")


def _record(record: dict[str, str | None] | None) -> str:
    if record is None:
        return "(see the delivery: what can't be parsed is not kept)"
    return ", ".join(f"{name}={value or ''}" for name, value in record.items())


@quarantine_app.command("retry")
def quarantine_retry(source: Source, delivery: Delivery = None, as_json: Json = False) -> None:
    """Read the deliveries with quarantined rows again and take in what is mended, exactly once.

    Exit code 1 when a delivery is gone, has changed, or is refused now.
    """
    from ops_platform.ingest.contract_file import read_contract_of
    from ops_platform.ingest.copies import source_location
    from ops_platform.ingest.retry import retry
    from ops_platform.lake.location import Lake

    with working("reading deliveries again") as settings:
        contract = read_contract_of(source, settings.contracts, settings.hash_key)
        retried = retry(
            Lake.at(settings),
            contract,
            source_location(settings, contract),
            settings.now(),
            delivery,
            lambda text: errors.print(escape(text)),
        )
    if as_json:
        print_json([asdict(one) | {"mended": one.mended} for one in retried])
    else:
        for one in retried:
            told = one.problem or f"{one.mended:,} rows taken in, {one.still:,} still bad"
            console.print(f"{escape(f'{one.path}: {told}')}", soft_wrap=True, highlight=False)
        console.print(_told(retried))
    raise typer.Exit(1 if any(one.problem for one in retried) else 0)


def _told(retried: list[Any]) -> str:
    mended, still = (sum(getattr(one, what) for one in retried) for what in ("mended", "still"))
    return f"{mended:,} rows taken in, {still:,} stay in quarantine"


@contract_app.command("check")
def contract_check(
    folder: Annotated[
        Path | None, typer.Argument(help="Where contracts lie; OPS_CONTRACTS if left out.")
    ] = None,
) -> None:
    """Every fault of every contract, with its file, line and field; exit code 1 if there is one."""
    from ops_platform.ingest.contract_file import read_contracts

    with plain_errors() as settings:
        contracts = read_contracts(settings.contracts if folder is None else folder)
    console.print(f"{len(contracts)} contracts hold: {', '.join(one.name for one in contracts)}")


@contract_app.command("diff")
def contract_diff(
    old: Annotated[Path, typer.Argument(help="The contract as it was.")],
    new: Annotated[Path, typer.Argument(help="The contract as it is now.")],
    as_json: Json = False,
) -> None:
    """What changed, and what of it is breaking: exit code 1 without a new major version.

    Exit code 2 when a file can't be read.
    """
    from ops_platform.ingest.contract_diff import diff

    try:
        found = diff(old, new)
    except ContractError as error:
        errors.print(f"[bold red]error:[/] {escape(str(error))}", highlight=False, soft_wrap=True)
        raise typer.Exit(2) from error
    if as_json:
        print_json(asdict(found) | {"breaking": found.is_breaking, "allowed": found.is_allowed})
    else:
        for change in sorted(found.changes, key=lambda change: not change.breaking):
            word = "[bold red]breaking[/]" if change.breaking else "not breaking"
            told = escape(f"{change.where}: {change.what}")
            console.print(f"{word}  {told}", soft_wrap=True, highlight=False)
        console.print(_verdict(found), soft_wrap=True)
    raise typer.Exit(0 if found.is_allowed else 1)


def _verdict(found: "Diff") -> str:
    if not found.changes:
        return "nothing changed that is compared"
    versions = f"version {found.old} to {found.new}"
    if found.is_allowed:
        return (
            f"{versions}: {'a new major version' if found.is_breaking else 'nothing is breaking'}"
        )
    return f"{versions}: a breaking change needs a new major version"


@contract_app.command("init")
def contract_init(
    file: Annotated[Path, typer.Argument(help="A sample: CSV, TSV, JSON lines or Parquet.")],
    name: Annotated[str | None, typer.Option(help="The source; else as the file is named.")] = None,
    owner: Annotated[str, typer.Option(help="The team that answers for it.")] = "data-engineering",
    output: Annotated[
        Path | None, typer.Option(help="A new file, contracts/<name>.odcs.yaml say.")
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Write over a file that is there.")
    ] = False,
) -> None:
    """Draft a contract from a sample: types, key, ranges, event time, likely personal data."""
    from ops_platform.ingest.contract_draft import draft
    from ops_platform.ingest.contract_faults import SUFFIX

    with plain_errors() as settings:
        if output is not None:
            name = name or output.name.removesuffix(SUFFIX)
            if output.name != f"{name}{SUFFIX}":
                raise ContractError(f"{output}: a contract {name} lies in {name}{SUFFIX}")
            if output.exists() and not force:
                raise ContractError(f"{output} is there already: --force writes over it")
        text = draft(file, name, owner, settings.now())
        if output is not None:
            output.write_text(text, encoding="utf-8")
            errors.print(f"drafted {escape(str(output))}: go through it, then `ops contract check`")
        else:
            typer.echo(text, nl=False)
