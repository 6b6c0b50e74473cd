"""The watching sensors, tick by tick, on a real lake, registry and Dagster instance."""

from datetime import timedelta

import dagster as dg
import pytest

from ops_platform.automation import CAUSE_TAG, RETRAINING
from ops_platform.monitor.sensors import AS_OF_TAG, CAUSE_ID_TAG, retraining_sensor
from ops_platform.serve import release
from ops_platform.settings import Settings
from tests.monitor.conftest import AS_OF, NAME, NEWEST, Home

MODEL = dg.AssetKey(["models", NAME])


@pytest.fixture
def instance():
    with dg.instance_for_test() as made:
        yield made


@pytest.fixture
def tick(home: Home, instance):
    """Ticks the retraining sensor of this home, with settings of the test's own."""

    def tick(**settings) -> dg.SensorResult:
        given = Settings(home=home.settings.home, **settings)
        context = dg.build_sensor_context(instance, resources={"settings": given})
        return retraining_sensor([NAME]).evaluate_tick(context)

    return tick


@pytest.fixture
def alarmed(home: Home, orders) -> Home:
    """A home whose champion alarms."""
    home.publish(orders(0.8))
    home.crown()
    assert home.watch().drift["alarm"].any()
    return home


def run(instance, request, decision: str | None) -> None:
    """A run as the sensor asked for it, in which the gate decides so, or which fails."""

    @dg.asset(key=MODEL)
    def model() -> dg.MaterializeResult:
        if decision is None:
            raise RuntimeError("no memory")
        return dg.MaterializeResult(metadata={"decision": decision})

    job = dg.Definitions(
        [model], jobs=[dg.define_asset_job(RETRAINING, selection=[MODEL])]
    ).resolve_job_def(RETRAINING)
    job.execute_in_process(instance=instance, tags=request.tags, raise_on_error=False)


def test_before_anything_is_published_it_waits(tick):
    assert tick().skip_message == "no features are published yet"


def test_a_model_without_a_champion_is_asked_for(home: Home, orders, tick):
    home.publish(orders(0.0), AS_OF)

    (request,) = tick().run_requests

    assert request.tags[CAUSE_TAG] == f"{NAME} has no champion yet"
    assert MODEL in request.asset_selection
    assert dg.AssetKey(["serve", "release"]) in request.asset_selection


def test_a_champion_without_an_alarm_is_left_alone(home: Home, orders, tick):
    home.publish(orders(0.0))
    home.crown()
    home.watch()

    found = tick()

    assert found.run_requests == []
    assert found.skip_message == "no alarm"


def test_the_alias_follows_a_release_that_somebody_went_back_to(home: Home, orders, tick):
    home.publish(orders(0.0))
    assert (home.crown(), home.crown()) == (1, 2)
    folder = release.folder_of(home.settings.releases, NAME)
    folder.mkdir(parents=True)

    release.point_to(folder, "v1-0123456789ab")
    assert tick().skip_message == "no alarm"
    assert home.registry.champion(NAME).version == 1

    release.point_to(folder, "v9-0123456789ab")
    assert "Can't promote version 9" in tick().skip_message
    assert home.registry.champion(NAME).version == 1


def test_an_alarm_asks_for_one_run_by_its_key_with_its_cause(alarmed: Home, tick):
    (request,), (again,) = tick().run_requests, tick().run_requests

    assert request.run_key == again.run_key == f"{request.tags[CAUSE_ID_TAG]}#1"
    assert request.tags[CAUSE_TAG].startswith(f"alarm {NAME}-v1-")
    assert request.tags[AS_OF_TAG] == NEWEST.isoformat()


def test_a_young_champion_waits_and_says_so(alarmed: Home, tick):
    days = (NEWEST - AS_OF + timedelta(days=1)).days

    found = tick(cooldown_days=days)

    assert found.run_requests == []
    assert f"{days} are needed" in found.skip_message


def test_a_challenger_that_loses_settles_the_alarm(alarmed: Home, tick, instance):
    run(instance, tick().run_requests[0], "worse")

    found = tick()

    assert found.run_requests == []
    assert "settled, worse" in found.skip_message


def test_a_failed_run_is_tried_again_under_another_key(alarmed: Home, tick, instance):
    first = tick().run_requests[0]
    run(instance, first, None)

    assert tick(retry_seconds=3600).run_requests == []
    (second,) = tick(retry_seconds=0).run_requests
    assert second.run_key == first.run_key.replace("#1", "#2")


def test_too_early_is_asked_again_only_when_there_are_newer_days(
    alarmed: Home, orders, tick, instance
):
    request = tick().run_requests[0]
    run(instance, request._replace(tags={**request.tags, AS_OF_TAG: "2024-04-01"}), "too early")
    assert len(tick().run_requests) == 1

    run(instance, request, "too early")
    assert "newer days are awaited" in tick().skip_message
