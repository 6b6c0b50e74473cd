"""Graph runs killed at random moments; the lake and all that is published must hold.

Order files are delivered a few at a time, with corrections, and each time the whole graph is
started as a user starts it and SIGKILLed: its whole process group, or only Dagster, whose dbt child
lives on, or only the dbt child. After each kill everything that is promised is looked at, and a
reader in a process of its own looks all the while. At the end a run goes undisturbed, and its
tables must be those of a fresh home that was given the same files.
"""

import math
import random
import re
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks import promises
from benchmarks.deliveries import Plan, deliver, plan
from benchmarks.graph import COMMAND, Home, materialize, running_step
from benchmarks.kill import (
    POLL_SECONDS,
    kill,
    kill_group,
    members,
    outlasts,
    wait_for_dbt,
    wait_until,
)
from benchmarks.reader import reading
from ops_platform.lake.published import Published, published_or_none

KINDS = ("group", "parent", "dbt")
# A month of a small shop: judged on days, not on weeks.
SMALL = {"OPS_EVALUATION_DAYS": "3", "OPS_EVALUATION_DAYS_MIN": "1"}
PATIENCE = 300.0
console = Console()


@dataclass(frozen=True)
class Attempt:
    """What was to be killed, after how many seconds, in which step, and how the run ended."""

    kind: str
    seconds: float
    step: str
    outcome: str
    hit: bool
    dbt_lives_on: bool


@dataclass
class Summary:
    """What a torture found."""

    attempts: list[Attempt] = field(default_factory=list)
    checks: Counter[str] = field(default_factory=Counter)
    violations: list[str] = field(default_factory=list)
    reads: int = 0
    seconds: float = 0.0

    @property
    def kills(self) -> int:
        """The attempts that hit something."""
        return sum(attempt.hit for attempt in self.attempts)


@dataclass
class Torture:
    """A home under torture; a run lasts `seconds`, and dbt has `dbt_nodes` in it."""

    home: Home
    planned: Plan
    rng: random.Random
    extra: dict[str, str]
    seconds: float
    dbt_nodes: int
    # Shares of a run's length at which a whole group is killed: one in each equal part of it.
    moments: list[float]
    summary: Summary
    pointer: Published | None = None
    groups: list[int] = field(default_factory=list)

    def attempt(self, kind: str) -> None:
        """Start a run, kill it at a moment of chance, note what was hit, and look at the home."""
        number = len(self.summary.attempts) + 1
        log = self.home.path.parent / f"run-{number}.log"
        start = time.monotonic()
        with log.open("wb") as file:
            run = subprocess.Popen(
                COMMAND,
                env={**self.home.environment, **self.extra},
                cwd=self.home.path.parent,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.groups.append(run.pid)
        hit = self._strike(run, kind, log)
        seconds = time.monotonic() - start
        step = running_step(_text(log))
        outcome = "hung" if outlasts(run, PATIENCE) else f"exit code {run.returncode}"
        lives_on = any("/dbt build " in process.command for process in members(run.pid))
        outcome += ", dbt lives on" if lives_on else ""
        if not hit:
            # Runs on what is there already are shorter than the first.
            self.seconds = seconds
        self.summary.attempts.append(Attempt(kind, seconds, step, outcome, hit, lives_on))
        what = f"{number}: {kind} after {seconds:.1f} s in {step}: {outcome}"
        console.print(what if hit else f"{what} before the kill")
        if outcome == "hung" or (not hit and run.returncode):
            end = "".join(_text(log).splitlines(keepends=True)[-15:])
            self.summary.violations.append(f"{what}, see {log}:\n{end}")
            kill_group(run.pid)
        self.look(f"after {what}")
        self.nothing_lives()

    def _strike(self, run: "subprocess.Popen[bytes]", kind: str, log: Path) -> bool:
        """Kill at a moment of chance; False when the run ended before."""
        if kind == "group":
            share = self.moments.pop() if self.moments else self.rng.random()
            if outlasts(run, share * self.seconds) and kill_group(run.pid):
                return True
            self.moments.append(share)
            return False
        # Only while dbt runs does it matter which of the two is killed. A node of dbt's own count
        # is a moment that does not depend on how busy the machine is.
        node = self.rng.randrange(self.dbt_nodes)
        child = wait_for_dbt(run)
        while node and f"{node} of {self.dbt_nodes} START" not in _text(log):
            if not outlasts(run, POLL_SECONDS):
                return False
        return child is not None and kill(run.pid if kind == "parent" else child)

    def look(self, when: str) -> None:
        """Look at everything that is promised at any time."""
        records = self.planned.records
        self.promise(when, "lake check", promises.the_lake_holds(self.home))
        published = promises.the_published_is_whole(self.home, self.pointer, records)
        self.promise(when, "published", published)
        rows = promises.no_row_is_lost_or_doubled(self.home, records)
        self.promise(when, "nothing lost or doubled", rows)
        self.pointer = published_or_none(self.home.lake) or self.pointer

    def promise(self, when: str, name: str, faults: Iterator[str]) -> None:
        """Note that a promise was looked at, and each of its faults."""
        self.summary.checks[name] += 1
        try:
            self.summary.violations += [f"{when}: {name}: {fault}" for fault in faults]
        except Exception as error:
            self.summary.violations.append(f"{when}: {name}: {type(error).__name__}: {error}")

    def finish(self, expected: dict[str, str]) -> None:
        """One undisturbed run, after which everything must be as if nothing had ever happened."""
        wait_until(self.nothing_lives, PATIENCE, "the end of what outlived its run")
        self.promise("at the end", "undisturbed run", self._undisturbed())
        self.look("at the end")
        self.promise("at the end", "equal to a fresh home", promises.as_in(self.home, expected))
        champion = promises.the_champion_is_the_last_promoted(self.home)
        self.promise("at the end", "champion", champion)

    def _undisturbed(self) -> Iterator[str]:
        try:
            materialize(self.home, self.extra, PATIENCE)
        except RuntimeError as error:
            yield str(error)

    def nothing_lives(self) -> bool:
        """Whether no process of any run is left; `groups` are then those of the living."""
        # A group that is over is forgotten, because its number may be given to another.
        self.groups = [group for group in self.groups if members(group)]
        return not self.groups


def run(kills: int, seed: int, folder: Path) -> Summary:
    """Torture a home in `folder` with so many kills."""
    start = time.monotonic()
    planned = plan(kills, seed, folder / "shop")
    fresh = Home(folder / "fresh" / "home", folder / "fresh" / "orders")
    home = Home(folder / "tortured" / "home", folder / "tortured" / "orders")
    home.orders.mkdir(parents=True)
    deliver(planned.final, fresh.orders)
    whole = materialize(fresh, SMALL)
    expected = promises.digests(fresh)
    rng, parts = random.Random(seed), math.ceil(kills / len(KINDS))
    # Taken from the end: late kills first, so that there is something published to look at.
    moments = [(part + rng.random()) / parts for part in range(parts)]
    torture = Torture(
        home, planned, rng, SMALL,
        whole.seconds, _dbt_nodes(whole.log), moments, Summary(),
    )  # fmt: skip
    try:
        with reading(home, planned.records) as seen:
            _kill(torture, kills)
            torture.finish(expected)
        torture.summary.checks["reader"] += 1
        torture.summary.reads = seen.reads
        torture.summary.violations += seen.faults
    finally:
        if not torture.nothing_lives():
            for group in torture.groups:
                kill_group(group)
    torture.summary.seconds = time.monotonic() - start
    return torture.summary


def _text(log: Path) -> str:
    return log.read_text(encoding="utf-8", errors="replace")


def _dbt_nodes(log: str) -> int:
    found = re.search(r"\b1 of (\d+) START", log)
    if found is None:
        raise RuntimeError(f"dbt's count of its nodes is not in the log:\n{log[-3000:]}")
    return int(found[1])


def _kill(torture: Torture, kills: int) -> None:
    steps, kinds, summary = list(torture.planned.steps), list[str](), torture.summary
    while summary.kills < kills and len(summary.attempts) < 3 * kills:
        kinds = kinds or torture.rng.sample(KINDS, len(KINDS))
        if steps:
            deliver(steps.pop(0), torture.home.orders)
            torture.attempt(kinds.pop())
        else:
            # All is delivered, so dbt may have nothing to do.
            torture.attempt("group")
    for step in steps:
        deliver(step, torture.home.orders)


def show(summary: Summary) -> None:
    """Print what was hit and what was looked at."""
    kills = Counter((one.kind, one.step) for one in summary.attempts if one.hit)
    steps = sorted({step for _, step in kills})
    table = Table("step that was running", *KINDS, "all", title=f"{summary.kills} kills")
    for step in steps:
        counts = [kills[kind, step] for kind in KINDS]
        table.add_row(step, *(str(count or "") for count in counts), str(sum(counts)))
    missed = len(summary.attempts) - summary.kills
    outlived = sum(one.dbt_lives_on for one in summary.attempts)
    table.caption = (
        f"{outlived} times dbt outlived its Dagster; {missed} runs ended before their kill; "
        f"{summary.seconds:.0f} s in all"
    )
    console.print(table)
    table = Table("check", "times")
    for name, times in summary.checks.items():
        table.add_row(name, str(summary.reads if name == "reader" else times))
    console.print(table)
