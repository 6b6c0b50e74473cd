"""`ops lineage`, `ops impact`, `ops catalog`: what is made from what, and all of it on a page."""

import warnings
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from ops_platform.prompt import Json, console, print_json, working

if TYPE_CHECKING:
    from ops_platform.catalog.impact import Impact

catalog_app = typer.Typer(help="The catalog of every table and column.", no_args_is_help=True)


def lineage(
    name: Annotated[str, typer.Argument(help="A table, table.column, models/<model>@1, ...")],
    up: Annotated[bool, typer.Option("--up", help="Only what it is made from.")] = False,
    down: Annotated[bool, typer.Option("--down", help="Only what is made from it.")] = False,
    as_json: Json = False,
) -> None:
    """What a table, column or version is made from, and what is made from it."""
    from ops_platform.catalog.lineage import find, walk
    from ops_platform.catalog.tree import as_data, drawn
    from ops_platform.catalog.whole import lineage_graph

    with working("reading contracts, dbt's SQL, the ledger and the registry") as settings:
        graph = lineage_graph(settings)
        start = find(graph, name)
    wanted = {"up": up or not down, "down": down or not up}
    trees = {way: walk(graph, start, up=way == "up") for way, asked in wanted.items() if asked}
    if as_json:
        print_json({"name": start.id, **{way: as_data(tree) for way, tree in trees.items()}})
        return
    for way, tree in trees.items():
        title = "is made from" if way == "up" else "goes into"
        console.print(drawn(tree, title))


def impact(
    delivery: Annotated[
        str, typer.Argument(help="A delivery: path, file name or how its SHA-256 begins.")
    ],
    as_json: Json = False,
) -> None:
    """A delivery was wrong: which rows, tables, features, versions and releases it went into."""
    from ops_platform.catalog.impact import find
    from ops_platform.catalog.impact import impact as impact_of
    from ops_platform.catalog.whole import lineage_graph
    from ops_platform.ingest.contract_file import read_contracts
    from ops_platform.lake.location import Lake

    with working("reading the ledger, dbt's SQL, the registry and the releases") as settings:
        sources = [contract.name for contract in read_contracts(settings.contracts)]
        entries = find(Lake.at(settings), sources, delivery)
        graph = lineage_graph(settings)
        found = [impact_of(graph, entry, settings.releases) for entry in entries]
    if as_json:
        print_json([asdict(one) for one in found])
        return
    for one in found:
        _tell_impact(one)


def _tell_impact(one: "Impact") -> None:
    def tell(text: str) -> None:
        console.print(escape(text), highlight=False, soft_wrap=True)

    held = "the lake holds its rows" if one.held else "the lake holds its rows no longer"
    tell(f"{one.source} {one.path} ({one.sha256[:12]}, {one.status}): {held}")
    tell(f"rows: {one.rows_raw:,} in raw.{one.source}, {one.rows_quarantined:,} in quarantine")
    tell(f"columns: {sum(map(len, one.tables.values()))} of {len(one.tables)} tables")
    for table, columns in one.tables.items():
        tell(f"  {table}: {', '.join(columns) or 'which rows it has'}")
    tell(f"features: {', '.join(one.features) or 'none'}")
    tell(f"versions: {', '.join(one.versions) or 'none'}")
    if not one.releases:
        tell("releases: none")
    for made in one.releases:
        when = "; ".join(f"{start} to {end or 'now'}" for start, end in made.served)
        tell(f"release {made.release} of {made.version}: {when or 'never served'}")


@catalog_app.command("build")
def catalog_build(
    output: Annotated[
        Path | None, typer.Option(help="The page; catalog.html in the home if unset.")
    ] = None,
) -> None:
    """Write one page of every table and column, which needs no network."""
    from ops_platform.catalog.checks import dagster_instance, known_assets
    from ops_platform.catalog.gather import gather
    from ops_platform.catalog.page import page
    from ops_platform.graph import build_definitions

    # Dagster tells of an argument in beta whenever the graph is loaded.
    warnings.filterwarnings("ignore", message=".*is currently in beta")
    with working("reading the lake, the graph and its checks") as settings:
        with dagster_instance(settings.home / "dagster") as instance:
            known = known_assets(build_definitions(settings), instance)
        text = page(gather(settings, known))
        place = output or settings.home / "catalog.html"
        place.write_text(text, encoding="utf-8")
    console.print(f"the catalog is {escape(str(place))}", soft_wrap=True)
