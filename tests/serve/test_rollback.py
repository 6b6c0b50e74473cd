"""Going back to a version that served before; who served when is on record."""

import json
import shutil
from datetime import datetime

import pytest
from typer.testing import CliRunner

from ops_platform.cli import app
from ops_platform.errors import LakeError, RegistryError, ReleaseError
from ops_platform.models.registry import ROLLED_BACK, Registry
from ops_platform.models.zoo import recommender
from ops_platform.serve import history, release
from ops_platform.serve.promotion import Served
from ops_platform.serve.rollback import roll_back
from tests.serve.conftest import NAME, NOW, copy_of, fitted

LATER = datetime(2024, 4, 2, 12)


@pytest.fixture(scope="module")
def three(bare_home, tmp_path_factory):
    """Three versions, each of which has served; the third does."""
    home = copy_of(bare_home, tmp_path_factory.mktemp("three") / "home")
    for weight in (0.5, 0.1, 0.2):
        home.register(fitted(repeat_weight=weight))
        home.release()
    return home


@pytest.fixture
def served(three, tmp_path):
    """A copy of them, whose registry reads its artifacts where they were made."""
    shutil.copytree(three.folder, tmp_path / "home" / "releases" / NAME)
    return copy_of(three, tmp_path / "home")


def back(home, to=None, registry=None):
    registry = registry or home.registry
    return roll_back(home.lake, registry, home.settings.releases, NAME, LATER, to=to)


def serving(home) -> tuple[int, int]:
    """The versions of the pointer and of the alias."""
    pointed = release.version_of(release.pointed(home.folder), home.folder)
    return pointed, home.registry.champion(NAME).version


def test_the_version_that_served_before_serves_again_and_stays(served):
    found = back(served)
    assert (found.version, found.moved, serving(served)) == (2, True, (2, 2))
    assert served.registry.version(NAME, 3).tags[ROLLED_BACK] == f"{LATER.isoformat()} to version 2"

    assert served.release() == Served(NAME, 2, found.release, moved=False)
    assert back(served).version == 1
    with pytest.raises(ReleaseError, match="before version 1: say which one by --to"):
        back(served)


def test_a_version_that_was_left_before_it_was_promoted_is_not_promoted(served):
    """A killed run had moved the pointer, and a person went back."""
    served.registry.set_tag(NAME, 3, "promoted", None)
    back(served)
    assert served.release().version == 2


def test_a_newer_version_is_released_after_going_back(served):
    back(served)
    served.register(fitted(repeat_weight=0.3))
    assert served.release().version == 4
    # Version 3 was left, so it is not what served before.
    assert back(served).version == 2


def test_from_a_version_that_was_deleted_one_goes_back_too(served):
    served.registry._client.delete_model_version(NAME, "3")
    assert back(served).version == 2


def test_any_version_can_be_named_and_its_tag_goes(served):
    back(served, to=1)
    assert back(served, to=3).version == 3
    assert ROLLED_BACK not in served.registry.version(NAME, 3).tags
    assert serving(served) == (3, 3)
    assert back(served, to=3).moved is False


def test_a_release_that_is_there_needs_no_model_and_a_lost_one_is_made_again(served, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(recommender.Recommender, "from_state", None)
        assert back(served).version == 2
    first = next(served.folder.glob("v1-*"))
    shutil.rmtree(first)
    assert back(served).release == first.name
    assert release.is_whole(first)


def test_what_served_when_is_on_record(served):
    back(served)
    moves = history.read(served.folder)
    assert [move.release[:2] for move in moves] == ["v1", "v2", "v3", "v2"]
    assert [move.why for move in moves] == ["released"] * 3 + ["rolled back from version 3"]
    last = history.stretches(served.folder)[-2:]
    assert [(one.start, one.end) for one in last] == [
        (NOW.isoformat(), LATER.isoformat()),
        (LATER.isoformat(), None),
    ]


def test_a_line_left_unfinished_and_a_pointer_moved_by_hand_do_no_harm(served):
    first = history.read(served.folder)[0].release
    with (served.folder / history.HISTORY).open("a") as file:
        file.write('{"at": "2024-04')
    release.point_to(served.folder, first)
    served.release()
    moves = history.read(served.folder)
    assert len(moves) == 4
    assert (moves[-1].release, moves[-1].why) == (first, "found to serve")


def test_going_back_at_the_prompt_and_what_the_list_says_then(served, monkeypatch):
    monkeypatch.setenv("OPS_HOME", str(served.path))
    monkeypatch.setenv("OPS_DATA_PATH", str(served.data))
    done = CliRunner().invoke(app, ["models", "rollback", NAME])
    assert done.stdout.startswith("recommender version 2 serves now: release v2-"), done.stderr
    again = CliRunner().invoke(app, ["models", "rollback", NAME, "--to", "2"])
    assert again.stdout.startswith("recommender version 2 serves already: release v2-")
    listed = json.loads(CliRunner().invoke(app, ["models", "list", "--json"]).stdout)
    assert [one["serves"] for one in listed] == [False, True, False]
    assert listed[2]["rolled_back"].endswith("to version 2")


@pytest.mark.parametrize(
    ("to", "error", "told"),
    [(9, RegistryError, "There is no version 9"), (4, LakeError, "at snapshot 999")],
)
def test_a_version_that_can_not_serve_leaves_all_as_it_was(served, to, error, told):
    served.register(promote=False, snapshot="999")
    with pytest.raises(error, match=told):
        back(served, to)
    assert serving(served) == (3, 3)
    assert ROLLED_BACK not in served.registry.version(NAME, 3).tags


def test_a_registry_that_does_not_answer_leaves_the_pointer(served, monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(RegistryError, match="See that it runs"):
        back(served, registry=Registry("http://127.0.0.1:9"))
    assert serving(served) == (3, 3)


def test_where_nothing_serves_there_is_nothing_to_leave(home):
    with pytest.raises(ReleaseError, match="no version of 'recommender' serves yet"):
        back(home)
