"""`python -m benchmarks.walk`: the claims of speed, each side by side with what it is held against.

1. From an empty `OPS_HOME` to a registered champion, against a plain script that does the same SQL,
   fits, judging and registration: at most 3x.
2. A run in which one new day lands, without training: at most 1.3x the same on a tenth of the
   history; and a run in which nothing is new is never slower than it.
3. Taking in 10 million order lines under the contract, against the bare `INSERT ... SELECT` of the
   same typed read into the same lake: at most 1.5x, in at most 4 GiB.

Exit code 1 when a bound is missed; `--json FILE` writes the figures.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from benchmarks import intake
from benchmarks.graph import START_UP, Home, Run, materialize, real_orders
from benchmarks.recipe import write_recipe
from ops_platform.models.registry import Registry, Version
from ops_platform.simulate.shop import Shop, write_orders

PLAIN_BOUND, HISTORY_BOUND, IDLE_BOUND = 3.0, 1.3, 1.0
INTAKE_BOUND, INTAKE_GIB = 1.5, 4.0
PARTS = ("plain", "day", "intake")
MODEL = "recommender"
Say = Callable[[str], None]
console = Console()


@dataclass(frozen=True)
class Claim:
    """One figure with its bound; `stated` is whether the bound is claimed of these files."""

    what: str
    ratio: float
    bound: float
    stated: bool = True
    unit: str = "x"

    @property
    def holds(self) -> bool:
        """Whether the bound is kept, where it is stated."""
        return not self.stated or self.ratio <= self.bound


def main() -> int:
    """Measure, print and judge; the exit code."""
    options = _options()
    figures: dict[str, Any] = {"cpus": os.cpu_count(), "load_before": os.getloadavg()}
    claims: list[Claim] = []
    with tempfile.TemporaryDirectory(prefix="ops-bench-") as name, _progress() as say:
        folder = Path(name)
        orders = _orders(folder)
        if "plain" in options.parts:
            figures["plain"] = _against_plain_script(folder, orders, options.repeats, say)
            claims += _print_plain(figures["plain"], real=orders[0].parent == real_orders())
        if "day" in options.parts:
            figures["day"] = _new_days(folder, orders, options.repeats, say)
            claims += _print_days(figures["day"])
        if "intake" in options.parts:
            figures["intake"] = _intake(folder, options.repeats, say)
            claims += _print_intake(figures["intake"])
    figures["load_after"] = os.getloadavg()
    _print_claims(claims)
    same = figures.get("plain", {}).get("same_champion", True)
    figures["claims"] = [{**asdict(claim), "holds": claim.holds} for claim in claims]
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2), encoding="utf-8")
    return 0 if same and all(claim.holds for claim in claims) else 1


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--repeats", type=int, default=3, help="of each measurement")
    parser.add_argument("--parts", nargs="+", default=PARTS, choices=PARTS)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there")
    return parser.parse_args()


@contextmanager
def _progress() -> Iterator[Say]:
    columns = SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn()
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("")
        yield lambda text: progress.reset(task, description=text)


def _orders(folder: Path) -> list[Path]:
    real = real_orders()
    if real is not None:
        console.print(f"order files: the real ones in {real}")
        return sorted(real.glob("*.csv"))
    console.print("the real order files are absent (OPS_TEST_REAL_DATA): a simulated shop instead")
    return write_orders(Shop(days=365, customers=1000, products=600), folder / "shop")


# --- 1. against a plain script ---------------------------------------------------------------


def _against_plain_script(
    folder: Path, orders: list[Path], repeats: int, say: Say
) -> dict[str, Any]:
    graph: list[Run] = []
    plain: list[dict[str, Any]] = []
    recipe, champion = folder / "recipe.json", None
    for turn in range(1, repeats + 1):
        home = Home(folder / f"graph-{turn}" / "home", orders[0].parent)
        home.path.parent.mkdir()
        say(f"the graph from an empty home, {turn} of {repeats}")
        graph.append(materialize(home))
        champion = _champion(home)
        write_recipe(home, recipe)
        say(f"the plain script, {turn} of {repeats}")
        plain.append(_plain_script(home, recipe, folder / f"plain-{turn}"))
    assert champion is not None
    return {
        "files": len(orders),
        "graph": [{"seconds": run.seconds, "parts": run.parts} for run in graph],
        "plain": plain,
        "same_champion": all(one["state_digest"] == champion.tags["state_digest"] for one in plain),
        "champion": {name: champion.metrics[name] for name in sorted(champion.metrics)},
    }


def _registry(home: Home) -> Registry:
    settings = home.settings
    return Registry(settings.mlflow_tracking_uri, settings.mlflow_artifact_root)


def _champion(home: Home) -> Version:
    found = _registry(home).champion(MODEL)
    if found is None:
        raise RuntimeError(f"the graph in {home.path} came to no champion")
    return found


def _plain_script(home: Home, recipe: Path, folder: Path) -> dict[str, Any]:
    folder.mkdir()
    command = [sys.executable, "-m", "benchmarks.plain_script"]
    start = time.monotonic()
    done = subprocess.run(
        [*command, str(home.orders), str(recipe), str(folder)],
        env=home.environment,
        capture_output=True,
        text=True,
        check=False,
    )
    seconds = time.monotonic() - start
    if done.returncode:
        raise RuntimeError(f"the plain script failed:\n{done.stderr[-3000:]}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    # What the script can't see of itself: the interpreter and its imports.
    found["parts"][START_UP] = seconds - sum(found["parts"].values())
    return {"seconds": seconds, **found}


# --- 2. one new day --------------------------------------------------------------------------


def _new_days(folder: Path, orders: list[Path], repeats: int, say: Say) -> dict[str, Any]:
    *history, last = orders
    sizes = {"tenth": history[-max(1, round(len(history) / 10)) :], "whole": history}
    homes = {}
    for size, files in sizes.items():
        say(f"preparing the {size} history, {len(files)} files")
        homes[size] = _prepared(folder / size, files)
    times: dict[str, dict[str, list[float]]] = {
        size: {"new day": [], "nothing new": []} for size in sizes
    }
    parts: dict[str, dict[str, dict[str, float]]] = {size: {} for size in sizes}
    for turn in range(1, repeats + 1):
        for size, home in homes.items():
            _restore(home, last)
            for kind in ("new day", "nothing new"):
                if kind == "new day":
                    shutil.copy2(last, home.orders)
                say(f"{kind} on the {size} history, {turn} of {repeats}")
                run = materialize(home)
                _require_untrained(home)
                times[size][kind].append(run.seconds)
                parts[size][kind] = run.parts
    return {
        "files": {size: len(files) for size, files in sizes.items()},
        "seconds": times,
        "parts_of_the_last": parts,
    }


def _prepared(folder: Path, files: list[Path]) -> Home:
    """A home that has taken in `files`, and beside it a copy to start from again."""
    home = Home(folder / "home", folder / "orders")
    home.orders.mkdir(parents=True)
    for file in files:
        shutil.copy2(file, home.orders)
    materialize(home)
    shutil.copytree(home.path, folder / "kept", symlinks=True)
    return home


def _restore(home: Home, last: Path) -> None:
    """Put the home back to before the last day.

    The copy lies aside and is copied back to the very same path, because a home holds absolute
    paths: the lake's data path, the ledger's deliveries and the registry's artifacts.
    """
    (home.orders / last.name).unlink(missing_ok=True)
    shutil.rmtree(home.path)
    shutil.copytree(home.path.with_name("kept"), home.path, symlinks=True)


def _require_untrained(home: Home) -> None:
    newest = _registry(home).newest(MODEL)
    if newest is None or newest.version != 1:
        raise RuntimeError(f"the gate did not say 'too early': {newest} was trained in {home.path}")


# --- 3. many lines at once -------------------------------------------------------------------


def _intake(folder: Path, repeats: int, say: Say) -> dict[str, list[dict[str, Any]]]:
    orders = folder / "many"
    say(f"writing {intake.LINES:,} order lines")
    intake.make_files(orders)
    found: dict[str, list[dict[str, Any]]] = {kind: [] for kind in intake.KINDS}
    for turn in range(1, repeats + 1):
        for kind, figures in found.items():
            say(f"{intake.LINES:,} lines, {kind}, {turn} of {repeats}")
            home = folder / f"intake-{kind}"
            figures.append(intake.measure(kind, orders, home))
            if figures[-1]["rows"] != intake.LINES:
                raise RuntimeError(f"{kind} took in {figures[-1]['rows']} of {intake.LINES} lines")
            shutil.rmtree(home)
    return found


# --- what is printed -------------------------------------------------------------------------


def _median(runs: list[dict[str, Any]], part: str | None = None) -> float:
    return statistics.median(
        float(run["parts"].get(part, 0) if part else run["seconds"]) for run in runs
    )


def _print_plain(found: dict[str, Any], *, real: bool) -> list[Claim]:
    for kind in ("graph", "plain"):
        whole = _median(found[kind])
        table = Table("part", "seconds", "share", title=f"where the time of the {kind} goes")
        for part in found[kind][0]["parts"]:
            seconds = _median(found[kind], part)
            table.add_row(part, f"{seconds:.2f}", f"{seconds / whole:.0%}")
        table.add_row("[bold]median of the whole[/]", f"[bold]{whole:.2f}[/]", "")
        every = ", ".join(f"{run['seconds']:.1f}" for run in found[kind])
        table.caption = f"medians of {len(found[kind])}: {every} s"
        console.print(table)
    scores = ", ".join(f"{name} {value:.4g}" for name, value in found["champion"].items())
    console.print(
        f"the plain script's champion is the graph's: {found['same_champion']} ({scores})"
    )
    ratio = _median(found["graph"]) / _median(found["plain"])
    # A simulated shop is so small that only what any run costs would be compared.
    return [Claim("graph / plain script, empty home to champion", ratio, PLAIN_BOUND, stated=real)]


def _print_days(found: dict[str, Any]) -> list[Claim]:
    table = Table("history", "files", "run", "median s", "all s", title="a day later")
    medians = {}
    for size, kinds in found["seconds"].items():
        for kind, seconds in kinds.items():
            medians[size, kind] = statistics.median(seconds)
            every = ", ".join(f"{one:.1f}" for one in seconds)
            median = f"{medians[size, kind]:.2f}"
            table.add_row(size, str(found["files"][size]), kind, median, every)
    console.print(table)
    _print_parts(found["parts_of_the_last"])
    ratio = medians["whole", "new day"] / medians["tenth", "new day"]
    return [
        Claim("a new day, whole history / a tenth of it", ratio, HISTORY_BOUND),
        *(
            Claim(
                f"nothing new / a new day, {size} history",
                medians[size, "nothing new"] / medians[size, "new day"],
                IDLE_BOUND,
            )
            for size in found["seconds"]
        ),
    ]


def _print_intake(found: dict[str, list[dict[str, Any]]]) -> list[Claim]:
    table = Table("how", "median s", "all s", "processor s", "peak GiB", title="many lines at once")
    medians = {kind: _median(figures) for kind, figures in found.items()}
    peaks = {kind: max(one["gib"] for one in figures) for kind, figures in found.items()}
    for kind, figures in found.items():
        every = ", ".join(f"{one['seconds']:.1f}" for one in figures)
        cpu = statistics.median(one["cpu_seconds"] for one in figures)
        table.add_row(kind, f"{medians[kind]:.1f}", every, f"{cpu:.1f}", f"{peaks[kind]:.2f}")
    console.print(table)
    ratio = medians["contract"] / medians["bare"]
    return [
        Claim("10 million lines, under the contract / bare", ratio, INTAKE_BOUND),
        Claim("peak memory of taking them in", peaks["contract"], INTAKE_GIB, unit=" GiB"),
    ]


def _print_parts(parts: dict[str, dict[str, dict[str, float]]]) -> None:
    columns = [(size, kind) for size in parts for kind in parts[size]]
    table = Table(title="where the time of the last runs goes, s")
    table.add_column("part", no_wrap=True)
    for size, kind in columns:
        table.add_column(f"{size}, {kind}", justify="right")
    for part in parts["whole"]["new day"]:
        table.add_row(part, *(f"{parts[size][kind].get(part, 0):.2f}" for size, kind in columns))
    console.print(table)


def _print_claims(claims: list[Claim]) -> None:
    table = Table("claim", "measured", "bound", "holds", title="claims")
    for claim in claims:
        verdict = "[green]yes[/]" if claim.holds else "[red]NO[/]"
        verdict = verdict if claim.stated else "of the real files only"
        table.add_row(
            claim.what, f"{claim.ratio:.2f}{claim.unit}", f"{claim.bound:g}{claim.unit}", verdict
        )
    console.print(table)


if __name__ == "__main__":
    raise SystemExit(main())
