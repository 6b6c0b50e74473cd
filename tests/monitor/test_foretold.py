"""What a model of probabilities foretold of a day, held against what came true of it."""

from datetime import date, datetime, timedelta

import numpy as np
import pandas as pd
import pytest

from ops_platform.errors import MonitorError, TrainingError
from ops_platform.features.view import find_views
from ops_platform.lake import catalog, faults
from ops_platform.lake.check import LEDGER
from ops_platform.lake.connect import connect
from ops_platform.lake.history import Judgement
from ops_platform.lake.write import write
from ops_platform.models.code import Code
from ops_platform.models.estimators import foretells
from ops_platform.models.labels import current
from ops_platform.models.provenance import MadeWith
from ops_platform.models.task import Rules
from ops_platform.models.training import read_training_set, train
from ops_platform.monitor.foretold import keep, measure_foretold
from ops_platform.monitor.notices import of_recent_moves
from ops_platform.monitor.performance import Measured
from ops_platform.monitor.report import gather
from ops_platform.serve.promotion import put_in_service
from tests.monitor.conftest import NEWEST, Home
from tests.monitor.live import copy_of, empty_home

NAME = "purchase_probability"
VIEWS = tuple(
    view for view in find_views() if view.name in ("customer_activity", "customer_rhythm")
)
AS_OF = NEWEST - timedelta(days=33)
FIRST = AS_OF + timedelta(days=1)
NOW = datetime(2024, 5, 1)
# Net of what was returned within the 30 days, which in this shop nothing is.
_BUYERS = """
SELECT DISTINCT customer_id FROM marts.fct_interactions WHERE day >= ? AND day < ?
"""


def measured(home: Home, over: date = NEWEST) -> Measured:
    return measure_foretold(home.lake, home.registry, NAME, over, {"orders"}, {})


def succeeded(home: Home, horizon_days: int = 30) -> None:
    """Have the champion followed by one of the day before NEWEST."""
    tags = home.registry.version(NAME, 1).tags | {"as_of": (NEWEST - timedelta(days=1)).isoformat()}
    kept = {name: tags[name] for name in ("as_of", "snapshot", "training_set", "state_digest")}
    model = home.registry.load(NAME, 1).set_params(horizon_days=horizon_days)
    home.registry.promote(NAME, home.registry.register(NAME, model, metrics={}, tags=kept, now=NOW))


@pytest.fixture(scope="module")
def crowned(fresh_store, orders, tmp_path_factory) -> Home:
    """A home with a champion of AS_OF."""
    home = empty_home(fresh_store, tmp_path_factory.mktemp("crowned"))
    home.publish(orders(), AS_OF, VIEWS)
    rows = read_training_set(home.lake, NAME)
    made = MadeWith(Code("", b"", {}), "lock", {}, "manifest", 2)
    rules = Rules(30, 7, 0.01, 0.05)
    train(
        *(home.lake, home.registry, rows, NAME),
        **{"seed": 0, "rules": rules, "cause": "by hand", "made": made, "now": NOW},
    )
    put_in_service(home.lake, home.registry, home.settings.releases, NAME, NOW)
    home.publish(orders(), FIRST, VIEWS)
    return home


@pytest.fixture
def home(crowned, tmp_path) -> Home:
    return copy_of(crowned, tmp_path / "home")


def test_a_day_is_judged_by_what_came_true_of_what_was_said_that_morning(home, orders):
    model = foretells(home.registry.load(NAME, 1))
    trained_on = int(home.registry.version(NAME, 1).tags["snapshot"])
    with connect(home.lake, snapshot=trained_on) as connection:
        known = current(connection, model)
    said = pd.Series(model.predict_proba(known)[:, 1], index=known["customer_id"])
    assert measured(home, AS_OF).rows.empty
    young = measured(home, FIRST)
    assert young.rows["ripe"].tolist() == [False]
    assert young.rows["foretold"].tolist() == [pytest.approx(said.mean())]
    assert young.waiting[FIRST] == f"what is bought up to {FIRST + timedelta(days=29)} counts"

    home.publish(orders(), NEWEST, VIEWS)
    found = measured(home)
    with connect(home.lake) as connection:
        buyers = connection.execute(_BUYERS, [FIRST, FIRST + timedelta(days=30)]).df()
    came_true = said.index.isin(buyers["customer_id"])
    first, *later = [row for _, row in found.rows.iterrows()]
    assert found.ripened == [FIRST] and first["ripe"]
    assert first["customers"] == len(said)
    assert first["came_true"] == came_true.mean() > 0
    assert first["brier"] == pytest.approx(np.mean((said - came_true) ** 2))
    assert first["baseline_brier"] - first["brier"] == pytest.approx(first["lead"])
    assert first["lead_low"] < first["lead"] < first["lead_high"]
    days = [FIRST + timedelta(days=7 * n) for n in range(1, 5)]
    assert [row["period"].date() for row in later] == days == sorted(found.waiting)
    assert all(np.isnan(row["brier"]) and row["foretold"] > 0 for row in later)


def test_a_day_that_is_judged_stays_and_nothing_new_writes_nothing(home, orders):
    home.publish(orders(), NEWEST, VIEWS)
    before = measured(home).rows
    head = catalog.head(home.lake)
    again = measured(home)
    assert catalog.head(home.lake) == head
    pd.testing.assert_frame_equal(again.rows, before)
    assert again.ripened == [] and len(again.waiting) == 4


@pytest.mark.parametrize("horizon_days", [30, 7])
def test_a_former_champion_is_judged_on_the_days_that_waited(home, orders, horizon_days):
    measured(home, FIRST)
    succeeded(home, horizon_days)
    home.publish(orders(), NEWEST - timedelta(days=4), VIEWS)
    assert not measured(home).rows["ripe"].any()
    home.publish(orders(), NEWEST, VIEWS)
    found = measured(home).rows
    assert found[["version", "ripe"]].to_numpy().tolist() == [[1, True], [2, False]]


def test_what_waits_of_a_version_that_was_deleted_waits_no_more(home, orders):
    measured(home, FIRST)
    succeeded(home)
    home.registry._client.delete_model_version(NAME, "1")
    assert measured(home, FIRST).rows.empty
    home.publish(orders(), NEWEST, VIEWS)
    assert measured(home).rows["version"].tolist() == [2]


@pytest.mark.parametrize("day", [AS_OF - timedelta(days=50), FIRST + timedelta(days=29)])
def test_a_day_waits_while_one_up_to_the_end_of_its_labels_is_at_fault(home, orders, day):
    home.publish(orders(), NEWEST, VIEWS)
    half = Judgement("volume", "", 100.0, 200.0, None, None, None, None, "unfit")

    def judge(judged: dict) -> None:
        def work(connection):
            faults.make(connection)
            connection.execute("CREATE SCHEMA IF NOT EXISTS ledger")
            connection.execute(
                f"CREATE TABLE IF NOT EXISTS {LEDGER} (sha256 VARCHAR, path VARCHAR, "
                "number BIGINT, source VARCHAR)"
            )
            faults.forget(connection, faults.JUDGEMENTS, "orders", [day])
            faults.write_judgements(connection, "orders", judged)

        write(home.lake, work)

    judge({day: [half]})
    found = measured(home)
    assert found.waiting[FIRST].startswith(f"the data is at fault: orders {day}")
    assert not found.rows["ripe"].any()
    judge({})
    assert measured(home).ripened == [FIRST]


def test_features_are_of_what_had_been_delivered_by_then(home):
    late = {"fct_interactions": frozenset({"orders"})}
    with pytest.raises(TrainingError, match="has no column delivery"):
        measure_foretold(home.lake, home.registry, NAME, FIRST, {"orders"}, late)


def test_of_two_runs_at_once_the_later_takes_back_nothing(home, orders):
    rows = measured(home, FIRST).rows
    home.publish(orders(), NEWEST, VIEWS)
    measured(home)
    # As the first run would, had it looked before the second and written after it.
    with pytest.raises(MonitorError, match="another run has measured"):
        write(home.lake, lambda writer: keep(writer, NAME, set(), [], rows))
    assert measured(home).rows["ripe"].tolist() == [True, False, False, False, False]


def test_a_day_whose_labels_nobody_gave_waits(home, orders):
    bought = orders()
    quiet = bought["ordered_on"] > pd.Timestamp(AS_OF)
    last = bought["ordered_on"] == bought["ordered_on"].max()
    home.publish(bought[~quiet | last], bought["ordered_on"].max().date(), VIEWS)
    found = measured(home, bought["ordered_on"].max().date())
    assert found.waiting[FIRST].startswith("nobody has bought anything")


def test_its_page_and_events_are_told(home):
    measured(home, FIRST)
    found = gather(home.lake, home.registry, home.settings.releases, NAME, NOW, "")
    assert not found.recommends and found.waiting == 1 and found.last_foretold is None
    assert [(one.kind, one.what[:30]) for one in found.events] == [
        ("promotion", "purchase_probability v1 serves")
    ]
    [told] = of_recent_moves(home.settings.releases, NAME, NOW, {})
    assert told.done == "the alias champion names v1"
