"""Inputs watched in a real lake: profiled once, judged once, faults named, alarms told."""

import shutil
from datetime import date, timedelta

import dagster as dg
import ibis.expr.datatypes as dt
import numpy as np
import pandas as pd
import pandera.ibis as pa
import pytest

from ops_platform.errors import TrainingError
from ops_platform.features.build import published_with_features
from ops_platform.features.view import FeatureView
from ops_platform.ingest.contract_file import read_contract
from ops_platform.lake import catalog
from ops_platform.lake.connect import connect
from ops_platform.lake.faults import DELIVERY, write_judgements
from ops_platform.lake.faults import make as make_judgements
from ops_platform.lake.history import Judgement
from ops_platform.lake.write import write
from ops_platform.monitor import input_profiles, input_state
from ops_platform.monitor.assets import inputs_asset
from ops_platform.monitor.checks import INPUTS_KEY, inputs_check
from ops_platform.monitor.input_profiles import ALL, INTERACTIONS, SEGMENTS, Inputs, inputs_of
from ops_platform.monitor.input_watch import told_apart, watch_inputs
from ops_platform.monitor.inputs import newest_input_alarm
from ops_platform.settings import PROJECT, Settings
from tests.monitor.conftest import NAME, Home

ORDERS = read_contract(PROJECT / "contracts" / "orders.odcs.yaml")
FIRST = date(2024, 1, 1)
DAYS, ROWS = 118, 520
SHIFT = FIRST + timedelta(days=104)
STEPS = (FIRST + timedelta(30), SHIFT - timedelta(5), SHIFT - timedelta(4))
LAST = FIRST + timedelta(days=DAYS - 1)
ODDS = "purchase_probability"
KEPT = f"SELECT * FROM monitor.inputs WHERE model = '{NAME}' ORDER BY ALL"
# Of what there was before the service answered.
STATISTICS = f"""
SELECT period, feature, round(value, 9), psi, round(statistic, 6), verdict FROM monitor.inputs
WHERE segment = '' AND period <= DATE '{STEPS[-1]}' AND feature LIKE 'interactions/%' ORDER BY ALL
"""


def trade() -> pd.DataFrame:
    """Purchases of which each day is like the others, until quantities double."""
    rng = np.random.default_rng(5)
    days = np.repeat(pd.date_range(FIRST, LAST), ROWS)
    size = len(days)
    quantity = rng.poisson(4, size) + 1
    return pd.DataFrame(
        {
            "order_line_id": np.arange(size),
            "order_id": np.arange(size) // 4,
            "customer_id": [f"C{one:04}" for one in rng.integers(0, 3000, size)],
            "product_id": [f"P{one:04}" for one in rng.integers(0, 500, size)],
            "quantity": np.where(days >= pd.Timestamp(SHIFT), 2 * quantity, quantity),
            "unit_price": np.round(rng.lognormal(1, 0.6, size), 2),
            "ordered_on": days,
            "is_purchase": True,
            "is_product": True,
        }
    )


@pytest.fixture(scope="module")
def published(fresh_store, tmp_path_factory) -> Home:
    """A lake whose interactions are published, and some answers of the service."""
    folder = tmp_path_factory.mktemp("inputs")
    (folder / "mlflow").mkdir()
    shutil.copy(fresh_store, folder / "mlflow" / "mlflow.db")
    home = Home(Settings(home=folder))

    def serve(connection) -> None:
        connection.execute("CREATE SCHEMA IF NOT EXISTS raw")
        connection.execute(
            f"""CREATE TABLE raw.served AS
            SELECT '{NAME}' AS model, TIMESTAMP '{LAST} 09:00' AS served_at,
                'C' || range AS customer_id, range / 10 AS score, range < 15 AS known,
                CASE WHEN range >= 18 THEN false END AS shown FROM range(20)"""
        )

    write(home.lake, serve)
    home.publish(trade(), LAST)
    return home


@pytest.fixture(scope="module")
def watched(published: Home) -> Home:
    done = watch(published)
    assert done.reason == f"{DAYS} days judged"
    return published


@pytest.fixture(scope="module")
def copied(fresh_store, tmp_path_factory) -> Home:
    """The same once more, without answers, for what is judged in steps."""
    folder = tmp_path_factory.mktemp("copied")
    (folder / "mlflow").mkdir()
    shutil.copy(fresh_store, folder / "mlflow" / "mlflow.db")
    home = Home(Settings(home=folder))
    home.publish(trade(), LAST)
    return home


def watch(home: Home, over: date = LAST, name: str = NAME):
    return watch_inputs(home.lake, home.registry, name, over, ["orders"], 365.0, {})


def test_a_change_alarms_once_and_says_of_what(watched: Home):
    alarm = newest_input_alarm(watched.lake, NAME)
    assert alarm is not None
    assert watched.read("SELECT period FROM monitor.inputs WHERE alarm") == [(alarm.period,)]
    assert SHIFT <= alarm.period <= SHIFT + timedelta(days=10)
    assert alarm.id == f"{NAME}-inputs-{alarm.period}"
    assert alarm.version == 0
    assert alarm.features == ("interactions/quantity",)
    assert f"inputs since {alarm.since}: interactions/quantity 1" in alarm.seen
    assert newest_input_alarm(watched.lake, "another") is None
    found = told_apart(watched.lake, alarm, {})
    assert found.auc > 0.8
    assert next(iter(found.features)) == "quantity"


def test_each_day_is_told_by_feature_and_segment(watched: Home):
    of = f"FROM monitor.inputs WHERE period = DATE '{LAST}' AND feature = 'interactions/quantity'"
    rows = watched.read(f"SELECT segment, value, reference, psi {of} ORDER BY 1")
    _, value, reference, psi = rows[0]
    assert (value, reference) == pytest.approx((10, 5), rel=0.1)
    assert psi > 1
    # In the first days every customer was new: there is nothing to compare the others with.
    assert rows[-1] == ("returning customers", None, None, None)
    verdicts = watched.read("SELECT verdict, count(*) FROM monitor.inputs WHERE segment = '' "
        "AND feature = 'all features' GROUP BY ALL ORDER BY ALL")  # fmt: skip
    assert verdicts == [("alarm", 1), ("fine", DAYS - 90 - 1), ("learning", 90)]


def test_the_scores_shown_are_profiled_and_others_are_not(watched: Home):
    assert watched.read(
        f"""SELECT "column", period, rows, total FROM monitor.input_profiles
        WHERE dataset = 'served/{NAME}' AND segment = '' ORDER BY 1"""
    ) == [("known", LAST, 18, None), ("score", LAST, 18, pytest.approx(15.3))]


def test_a_repeated_look_changes_nothing(watched: Home):
    head, rows = catalog.head(watched.lake), watched.read(KEPT)
    again = watch(watched)
    assert again.added.empty
    assert again.reason == f"no day after {LAST} is over and published yet"
    # The clock went back.
    assert watch(watched, LAST - timedelta(30)).added.empty
    assert (catalog.head(watched.lake), watched.read(KEPT)) == (head, rows)


def test_day_by_day_comes_to_the_same_as_all_at_once(watched: Home, copied: Home):
    for over in STEPS:
        watch(copied, over)
    assert copied.read(STATISTICS) == watched.read(STATISTICS)


def test_after_a_change_of_the_rule_days_are_learned_anew_and_not_told_again(
    copied: Home, monkeypatch
):
    watch(copied, STEPS[-1])
    rows = copied.read(KEPT)
    with monkeypatch.context() as other:
        other.setattr(input_state, "recipe", lambda: "another")
        assert watch(copied, STEPS[-1]).added.empty
        day = STEPS[-1] + timedelta(1)
        added = watch(copied, day).added
    assert set(added["period"]) == {day}
    assert set(added["verdict"]) == {"fine"}
    assert copied.read(KEPT)[: len(rows)] == rows


def test_unfit_days_are_named_with_their_delivery_and_neither_alarm_nor_are_learned(copied: Home):
    watch(copied, SHIFT - timedelta(1))
    spoilt = [SHIFT + timedelta(day) for day in range((LAST - SHIFT).days + 1)]
    unfit = Judgement("distribution", "quantity", 0.9, 0.1, 1, 1, 1, 0.0, "unfit")

    def mark(connection) -> None:
        make_judgements(connection)
        connection.execute("CREATE SCHEMA ledger")
        connection.execute(
            "CREATE TABLE ledger.deliveries AS SELECT 'orders' AS source, 'abc' AS sha256, "
            "'/data/orders-15.csv' AS path, 1 AS number"
        )
        for day in spoilt:
            connection.execute(
                'INSERT INTO monitor.profiles (source, period, "column", rows, parts) '
                "VALUES ('orders', ?, ?, 9, MAP {'abc': 9})",
                [day, DELIVERY],
            )
        write_judgements(connection, "orders", {day: [unfit] for day in spoilt})

    write(copied.lake, mark)
    watch(copied)
    assert newest_input_alarm(copied.lake, NAME) is None
    told = copied.read(
        "SELECT period, told FROM monitor.inputs WHERE verdict = 'data fault' "
        "AND feature = 'all features' ORDER BY 1"
    )
    assert [day for day, _ in told] == spoilt
    assert all("brought by orders-15.csv" in what for _, what in told)

    # Once it is mended, the profiles are still those of the fault: nothing is learned from them.
    def mend(connection) -> None:
        connection.execute("DELETE FROM monitor.judgements")
        connection.execute("DELETE FROM monitor.input_state")
        connection.execute("DELETE FROM monitor.inputs WHERE verdict <> 'data fault'")

    write(copied.lake, mend)
    copied.crown(LAST)
    assert watch(copied).added["alarm"].sum() == 0


def test_what_a_model_of_features_sees_is_what_was_known_before_the_day(published: Home):
    published.crown(FIRST + timedelta(20), ODDS)
    done = watch(published, FIRST + timedelta(30), ODDS)
    assert done.version == 1
    profiles = published.read(
        """SELECT period, nulls = rows FROM monitor.input_profiles
        WHERE dataset = 'customer_activity' AND "column" = 'recency_days' AND segment = ''
        ORDER BY 1"""
    )
    assert len(profiles) == 31
    assert profiles[0] == (FIRST, True)
    assert not any(unknown for _, unknown in profiles[1:])
    versions = published.read(
        "SELECT coalesce(version, 0), min(period), max(period) FROM monitor.inputs "
        f"WHERE model = '{ODDS}' GROUP BY 1 "
        "ORDER BY 1"
    )
    later = FIRST + timedelta(21)
    assert versions == [
        (0, FIRST, later - timedelta(1)),
        (1, later, FIRST + timedelta(30)),
    ]


def test_the_door_tells_of_the_alarm_and_warns(published: Home, instance, webhook):
    watch(published)
    published.crown(FIRST + timedelta(20))

    def forget(connection) -> None:
        for table in ("monitor.inputs", "monitor.input_state"):
            connection.execute(f"DELETE FROM {table} WHERE model = '{NAME}'")

    write(published.lake, forget)
    given = Settings(home=published.settings.home, webhook=webhook[0])
    graph = dg.Definitions(
        assets=[inputs_asset([NAME], [ORDERS])],
        asset_checks=[inputs_check([NAME])],
        resources={"settings": given},
        executor=dg.in_process_executor,
        jobs=[dg.define_asset_job("inputs", selection=dg.AssetSelection.assets(INPUTS_KEY))],
    )
    assert graph.get_assets_def(INPUTS_KEY).asset_deps[INPUTS_KEY] == {
        dg.AssetKey(["lake", "published_features"])
    }
    job = graph.resolve_job_def("inputs")
    done = job.execute_in_process(instance=instance)
    [event] = done.asset_materializations_for_node("monitor__inputs")
    assert event.metadata["models"].value[NAME]
    [check] = done.get_asset_check_evaluations()
    alarm = newest_input_alarm(published.lake, NAME)
    assert (check.passed, check.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert not check.blocking
    assert check.metadata["alarms"].value == [alarm.id]
    assert event.metadata["alarms"].value == [f"{alarm.id}: {alarm.seen}"]
    assert event.metadata["whole_rows"].value[alarm.id].startswith("AUC ")
    [told] = [one["text"] for one in webhook[1]]
    assert told.startswith(f"alarm: {NAME} version 1: interactions/quantity 1")
    assert f"since: inputs since {alarm.since}" in told and "decisions/input-alarm.md" in told


def test_days_that_another_run_has_profiled_meanwhile_are_not_added_twice(watched: Home):
    before = LAST - timedelta(days=1)
    count = "SELECT count(*) FROM monitor.input_profiles WHERE dataset = 'interactions'"
    rows = watched.read(count)
    with connect(watched.lake, snapshot=published_with_features(watched.lake).snapshot) as reading:
        days = input_profiles.profile(reading, inputs_of(NAME, {}), INTERACTIONS, before, LAST)
    assert days[ALL].keys() == {LAST}
    write(watched.lake, lambda c: input_profiles.write(c, INTERACTIONS, before, days))
    assert watched.read(count) == rows


def test_a_view_of_dates_alone_has_nothing_to_profile(watched: Home):
    view = FeatureView(
        name="dates",
        entity=("customer_id",),
        mart="fct_interactions",
        event_time="day",
        ttl=timedelta(days=365),
        features=lambda known: known.group_by("customer_id", "as_of").agg(
            first_day=known.day.min()
        ),
        schema=pa.DataFrameSchema({"customer_id": pa.Column(str), "first_day": pa.Column(dt.date)}),
        description="Since when.",
        owner="team:data-science",
    )
    seen = Inputs("newcomers", (view,), False, {})
    with connect(watched.lake, snapshot=published_with_features(watched.lake).snapshot) as reading:
        days = input_profiles.profile(reading, seen, view.name, LAST - timedelta(days=2), LAST)
    assert days == {segment: {} for segment in SEGMENTS}


def test_features_are_of_what_had_been_delivered_by_then(watched: Home):
    seen = inputs_of(ODDS, {"fct_interactions": frozenset({"orders"})})
    with (
        connect(watched.lake, snapshot=published_with_features(watched.lake).snapshot) as reading,
        pytest.raises(TrainingError, match="has no column delivery"),
    ):
        input_profiles.profile(reading, seen, seen.datasets[0], LAST - timedelta(days=2), LAST)
