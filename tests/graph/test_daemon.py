"""Dagster's own daemon on a real instance: its sensor trains, also when it was killed in the midst."""

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

pytestmark = pytest.mark.graph
PATIENCE = 120


@pytest.fixture(scope="module")
def settings(tmp_path_factory):
    """A home whose features are published, and that has no champion yet."""
    folder = tmp_path_factory.mktemp("daemon")
    write_orders(
        Shop(start=date(2024, 1, 1), days=60, customers=60, products=50), folder / "orders"
    )
    settings = Settings(
        home=folder / "home", source={"orders": str(folder / "orders")}, retry_seconds=0.1
    )
    command = [executable("dagster"), "asset", "materialize", "-m", "ops_platform.definitions"]
    done = subprocess.run(
        [*command, "--select", "*lake/published_features"],
        env=environment(settings), cwd=PROJECT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return settings


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


def test_a_daemon_killed_in_a_retraining_run_leaves_nothing_that_blocks(settings, daemon):
    registry = Registry(settings.mlflow_tracking_uri, settings.mlflow_artifact_root)
    instance = dg.DagsterInstance.from_config(str(settings.home / "dagster"))

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
