"""Dagster's own daemon does it all: landing, marts, features, a training that is killed, the gate."""

import contextlib
import csv
import os
import signal
import subprocess
import time
from datetime import date, timedelta

import dagster as dg
import pytest

from ops_platform.automation import CAUSE_TAG, RETRAINING
from ops_platform.loop import Loop, free_port
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


def _mix_up(file):
    """Give the day's orders to one another's customers, so that every count stays as it is."""
    with file.open(newline="", encoding="utf-8") as lines:
        header, *rows = csv.reader(lines)
    column = header.index("CustomerID")
    came = sorted({row[column] for row in rows} - {""})
    instead = {"": ""} | dict(zip(came, [*came[1:], *came[:1]], strict=True))
    for row in rows:
        row[column] = instead[row[column]]
    with file.open("w", newline="", encoding="utf-8") as lines:
        csv.writer(lines).writerows([header, *rows])


def _verdict(instance):
    """What the newest materialization of the model says of the gate, as it is in Dagster's log."""
    event = instance.get_latest_materialization_event(dg.AssetKey(["models", "recommender"]))
    return {
        name: event.asset_materialization.metadata[name].value
        for name in ("decision", "reason", "newest_version", "champion_version")
    }


def _settled(instance):
    """What the retraining sensor says at its newest tick, where a cause is settled by then."""
    for state in instance.all_instigator_state():
        if state.instigator_name == RETRAINING:
            ticks = instance.get_ticks(state.instigator_origin_id, state.selector_id, limit=2)
            said = next((tick.skip_reason for tick in ticks if tick.end_timestamp), None)
            return said if said and "settled" in said else None
    return None


def test_a_worse_challenger_is_held_back_and_the_former_version_goes_on_answering(tmp_path):
    start, first = date(2024, 1, 1), date(2024, 2, 25)
    mixed_up, last = first + timedelta(days=18), first + timedelta(days=26)
    shop = Shop(start=start, days=(last - start).days + 1, customers=200, products=100)
    waiting = {
        date.fromisoformat(file.stem): file for file in write_orders(shop, tmp_path / "waiting")
    }
    for day, file in waiting.items():
        if first < day <= mixed_up:
            _mix_up(file)
    orders = tmp_path / "in"
    orders.mkdir()
    settings = Settings(
        home=tmp_path / "home", source={"orders": str(orders)}, clock=str(tmp_path / "clock"),
        settle_seconds=1, evaluation_days=7,
    )  # fmt: skip
    loop = Loop(settings, "recommender", free_port(), print)
    instance = dg.DagsterInstance.from_config(environment(settings)["DAGSTER_HOME"])
    folder = release.folder_of(settings.releases, "recommender")

    def deliver(after, until):
        loop.advance(until)
        for day, file in waiting.items():
            if after < day <= until:
                file.rename(orders / file.name)
        loop.settle(until)

    loop.advance(first)
    with loop.running():
        deliver(date.min, first)
        assert loop.served == 1
        # What the challenger learns from is wrong, and the days that judge it are right.
        deliver(first, last)
        settled = _wait("the cause is settled", lambda: _settled(instance))
        answered = loop.ask("v1/recommendations/unknown")["version"]

    (run,) = (
        run
        for run in instance.get_runs(dg.RunsFilter(job_name=RETRAINING))
        if run.tags.get(CAUSE_TAG, "").startswith("alarm recommender-v1-")
    )
    verdict = _verdict(instance)
    print(verdict, settled, sep="\n")
    assert run.status == dg.DagsterRunStatus.SUCCESS
    assert verdict["decision"] == "worse"
    assert (verdict["newest_version"], verdict["champion_version"]) == (2, 1)
    assert "so the champion stays" in verdict["reason"]
    assert f"{run.tags[CAUSE_TAG]}: settled, worse" in settled
    # It may be a newer release, of newer features; its model is the former one.
    assert answered == release.version_of(release.pointed(folder), folder) == 1
