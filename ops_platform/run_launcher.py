"""Dagster's run launcher, which also tells run monitoring when the process of a run has died."""

import os
from pathlib import Path

from dagster import DagsterEventType, DagsterRun, DefaultRunLauncher
from dagster._core.launcher import CheckRunHealthResult, WorkerStatus


class WatchedRunLauncher(DefaultRunLauncher):
    """A run whose process was killed would stay started, and block all runs behind it.

    The code server fails the runs that it started itself, unless it was killed too; and nobody
    fails those that somebody started at the prompt.
    """

    @property
    def supports_check_run_worker_health(self) -> bool:
        """Run monitoring may ask."""
        return True

    def check_run_worker_health(self, run: DagsterRun) -> CheckRunHealthResult:
        """FAILED once none of its processes lives; RUNNING while one does, or none is known."""
        processes = self._processes(run)
        if not processes or any(map(lives, processes)):
            return CheckRunHealthResult(WorkerStatus.RUNNING)
        return CheckRunHealthResult(
            WorkerStatus.FAILED, f"its process ({', '.join(map(str, processes))}) is gone"
        )

    def _processes(self, run: DagsterRun) -> list[int]:
        events = self._instance.all_logs(run.run_id, of_type=DagsterEventType.ENGINE_EVENT)
        found = [
            event.dagster_event.engine_event_data.metadata.get("pid")
            for event in events
            if event.dagster_event is not None
        ]
        return sorted({int(str(pid.value)) for pid in found if pid is not None})


def lives(pid: int) -> bool:
    """Whether a process of this machine runs; one that only waits to be collected does not."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    try:
        state = Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        # Not a Linux, or gone just now, which the next look will see.
        return True
    return state.rpartition(")")[2].split()[0] != "Z"
