"""The door of models: nothing is trained that the training set's asset has not checked."""

import shutil

import dagster as dg
import pytest

from ops_platform.errors import TrainingError
from ops_platform.models.assets import model_asset, training_set_asset
from ops_platform.models.training import read_training_set
from ops_platform.settings import Settings
from tests.models.conftest import AS_OF, order_lines
from tests.monitor.conftest import NAME, Home


@pytest.fixture
def home(fresh_store, tmp_path) -> Home:
    (tmp_path / "mlflow").mkdir()
    shutil.copy(fresh_store, tmp_path / "mlflow" / "mlflow.db")
    made = Home(Settings(home=tmp_path))
    made.publish(order_lines(), AS_OF)
    return made


def test_a_model_of_label_times_is_refused_where_it_can_not_be_told_what_had_come(home):
    late = {"fct_interactions": {"orders"}}
    with pytest.raises(TrainingError, match="fct_interactions has no column delivery, so customer"):
        read_training_set(home.lake, "purchase_probability", late)
    # Of one moment, the newest day's end, by which all has come.
    assert len(read_training_set(home.lake, NAME, late).rows)


def test_a_model_is_not_trained_on_what_does_not_hold_or_was_not_checked(home):
    assets = {
        one.key.path[-1]: one for one in (training_set_asset(NAME, []), model_asset(NAME, []))
    }

    with dg.instance_for_test() as instance:

        def run(name: str) -> str:
            done = dg.materialize(
                list(assets.values()),
                selection=[assets[name]],
                instance=instance,
                resources={"settings": home.settings},
                raise_on_error=False,
            )
            failed = done.all_node_events if not done.success else []
            return " ".join(
                event.step_failure_data.user_failure_data.description
                for event in failed
                if event.is_step_failure
            )

        # Its training set was never made here, which would have checked the lake.
        file = next(home.lake.data_path.rglob("dim_products/*.parquet"))
        content = file.read_bytes()
        file.unlink()
        assert "the lake does not hold, nothing is trained on it" in run(NAME)
        file.write_bytes(content)
        assert run("training_set") == ""
        home.publish(order_lines()[:-50], AS_OF)
        assert "another snapshot was published since models/recommender/training_set" in run(NAME)
    assert home.registry.newest(NAME) is None
