"""What was fitted is kept: a killed replay goes on, and a damaged file is computed again."""

import inspect
from datetime import date

import numpy as np
import pytest

from ops_platform.models.zoo.recommender import Recommender
from ops_platform.replay.history import visits_of
from ops_platform.replay.store import ARRAYS, Store, folder_of
from tests.replay.conftest import RECIPE, known_of

DAYS = [date(2024, 3, day) for day in (4, 5, 6, 7, 8)]


@pytest.fixture
def made(lines, tmp_path):
    """A store, and the days whose rows it has asked for; killed when it asks for one of them."""

    def make(killed_at: date | None = None, folder: str = "kept") -> tuple[Store, list[date]]:
        asked = []

        def known(day: date):
            if day == killed_at:
                raise KeyboardInterrupt
            asked.append(day)
            return known_of(lines)(day)

        return Store(tmp_path / folder, RECIPE, visits_of(lines), known), asked

    return make


def test_a_killed_replay_goes_on_where_it_was(made):
    store, asked = made(killed_at=DAYS[3])
    with pytest.raises(KeyboardInterrupt):
        store.prepare(DAYS)
    assert asked == DAYS[:3]

    again, asked = made()
    assert again.prepare(DAYS) == 2
    assert asked == DAYS[3:]
    whole, _ = made(folder="whole")
    for day in DAYS:
        for name in ARRAYS[:3]:
            found, expected = (getattr(one.at(day), name) for one in (again, whole))
            np.testing.assert_array_equal(found, expected)
    assert made()[0].prepare(DAYS) == 0


@pytest.mark.parametrize("damage", [b"", b"PK nonsense"])
def test_a_file_that_cant_be_read_is_computed_again(made, tmp_path, damage):
    expected = made()[0].at(DAYS[0]).ndcg
    path = tmp_path / "kept" / f"{DAYS[0]}.npz"
    path.write_bytes(damage)
    told = []
    store, asked = made()
    store._say = told.append

    np.testing.assert_array_equal(store.at(DAYS[0]).ndcg, expected)
    assert asked == DAYS[:1]
    assert told[0].endswith("can't be read: computed again")


def test_another_recipe_or_history_is_kept_apart(tmp_path):
    folders = {
        folder_of(tmp_path, model, data)
        for model in (RECIPE, Recommender(threads=1, neighbours=10))
        for data in (["a", "b"], ["a", "c"])
    }
    assert len(folders) == 4
    assert folder_of(tmp_path, RECIPE, ["a", "b"]) in folders


@pytest.mark.parametrize("judges", ["score", "profile", "ndcg_at_k"])
def test_what_another_code_has_judged_is_kept_apart(tmp_path, monkeypatch, judges):
    before, read = folder_of(tmp_path, RECIPE, ["a"]), inspect.getsource
    changed = f"def {judges}("
    monkeypatch.setattr(inspect, "getsource", lambda one: read(one).replace(changed, "def other("))
    assert folder_of(tmp_path, RECIPE, ["a"]) != before


def test_a_model_without_fits_is_fitted_each_day(lines, tmp_path):
    class Plain(Recommender):
        fits = None

    plain, moving = (
        Store(tmp_path / name, model, visits_of(lines), known_of(lines))
        for name, model in (("plain", Plain(threads=1)), ("moving", RECIPE))
    )
    plain.prepare(DAYS[:2])
    moving.prepare(DAYS[:2])
    for day in DAYS[:2]:
        np.testing.assert_array_equal(plain.at(day).discovery, moving.at(day).discovery)
