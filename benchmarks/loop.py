"""`python -m benchmarks.loop`: the real order files, a day at a time, and the daemon does the rest.

The files before `--from` lie there at the start; each later one is moved in when the platform has
dealt with the one before, with its clock at the end of that day. Nobody starts a run. Prints what
happens, and every version with its cause; `--json FILE` writes them.
"""

import argparse
import json
import shutil
import tempfile
import time
from datetime import date
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.graph import real_orders
from ops_platform.loop import Loop, free_port, versions
from ops_platform.settings import Settings

MODEL = "recommender"
console = Console()


def main() -> int:
    """Deliver, wait and print; exit code 1 where there are no files."""
    options = _options()
    source = options.orders or real_orders()
    if source is None:
        console.print("the real order files are absent: set OPS_TEST_REAL_DATA, or give --orders")
        return 1
    with tempfile.TemporaryDirectory(prefix="ops-loop-") as scratch:
        folder = (options.folder or Path(scratch)).absolute()
        found = play(sorted(source.glob("*.csv")), folder, options.first, options.last)
    table = Table("version", "as of", "decision", "NDCG@20", "cause")
    for one in found:
        score = f"{one['ndcg_at_20']:.4f}"
        table.add_row(str(one["version"]), one["as_of"], one["decision"], score, one["cause"])
    console.print(table)
    if options.json:
        options.json.write_text(json.dumps(found, indent=2), encoding="utf-8")
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--from", dest="first", type=date.fromisoformat, default=date(2011, 9, 1))
    parser.add_argument("--to", dest="last", type=date.fromisoformat, default=date.max)
    parser.add_argument("--orders", type=Path, help="a folder with a file a day, YYYY-MM-DD.csv")
    parser.add_argument("--folder", type=Path, help="an empty folder, left as it is at the end")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the versions there")
    return parser.parse_args()


def play(files: list[Path], folder: Path, first: date, last: date) -> list[dict]:
    """Deliver the files one after the other; every version that came of it."""
    orders = folder / "orders"
    orders.mkdir(parents=True)
    settings = Settings(
        home=folder / "home",
        clock=str(folder / "clock"),
        source={"orders": str(orders)},
        settle_seconds=1,
    )
    start = time.monotonic()

    def say(text: str) -> None:
        console.print(f"{time.monotonic() - start:6.0f} s  {text}", highlight=False)

    loop = Loop(settings, MODEL, free_port(), say)
    before = [file for file in files if date.fromisoformat(file.stem) < first]
    for file in before:
        shutil.copy2(file, orders)
    loop.advance(date.fromisoformat(before[-1].stem))
    with loop.running():
        say(f"{len(before)} files to {before[-1].stem} lie there")
        loop.settle(date.fromisoformat(before[-1].stem))
        for file in files[len(before) :]:
            day = date.fromisoformat(file.stem)
            if day > last:
                break
            loop.advance(day)
            # Whole at once: a copy that grows would be waited for.
            shutil.copy2(file, folder / file.name)
            (folder / file.name).rename(orders / file.name)
            say(f"{day} lands")
            loop.settle(day)
    return versions(settings, MODEL)


if __name__ == "__main__":
    raise SystemExit(main())
