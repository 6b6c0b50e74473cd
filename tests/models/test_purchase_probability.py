"""Each customer's probability to buy: labels, calibration, and the walk to a champion."""

import json
from datetime import date, datetime, timedelta

import duckdb
import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from ops_platform.cli import app
from ops_platform.errors import RegistryError, ReleaseError, TrainingError
from ops_platform.features.view import find_views
from ops_platform.lake.connect import connect
from ops_platform.lake.published import published
from ops_platform.models import provenance
from ops_platform.models import state as states
from ops_platform.models.answers import PROBABILITY, answers
from ops_platform.models.code import Code
from ops_platform.models.estimators import foretells, recommends
from ops_platform.models.foretelling import Foretelling
from ops_platform.models.gate import decide
from ops_platform.models.kinds import recommenders, task_of, task_of_class
from ops_platform.models.labels import IS_TRUE, current, label_times, labelled, midnight
from ops_platform.models.odds_evaluation import evaluate
from ops_platform.models.provenance import MadeWith
from ops_platform.models.rebuild import rebuild
from ops_platform.models.recipe import recipe_of
from ops_platform.models.registry import ROLLED_BACK, Registry
from ops_platform.models.task import Rules
from ops_platform.models.training import can_be_judged, read_training_set, train
from ops_platform.models.zoo.purchase_probability import FEATURES, PurchaseProbability
from ops_platform.serve import history
from ops_platform.serve.promotion import TAGS, Served, put_in_service
from ops_platform.serve.rollback import roll_back
from tests.monitor.conftest import NEWEST, Home, fresh_store, new_home, orders  # noqa: F401
from tests.monitor.live import copy_of, empty_home

NAME = "purchase_probability"
VIEWS = tuple(
    view for view in find_views() if view.name.startswith(("customer_activity", "customer_rhythm"))
)
NOW = datetime(2024, 5, 1)
RULES = Rules(30, 7, 0.01, 0.05)


def made() -> MadeWith:
    return MadeWith(Code("", b"", {}), "lock", {}, "manifest", 2)


@pytest.fixture(scope="module")
def untrained(fresh_store, orders, tmp_path_factory) -> Home:  # noqa: F811
    home = empty_home(fresh_store, tmp_path_factory.mktemp("untrained"))
    home.publish(orders(), NEWEST, VIEWS)
    return home


@pytest.fixture
def home(untrained, tmp_path) -> Home:
    return copy_of(untrained, tmp_path / "home")


def trained(home: Home, seed: int = 0):
    rows = read_training_set(home.lake, NAME)
    return train(
        *(home.lake, home.registry, rows, NAME),
        **{"seed": seed, "rules": RULES, "cause": "by hand", "made": made(), "now": NOW},
    )


def judgeable(home: Home) -> bool:
    return can_be_judged(home.registry, read_training_set(home.lake, NAME), NAME, RULES)


def served(home: Home) -> Served | None:
    return put_in_service(home.lake, home.registry, home.settings.releases, NAME, NOW)


def back(home: Home, to: int | None = None) -> int:
    """The version that is champion after going back."""
    return roll_back(home.lake, home.registry, home.settings.releases, NAME, NOW, to=to).version


def crown_copies(home: Home, count: int) -> None:
    """So many copies of version 1, each champion after the other."""
    model = home.registry.load(NAME, 1)
    tags = {name: home.registry.version(NAME, 1).tags[name] for name in TAGS}
    for _ in range(count):
        made = home.registry.register(NAME, model, metrics={}, tags=tags, now=NOW)
        home.registry.promote(NAME, made)
        served(home)


def moments(rng, times: int, shift: float) -> pd.DataFrame:
    """Rows at label times 10 days apart; at the newest it comes true `shift` more, in log-odds."""
    n = 800
    found = []
    for number in range(times):
        rows = pd.DataFrame(rng.uniform(1, 50, size=(n, len(FEATURES))), columns=list(FEATURES))
        odds = 1.5 - 0.1 * rows[FEATURES[0]] + shift * (number == times - 1)
        rows[IS_TRUE] = rng.random(n) < 1 / (1 + np.exp(-odds))
        rows["label_time"] = pd.Timestamp(2024, 1, 1) + timedelta(days=10 * number)
        found.append(rows)
    return pd.concat(found, ignore_index=True)


def test_the_newest_label_time_calibrates_what_the_earlier_ones_taught():
    rows = moments(np.random.default_rng(1), 6, shift=1.5)
    model = PurchaseProbability().fit(rows, date(2024, 3, 21))
    newest = rows[rows["label_time"] == rows["label_time"].max()]

    found = model.predict_proba(newest)
    assert found.sum(axis=1) == pytest.approx(np.ones(len(newest)))
    assert found[:, 1].mean() == pytest.approx(newest[IS_TRUE].mean())
    # The odds themselves were seen about truly.
    assert 0.75 < model.arrays_["calibration"][0] < 1.3
    never = PurchaseProbability().fit(rows[rows["label_time"] < "2024-01-21"], date(2024, 1, 20))
    assert never.arrays_["calibration"].tolist() == [1.0, 0.0]
    assert never.predict_proba(newest)[:, 1].mean() < newest[IS_TRUE].mean() - 0.15


def test_the_state_is_plain_arrays_that_answer_alike_and_the_same_again():
    rows = moments(np.random.default_rng(2), 5, shift=0.0)
    rows.loc[::7, FEATURES[-1]] = np.nan
    model = PurchaseProbability(seed=4).fit(rows, date(2024, 3, 1))
    again = PurchaseProbability(seed=4).fit(rows, date(2024, 3, 1))
    assert states.digest(model.state()) == states.digest(again.state())

    loaded = PurchaseProbability.from_state(model.get_params(), model.state())
    assert np.array_equal(loaded.predict_proba(rows), model.predict_proba(rows))


def test_the_recipe_is_all_code_of_the_room_that_the_model_uses(monkeypatch):
    read: list[str] = []
    monkeypatch.setattr("inspect.getsource", lambda module: read.append(module.__name__) or "")
    recipe_of(PurchaseProbability())
    used = ("zoo.purchase_probability", "logistic", "trees", "space")
    assert {f"ops_platform.models.{one}" for one in used} <= set(read)


def test_what_came_true_of_all_or_of_none_teaches_nothing():
    rows = moments(np.random.default_rng(3), 2, shift=0.0).assign(is_true=False)
    with pytest.raises(TrainingError, match="nothing to tell apart"):
        PurchaseProbability().fit(rows, date(2024, 2, 1))


def test_a_label_is_a_purchase_within_the_horizon_that_stood_at_its_end():
    bought = [
        # Known, and buys on the first day, and on the last, and one day too late.
        ("first", 0, 0, 1), ("first", 40, 40, 1),
        ("last", 0, 0, 1), ("last", 69, 69, 1),
        ("late", 0, 0, 1), ("late", 70, 70, 1),
        # Cancels within the horizon, and after it.
        ("sorry", 0, 0, 1), ("sorry", 50, 50, 1), ("sorry", 60, 50, -1),
        ("stands", 0, 0, 1), ("stands", 50, 50, 1), ("stands", 75, 50, -1),
        # Cancels in the horizon what was bought before it, and is known on the first day only.
        ("returns", 0, 0, 1), ("returns", 45, 0, -1),
        ("unknown", 40, 40, 1),
    ]  # fmt: skip
    start = date(2024, 1, 1)
    with duckdb.connect() as connection:
        connection.execute("ATTACH ':memory:' AS lake; USE lake; CREATE SCHEMA marts")
        events = pd.DataFrame(
            [
                (who, "p", start + timedelta(day), start + timedelta(since), "purchase", n, n)
                for who, day, since, n in bought
            ],
            columns=[
                *("customer_id", "product_id", "day", "purchased_on"),
                *("kind", "quantity", "amount"),
            ],
        )
        connection.register("events", events)
        connection.execute(
            "CREATE TABLE marts.fct_interactions AS SELECT * REPLACE (day::DATE AS day, "
            "purchased_on::DATE AS purchased_on, amount::DECIMAL(18, 3) AS amount) FROM events"
        )
        connection.execute(
            "CREATE TABLE marts.fct_order_lines AS "
            "SELECT max(day) AS ordered_on FROM marts.fct_interactions"
        )
        found = labelled(connection, PurchaseProbability(), [midnight(start + timedelta(40))], {})
    assert dict(zip(found["customer_id"], found[IS_TRUE], strict=True)) == {
        "first": True, "last": True, "late": False, "sorry": False, "stands": True,
        "returns": False,
    }  # fmt: skip
    assert found.set_index("customer_id")["customer_activity__recency_days"].max() == 39


def test_label_times_go_back_from_the_newest_to_where_days_are_known():
    times = label_times(PurchaseProbability(), date(2024, 3, 1), date(2024, 2, 10))
    assert times == [midnight(date(2024, 2, 20)), midnight(date(2024, 3, 1))]
    assert len(label_times(PurchaseProbability(label_times=3), NEWEST, date(2020, 1, 1))) == 3


def test_a_trained_version_is_named_and_answers_for_everyone(home):
    outcome = trained(home)
    assert (outcome.version, outcome.verdict.decision) == (1, "first")
    metrics = home.registry.newest(NAME).metrics
    assert {"neg_brier_score", "average_precision", "average_precision_low"} <= metrics.keys()
    assert -0.25 < metrics["neg_brier_score"] < 0
    assert "| customers, by tenths | foretold | came true |" in outcome.card
    _, _, used = outcome.card.partition("| most used features |")
    first, *others = [line.split(" | ") for line in used.split("\n\n")[0].splitlines()[2:]]
    assert len(others) == 9 and float(first[1].strip(" |")) > 0
    assert first[0].startswith(("| customer_activity.", "| customer_rhythm."))
    assert trained(home).reason == "nothing has changed since version 1"

    assert served(home) == Served(NAME, 1, "", moved=True)
    assert served(home) == Served(NAME, 1, "", moved=False)
    assert home.registry.champion(NAME).version == 1
    model = foretells(home.registry.load(NAME, 1))
    with connect(home.lake, snapshot=published(home.lake).snapshot) as connection:
        found = answers(connection, model, NEWEST)
        # The offline table is what a label at the end of its day gets.
        at = labelled(connection, model, [midnight(NEWEST + timedelta(days=1))], {})
    assert found.as_of == NEWEST.isoformat()
    assert [key for (key,) in found.keys] == at["customer_id"].tolist()
    assert np.array_equal(found.features[PROBABILITY].values, model.predict_proba(at)[:, 1])


def test_a_version_is_made_again_and_loads_as_pyfunc(home):
    import mlflow

    trained(home)
    version = home.registry.version(NAME, 1)
    record, sealed = provenance.read(home.registry, version)
    assert sealed
    assert rebuild(home.lake, record)[0]["state_digest"] == version.tags["state_digest"]
    late = {**record["data"], "by_delivery": {"fct_interactions": ["orders"]}}
    with pytest.raises(TrainingError, match="has no column delivery"):
        rebuild(home.lake, {**record, "data": late})
    changed = {**record, "params": {**record["params"], "leaves": 3, "leaf_rows": 20}}
    assert rebuild(home.lake, changed)[0]["state_digest"] != version.tags["state_digest"]

    mlflow.set_tracking_uri(home.settings.mlflow_tracking_uri)
    loaded = mlflow.pyfunc.load_model(f"models:/{NAME}/1")
    with connect(home.lake, snapshot=published(home.lake).snapshot) as connection:
        customers = current(connection, foretells(home.registry.load(NAME, 1)))
    found = loaded.predict(customers.drop(columns="customer_id"))
    expected = home.registry.load(NAME, 1).predict_proba(customers)[:, 1]
    assert found["probability"].tolist() == expected.tolist()


def test_a_challenger_waits_until_a_whole_horizon_has_passed_since_the_champion(
    new_home,  # noqa: F811
    orders,  # noqa: F811
):
    home = new_home("later")
    home.publish(orders(), NEWEST - timedelta(days=30), VIEWS)
    assert trained(home).verdict.decision == "first"
    served(home)
    home.publish(orders(), NEWEST - timedelta(days=1), VIEWS)
    assert trained(home).verdict.decision == "too early" and not judgeable(home)
    home.publish(orders(), NEWEST, VIEWS)
    assert judgeable(home)
    outcome = trained(home)
    assert outcome.version == 2
    assert outcome.verdict.window_start == NEWEST - timedelta(days=29)
    assert outcome.verdict.champion < 0

    # By hand, which no gate let pass.
    home.registry.promote(NAME, 2)
    assert served(home) == Served(NAME, 2, "", moved=False)
    moves = history.read(home.settings.releases / NAME)
    assert [(one.release[:3], one.why) for one in moves] == [
        ("v1-", "released"),
        ("v2-", "found to serve"),
    ]
    left = roll_back(home.lake, home.registry, home.settings.releases, NAME, NOW)
    assert left == Served(NAME, 1, "", moved=True)
    assert home.registry.champion(NAME).version == 1
    assert home.registry.version(NAME, 2).tags[ROLLED_BACK].endswith("to version 1")
    assert served(home).version == 1
    with pytest.raises(ReleaseError, match="before 1 is known to have been champion"):
        back(home)

    # Version 2 was left, so it is not what answered before a third.
    crown_copies(home, 1)
    assert back(home) == 1


@pytest.mark.parametrize(
    "killed", [(history, "note"), (Registry, "set_tag"), (Registry, "promote")]
)
def test_going_back_that_was_killed_is_finished_by_the_next(home, monkeypatch, killed):
    trained(home)
    served(home)
    crown_copies(home, 2)

    def die(*args, **kwargs):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(*killed, die)
        back(home)
    assert back(home) == home.registry.champion(NAME).version == 2
    assert ROLLED_BACK in home.registry.version(NAME, 3).tags


def test_going_back_to_what_is_of_no_known_rows_moves_nothing(home):
    trained(home)
    served(home)
    model = home.registry.load(NAME, 1)
    other = home.registry.register(NAME, model, metrics={}, tags={}, now=NOW)
    with pytest.raises(ReleaseError, match=r"version 2 .* lacks the tags"):
        back(home, other)
    assert home.registry.champion(NAME).version == 1
    assert ROLLED_BACK not in home.registry.version(NAME, 1).tags


def test_a_history_of_less_than_two_horizons_is_too_early(new_home, orders):  # noqa: F811
    home = new_home("short")
    home.publish(orders(), date(2024, 2, 28), VIEWS)
    outcome = trained(home)
    assert (outcome.version, outcome.verdict.decision) == (None, "too early")
    assert served(home) is None
    with pytest.raises(ReleaseError, match="has no champion yet"):
        roll_back(home.lake, home.registry, home.settings.releases, NAME, NOW)


def test_losing_is_measured_against_a_score_below_zero_too():
    champion = pd.Series(np.linspace(-0.3, -0.1, 100))
    verdict = decide(champion, champion - 0.001, start=NEWEST, end=NEWEST, margin=0.01)
    assert verdict.decision == "no worse and fresher"
    verdict = decide(champion, champion - 0.003, start=NEWEST, end=NEWEST, margin=0.01)
    assert verdict.decision == "worse"


def test_evaluation_prints_both_metrics_with_paired_differences(home):
    environment = {
        "OPS_HOME": str(home.settings.home), "OPS_DATA_PATH": str(home.settings.data_path)
    }  # fmt: skip
    done = CliRunner().invoke(
        app, ["evaluate", NAME, "--cut", "2024-03-11", "--json"], env=environment
    )
    (window,) = json.loads(done.stdout)
    assert (window["cut"], window["end"]) == ("2024-03-11", "2024-04-09")
    told = {(one["metric"], one["contender"]): one for one in window["figures"]}
    assert len(told) == 6
    own, rate = (told["Brier score", one] for one in (NAME, "base_rate"))
    assert rate["difference"] == pytest.approx(own["value"] - rate["value"])
    assert rate["difference_low"] <= rate["difference"] <= rate["difference_high"]
    assert own["difference"] is None
    known = read_training_set(home.lake, NAME)
    other = PurchaseProbability(iterations=5).fit(known.rows, known.as_of)
    home.registry.register(NAME, other, metrics={}, tags={}, now=NOW)
    arguments = ["evaluate", f"{NAME}@1", "--cut", "2024-03-11", "--json"]
    (window,) = json.loads(CliRunner().invoke(app, arguments, env=environment).stdout)
    found = {(one["metric"], one["contender"]): one["value"] for one in window["figures"]}
    assert found["Brier score", f"{NAME}@1"] != own["value"]
    assert found["Brier score", "base_rate"] == rate["value"]
    table = CliRunner().invoke(app, ["evaluate", NAME], env=environment).stdout
    assert "2024-03-21 to 2024-04-19: 136 customers, true of 91.2%" in table


@pytest.mark.parametrize(
    ("cut", "said"),
    [(date(2024, 1, 20), "choose a later cut"), (date(2024, 4, 10), "choose an earlier cut")],
)
def test_a_cut_that_can_not_be_judged_is_refused(home, cut, said):
    with connect(home.lake) as connection, pytest.raises(TrainingError, match=said):
        evaluate(connection, NAME, PurchaseProbability(), cut, NEWEST, 0, {})


def test_kinds_are_told_by_the_method_and_one_is_not_taken_for_another():
    assert recommenders() == ["recommender"]
    assert task_of(NAME).metric == "neg_brier_score"
    with pytest.raises(RegistryError, match="is no recommender"):
        recommends(PurchaseProbability())
    with pytest.raises(RegistryError, match="must have the method recommend or predict_proba"):
        task_of_class(Foretelling)
