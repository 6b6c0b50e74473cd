"""Finding and killing the processes of a run, and waiting for them; POSIX only, by `ps`."""

import os
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass

POLL_SECONDS = 0.02


@dataclass(frozen=True)
class Process:
    """A living process as `ps` shows it."""

    pid: int
    parent: int
    group: int
    command: str


def living() -> list[Process]:
    """Every process that is not a zombie."""
    shown = subprocess.run(
        ["ps", "-A", "-ww", "-o", "pid=,ppid=,pgid=,stat=,args="],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    lines = [line.split(None, 4) for line in shown.splitlines()]
    return [
        Process(int(pid), int(parent), int(group), command)
        for pid, parent, group, state, command in (line for line in lines if len(line) == 5)
        if not state.startswith("Z")
    ]


def members(group: int) -> list[Process]:
    """The living processes of a process group."""
    return [process for process in living() if process.group == group]


def outlasts(run: "subprocess.Popen[bytes]", seconds: float) -> bool:
    """Whether the run still goes on after so many seconds."""
    try:
        run.wait(timeout=seconds)
    except subprocess.TimeoutExpired:
        return True
    return False


def wait_for_dbt(run: "subprocess.Popen[bytes]") -> int | None:
    """The pid of the run's dbt child as soon as it builds, None when the run ends without."""
    while outlasts(run, 5 * POLL_SECONDS):
        for process in members(run.pid):
            if process.parent == run.pid and "/dbt build " in process.command:
                return process.pid
    return None


def kill(pid: int) -> bool:
    """SIGKILL one process; False when it is gone already."""
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return False
    return True


def kill_group(group: int) -> bool:
    """SIGKILL a process group; False when it is gone already."""
    try:
        os.killpg(group, signal.SIGKILL)
    except ProcessLookupError:
        return False
    return True


def wait_until(condition: Callable[[], bool], seconds: float, what: str) -> None:
    """Return as soon as the condition is true; raises TimeoutError that `what` did not come."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}: not within {seconds:g} s")
        time.sleep(POLL_SECONDS)
