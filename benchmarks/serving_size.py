"""The service with a large release beside a small one: `python -m benchmarks.serving_size`.

Both are of simulated interactions (`simulate.crowd`), fitted and written as the graph does; the
large one has a million customers and 20 thousand products. Each is served by a process of its own
and asked by wrk, in turn, questions that it does not remember. Exits with 1 when a bound is missed.
It takes about ten minutes, most of it for the fit of the large one.
"""

import argparse
import multiprocessing
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.serving import fresh
from benchmarks.serving_home import MODEL, Home, Service
from benchmarks.serving_wrk import Load, loaded
from ops_platform.features import online_store
from ops_platform.models import state as states
from ops_platform.models.zoo.recommender import Recommender
from ops_platform.serve import keys, release
from ops_platform.settings import Settings
from ops_platform.simulate.crowd import purchases

START, DAYS = date(2024, 1, 1), 365
AS_OF = START + timedelta(days=DAYS - 1)
NOW = datetime(2025, 1, 1)
ROUNDS, SECONDS = 5, 8
GIB_MAX, P99_MAX = 3.0, 1.5
console = Console()


@dataclass(frozen=True)
class Size:
    """How many customers and products a shop has."""

    customers: int
    products: int

    def __str__(self) -> str:
        """In words."""
        return f"{self.customers:,} customers, {self.products:,} products"


SMALL, LARGE = Size(4_000, 4_000), Size(1_000_000, 20_000)


def write_release(folder: Path, size: Size) -> None:
    """Fit a recommender of this size, and let its release serve."""
    model = Recommender().fit(
        purchases(size.customers, size.products, start=START, days=DAYS), AS_OF
    )
    named = [(one,) for one in model.customers_.tolist()]
    rng, count = np.random.default_rng(0), len(named)
    told = {
        name: online_store.Column(
            online_store.FLOAT, rng.random(count), np.zeros(count, dtype=bool)
        )
        for name in ("recency", "frequency", "monetary", "tenure", "regularity")
    }
    views = {
        view: online_store.Rows(("customer_id",), AS_OF.isoformat(), named, told)
        for view in ("customer_activity", "customer_taste", "customer_rhythm")
    }
    catalog = {
        product: release.Product(f"PRODUCT {product}", None, offered=True)
        for product in model.products_.tolist()
    }
    odds = {"probability": told["recency"]}
    origin = release.Origin(
        MODEL, 1, AS_OF.isoformat(), 1, "simulated", states.digest(model.state()),
        purchase_probability=1,
    )  # fmt: skip
    rows = online_store.Rows(("customer_id",), AS_OF.isoformat(), named, odds)
    name = release.write(folder, origin, model.arrays_, catalog, NOW, views, rows)
    release.point_to(folder, name)


def home_of(path: Path, size: Size) -> Home:
    """A home whose one release has this size; its fit's memory goes with a process of its own."""
    settings = Settings(home=path)
    folder = release.folder_of(settings.releases, MODEL)
    fitting = multiprocessing.get_context("spawn").Process(
        target=write_release, args=(folder, size)
    )
    fitting.start()
    fitting.join()
    if fitting.exitcode:
        raise SystemExit(f"the release of {size} could not be made")
    name = release.pointed(folder)
    assert name is not None
    arrays = release.load(folder / name).arrays
    ids = path / "ids"
    shuffled = np.random.default_rng(0).permutation(arrays["customers"])
    ids.write_text("\n".join(shuffled[:200_000].tolist()) + "\n", encoding="utf-8")
    key = keys.create(settings.keys, "benchmark", keys.SCOPES, NOW)
    return Home(path, folder, (name, name), ids, key)


def resident(service: Service) -> float:
    """The GiB that the serving process holds."""
    status = Path(f"/proc/{service.process.pid}/status").read_text(encoding="ascii")
    (line,) = [one for one in status.splitlines() if one.startswith("VmHWM")]
    return int(line.split()[1]) / (1 << 20)


@contextmanager
def services(scratch: Path) -> Iterator[dict[Size, tuple[Home, Service]]]:
    """Both, each by a process of its own."""
    with ExitStack() as both:
        found = {}
        for size in (SMALL, LARGE):
            with console.status(f"fitting and writing the release of {size}"):
                home = home_of(scratch / str(size.customers), size)
            found[size] = (home, both.enter_context(home.service()))
        yield found


def main() -> int:
    """Make, load, print and judge; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="ops-size-") as scratch,
        services(Path(scratch)) as both,
    ):
        asked = {
            size: (service.lists(k=None), fresh(home)) for size, (home, service) in both.items()
        }
        rounds = [
            {size: loaded(*what, SECONDS) for size, what in asked.items()} for _ in range(ROUNDS)
        ]
        memory = {size: resident(service) for size, (_, service) in both.items()}
    found = {
        size: sorted((one[size] for one in rounds), key=lambda load: load.p99) for size in both
    }
    return _judge({size: loads[ROUNDS // 2] for size, loads in found.items()}, memory)


def _judge(found: dict[Size, Load], memory: dict[Size, float]) -> int:
    table = Table("release", "GiB resident", "requests", "req/s", "p50 ms", "p99 ms")
    for size, load in found.items():
        table.add_row(
            str(size), f"{memory[size]:.2f}", f"{load.requests:,}", f"{load.rate:,.0f}",
            f"{load.p50:.1f}", f"{load.p99:.1f}",
        )  # fmt: skip
    console.print(table)
    slower = found[LARGE].p99 / found[SMALL].p99
    holds = memory[LARGE] <= GIB_MAX and slower <= P99_MAX
    console.print(
        f"{memory[LARGE]:.2f} GiB, at most {GIB_MAX:g}; p99 {slower:.2f} times that of the small "
        f"one, at most {P99_MAX:g}: {'holds' if holds else 'MISSED'}"
    )
    return 0 if holds else 1


if __name__ == "__main__":
    sys.exit(main())
