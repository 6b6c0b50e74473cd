"""What the recommender costs as the shop grows: `python -m benchmarks.scale [CUSTOMERS ...]`.

Each size, 10 thousand products and a year, is fitted and asked for everybody's 20 best in a process
of its own. Exits with 1 when the cost grows faster than the interactions or the memory is too much.
"""

import json
import resource
import subprocess
import sys
import time
from datetime import date, timedelta
from typing import Any

from rich.console import Console
from rich.table import Table

from ops_platform.models.zoo.recommender import Recommender
from ops_platform.simulate.crowd import purchases

CUSTOMERS = (10_000, 100_000, 1_000_000)
PRODUCTS, DAYS, START = 10_000, 365, date(2024, 1, 1)
K = 20
BLOCK = 20_000
GIB = 1 << 20  # of ru_maxrss, which counts KiB
GIB_MAX = 12.0


def measure(customers: int) -> dict[str, Any]:
    """Processor seconds to fit and to recommend for all, and the peak of memory, in a process."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.scale", "--one", str(customers)],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def _one(customers: int) -> dict[str, Any]:
    rows = purchases(customers, PRODUCTS, start=START, days=DAYS)
    start = time.process_time()
    model = Recommender().fit(rows, START + timedelta(days=DAYS - 1))
    fitted = time.process_time()
    for first in range(0, len(model.customers_), BLOCK):
        model.recommend(model.customers_[first : first + BLOCK], K)
    return {
        "customers": customers,
        "interactions": len(rows),
        "fit": fitted - start,
        "recommend": time.process_time() - fitted,
        "gib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / GIB,
    }


def main(sizes: list[int]) -> int:
    """Measure each size, print a table, and judge; the exit code."""
    console, found = Console(), list[dict[str, Any]]()
    table = Table("customers", "interactions", "fit s", "recommend s", "peak GiB", "times the cost")
    holds = True
    for size in sizes:
        with console.status(f"{size:,} customers"):
            one = measure(size)
        cost, before = one["fit"] + one["recommend"], found[-1] if found else None
        times = ""
        if before is not None:
            grown = cost / (before["fit"] + before["recommend"])
            rows = one["interactions"] / before["interactions"]
            times = f"{grown:.1f} of {rows:.1f} times the interactions"
            holds &= grown <= rows
        holds &= one["gib"] <= GIB_MAX
        table.add_row(
            f"{size:,}",
            f"{one['interactions']:,}",
            f"{one['fit']:.0f}",
            f"{one['recommend']:.0f}",
            f"{one['gib']:.1f}",
            times,
        )
        found.append(one)
    console.print(table)
    console.print(
        f"at most linear in the interactions, at most {GIB_MAX:.0f} GiB: "
        f"{'holds' if holds else 'MISSED'}"
    )
    return 0 if holds else 1


if __name__ == "__main__":
    if sys.argv[1:2] == ["--one"]:
        sys.stdout.write(json.dumps(_one(int(sys.argv[2]))))
    else:
        raise SystemExit(main([int(size) for size in sys.argv[1:]] or list(CUSTOMERS)))
