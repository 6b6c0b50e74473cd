"""Dagster's own daemon does it all: landing, marts, features, and a training that is killed."""

import contextlib
import os
import signal
import subprocess
import time
from datetime import date

import dagster as dg
import pytest

from ops_platform.automation import CAUSE_TAG, RETRAINING
from ops_platform.models.registry import Registry
from ops_platform.processes import environment, executable
from ops_platform.serve import release
from ops_platform.settings import PROJECT, Settings
from ops_platform.simulate.shop import Shop, write_orders

pytestmark = [pytest.mark.graph, pytest.mark.long]
PATIENCE = 300


@pytest.fixture
def settings(tmp_path):
    """A home without anything in it, and deliveries of orders."""
    write_orders(Shop(start=date(2024, 1, 1), days=60, customers=60, products=50), tmp_path / "in")
    return Settings(
        home=tmp_path / "home", source={"orders": str(tmp_path / "in")}, retry_seconds=0.1
    )


@pytest.fixture
def daemon(settings):
    """Starts the daemon, as often as asked; all that it started ends with the test."""
    started = []

    def start():
        log = (settings.home / "daemon.log").open("ab")
        process = subprocess.Popen(
            [executable("dagster-daemon"), "run", "-w", str(PROJECT / "workspace.yaml")],
            env=environment(settings), cwd=PROJECT, stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip
        started.append(process)
        return process

    yield start
    for process in started:
        _kill(process)


def _kill(process):
    """With all that it has started: the code server, and with it the runs."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _wait(what, condition):
    deadline = time.monotonic() + PATIENCE
    while not (found := condition()):
        assert time.monotonic() < deadline, what
        time.sleep(0.2)
    return found


def test_deliveries_become_a_champion_by_the_daemon_alone_also_when_it_is_killed_in_training(
    settings, daemon
):
    registry = Registry(settings.mlflow_tracking_uri, settings.mlflow_artifact_root)
    instance = dg.DagsterInstance.from_config(environment(settings)["DAGSTER_HOME"])

    def runs(status):
        return instance.get_runs(dg.RunsFilter(job_name=RETRAINING, statuses=[status]))

    first = daemon()
    (killed,) = _wait("the sensor's run", lambda: runs(dg.DagsterRunStatus.STARTED))
    _kill(first)
    assert registry.champion("recommender") is None

    daemon()
    _wait("the dead run is failed", lambda: runs(dg.DagsterRunStatus.FAILURE))
    (healed,) = _wait("the second attempt", lambda: runs(dg.DagsterRunStatus.SUCCESS))

    assert healed.run_id != killed.run_id
    assert [r.run_id for r in runs(dg.DagsterRunStatus.FAILURE)] == [killed.run_id]
    champion = registry.champion("recommender")
    assert champion.version == registry.newest("recommender").version
    assert champion.tags["cause"] == healed.tags[CAUSE_TAG] == "recommender has no champion yet"
    folder = release.folder_of(settings.releases, "recommender")
    assert release.version_of(release.pointed(folder), folder) == champion.version
