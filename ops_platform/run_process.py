"""Which process executes a run: host, namespace, pid and start, for a pid alone is used again."""

import os
import socket
import subprocess
from dataclasses import dataclass
from pathlib import Path

# The pid namespace of a machine itself (PROC_PID_INIT_INO of Linux).
MACHINE = "pid:[4026531836]"


@dataclass(frozen=True)
class RunProcess:
    """A process; `namespace` and `started` are the system's own texts, only ever compared."""

    host: str
    namespace: str
    pid: int
    started: str

    @property
    def is_seen_from_here(self) -> bool:
        """Whether its pid means here what it means there."""
        return (self.host, self.namespace) == (socket.gethostname(), namespace())

    @property
    def lives(self) -> bool:
        """Whether it runs, as seen from here; one that only waits to be collected does not."""
        return started_at(self.pid) == self.started


def this_process() -> RunProcess:
    """The process that asks."""
    pid = os.getpid()
    return RunProcess(socket.gethostname(), namespace(), pid, started_at(pid) or "")


def namespace() -> str:
    """The container in which pids are counted, whose hostname others may have; else empty.

    Of a machine it is the same after it was started anew: what ran there then is gone.
    """
    try:
        own = str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        return ""
    # Another machine may give another container the same number.
    boot = Path("/proc/sys/kernel/random/boot_id")
    return "" if own == MACHINE else f"{own} {boot.read_text().strip()}"


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
