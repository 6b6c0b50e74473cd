"""What `ops lake check` says of a home whose releases or registry were damaged."""

import pytest

from ops_platform.serve.release import POINTER
from ops_platform.soundness import beside, faults
from tests.lake.conftest import flip_a_bit
from tests.serve.conftest import NAME


@pytest.fixture
def released(home):
    home.register()
    home.release()
    return home


def test_a_home_that_serves_holds_and_a_flipped_bit_in_each_kind_of_file_is_found(released):
    assert faults(released.settings) == []
    place = released.folder / (released.folder / POINTER).read_text().strip()
    (state,) = released.settings.mlflow_artifact_root.rglob("state.npz")
    files = [released.folder / POINTER, state, *place.iterdir()]
    assert len(files) == 6
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
