"""`ops`: what people ask of the platform at the prompt; Dagster's own command materializes."""

import time
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from ops_platform.cli_catalog import catalog_app, impact, lineage
from ops_platform.cli_contracts import contract_app, quarantine_app
from ops_platform.cli_data import data_app
from ops_platform.cli_experiment import experiment_app
from ops_platform.cli_keys import keys_app
from ops_platform.cli_lake import check_app, lake_app
from ops_platform.cli_models import evaluate
from ops_platform.cli_monitor import monitor
from ops_platform.cli_replay import replay
from ops_platform.cli_status import status
from ops_platform.cli_versions import models_app, reproduce
from ops_platform.errors import LakeError, OpsError
from ops_platform.prompt import (
    Json,
    console,
    errors,
    plain_errors,
    print_json,
    sign_of_life,
    working,
)

app = typer.Typer(
    name="ops",
    help="Raw data, dbt tables, checked features and trained models in one lineage graph.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
app.add_typer(lake_app, name="lake")
app.add_typer(quarantine_app, name="quarantine")
app.add_typer(contract_app, name="contract")
app.add_typer(data_app, name="data")
app.add_typer(check_app, name="check")
app.add_typer(catalog_app, name="catalog")
app.add_typer(models_app, name="models")
app.command()(status)
app.command()(monitor)
app.add_typer(keys_app, name="keys")
app.add_typer(experiment_app, name="experiment")
app.command()(lineage)
app.command()(impact)
app.command()(reproduce)
app.command()(evaluate)
app.command()(replay)

# What dbt does on the lake's tables; the rest needs none.
DBT_ON_THE_LAKE = {
    *("run", "build", "seed", "snapshot", "test", "run-operation", "clone", "retry"),
    *("show", "compile", "docs"),
}


@app.command()
def ingest(as_json: Json = False) -> None:
    """Take in new, changed and vanished deliveries of every source, under its contract.

    A source that fails holds back no other; then the exit code is 1.
    """
    from ops_platform.ingest.contract_file import read_contracts
    from ops_platform.ingest.copies import source_location
    from ops_platform.ingest.ledger import Entry
    from ops_platform.ingest.location import require_known_sources
    from ops_platform.ingest.take_in import take_in
    from ops_platform.lake.location import Lake

    with working("taking deliveries in") as settings:
        contracts = read_contracts(settings.contracts, settings.hash_key)
        require_known_sources(settings, contracts)
        report, failed = dict[str, list[Entry]](), False
        for contract in contracts:
            try:
                report[contract.name] = take_in(
                    Lake.at(settings),
                    contract,
                    source_location(settings, contract),
                    settings.now(),
                    lambda text: errors.print(escape(text)),
                ).changed
            except OpsError as error:
                failed = True
                errors.print(f"[bold red]error:[/] {escape(str(error))}", soft_wrap=True)
    if as_json:
        print_json({name: [asdict(entry) for entry in new] for name, new in report.items()})
        raise typer.Exit(int(failed))
    for name, changed in report.items():
        console.print(f"{name}: {len(changed)} deliveries are new or changed")
        for entry in changed:
            if entry.status != "taken" or len(changed) <= 20:
                told = (
                    f"  {entry.status} {entry.path}: {entry.rows_raw} rows, "
                    f"{entry.rows_quarantined} quarantined {entry.reason or ''}"
                )
                console.print(escape(told))
    raise typer.Exit(int(failed))


@app.command()
def recommend(
    customer: Annotated[str | None, typer.Argument(help="The customer's id.")] = None,
    k: Annotated[int, typer.Option("-k", min=1, help="How many products.")] = 10,
    model: Annotated[str, typer.Option(help="The model whose champion answers.")] = "recommender",
    examples: Annotated[
        int, typer.Option(min=0, help="Answer for so many frequent customers instead.")
    ] = 0,
    as_json: Json = False,
) -> None:
    """The champion's recommendations for a customer, beside what the customer bought."""
    if (customer is None) == (examples == 0):
        raise typer.BadParameter("name a customer, or ask for --examples N")
    from ops_platform.advice import advise, as_stored, frequent_customers

    with working("asking the champion") as settings:
        customers = (
            [as_stored(settings, customer)] if customer else frequent_customers(settings, examples)
        )
        advices = advise(settings, model, customers, k)
    if as_json:
        print_json([asdict(advice) for advice in advices])
        return
    for advice in advices:
        word = "" if advice.known else " (unknown to the model: what is popular)"
        table = Table(
            "recommended",
            "score",
            "bought most often",
            "last on",
            title=f"customer {escape(advice.customer)}, {model} version {advice.version}{word}",
        )
        for row in range(max(len(advice.recommended), len(advice.bought))):
            new = advice.recommended[row : row + 1]
            old = advice.bought[row : row + 1]
            table.add_row(
                *(escape(f"{new[0][0]} {new[0][1]}"), _score(advice.known, new[0][2]))
                if new
                else ("", ""),
                *(escape(f"{old[0][0]} {old[0][1]}"), old[0][2]) if old else ("", ""),
            )
        console.print(table)


def _score(known: bool, score: float) -> str:
    """Of an unknown customer it is popularity alone, which is weighted to decide ties only."""
    return f"{score:.3f}" if known else "popular"


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def dbt(context: typer.Context) -> None:
    """Run dbt by hand on the lake, say `ops dbt test --select marts`; it takes the lake's lock."""
    from ops_platform.lake.location import Lake
    from ops_platform.transform.project import run_dbt

    with plain_errors() as settings:
        if DBT_ON_THE_LAKE & set(context.args) and not Lake.at(settings).exists:
            raise LakeError(
                f"there is no lake in {settings.home} yet for dbt to work on: materialize the "
                "graph first, or say by OPS_HOME where it is"
            )
        raise typer.Exit(run_dbt(settings, context.args))


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def dagster(context: typer.Context) -> None:
    """Run Dagster's own command on this home, so that `ops ui` shows what it did."""
    from ops_platform.processes import dagster as run

    with plain_errors() as settings:
        run(settings, context.args)


@app.command("ci-slim")
def ci_slim() -> None:
    """Build and test what the dbt project changes against production, in a throw-away lake."""
    from ops_platform.transform.slim import build_changed

    with plain_errors() as settings:
        code = build_changed(settings, lambda text: console.print(escape(text), soft_wrap=True))
        raise typer.Exit(code)


@app.command()
def demo() -> None:
    """The loop on a simulated shop: a champion serves, taste shifts, an alarm retrains it."""
    from ops_platform.demo import HASH_KEY as DEMO_KEY
    from ops_platform.demo import play, summary

    began = time.monotonic()
    with plain_errors() as given, sign_of_life("the loop is played") as heard:

        def say(text: str) -> None:
            console.print(f"[dim]{time.monotonic() - began:5.0f} s[/]  {escape(text)}")
            heard()

        def step(name: str, took: str) -> None:
            errors.print(f"         {took:>8}  {name}")
            heard()

        settings = play(given.home, say, step)
        table = Table("version", "as of", "decision", "NDCG@20", "cause")
        for one in summary(settings):
            table.add_row(
                *(str(one[key]) for key in ("version", "as_of", "decision")),
                f"{one['ndcg_at_20']:.4f}",
                escape(str(one["cause"])),
            )
    console.print(table)
    console.print(
        "Look around: [bold]make ui[/] shows the graph, the sensors' ticks and the versions; "
        "[bold].venv/bin/ops status[/] and [bold].venv/bin/ops recommend --examples 3[/] answer "
        "at the prompt. The shop's clock stands still in "
        f"{escape(str(settings.clock))}: OPS_CLOCK. Personal data was hashed with the demo's own "
        f"OPS_HASH_KEY={DEMO_KEY}."
    )


@app.command()
def simulate(
    folder: Annotated[Path, typer.Argument(help="A folder a source is made in it: OPS_SOURCES.")],
    days: Annotated[int, typer.Option(min=1, help="Calendar days from 2024-01-01 on.")] = 120,
) -> None:
    """Write what a shop's systems deliver: orders, products, customers and events."""
    from ops_platform.simulate.deliveries import write_sources
    from ops_platform.simulate.shop import Shop

    with working("simulating a shop") as settings:
        paths = write_sources(Shop(seed=settings.seed, days=days), folder)
    console.print(f"{len(paths)} files in {escape(str(folder))}", soft_wrap=True)


@app.command()
def ui(
    port: Annotated[int, typer.Option(help="Of Dagster's web server.")] = 3000,
    mlflow_port: Annotated[int, typer.Option(help="Of MLflow's UI.")] = 5000,
) -> None:
    """Dagster's web server and daemon and MLflow's UI on this machine; Ctrl-C stops all."""
    from ops_platform.processes import user_interfaces
    from ops_platform.status import require_rules

    with plain_errors() as settings:
        require_rules(settings)
        console.print(f"Dagster: http://127.0.0.1:{port}   MLflow: http://127.0.0.1:{mlflow_port}")
        try:
            raise typer.Exit(user_interfaces(settings, port, mlflow_port))
        except KeyboardInterrupt:
            console.print("stopped")


@app.command()
def serve(
    port: Annotated[int, typer.Option(help="0 lets the system choose.")] = 8000,
    model: Annotated[str, typer.Option(help="The model whose release answers.")] = "recommender",
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    *,
    demo: Annotated[bool, typer.Option("--demo", help="Show a shop window at /demo.")] = False,
) -> None:
    """Answer over HTTP by the release that serves, described at /docs; Ctrl-C stops it."""
    from ops_platform.processes import serve as run

    with plain_errors() as settings:
        options = ["--demo"] if demo else []
        run(settings, model, host, port, options, lambda text: errors.print(escape(text)))
