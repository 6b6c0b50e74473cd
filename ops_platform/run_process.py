"""Which process executes a run: host, pid and start, for a pid alone is used again and again."""

import os
import socket
import subprocess
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class RunProcess:
    """A process of a host; `started` is the system's own text, only ever compared."""

    host: str
    pid: int
    started: str

    @property
    def is_of_this_host(self) -> bool:
        """Whether it can be looked at from here."""
        return self.host == socket.gethostname()

    @property
    def lives(self) -> bool:
        """Whether it runs on this host; one that only waits to be collected does not."""
        return started_at(self.pid) == self.started


def this_process() -> RunProcess:
    """The process that asks."""
    return RunProcess(socket.gethostname(), os.getpid(), started_at(os.getpid()) or "")


def started_at(pid: int) -> str | None:
    """When the process with this pid was started, None where none lives."""
    if Path("/proc/self/stat").exists():
        return _by_proc(pid)
    return by_ps(pid)


def _by_proc(pid: int) -> str | None:
    try:
        # The second field is the command's name in brackets, which may hold anything.
        state, *fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    # Of all fields the 22nd: ticks since the machine was started.
    return None if state == "Z" else fields[18]


def by_ps(pid: int) -> str | None:
    """As `started_at` answers where there is no /proc, on macOS say; to the second."""
    told = subprocess.run(
        ["/bin/ps", "-o", "stat=,lstart=", "-p", str(pid)],
        env={"LC_ALL": "C", "TZ": "UTC"},
        capture_output=True,
        text=True,
        check=False,
    ).stdout.split(maxsplit=1)
    return None if not told or told[0].startswith("Z") else told[1].strip()
