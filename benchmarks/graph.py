"""The graph as a user starts it: Dagster's own command in a process of its own, and its log."""

import os
import re
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks.kill import kill_group
from ops_platform.lake.location import Lake
from ops_platform.settings import PROJECT, TELEMETRY_OFF, Settings

COMMAND = (
    str(Path(sys.executable).with_name("dagster")),
    *("asset", "materialize", "-m", "ops_platform.definitions", "--select", "*"),
)
STARTED = re.compile(r'STEP_START - Started execution of step "(?P<step>.+)"')
ENDED = re.compile(r'STEP_(?:SUCCESS|FAILURE) - \w+ execution of step "(?P<step>.+?)"')
START_UP, CLOSING = "start-up", "closing"


@dataclass(frozen=True)
class Home:
    """An `OPS_HOME` and the folder that its orders are delivered to."""

    path: Path
    orders: Path

    @property
    def settings(self) -> Settings:
        """The settings that the processes of this home have."""
        return Settings(home=self.path, source={"orders": str(self.orders)})

    @property
    def lake(self) -> Lake:
        """Its lake."""
        return Lake.at(self.settings)

    @property
    def environment(self) -> dict[str, str]:
        """A user's environment: nothing of this process's `OPS_*`, Dagster's instance temporary."""
        strange = ("OPS_", "DAGSTER_HOME", "PYTHONDONTWRITEBYTECODE")
        own = {name: value for name, value in os.environ.items() if not name.startswith(strange)}
        return {
            **own,
            **TELEMETRY_OFF,
            "PYTHONUNBUFFERED": "1",
            "OPS_HOME": str(self.path),
            "OPS_SOURCE_ORDERS": str(self.orders),
        }


@dataclass(frozen=True)
class Run:
    """A run that ended: wall time of the whole process, and of each of its parts in order."""

    seconds: float
    parts: dict[str, float]
    log: str


def materialize(home: Home, extra: dict[str, str] | None = None, timeout: float = 1800) -> Run:
    """Materialize the whole graph.

    Raises RuntimeError with the end of the log when the run fails, or is killed at `timeout`.
    """
    start = time.monotonic()
    marks, log = [(START_UP, start)], []
    with subprocess.Popen(
        COMMAND,
        env={**home.environment, **(extra or {})},
        # Dagster puts its temporary instance into the working folder.
        cwd=home.path.parent,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as process:
        assert process.stdout is not None
        limit = threading.Timer(timeout, kill_group, [process.pid])
        limit.start()
        try:
            for line in process.stdout:
                log.append(line)
                if part := _part_that_begins(line):
                    marks.append((part, time.monotonic()))
        except BaseException:
            kill_group(process.pid)
            raise
        finally:
            limit.cancel()
    end = time.monotonic()
    if process.returncode:
        raise RuntimeError(f"the run ended with {process.returncode}:\n{''.join(log[-60:])}")
    return Run(end - start, _lengths(marks, end), "".join(log))


def _part_that_begins(line: str) -> str | None:
    if started := STARTED.search(line):
        return started["step"].replace("__", "/")
    return CLOSING if "ENGINE_EVENT - Finished steps" in line else None


def _lengths(marks: list[tuple[str, float]], end: float) -> dict[str, float]:
    times = [moment for _, moment in marks[1:]] + [end]
    return {part: until - since for (part, since), until in zip(marks, times, strict=True)}


def running_step(log: str) -> str:
    """The step that had begun and not ended when the log broke off."""
    began = [match["step"] for match in STARTED.finditer(log)]
    if not began:
        return START_UP
    ended = {match["step"] for match in ENDED.finditer(log)}
    return began[-1].replace("__", "/") if began[-1] not in ended else f"after {began[-1]}"


def real_orders() -> Path | None:
    """The folder of the real order files, or None where it is absent."""
    given = os.environ.get("OPS_TEST_REAL_DATA")
    folder = Path(given) if given else PROJECT.parent / "shared" / "data" / "online-retail"
    return folder.absolute() if folder.is_dir() else None
