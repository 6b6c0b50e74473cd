"""The door of features: rows that break a schema stop what follows, and are shown."""

import shutil
from dataclasses import replace
from pathlib import Path

import dagster as dg
import pandera.ibis as pa
import pytest

from ops_platform.features.assets import feature_asset, published_features, schema_check
from ops_platform.features.view import FeatureView
from ops_platform.features.views import customer_products
from ops_platform.lake.published import published
from ops_platform.settings import Settings
from tests.models.conftest import AS_OF, fresh_store, order_lines  # noqa: F401
from tests.monitor.conftest import Home

VIEW = customer_products.VIEW


@pytest.fixture
def home(fresh_store: Path, tmp_path: Path) -> Home:  # noqa: F811
    (tmp_path / "mlflow").mkdir()
    shutil.copy(fresh_store, tmp_path / "mlflow" / "mlflow.db")
    made = Home(Settings(home=tmp_path, as_of=AS_OF))
    made.publish(order_lines(), AS_OF)
    return made


def run(home: Home, view: FeatureView) -> dg.ExecuteInProcessResult:
    graph = dg.Definitions(
        assets=[feature_asset(view), published_features([view], [])],
        asset_checks=[schema_check(view)],
        resources={"settings": home.settings},
        executor=dg.in_process_executor,
    )
    job = graph.resolve_implicit_global_asset_job_def()
    return job.execute_in_process(raise_on_error=False)


def test_rows_that_break_the_schema_are_shown_and_nothing_is_published(home):
    before = published(home.lake)
    done = run(home, VIEW)
    assert done.success
    columns = {**VIEW.schema.columns, "product_id": pa.Column(str, pa.Check.ne("p003"))}
    done = run(home, replace(VIEW, schema=pa.DataFrameSchema(columns)))

    [check] = done.get_asset_check_evaluations()
    assert not check.passed
    lines = order_lines()
    broken = int((lines["product_id"] == "p003").sum())
    assert check.metadata["failures"].value == broken > 0
    assert check.metadata["broken"].value == ["product_id: not_equal_to(p003)"]
    shown = check.metadata["failing_rows"].value.splitlines()[2:-1]
    first = sorted(lines[lines["product_id"] == "p003"]["customer_id"])[:20]
    assert [line.split()[:2] for line in shown] == [[customer, "p003"] for customer in first]
    assert not done.success
    assert not done.asset_materializations_for_node("lake__published_features")
    assert published(home.lake) == before


def test_features_without_a_row_are_remarked_on_and_pass(home):
    home.publish(order_lines()[:0], AS_OF)
    done = run(home, VIEW)
    [check] = done.get_asset_check_evaluations()
    assert check.passed
    assert check.metadata["remarks"].value == ["there are no rows"]
