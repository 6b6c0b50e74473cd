"""Writers killed at random moments, a second each: who takes deliveries in, upkeep, and dbt.

Before each of them something of `Hard` is delivered. After each kill the lake must hold, and each
delivery must have all its rows, once; a reader of the last committed state looks all the while. At
the end one undisturbed round must lead to the tables of a fresh lake that was given the same files.
"""

import multiprocessing
import random
import re
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path

from benchmarks.deliveries import Hard, deliver
from benchmarks.graph import Home
from benchmarks.kill import kill_group
from benchmarks.promises import no_row_is_lost_or_doubled
from benchmarks.reader import reading
from ops_platform.ingest.contract_file import read_contracts
from ops_platform.ingest.take_in import take_in
from ops_platform.lake.check import check
from ops_platform.lake.connect import connect
from ops_platform.lake.digest import digest_rows
from ops_platform.lake.upkeep import upkeep
from ops_platform.lake.write import digest_new_files
from ops_platform.transform.data_tests import tables
from ops_platform.transform.project import dbt_executable, dbt_scratch, read_manifest

# Of so many kills one hits dbt, which takes its 5 s to start, and three hit upkeep.
IN_TURN = 16
DBT_PAUSE_SECONDS = 0.3
# Of the time that an undisturbed writer takes: so that its last moments are hit too.
LATEST = 1.2
# What upkeep drops stays as long for the reader beside it, who may have listed the files before.
READER_DAYS = 30 / 86_400
IMPORTED = ["ops_platform.ingest.take_in", "ops_platform.lake.upkeep", __name__]


@dataclass
class Outcome:
    """What was killed, what was delivered, what was seen, and all that did not hold."""

    kills: Counter[str] = field(default_factory=Counter)
    missed: Counter[str] = field(default_factory=Counter)
    delivered: Counter[str] = field(default_factory=Counter)
    checks: int = 0
    reads: int = 0
    faults: list[str] = field(default_factory=list)
    seconds: float = 0.0


# --- what is killed --------------------------------------------------------------------------


def ingest(home: Home) -> None:
    """Take in what lies in the orders' folder; the other sources are not connected."""
    settings = home.settings
    for contract in read_contracts(settings.contracts):
        location = home.orders if contract.name == "orders" else None
        take_in(home.lake, contract, location, settings.now())


def keep(home: Home, days: float = READER_DAYS) -> None:
    """Upkeep that keeps no snapshot for its age, or hardly any."""
    upkeep(home.lake, days)


WRITERS: dict[str, Callable[[Home], None]] = {"ingest": ingest, "upkeep": keep}


def _writer(kind: str, home: Home, begun: Connection) -> None:
    with connect(home.lake):
        # Loads the extensions, so that the moments to come are spent in the work.
        pass
    begun.send_bytes(b"begun")
    WRITERS[kind](home)


@contextmanager
def dbt(home: Home, extra: dict[str, str] | None = None) -> Iterator["subprocess.Popen[str]"]:
    """dbt, building all models in a process group of its own, its output in a pipe."""
    project = str(home.settings.dbt_project)
    with dbt_scratch(home.settings) as (scratch, environment):
        command = [
            dbt_executable(), "build", "--resource-type", "model", "--resource-type", "snapshot",
            "--project-dir", project, "--profiles-dir", project,
            "--target-path", str(scratch / "target"), "--log-path", str(scratch / "logs"),
        ]  # fmt: skip
        with subprocess.Popen(
            command,
            env={**home.environment, **environment, **(extra or {})},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        ) as process:
            try:
                yield process
            finally:
                kill_group(process.pid)


def build(home: Home) -> int:
    """Run dbt undisturbed; the number of its nodes. Raises RuntimeError with its words."""
    with dbt(home) as process:
        said = process.communicate()[0]
    nodes = re.search(r"\b1 of (\d+) START", said)
    if process.returncode or nodes is None:
        raise RuntimeError(f"dbt ended with {process.returncode}:\n{said[-3000:]}")
    digest_new_files(home.lake)
    return int(nodes[1])


def state(home: Home) -> dict[str, str]:
    """The digest of the orders' tables and of every table that dbt makes."""
    made = tables(read_manifest(home.settings))
    with connect(home.lake) as connection:
        return {
            name: digest_rows(connection, f"FROM {name}")
            for name in ("raw.orders", "quarantine.orders", *made)
        }


# --- the killing -----------------------------------------------------------------------------


class _Killing:
    def __init__(self, home: Home, rng: random.Random) -> None:
        self.home, self.rng, self.outcome = home, rng, Outcome()
        self.processes = multiprocessing.get_context("forkserver")
        self.processes.set_forkserver_preload(IMPORTED)
        # How long each undisturbed writer last took.
        self.seconds = {kind: self._writer(kind, None)[1] for kind in WRITERS}
        self.nodes = 0

    def strike(self, kind: str) -> None:
        """Start a writer and kill it at a moment of chance."""
        hit = self._strike_dbt() if kind == "dbt" else self._strike_writer(kind)
        (self.outcome.kills if hit else self.outcome.missed)[kind] += 1

    def _strike_writer(self, kind: str) -> bool:
        ended, seconds = self._writer(kind, self.rng.random() * LATEST * self.seconds[kind])
        if ended == 0:
            self.seconds[kind] = seconds
        elif ended != -signal.SIGKILL:
            self.outcome.faults.append(f"{kind} ended with {ended}, see above")
        return ended != 0

    def _writer(self, kind: str, until: float | None) -> tuple[int | None, float]:
        """Run a writer, at most until it is killed; its exit code and how long it worked."""
        begun, ours = self.processes.Pipe(duplex=False)
        process = self.processes.Process(target=_writer, args=(kind, self.home, ours))
        process.start()
        ours.close()
        begun.poll(60)
        start = time.monotonic()
        process.join(until)
        process.kill()
        process.join()
        return process.exitcode, time.monotonic() - start

    def _strike_dbt(self) -> bool:
        node = self.rng.randint(1, self.nodes)
        with dbt(self.home) as process:
            assert process.stdout is not None
            for line in process.stdout:
                if f"{node} of {self.nodes} START" in line:
                    time.sleep(self.rng.random() * DBT_PAUSE_SECONDS)
                    return kill_group(process.pid)
        return False

    def look(self, when: str, records: dict[str, int]) -> None:
        """Look at what is promised at any time."""
        self.outcome.checks += 1
        try:
            found = [*check(self.home.lake), *no_row_is_lost_or_doubled(self.home, records)]
        except Exception as error:
            found = [f"{type(error).__name__}: {error}"]
        self.outcome.faults += [f"{when}: {fault}" for fault in found]


def run(
    kills: int, seed: int, folder: Path, say: Callable[[str], object] = lambda text: None
) -> Outcome:
    """Kill so many writers of a home in `folder`, one after the other."""
    start, rng = time.monotonic(), random.Random(seed)
    home = Home(folder / "home", folder / "orders")
    hard = Hard(seed, folder / "shop")
    # Some writers end before they are killed.
    steps = [hard.next() for _ in range(2 * kills)]
    kinds = _kinds(rng)
    for _, step, _ in steps[:3]:
        deliver(step, home.orders)
        ingest(home)
    killing = _Killing(home, rng)
    killing.nodes = build(home) if kills >= IN_TURN else 0
    outcome = killing.outcome
    with reading(home, hard.records, "head") as seen:
        for number, (what, step, after_all) in enumerate(steps[3:], start=1):
            if after_all:
                ingest(home)
            kind = next(kinds)
            if kind == "dbt" and not killing.nodes:
                kind = "upkeep"
            deliver(step, home.orders)
            outcome.delivered[what] += 1
            killing.strike(kind)
            killing.look(f"after kill {number}, of {kind}", hard.records)
            say(f"{outcome.kills.total()} of {kills} writers killed, {len(outcome.faults)} faults")
            if outcome.kills.total() == kills:
                break
        _finish(killing, hard, folder)
    outcome.reads = seen.reads
    outcome.faults += seen.faults
    outcome.seconds = time.monotonic() - start
    return outcome


def _kinds(rng: random.Random) -> Iterator[str]:
    while True:
        turn = ["dbt", *["upkeep"] * 3, *["ingest"] * (IN_TURN - 4)]
        rng.shuffle(turn)
        yield from turn


def _finish(killing: _Killing, hard: Hard, folder: Path) -> None:
    """One undisturbed round, which must end in the tables of a fresh lake with the same files."""
    home, fresh = killing.home, Home(folder / "fresh", folder / "orders")
    for one in (home, fresh):
        ingest(one)
        if killing.nodes:
            build(one)
    killing.look("at the end", hard.records)
    if killing.nodes:
        found, expected = state(home), state(fresh)
        differing = [name for name in expected if found[name] != expected[name]]
        killing.outcome.faults += [f"{name} is not what a fresh lake has" for name in differing]
