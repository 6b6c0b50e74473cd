"""What the loop tells and how it waits, on a real instance and without a daemon."""

import subprocess
import sys
from datetime import date, datetime

import dagster as dg
import pytest

from ops_platform.automation import CAUSE_TAG, RETRAINING
from ops_platform.errors import OpsError
from ops_platform.loop import Loop, free_port
from ops_platform.processes import environment
from ops_platform.settings import Settings

NAME = "recommender"


@pytest.fixture(scope="module")
def settings(tmp_path_factory):
    """A home with an instance in which nothing has run yet."""
    home = tmp_path_factory.mktemp("loop")
    made = Settings(home=home, clock=str(home / "clock"))
    environment(made)
    return made


@pytest.fixture
def loop(settings):
    said = []
    made = Loop(settings, NAME, free_port(), said.append)
    made.said = said
    return made


def test_the_clock_stands_at_the_morning_after_the_day(loop):
    loop.advance(date(2024, 2, 29))
    assert loop.settings.now() == datetime(2024, 3, 1, 6)
    assert [path.name for path in loop.settings.home.glob("clock*")] == ["clock"]


def test_a_service_that_is_not_there_answers_nothing(loop):
    assert loop.ask("readyz") is None


def test_what_is_not_dealt_with_in_time_is_said(loop):
    with pytest.raises(
        OpsError, match=r"the events of 2024-02-29 are not dealt with, and nothing has"
    ):
        loop.settle(date(2024, 2, 29), timeout=0)


def test_a_daemon_that_ended_is_said_at_once(loop):
    loop.daemon = subprocess.Popen([sys.executable, "-c", ""])
    loop.daemon.wait()
    with pytest.raises(OpsError, match="the daemon ended"):
        loop.settle(date(2024, 2, 29))


def test_each_run_is_told_once_with_who_asked_and_how_it_ended(loop):
    instance = dg.DagsterInstance.from_config(str(loop.settings.home / "dagster"))
    tags = {CAUSE_TAG: "an alarm", "dagster/sensor_name": RETRAINING}
    run = dg.DagsterRun(RETRAINING, tags=tags, status=dg.DagsterRunStatus.STARTED)
    instance.add_run(run)
    for _ in range(2):
        loop.look()
    instance.report_run_failed(run)
    for _ in range(2):
        loop.look()

    assert loop.said == [
        f"the sensor {RETRAINING} asks for a run: an alarm",
        f"that run failed: {run.run_id}",
    ]


def test_a_run_that_goes_on_is_progress(loop):
    instance = dg.DagsterInstance.from_config(str(loop.settings.home / "dagster"))
    run = dg.DagsterRun(RETRAINING, status=dg.DagsterRunStatus.STARTED)
    instance.add_run(run)
    before = loop._progress()
    assert loop._progress() == before
    instance.report_engine_event("a step goes on", run)
    assert loop._progress() != before
    instance.report_run_failed(run)
    assert run.run_id not in loop._progress()[1]
