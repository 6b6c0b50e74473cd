"""A search for hyper-parameters before a training: on which days, and what becomes of it."""

import json
import shutil
from dataclasses import replace
from datetime import datetime, timedelta

import pandas as pd
import pytest

from ops_platform.errors import TrainingError
from ops_platform.models import training
from ops_platform.models.provenance import made_with
from ops_platform.models.search import best
from ops_platform.models.task import Rules
from ops_platform.models.training import SEARCHED, read_training_set, train
from ops_platform.models.validation import searched, windows
from ops_platform.settings import Settings
from tests.models.conftest import AS_OF, order_lines
from tests.monitor.conftest import NAME, Home

RULES = Rules(28, 7, 0.01, 0.05)


@pytest.fixture
def home(fresh_store, tmp_path) -> Home:
    (tmp_path / "mlflow").mkdir()
    shutil.copy(fresh_store, tmp_path / "mlflow" / "mlflow.db")
    return Home(Settings(home=tmp_path))


def search(home: Home, **changed):
    return searched(
        home.lake,
        read_training_set(home.lake, NAME),
        NAME,
        **{"trials": 4, "seed": 1, "rules": RULES, "threads": 1}
        | {"journal": home.settings.home / "search.journal"}
        | changed,
    )


def made(home: Home, trials=()) -> int | None:
    return train(
        home.lake,
        home.registry,
        read_training_set(home.lake, NAME),
        NAME,
        seed=1,
        rules=RULES,
        cause="by hand",
        made=made_with(home.settings),
        now=datetime(2024, 5, 1),
        trials=trials,
    ).version


def test_the_windows_end_before_any_day_of_the_gate_and_know_nothing_later(home: Home):
    home.publish(order_lines(), AS_OF)
    found = windows(home.lake, read_training_set(home.lake, NAME), NAME, RULES)
    assert [one.seen.as_of for one in found] == [
        AS_OF - timedelta(days=29),
        found[0].cut - timedelta(days=1),
    ]
    for one in found:
        assert one.known["day"].max().date() < one.cut <= one.seen.rows["day"].max().date()
        assert one.seen.rows["day"].max().date() <= one.seen.as_of


def test_scores_on_other_windows_are_not_taken_for_these(home: Home):
    home.publish(order_lines(), AS_OF)
    (one,), (other,) = (
        search(home, trials=1, rules=rules) for rules in (RULES, replace(RULES, longest_days=14))
    )
    assert one.params == other.params
    assert one.score != other.score


def test_a_window_in_which_nobody_known_bought_is_told(home: Home):
    lines = order_lines()
    days = [pd.Timestamp(AS_OF) - timedelta(days=days) for days in (50, 29)]
    home.publish(lines[~lines["ordered_on"].between(*days)], AS_OF)
    with pytest.raises(TrainingError, match=r"nobody who was known .* from 2024-02-10 to 2024-03"):
        search(home)


@pytest.mark.long
def test_a_version_has_what_the_search_before_it_found_and_so_has_the_next(home: Home, monkeypatch):
    home.publish(order_lines(), AS_OF - timedelta(days=10))
    trials = search(home)
    assert made(home, trials) == 1

    (version,) = [home.registry.version(NAME, 1)]
    assert json.loads(version.tags[SEARCHED]) == best(trials).params
    params = json.loads(version.tags["params"])
    assert best(trials).params.items() <= params.items()
    nested = home.registry._client.search_runs(
        [home.registry._experiment(NAME)],
        f"tags.`mlflow.parentRunId` = '{version.run_id}'",
    )
    assert sorted(run.data.metrics["score"] for run in nested) == sorted(t.score for t in trials)
    assert all(run.info.status == "FINISHED" for run in nested)

    home.registry.promote(NAME, 1)
    home.publish(order_lines(), AS_OF)
    assert made(home) == 2
    assert json.loads(home.registry.version(NAME, 2).tags["params"]) == params

    monkeypatch.setattr(training, "recipe_of", lambda model: "another")
    home.registry.promote(NAME, 2)
    assert made(home) is None or SEARCHED not in home.registry.version(NAME, 3).tags


def test_a_model_without_a_space_and_a_short_history_are_told(home: Home, monkeypatch):
    home.publish(order_lines(), AS_OF - timedelta(days=70))
    with pytest.raises(TrainingError, match=r"too little history to search .* begins on 2023-12-"):
        search(home)
    monkeypatch.delattr("ops_platform.models.zoo.recommender.Recommender.SPACE")
    with pytest.raises(TrainingError, match="Recommender has no SPACE"):
        search(home)
