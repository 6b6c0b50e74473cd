"""The service under load: `python -m benchmarks.serving [--seconds N]`, by wrk on loopback.

Loads a copy of the release that serves in OPS_HOME: as long as `--seconds` says with a swap each
5 s, then while it is harmed, then beside `mlflow models serve` of the same champion and a bare
FastAPI route that answers a constant of the same size, one worker each. Exits with 1 when a bound
is missed.
"""

import argparse
import os
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.serving_home import MODEL, Home, K, Service, make
from benchmarks.serving_trouble import Found, damaged, full, killed, revoked, steady
from benchmarks.serving_wrk import Asked, Load, free_port, loaded, process
from ops_platform.serve.scorer import REMEMBERED
from ops_platform.settings import Settings

RIVAL_BOUND, CONSTANT_BOUND = 4.0, 0.6
ROUND_SECONDS, ROUNDS = 8, 3
OWN, FRESH = "ops serve", "ops serve, nothing remembered"
RIVAL, CONSTANT = "mlflow models serve", "a constant by FastAPI"
console = Console()


def main() -> int:
    """Load, print the tables, and judge; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=600, help="of the load with swaps")
    parser.add_argument("--only", choices=["harm", "rivals"], help="one of the two parts")
    options = parser.parse_args()
    settings = Settings()
    with tempfile.TemporaryDirectory(prefix="ops-serving-") as scratch:
        home = make(settings, Path(scratch))
        holds = options.only == "rivals" or _print_troubles(home, options.seconds)
        if options.only != "harm":
            holds &= _print_rivals(home, settings)
    return 0 if holds else 1


def _print_troubles(home: Home, seconds: float) -> bool:
    table = _table("while", "holds")
    told, holds = [], True
    harms: list[Callable[[Home], Found]] = [
        partial(steady, seconds=seconds), damaged, killed, full, revoked,
    ]  # fmt: skip
    for harm in harms:
        found = harm(home)
        _add(table, found.what, found.load, "yes" if found.holds else "NO")
        told.append(f"{found.what}: {found.told}")
        holds &= found.holds
    console.print(table)
    console.print("\n".join(told), highlight=False)
    return holds


def _table(first: str, *more: str) -> Table:
    counted = ("requests", "req/s", "4xx 5xx", "broken")
    return Table(first, *counted, "p50 ms", "p99 ms", "p99.9 ms", *more)


def _add(table: Table, what: str, load: Load, *more: str) -> None:
    table.add_row(
        what, f"{load.requests:,}", f"{load.rate:,.0f}", f"{load.refused:,}", f"{load.broken:,}",
        f"{load.p50:.1f}", f"{load.p99:.1f}", f"{load.p999:.1f}", *more,
    )  # fmt: skip


def _print_rivals(home: Home, settings: Settings) -> bool:
    """Each in turn, several times, while all of them run: of each the round of median rate."""
    at = {name: f"http://127.0.0.1:{free_port()}" for name in (RIVAL, CONSTANT)}
    ports = {name: url.rpartition(":")[2] for name, url in at.items()}
    rival = [
        *("-m", "mlflow", "models", "serve", "-m", f"models:/{MODEL}@champion"),
        *("--env-manager", "local", "--workers", "1", "--host", "127.0.0.1"),
        *("--port", ports[RIVAL]),
    ]
    constant = [
        *("-m", "uvicorn", "benchmarks.serving_constant:app", "--no-access-log"),
        *("--log-level", "warning", "--port", ports[CONSTANT]),
    ]
    # It starts uvicorn by its name.
    registry = {
        "MLFLOW_TRACKING_URI": settings.mlflow_tracking_uri,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }
    log = home.path / "rivals.log"
    with (
        home.service() as service,
        # Another, so that neither's memory is the other's.
        home.service() as forgetful,
        process(rival, f"{at[RIVAL]}/ping", log, **registry),
        process(constant, f"{at[CONSTANT]}/constant", log, SIZE=str(_size(home, service))),
    ):
        posted = ["Content-Type: application/json"]
        body = ('{"dataframe_split": {"columns": ["customer_id"], "data": [["', '"]]}}')
        asked = {
            OWN: (service.lists(), home.ids),
            FRESH: (forgetful.lists(k=None), fresh(home)),
            RIVAL: (Asked(at[RIVAL], posted, body=body), home.ids),
            CONSTANT: (Asked(at[CONSTANT], path=("/constant?", "")), home.ids),
        }
        # Every customer was asked for once: what is measured is how it goes on.
        _warm(service, home)
        rounds = [
            {name: loaded(*what, ROUND_SECONDS) for name, what in asked.items()}
            for _ in range(ROUNDS)
        ]
    medians = {name: _median([one[name] for one in rounds]) for name in asked}
    return _judge(medians)


def _warm(service: Service, home: Home) -> None:
    everyone = len(home.ids.read_text(encoding="utf-8").split())
    while service.counted("ops_answers_total") < min(everyone, REMEMBERED):
        loaded(service.lists(), home.ids, 2 * ROUND_SECONDS)


def _median(loads: list[Load]) -> Load:
    return sorted(loads, key=lambda one: one.rate)[len(loads) // 2]


def fresh(home: Home) -> Path:
    """A file of questions of which none is remembered when it comes again."""
    ids = home.ids.read_text(encoding="utf-8").split()
    lengths = range(K, K + 1 + 2 * REMEMBERED // len(ids))
    path = home.path / "fresh"
    path.write_text("".join(f"{one}?k={k}\n" for k in lengths for one in ids), encoding="utf-8")
    return path


def _size(home: Home, service: Service) -> int:
    first = home.ids.read_text(encoding="utf-8").split("\n", 1)[0]
    return len(service.get(f"/v1/recommendations/{first}?k={K}"))


def _judge(found: dict[str, Load]) -> bool:
    table = _table("one worker each")
    for name, load in found.items():
        _add(table, name, load)
    console.print(table)
    holds = not any(one.refused or one.broken for one in found.values())
    rival, constant = found[RIVAL], found[CONSTANT]
    for name in (OWN, FRESH):
        own = found[name]
        faster, share = own.rate / rival.rate, own.rate / constant.rate
        kept = faster >= RIVAL_BOUND and own.p99 < rival.p99
        holds &= kept
        _say(f"{name}: {faster:.1f} times the requests/s of {RIVAL}, p99 {own.p99 / rival.p99:.2f} "
             f"of its; at least {RIVAL_BOUND:g} times, p99 below", kept)  # fmt: skip
        if name == OWN:
            holds &= share >= CONSTANT_BOUND
            _say(f"{name}: {share:.2f} of the requests/s of {CONSTANT}; at least {CONSTANT_BOUND}",
                 share >= CONSTANT_BOUND)  # fmt: skip
        else:
            console.print(f"{name}: {share:.2f} of the requests/s of {CONSTANT}", highlight=False)
    return holds


def _say(what: str, holds: bool) -> None:
    console.print(f"{what}: {'holds' if holds else 'MISSED'}", highlight=False)


if __name__ == "__main__":
    raise SystemExit(main())
