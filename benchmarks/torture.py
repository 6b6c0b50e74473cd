"""`make torture`: processes killed, writes that fail, a full disk, deliveries of the worst kind.

Three parts, each with a reader or a check of everything after each blow: writers that are killed
(`killed_writers`), writes that fail (`failing_writes`), and whole graph runs that are killed
(`killed_graphs`). Prints a summary; exit code 1 when anything did not hold.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks import failing_writes, killed_graphs, killed_writers
from benchmarks.failing_writes import Found

PARTS = ("writers", "writes", "graphs")
console = Console()


def _writers(folder: Path, kills: int, seed: int) -> list[str]:
    with console.status("killing writers") as status:
        found = killed_writers.run(kills, seed, folder, status.update)
    table = Table("writer", "killed", "ended before", title=f"{found.kills.total()} kills")
    for kind in found.kills | found.missed:
        table.add_row(kind, str(found.kills[kind]), str(found.missed[kind] or ""))
    delivered = ", ".join(f"{number} {kind}" for kind, number in found.delivered.items())
    table.caption = (
        f"delivered: {delivered}. {found.checks} checks of everything, {found.reads:,} reads "
        f"beside, {found.seconds:.0f} s"
    )
    console.print(table)
    return found.faults


def _writes(folder: Path, number: int) -> list[str]:
    if failing_writes.compiler() is None:
        console.print("writes that fail: left out, it takes Linux and a C compiler (cc)")
        return []
    rows = [("first", "all"), ("ingest", "all"), ("disk", str(number)), ("upkeep", str(number))]
    table = Table("work", "writes that failed", "runs refused", "s", title="failing writes")
    faults: list[str] = []

    def tell(what: str, work: Callable[[], Found]) -> None:
        start = time.monotonic()
        with console.status(f"failing writes: {what}"):
            found = work()
        seconds = f"{time.monotonic() - start:.0f}"
        table.add_row(found.what, str(found.failed), str(found.refused), seconds)
        faults.extend(f"{found.what}: {fault}" for fault in found.faults)

    for what, numbers in rows:
        tell(what, partial(failing_writes.under_shim, what, folder / what, numbers))
    tell("dbt", partial(failing_writes.under_dbt, folder / "dbt", number))
    console.print(table)
    return faults


def _graphs(folder: Path, kills: int, seed: int) -> list[str]:
    summary = killed_graphs.run(kills, seed, folder)
    killed_graphs.show(summary)
    return summary.violations


def main() -> int:
    """Torture, print and judge; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--parts", nargs="+", default=PARTS, choices=PARTS)
    parser.add_argument("--writers", type=int, default=200, help="writers that are killed")
    parser.add_argument("--writes", type=int, default=50, help="writes that fail, of each kind")
    parser.add_argument("--graphs", type=int, default=6, help="graph runs that are killed")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    start, faults = time.monotonic(), list[str]()
    with tempfile.TemporaryDirectory(prefix="ops-torture-") as scratch:
        folder = Path(scratch)
        if "writers" in options.parts:
            faults += _writers(folder / "writers", options.writers, options.seed)
        if "writes" in options.parts:
            faults += _writes(folder / "writes", options.writes)
        if "graphs" in options.parts:
            faults += _graphs(folder / "graphs", options.graphs, options.seed)
    for fault in faults:
        console.print(f"[red]violation[/] {fault}", highlight=False)
    said = "everything held" if not faults else "[bold red]it did not hold[/]"
    console.print(f"{said}, {time.monotonic() - start:.0f} s in all")
    return 1 if faults else 0


if __name__ == "__main__":
    raise SystemExit(main())
