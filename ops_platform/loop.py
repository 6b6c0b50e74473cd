"""The loop as it runs: daemon and service started, days delivered, and what follows told.

Nothing here asks for a run: the daemon's own sensors do. So what is seen of it is read where a
person would: in Dagster's instance, in the registry, in the lake, and at the service.
"""

import json
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any

import dagster as dg

from ops_platform.automation import CAUSE_TAG, RETRAINING
from ops_platform.errors import OpsError
from ops_platform.features.build import published_day
from ops_platform.lake.location import Lake
from ops_platform.models.registry import Registry
from ops_platform.monitor.alarms import newest_alarm
from ops_platform.processes import end_all_of, end_on_sigterm, environment, executable
from ops_platform.serve import keys
from ops_platform.settings import PROJECT, Settings

POLL_SECONDS = 0.5
_ENDED = {dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED}
_UNFINISHED = dg.RunsFilter(statuses=[one for one in dg.DagsterRunStatus if one not in _ENDED])
Say = Callable[[str], object]


@dataclass
class Loop:
    """A running platform, and what of it has been told so far.

    Parameters
    ----------
    settings : its clock is a file, which `deliver` advances.
    model : the one whose service is asked.
    port : of the service.
    say : told each event, a line each.
    """

    settings: Settings
    model: str
    port: int
    say: Say
    daemon: "subprocess.Popen[bytes] | None" = None
    key: str = field(default="", repr=False)
    _told: set[str] = field(default_factory=set)
    served: int | None = None
    alarmed_at: float | None = None
    seconds_to_serve: list[float] = field(default_factory=list)

    @cached_property
    def _instance(self) -> dg.DagsterInstance:
        return dg.DagsterInstance.from_config(str(self.settings.home / "dagster"))

    @cached_property
    def _registry(self) -> Registry:
        return Registry(self.settings.mlflow_tracking_uri, self.settings.mlflow_artifact_root)

    @contextmanager
    def running(self) -> Iterator["Loop"]:
        """Daemon and service, ended with the block; their logs are in `OPS_HOME/logs`."""
        end_on_sigterm()
        logs = self.settings.home / "logs"
        logs.mkdir(parents=True, exist_ok=True)
        now = self.settings.now()
        self.key = keys.create(self.settings.keys, "the loop", ["recommend"], now)
        started: list[subprocess.Popen[bytes]] = []
        try:
            for name, command in {
                "daemon": [
                    executable("dagster-daemon"), "run", "-w", str(PROJECT / "workspace.yaml"),
                ],
                "service": [
                    sys.executable, "-m", "ops_platform.serve",
                    "--port", str(self.port), "--model", self.model,
                ],
            }.items():  # fmt: skip
                with (logs / f"{name}.log").open("ab") as log:
                    started.append(
                        subprocess.Popen(
                            command,
                            env=environment(self.settings),
                            cwd=PROJECT,
                            stdout=log,
                            stderr=subprocess.STDOUT,
                            start_new_session=True,
                        )
                    )
            self.daemon = started[0]
            yield self
        finally:
            for process in started:
                end_all_of(process)

    def advance(self, day: date) -> None:
        """Let the platform's clock stand at the morning after a day."""
        clock = Path(self.settings.clock)
        aside = clock.with_suffix(".part")
        aside.write_text(f"{day + timedelta(days=1)}T06:00:00", encoding="utf-8")
        aside.replace(clock)

    def settle(self, day: date, timeout: float = 600) -> None:
        """Wait until all that is delivered has been dealt with, up to the events of `day`.

        That is: its features are published, the monitor has seen them, the champion serves, no run
        is left, and where there is an alarm the retraining sensor has ticked since. Raises OpsError
        when for so many seconds nothing has happened: a slow machine is no fault.
        """
        deadline, done = time.monotonic() + timeout, self._progress()
        while not self._is_settled(day):
            if self.daemon is not None and self.daemon.poll() is not None:
                raise OpsError(f"the daemon ended: see {self.settings.home / 'logs'}")
            if done != (done := self._progress()):
                deadline = time.monotonic() + timeout
            if time.monotonic() > deadline:
                raise OpsError(
                    f"the events of {day} are not dealt with, and nothing has happened for "
                    f"{timeout:.0f} s: see {self.settings.home / 'logs'}"
                )
            time.sleep(POLL_SECONDS)

    def _progress(self) -> tuple[int, dict[str, str]]:
        """How much there was to tell, and how far the log of each run has come that goes on."""
        going = self._instance.get_runs(_UNFINISHED)
        newest = {
            run.run_id: self._instance.get_records_for_run(run.run_id, limit=1, ascending=False)
            for run in going
        }
        return len(self._told), {run: records.cursor for run, records in newest.items()}

    def _is_settled(self, day: date) -> bool:
        self.look()
        published = published_day(Lake.at(self.settings))
        if published is None or published < day or self._unfinished():
            return False
        champion = self._registry.champion(self.model)
        if champion is None or champion.version != self.served:
            return False
        watched = self._instance.get_latest_materialization_event(dg.AssetKey(["monitor", "drift"]))
        features = self._instance.get_latest_materialization_event(
            dg.AssetKey(["lake", "published_features"])
        )
        if watched is None or features is None or watched.timestamp < features.timestamp:
            return False
        if newest_alarm(Lake.at(self.settings), self.model, champion.version) is None:
            return True
        # A run that a tick asks for is there before the tick has ended.
        return self._has_ticked_since(watched.timestamp) and not self._unfinished()

    def _unfinished(self) -> bool:
        return self._instance.get_runs_count(_UNFINISHED) > 0

    def _has_ticked_since(self, moment: float) -> bool:
        for state in self._instance.all_instigator_state():
            if state.instigator_name == RETRAINING:
                ticks = self._instance.get_ticks(
                    state.instigator_origin_id, state.selector_id, after=moment, limit=3
                )
                return any(tick.end_timestamp for tick in ticks)
        return False

    def look(self) -> None:
        """Tell what is new: alarms, the sensor's runs, what the gate decided, what is served."""
        self._tell_alarm()
        self._tell_runs()
        self._tell_gate()
        self._tell_service()

    def _tell_alarm(self) -> None:
        champion = self._registry.champion(self.model) if self._has_registry else None
        found = champion and newest_alarm(Lake.at(self.settings), self.model, champion.version)
        if found and self._is_new(found.id):
            self.alarmed_at = self.alarmed_at or time.time()
            self.say(f"alarm: {found.seen}")

    @property
    def _has_registry(self) -> bool:
        return (self.settings.home / "mlflow" / "mlflow.db").exists()

    def _tell_runs(self) -> None:
        for run in reversed(self._instance.get_runs(dg.RunsFilter(job_name=RETRAINING))):
            cause = run.tags.get(CAUSE_TAG, "by hand")
            by = run.tags.get("dagster/sensor_name") or run.tags.get("dagster/schedule_name")
            if self._is_new(f"{run.run_id} asked"):
                self.say(f"{f'the sensor {by}' if by else 'somebody'} asks for a run: {cause}")
            if run.status == dg.DagsterRunStatus.FAILURE and self._is_new(f"{run.run_id} failed"):
                self.say(f"that run failed: {run.run_id}")

    def _tell_gate(self) -> None:
        newest = self._registry.newest(self.model) if self._has_registry else None
        if newest and self._is_new(f"version {newest.version}"):
            verdict = json.loads(newest.tags["verdict"])
            held_back = "" if verdict["promote"] else ", held back"
            self.say(f"gate on version {newest.version}: {verdict['decision']}{held_back}")

    def _tell_service(self) -> None:
        ready = self.ask("readyz")
        version = ready and ready["version"]
        if version and version != self.served:
            took = ""
            if self.alarmed_at is not None:
                self.seconds_to_serve.append(time.time() - self.alarmed_at)
                took = f", {self.seconds_to_serve[-1]:.0f} s after the alarm"
                self.alarmed_at = None
            self.say(f"the service answers with version {version}{took}")
            self.served = version

    def ask(self, path: str) -> dict[str, Any] | None:
        """What the service answers, None while it has nothing to answer with."""
        address = f"http://127.0.0.1:{self.port}/{path}"
        carrying = {"Authorization": f"Bearer {self.key}"}
        try:
            asked = urllib.request.Request(address, headers=carrying)
            with urllib.request.urlopen(asked, timeout=10) as answer:  # noqa: S310
                found: dict[str, Any] = json.load(answer)
                return found
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            return None

    def _is_new(self, event: str) -> bool:
        new = event not in self._told
        self._told.add(event)
        return new


def free_port() -> int:
    """A port of this machine that nothing listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


def versions(settings: Settings, model: str) -> list[dict[str, object]]:
    """Every version of a model with its as-of, its cause and what the gate decided."""
    registry = Registry(settings.mlflow_tracking_uri, settings.mlflow_artifact_root)
    found = []
    for number in registry.numbers(model):
        version = registry.version(model, number)
        found.append(
            {
                "version": number,
                "as_of": version.tags["as_of"],
                "cause": version.tags["cause"].partition(":")[0],
                "decision": version.tags["decision"],
                "ndcg_at_20": version.metrics.get("ndcg_at_20"),
            }
        )
    return found
