"""Writes that fail: the n-th write call under a lake says that the disk is full.

A shim in C, compiled when it is needed, stands between the process and libc, through which DuckDB,
its SQLite and Python write. `python -m benchmarks.failing_writes WHAT HOME NUMBERS` is what runs
under it; `NUMBERS` are the n, or `all` for every n until a run passes clean.
"""

import ctypes
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from pathlib import Path

from benchmarks.deliveries import deliver, plan
from benchmarks.graph import Home
from benchmarks.killed_writers import build, dbt, ingest, keep, state
from ops_platform.errors import LakeError
from ops_platform.lake.check import check
from ops_platform.lake.connect import connect
from ops_platform.lake.digest import digest_rows

SOURCE = Path(__file__).with_name("failing_writes.c")
TABLES = ("raw.orders", "quarantine.orders")


@dataclass
class Found:
    """What came of the runs: how many writes failed in how many runs, and each fault after."""

    what: str
    failed: int = 0
    refused: int = 0
    faults: list[str] = field(default_factory=list)


def compiler() -> str | None:
    """The C compiler, on Linux, where the shim works; None elsewhere."""
    return shutil.which("cc") if sys.platform == "linux" else None


@contextmanager
def shim() -> Iterator[Path]:
    """The compiled shim."""
    with tempfile.TemporaryDirectory(prefix="ops-shim-") as folder:
        library = Path(folder) / "failing_writes.so"
        command = [compiler() or "cc", "-shared", "-fPIC", "-O1", "-o", str(library), str(SOURCE)]
        subprocess.run(command, check=True)
        yield library


def under_shim(what: str, folder: Path, numbers: str) -> Found:
    """Let writes of `what` fail, in a process of its own.

    `first` is the delivery that makes the lake, `ingest` a later one, `upkeep` itself, and `disk`
    a delivery during which the disk is full from the n-th write on. `numbers` is `all`, or how
    many n are drawn, with the seed 0, from those that there are.
    """
    with shim() as library:
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.failing_writes", what, str(folder), numbers],
            env={**_home(folder).environment, "LD_PRELOAD": str(library), **_where(folder)},
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
    return Found(**json.loads(done.stdout.splitlines()[-1]))


def under_dbt(folder: Path, number: int) -> Found:
    """Let one write of dbt fail, for so many n; after each the next build must end the work."""
    home, kept, report = _home(folder), folder / "kept", folder / "writes"
    planned, found = plan(4, 0, folder / "shop"), Found("dbt")
    deliver(planned.steps[0], home.orders)
    ingest(home)
    build(home)
    deliver(planned.final, home.orders)
    ingest(home)
    shutil.copytree(home.path, kept)

    def run(library: Path, at: int) -> int:
        report.write_text("")
        faulty = {"LD_PRELOAD": str(library), "OPS_FAULT_AT": str(at)} | _where(folder)
        with dbt(home, {**faulty, "OPS_FAULT_REPORT": str(report)}) as process:
            process.communicate()
            return process.returncode

    with shim() as library:
        run(library, 0)
        writes = max(int(line.split()[0]) for line in report.read_text().splitlines())
        build(home)
        expected = state(home)
        for at in sorted(random.Random(0).sample(range(1, writes + 1), number)):
            _put_back(kept, home)
            found.refused += run(library, at) != 0
            found.failed += any(line.endswith(" 1") for line in report.read_text().splitlines())
            found.faults += [f"write {at}: {fault}" for fault in check(home.lake)]
            build(home)
            if state(home) != expected:
                found.faults.append(f"write {at}: the next build has other tables")
    return found


def _put_back(kept: Path, home: Home) -> None:
    # To the very same path: a lake's data path is absolute.
    shutil.rmtree(home.path, ignore_errors=True)
    if kept.exists():
        shutil.copytree(kept, home.path)


def _where(folder: Path) -> dict[str, str]:
    # The lake alone: dbt's logs and scratch files lie beside it.
    return {"OPS_FAULT_FOLDER": str(folder / "home" / "lake")}


def _home(folder: Path) -> Home:
    return Home(folder / "home", folder / "orders")


# --- within the process that has the shim loaded -----------------------------------------------


class _Shim:
    def __init__(self) -> None:
        self.library = ctypes.CDLL(os.environ["LD_PRELOAD"])
        self.library.fault_count.restype = ctypes.c_long

    def run(self, work: Callable[[], object], at: int, *, on: bool = False) -> tuple[bool, bool]:
        """Whether a write failed, and whether the work was refused."""
        self.library.fault_arm(ctypes.c_long(at), int(on))
        try:
            work()
            refused = False
        except Exception:
            refused = True
        fired = bool(self.library.fault_fired())
        self.library.fault_arm(0, 0)
        return fired, refused

    def writes_of(self, work: Callable[[], object]) -> int:
        """How many writes the work makes when none fails."""
        self.library.fault_arm(0, 0)
        work()
        return int(self.library.fault_count())


@dataclass
class _Trial:
    """Work on a home that is put back before each run, and what must hold after it."""

    found: Found
    home: Home
    shim: _Shim
    work: Callable[[], object]
    reset: Callable[[], None]
    expected: dict[str, str] | None = None

    def state(self) -> dict[str, str]:
        with connect(self.home.lake) as connection:
            return {name: digest_rows(connection, f"FROM {name}") for name in TABLES}

    def writes(self) -> int:
        """Run once without a fault; from then on its result is what is expected."""
        self.reset()
        writes = self.shim.writes_of(self.work)
        self.expected = self.state()
        return writes

    def run(self, numbers: Iterable[int], *, on: bool = False) -> None:
        """Let the n-th write of a run fail, for each n, or until none does."""
        for at in numbers:
            self.reset()
            fired, refused = self.shim.run(self.work, at, on=on)
            if not fired:
                return
            self.found.failed += 1
            self.found.refused += refused
            try:
                self.found.faults += [f"write {at}: {fault}" for fault in self.faults()]
            except Exception as error:
                self.found.faults.append(f"write {at}: {type(error).__name__}: {error}")

    def faults(self) -> Iterator[str]:
        """What does not hold after a fault, and what after the next run, which ends the work."""
        if self.home.lake.exists:
            try:
                yield from check(self.home.lake)
            except LakeError as error:
                # A first write that never was leaves nothing to be checked.
                if "there is no lake" not in str(error):
                    raise
        self.work()
        yield from check(self.home.lake)
        if self.state() != self.expected:
            yield "after the next run the tables are not what they are without a fault"


def _trial(what: str, folder: Path) -> _Trial:
    home, kept = _home(folder), folder / "kept"
    steps = plan(4, 0, folder / "shop").steps
    deliver(steps[0], home.orders)
    if what == "upkeep":
        for step in steps[1:]:
            ingest(home)
            deliver(step, home.orders)
    if what != "first":
        ingest(home)
        deliver(steps[-1], home.orders)
        shutil.copytree(home.path, kept)
    # Nobody reads beside it, so it keeps nothing.
    work = partial(keep, home, 0) if what == "upkeep" else partial(ingest, home)
    return _Trial(Found(what), home, _Shim(), work, lambda: _put_back(kept, home))


def main(what: str, folder: Path, numbers: str) -> int:
    """Run under the shim and print what was found as JSON."""
    trial = _trial(what, folder)
    writes = trial.writes()
    if numbers == "all":
        trial.run(count(1))
    else:
        drawn = random.Random(0).sample(range(1, writes + 1), min(int(numbers), writes))
        trial.run(sorted(drawn), on=what == "disk")
    sys.stdout.write(json.dumps(trial.found.__dict__) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1], Path(sys.argv[2]), sys.argv[3]))
