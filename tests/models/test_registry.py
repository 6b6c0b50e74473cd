import json
import os
import subprocess
import sys
import time
from datetime import date, datetime
from pathlib import Path

import pandas as pd
import pytest

from ops_platform.errors import RegistryError, StateError
from ops_platform.models import estimators
from ops_platform.models.registry import Registry
from ops_platform.models.state import digest, load, save
from ops_platform.models.zoo.recommender import Recommender

AS_OF = date(2024, 3, 31)
NOW = datetime(2024, 4, 1, 12)
NAME = "recommender"


@pytest.fixture(scope="module")
def model(interactions):
    return Recommender(seed=5).fit(interactions, AS_OF)


def register(registry, model, **tags):
    metrics = {"ndcg": 0.3, "ndcg_popularity": 0.1}
    return registry.register(NAME, model, metrics=metrics, tags={"cause": "test", **tags}, now=NOW)


def stored(tmp_path: Path) -> Path:
    return next((tmp_path / "artifacts").rglob("state.npz"))


def test_an_empty_registry_has_no_versions_and_looking_leaves_none(registry):
    assert registry.champion(NAME) is None
    assert registry.newest(NAME) is None
    assert registry._registered(NAME) is None


def test_a_version_carries_its_provenance_and_comes_back(registry, model):
    assert register(registry, model, snapshot="17") == 1
    found = registry.newest(NAME)
    assert found.version == 1
    assert found.tags["snapshot"] == "17"
    assert found.tags["state_digest"] == digest(model.state())
    assert json.loads(found.tags["params"]) == model.get_params()
    assert found.metrics == {"ndcg": 0.3, "ndcg_popularity": 0.1}
    again = registry.load(NAME, 1)
    assert again.get_params() == model.get_params()
    assert digest(again.state()) == digest(model.state())


def test_the_champion_is_who_was_promoted_and_not_the_newest(registry, model):
    register(registry, model)
    register(registry, model)
    assert registry.champion(NAME) is None
    registry.promote(NAME, 1)
    registry.promote(NAME, 1)
    assert (registry.champion(NAME).version, registry.newest(NAME).version) == (1, 2)


def test_more_than_nine_versions_are_ordered_by_number_and_deleted_ones_left_out(registry, model):
    for _ in range(10):
        register(registry, model)
    assert registry.newest(NAME).version == 10
    registry._client.delete_model_version(NAME, "2")
    assert registry.numbers(NAME) == [1, *range(3, 11)]


def test_nothing_pickled_is_stored_and_no_process_started(registry, model, tmp_path, monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError(f"started {args}")

    monkeypatch.setattr(subprocess, "Popen", refuse)
    register(registry, model)
    files = {path.name for path in (tmp_path / "artifacts").rglob("*") if path.is_file()}
    assert {"pyfunc.py", "state.npz", "MLmodel"} <= files
    assert not [name for name in files if name.endswith((".pkl", ".pickle", ".joblib"))]
    assert os.environ["MLFLOW_DISABLE_TELEMETRY"] == "true"


def test_no_store_is_made_in_the_working_folder(registry, model, tmp_path, monkeypatch):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    register(registry, model)
    registry.load(NAME, 1)
    assert list(elsewhere.iterdir()) == []


def test_a_changed_state_is_not_loaded(registry, model, tmp_path):
    register(registry, model)
    state = load(stored(tmp_path), digest(model.state()))
    save({**state, "popularity": state["popularity"] + 1e-12}, stored(tmp_path))
    with pytest.raises(StateError, match="changed or damaged"):
        registry.load(NAME, 1)


def test_a_lost_state_is_said_to_be_lost(registry, model, tmp_path):
    register(registry, model)
    stored(tmp_path).unlink()
    with pytest.raises((RegistryError, StateError), match=r"state\.npz"):
        registry.load(NAME, 1)


@pytest.mark.parametrize("act", ["load", "promote"])
def test_a_version_that_is_not_there_is_refused(registry, act):
    with pytest.raises(RegistryError, match=r"There is no version 7 of 'recommender'.*deleted"):
        getattr(registry, act)(NAME, 7)


def test_a_version_registered_by_something_else_is_refused(registry, model):
    register(registry, model)
    registry._client.delete_model_version_tag(NAME, "1", "state_digest")
    with pytest.raises(RegistryError, match="lacks the tags state_digest"):
        registry.load(NAME, 1)


def test_a_foreign_version_is_in_nobodys_way(registry, model):
    register(registry, model)
    source = registry._client.get_model_version(NAME, "1").source
    registry._client.create_model_version(NAME, source)
    assert [one.version for one in registry.versions(NAME)] == [1]
    assert registry.newest(NAME).version == 1


def test_a_version_that_could_not_be_registered_leaves_a_run_that_failed(
    registry, model, monkeypatch
):
    # A name that MLflow refuses, once all else of the run is written.
    with pytest.raises(RegistryError, match="Can't register a version"):
        registry.register("a/b", model, metrics={}, tags={}, now=NOW)
    [experiment] = [e for e in registry._client.search_experiments() if e.name == "a/b"]
    assert [
        run.info.status for run in registry._client.search_runs([experiment.experiment_id])
    ] == ["FAILED"]


def test_a_version_without_its_record_of_registration_is_told_with_what_to_do(registry, model):
    register(registry, model)
    registry.verify(NAME, 1)
    (origin,) = registry.artifacts.rglob("origin.json")
    origin.unlink()
    with pytest.raises(RegistryError, match=r"has no origin\.json .* delete the version in MLflow"):
        registry.verify(NAME, 1)


def test_only_files_of_the_zoo_are_ever_imported(registry, model):
    register(registry, model)
    registry._client.set_model_version_tag(NAME, "1", "estimator", "os")
    with pytest.raises(RegistryError, match="no model 'os' in models/zoo/"):
        registry.load(NAME, 1)


def test_the_zoo_is_found_by_its_files():
    assert NAME in estimators.names()
    assert estimators.estimator(NAME) is Recommender


def test_mlflow_itself_can_load_and_predict(registry, model):
    import mlflow

    register(registry, model)
    registry.promote(NAME, 1)
    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri(registry.tracking_uri)
    try:
        loaded = mlflow.pyfunc.load_model(f"models:/{NAME}@champion")
    finally:
        mlflow.set_tracking_uri(before)
    found = loaded.predict(pd.DataFrame({"customer_id": ["c000", "nobody"]}))
    expected = model.recommend(["c000", "nobody"])
    assert found["product_id"].tolist() == expected.product_id.ravel().tolist()
    assert found["rank"].tolist() == [*range(1, 21)] * 2


@pytest.mark.parametrize("place", ["a folder", "no database", "below a file"])
def test_a_store_that_is_no_store_is_refused_at_once(tmp_path, place):
    path = tmp_path / "store"
    if place == "a folder":
        path.mkdir()
    else:
        path.write_text("this is no database, whatever its name says" * 30)
    uri = f"sqlite:///{path / 'mlflow.db' if place == 'below a file' else path}"
    with pytest.raises(RegistryError, match="Can't look up the champion"):
        Registry(uri).champion(NAME)


def test_a_server_that_does_not_answer_is_refused(monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(RegistryError, match="See that it runs"):
        Registry("http://127.0.0.1:9").champion(NAME)


def test_a_run_killed_while_the_store_is_made_leaves_no_half_of_one(tmp_path):
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    code = f"from ops_platform.models.registry import Registry; Registry({uri!r}).make_ready()"
    maker = subprocess.Popen([sys.executable, "-c", code])
    deadline = time.monotonic() + 60
    partial = tmp_path / "mlflow.partial"
    while not (partial.exists() and partial.stat().st_size) and time.monotonic() < deadline:
        time.sleep(0.005)
    maker.kill()
    maker.wait()
    assert partial.exists() and not (tmp_path / "mlflow.db").exists()

    assert Registry(uri, tmp_path / "artifacts").newest("recommender") is None
    assert (tmp_path / "mlflow.db").exists()
