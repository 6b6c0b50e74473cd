"""The monitor's door: the asset's report and the check on the model."""

import json

import dagster as dg
import pytest

from ops_platform.monitor.alerts import STATE
from ops_platform.monitor.assets import drift_asset
from ops_platform.monitor.checks import CHECK, KEY, drift_check
from ops_platform.monitor.schedules import NIGHTLY, nightly_job
from ops_platform.serve.assets import RELEASE
from ops_platform.serve.checks import PARITY, parity_check
from tests.monitor.conftest import AS_OF, NAME, Home

MODEL = dg.AssetKey(["models", NAME])


@dg.asset(key=MODEL)
def model() -> None:
    """Stands where the model's own asset, which trains, stands in the graph."""


def run(
    home: Home,
    instance: dg.DagsterInstance,
    models: tuple[str, ...] = (NAME,),
    only: dg.AssetSelection | None = None,
) -> dg.ExecuteInProcessResult:
    everything = dg.AssetSelection.all()
    graph = dg.Definitions(
        assets=[drift_asset(list(models)), model],
        asset_checks=[drift_check(NAME)],
        resources={"settings": home.settings},
        executor=dg.in_process_executor,
        jobs=[dg.define_asset_job("some_of_it", selection=only or everything)],
    )
    job = graph.resolve_job_def("some_of_it")
    return job.execute_in_process(instance=instance, raise_on_error=False)


def report(done: dg.ExecuteInProcessResult) -> dict:
    [event] = done.asset_materializations_for_node("monitor__drift")
    return {name: value.value for name, value in event.metadata.items()}


@pytest.mark.parametrize(("strength", "alarms"), [(0.7, True), (0.0, False)])
def test_the_report_and_the_check_tell_of_alarms(home: Home, instance, orders, strength, alarms):
    home.publish(orders(strength))
    home.crown()
    done = run(home, instance)
    told = report(done)
    assert told["dagster/row_count"] == told["rows_added"] > 0
    assert told["periods_judged"] > 15
    assert bool(told["alarms"]) == alarms
    assert ("**alarm**" in told["statistic"]) == alarms
    [check] = done.get_asset_check_evaluations()
    assert (check.asset_key, check.check_name, check.passed) == (MODEL, "drift", not alarms)
    assert check.severity == dg.AssetCheckSeverity.WARN
    assert check.metadata["watched"].value
    if alarms:
        assert check.metadata["alarm"].value in told["alarms"][-1]
    again = report(run(home, instance))
    assert (again["rows_added"], again["periods_judged"], again["alarms"]) == (0, 0, [])
    assert again["dagster/row_count"] == told["dagster/row_count"]


def test_a_graph_without_a_champion_has_nothing_to_watch(home: Home, instance, orders):
    home.publish(orders())
    done = run(home, instance)
    assert report(done)["models"] == {NAME: "there is no champion yet"}
    [check] = done.get_asset_check_evaluations()
    assert check.passed
    assert not check.metadata["watched"].value


def test_the_models_check_is_up_to_date_once_drift_has_judged(home: Home, instance, orders):
    home.publish(orders(0.7), AS_OF)
    home.crown()
    run(home, instance)
    check = dg.AssetCheckKey(MODEL, CHECK)
    assert shown(instance, check).passed

    home.publish(orders(0.7))
    done = run(home, instance, only=dg.AssetSelection.assets(KEY))
    assert done.get_asset_check_evaluations() == []
    found = shown(instance, check)
    assert not found.passed
    assert found.severity == dg.AssetCheckSeverity.WARN
    assert found.metadata["alarm"].value in report(done)["alarms"][-1]


def shown(instance: dg.DagsterInstance, check: dg.AssetCheckKey) -> dg.AssetCheckEvaluation:
    """What the graph shows of a check: the newest evaluation, made since the model was."""
    record = instance.event_log_storage.get_latest_asset_check_execution_by_key([check])[check]
    made = instance.get_latest_materialization_event(check.asset_key)
    assert record.create_timestamp >= int(made.timestamp)  # kept in whole seconds
    return record.event.dagster_event.event_specific_data


def test_a_model_that_cannot_be_watched_keeps_no_other_from_it(home: Home, instance, orders):
    home.publish(orders(0.7))
    home.crown()
    home.crown(name="stranger")

    done = run(home, instance, ("stranger", NAME), only=dg.AssetSelection.assets(KEY))

    failure = done.failure_data_for_node("monitor__drift").user_failure_data
    assert failure.description.startswith("stranger: ")
    assert home.read("SELECT DISTINCT model FROM monitor.drift") == [(NAME,)]
    told = json.loads((home.settings.home / "monitor" / STATE).read_text())
    assert all(one.startswith(f"alarm: {NAME}-v1-") for one in told) and told


def test_the_check_blocks_nothing_and_the_asset_follows_what_is_published():
    asset = drift_asset([NAME])
    assert asset.keys == {KEY}
    assert asset.asset_deps[KEY] == {dg.AssetKey(["lake", "published_features"])}
    [spec] = drift_check(NAME).check_specs
    assert not spec.blocking
    # Who the champion is, the release decides.
    assert {dep.asset_key for dep in spec.additional_deps} == {KEY, RELEASE}


def test_the_nightly_run_asks_the_checks_though_it_trains_nothing():
    model = dg.AssetSpec(["models", "recommender"], group_name="models")
    graph = dg.Definitions(
        [model, dg.AssetSpec(RELEASE, group_name="serve"), drift_asset([NAME])],
        asset_checks=[drift_check("recommender"), parity_check()],
        jobs=[nightly_job(["recommender"])],
        resources={"settings": None},
    )
    layer = graph.resolve_job_def(NIGHTLY).asset_layer

    assert {key.name for key in layer.asset_graph.asset_check_keys} == {CHECK, PARITY}
    assert layer.asset_graph.executable_asset_keys == {KEY}
