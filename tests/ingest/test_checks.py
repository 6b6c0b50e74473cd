"""The door of the data's judgement: the asset's report, and one warning check a source."""

import csv
from dataclasses import replace
from datetime import timedelta

import dagster as dg
import pytest

from ops_platform.ingest.checks import KEY, anomaly_checks, check_name, profiles_asset
from ops_platform.ingest.take_in import take_in
from ops_platform.lake.location import Lake
from ops_platform.settings import Settings
from tests.ingest.conftest import COLUMNS, order
from tests.ingest.test_profiles import LEARNED, NEXT, START, lines


def run(settings: Settings, contracts) -> dg.ExecuteInProcessResult:
    graph = dg.Definitions(
        assets=[profiles_asset(contracts)],
        asset_checks=[anomaly_checks(contracts)],
        resources={"settings": settings},
        jobs=[dg.define_asset_job("all_of_it", selection=dg.AssetSelection.assets(KEY))],
    )
    return graph.resolve_job_def("all_of_it").execute_in_process()


@pytest.fixture
def settings(tmp_path):
    clock = tmp_path / "clock"
    clock.write_text("2023-06-01T00:00:00", encoding="utf-8")
    return Settings(home=tmp_path / "home", clock=str(clock))


def test_an_anomaly_is_a_failed_check_of_its_source(settings, orders_contract, tmp_path):
    folder = tmp_path / "orders"
    folder.mkdir()
    days = [START + timedelta(n) for n in range(LEARNED)]
    rows = [row for day in days for row in lines(order, day)]
    with (folder / "all.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([COLUMNS, *rows, *lines(order, NEXT, times=100)])
    take_in(Lake.at(settings), orders_contract, folder, settings.now())
    undated = replace(orders_contract, name="undated", event_time=None)

    done = run(settings, [orders_contract, undated])

    checks = {check.check_name: check for check in done.get_asset_check_evaluations()}
    orders = checks[check_name("orders")]
    assert not orders.passed
    assert orders.severity == dg.AssetCheckSeverity.WARN
    assert f"orders {NEXT}: distribution of unit_price" in orders.description
    assert orders.metadata["unfit_for_training"].value == 1
    assert checks[check_name("undated")].passed
    assert "no time of the event" in checks[check_name("undated")].description
    [event] = done.asset_materializations_for_node("monitor__profiles")
    assert event.metadata["days_judged"].value == {"orders": LEARNED + 1, "undated": 0}
    assert "▇" in event.metadata["rows_by_day"].value or "█" in event.metadata["rows_by_day"].value


def test_without_a_lake_there_is_nothing_to_judge(settings, orders_contract):
    [check] = run(settings, [orders_contract]).get_asset_check_evaluations()
    assert check.passed
