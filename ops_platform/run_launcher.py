"""Dagster's run launcher, which also tells run monitoring when the process of a run has died."""

from dagster import DagsterEventType, DagsterRun, DefaultRunLauncher
from dagster._core.launcher import CheckRunHealthResult, WorkerStatus

from ops_platform.run_executor import PROCESS
from ops_platform.run_process import RunProcess


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
        """FAILED once its process has ended; RUNNING while it lives, or can't be seen from here."""
        process = self._process(run)
        if process is None or not process.is_seen_from_here or process.lives:
            return CheckRunHealthResult(WorkerStatus.RUNNING)
        return CheckRunHealthResult(
            WorkerStatus.FAILED, f"its process ({process.pid} of {process.host}) is gone"
        )

    def _process(self, run: DagsterRun) -> RunProcess | None:
        """What the run has told of itself, None where it has told nothing."""
        for event in self._instance.all_logs(run.run_id, of_type=DagsterEventType.ENGINE_EVENT):
            metadata = event.dagster_event and event.dagster_event.engine_event_data.metadata
            if metadata and PROCESS in metadata:
                return RunProcess(**metadata[PROCESS].value)  # type: ignore[arg-type]
        return None
