"""The calendar's own requests: the night's, and on Mondays a challenger for an old champion."""

from datetime import UTC, datetime, timedelta

import dagster as dg
import pytest
from dagster._core.definitions.schedule_definition import ScheduleExecutionData

from ops_platform.automation import CAUSE_TAG, MAX_RETRIES
from ops_platform.monitor.reference import SPAN_DAYS
from ops_platform.monitor.schedules import NIGHTLY, nightly_schedule, weekly_schedule
from tests.monitor.conftest import NAME, NEWEST, Home

MONDAY = datetime(2024, 4, 22, 4, tzinfo=UTC)


@pytest.fixture
def monday(home: Home):
    """Ticks the fallback on a Monday."""

    def tick(time: datetime = MONDAY, models: tuple[str, ...] = (NAME,)) -> ScheduleExecutionData:
        context = dg.build_schedule_context(
            scheduled_execution_time=time, resources={"settings": home.settings}
        )
        return weekly_schedule(list(models)).evaluate_tick(context)

    return tick


def test_before_anything_is_published_the_fallback_waits(monday):
    assert monday().skip_message == "no features are published yet"


def test_a_champion_is_left_to_the_alarm_until_it_is_old(home: Home, orders, monday):
    home.publish(orders())
    home.crown(NEWEST - timedelta(days=SPAN_DAYS - 1))

    found = monday()

    assert found.run_requests == []
    assert found.skip_message == "recommender version 1 is 27 days old, retrained from 28 on"


def test_an_old_champion_is_asked_for_once_a_week(home: Home, orders, monday):
    home.publish(orders())
    home.crown(NEWEST - timedelta(days=SPAN_DAYS))

    (request,), (again,) = monday().run_requests, monday(MONDAY + timedelta(hours=9)).run_requests

    assert request.run_key == again.run_key
    assert request.tags[CAUSE_TAG] == "weekly retraining: recommender version 1 is 28 days old"
    assert request.tags.items() >= MAX_RETRIES.items()
    (next_week,) = monday(MONDAY + timedelta(days=7)).run_requests
    assert next_week.run_key != request.run_key


def test_only_the_models_that_are_due_are_asked_for(home: Home, orders, monday):
    home.publish(orders())
    home.crown(NEWEST)

    (request,) = monday(models=(NAME, "other")).run_requests

    assert request.tags[CAUSE_TAG] == "weekly retraining: other has no champion yet"
    assert request.asset_selection == [
        dg.AssetKey(["models", "other", "training_set"]),
        dg.AssetKey(["models", "other"]),
        dg.AssetKey(["serve", "release"]),
    ]


def test_the_calendar_asks_at_its_times_from_the_start():
    nightly, weekly = nightly_schedule(), weekly_schedule([NAME])

    assert [nightly.cron_schedule, weekly.cron_schedule] == ["0 2 * * *", "0 4 * * 1"]
    assert nightly.default_status == weekly.default_status == dg.DefaultScheduleStatus.RUNNING
    (request,) = nightly.evaluate_tick(dg.build_schedule_context()).run_requests
    assert request.job_name in (NIGHTLY, None)
