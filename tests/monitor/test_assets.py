"""The monitor's door: the asset's report and the check on the model."""

import dagster as dg
import pytest

from ops_platform.monitor.assets import CHECK, KEY, drift_asset, drift_check
from ops_platform.monitor.schedules import NIGHTLY, nightly_job
from tests.monitor.conftest import NAME, Home

MODEL = dg.AssetKey(["models", NAME])


@dg.asset(key=MODEL)
def model() -> None:
    """Stands where the model's own asset, which trains, stands in the graph."""


def run(home: Home) -> dg.ExecuteInProcessResult:
    graph = dg.Definitions(
        assets=[drift_asset(), model],
        asset_checks=[drift_check(NAME)],
        resources={"settings": home.settings},
        executor=dg.in_process_executor,
        jobs=[dg.define_asset_job("all_of_it", selection=dg.AssetSelection.all())],
    )
    return graph.resolve_job_def("all_of_it").execute_in_process()


def report(done: dg.ExecuteInProcessResult) -> dict:
    [event] = done.asset_materializations_for_node("monitor__drift")
    return {name: value.value for name, value in event.metadata.items()}


@pytest.mark.parametrize(("strength", "alarms"), [(0.7, True), (0.0, False)])
def test_the_report_and_the_check_tell_of_alarms(home: Home, orders, strength, alarms):
    home.publish(orders(strength))
    home.crown()
    done = run(home)
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
    again = report(run(home))
    assert (again["rows_added"], again["periods_judged"], again["alarms"]) == (0, 0, [])
    assert again["dagster/row_count"] == told["dagster/row_count"]


def test_a_graph_without_a_champion_has_nothing_to_watch(home: Home, orders):
    home.publish(orders())
    done = run(home)
    assert report(done)["models"] == {NAME: "there is no champion yet"}
    [check] = done.get_asset_check_evaluations()
    assert check.passed
    assert not check.metadata["watched"].value


def test_the_check_blocks_nothing_and_the_asset_follows_what_is_published():
    asset = drift_asset()
    assert asset.keys == {KEY}
    assert asset.asset_deps[KEY] == {dg.AssetKey(["lake", "published_features"])}
    [spec] = drift_check(NAME).check_specs
    assert not spec.blocking


def test_the_nightly_run_asks_the_check_though_it_trains_nothing():
    model = dg.AssetSpec(["models", "recommender"], group_name="models")
    graph = dg.Definitions(
        [model, drift_asset()],
        asset_checks=[drift_check("recommender")],
        jobs=[nightly_job(["recommender"])],
        resources={"settings": None},
    )
    layer = graph.resolve_job_def(NIGHTLY).asset_layer

    assert {key.name for key in layer.asset_graph.asset_check_keys} == {CHECK}
    assert layer.asset_graph.executable_asset_keys == {KEY}
