"""What `ops lake check` says of a home whose releases or registry were damaged."""

import sqlite3
from contextlib import closing

import pytest

from ops_platform.serve.release import POINTER
from ops_platform.soundness import beside, faults, require_beside
from tests.lake.conftest import flip_a_bit
from tests.serve.conftest import NAME, fitted


@pytest.fixture
def released(home):
    home.register()
    home.release()
    return home


def test_a_home_that_serves_holds_and_a_flipped_bit_in_each_kind_of_file_is_found(released):
    assert faults(released.settings) == []
    place = released.folder / (released.folder / POINTER).read_text().strip()
    (state,) = released.settings.mlflow_artifact_root.rglob("state.npz")
    (origin,) = released.settings.mlflow_artifact_root.rglob("origin.json")
    files = [released.folder / POINTER, state, origin, *place.iterdir()]
    assert len(files) == 7
    for path in files:
        # A third of the way: in a manifest that is of what decides what is served.
        position = path.stat().st_size // 3
        flip_a_bit(path, position)
        assert beside(released.settings), path
        flip_a_bit(path, position)
    assert beside(released.settings) == []


def test_a_damaged_registry_is_found(released):
    store = released.settings.home / "mlflow" / "mlflow.db"
    pages = store.stat().st_size // 4096
    with store.open("r+b") as file:
        for page in range(pages // 2, pages):
            file.seek(4096 * page)
            file.write(b"\xff" * 4096)
    assert any("mlflow.db" in fault for fault in beside(released.settings))


def test_a_version_deleted_by_hand_is_no_fault(released):
    released.register()
    released.registry._client.delete_model_version(NAME, "1")
    released.register()
    assert released.registry.numbers(NAME) == [2, 3]
    assert released.release().version == 3
    assert faults(released.settings) == []


def test_a_served_version_that_was_deleted_is_told_of_with_what_to_do(released):
    released.registry._client.delete_model_version(NAME, "1")
    (fault,) = faults(released.settings)
    assert "no version 1 of 'recommender' (it has none): it was deleted" in fault
    require_beside(released.settings)


def test_a_bit_that_flips_in_a_value_of_the_registry_is_found(released):
    store = released.settings.home / "mlflow" / "mlflow.db"
    sound = store.read_bytes()
    for change in (
        "UPDATE model_version_tags SET value = '2024-03-30' WHERE key = 'as_of'",
        "UPDATE model_version_tags SET key = 'verdicu' WHERE key = 'verdict'",
        "UPDATE latest_metrics SET value = 0.51 WHERE key = 'ndcg_at_20'",
    ):
        with closing(sqlite3.connect(store)) as database, database:
            assert database.execute(change).rowcount == 1
        assert any("not as it was registered" in fault for fault in beside(released.settings))
        store.write_bytes(sound)
    assert beside(released.settings) == []


def test_a_release_of_another_training_is_found(released):
    released.registry._client.delete_registered_model(NAME)
    released.register(fitted(repeat_weight=0.1))
    (fault,) = faults(released.settings)
    assert "says state_digest" in fault
