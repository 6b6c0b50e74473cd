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
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from benchmarks import intake
from benchmarks.claims import Claim, of_days, of_intake, of_plain, print_claims
from benchmarks.graph import START_UP, Home, Run, materialize, real_orders
from benchmarks.recipe import write_recipe
from ops_platform.models.registry import Registry, Version
from ops_platform.simulate.shop import Shop, write_orders

PARTS = ("plain", "day", "intake")
MODEL = "recommender"
Say = Callable[[str], None]
console = Console()


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
            claims += of_plain(figures["plain"], real=orders[0].parent == real_orders())
        if "day" in options.parts:
            figures["day"] = _new_days(folder, orders, options.repeats, say)
            claims += of_days(figures["day"])
        if "intake" in options.parts:
            figures["intake"] = _intake(folder, options.repeats, say)
            claims += of_intake(figures["intake"])
    figures["load_after"] = os.getloadavg()
    print_claims(claims)
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


if __name__ == "__main__":
    raise SystemExit(main())
