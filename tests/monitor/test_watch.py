"""Watching on a real lake with a real registry: what is found, once, and when it says no."""

from datetime import date, timedelta

import pandas as pd
import pytest

from ops_platform.errors import NotPublishedError
from ops_platform.lake import catalog
from ops_platform.lake.check import check
from ops_platform.lake.published import changed_since, features_changed_since, published
from ops_platform.monitor.alarm_rules.cusum import Cusum
from ops_platform.monitor.alarms import Alarm, newest_alarm
from ops_platform.monitor.profile import FEATURES, NDCG
from ops_platform.monitor.watch import watch
from tests.monitor.conftest import AS_OF, NAME, NEWEST, SHIFT, Home

STRONG = 0.7
ROWS = "SELECT * FROM monitor.drift ORDER BY ALL"


def test_a_shift_is_found_and_told(home: Home, orders):
    home.publish(orders(STRONG))
    version = home.crown()
    watched = home.watch()
    raised = [day for (day,) in home.read("SELECT period FROM monitor.drift WHERE alarm")]
    assert raised
    assert SHIFT <= min(raised) <= SHIFT + timedelta(days=21)
    alarm = newest_alarm(home.lake, NAME, version)
    assert alarm is not None
    assert alarm.period == max(raised)
    assert alarm.id == f"recommender-v{version}-{alarm.period}"
    assert alarm.features[0] == NDCG
    assert "repeat_share" in alarm.features
    assert f"to {alarm.period}: {NDCG} 0." in alarm.seen
    assert "repeat_share 0." in alarm.seen
    assert set(watched.drift["feature"]) == set(FEATURES)


def test_without_a_shift_nothing_alarms(home: Home, orders):
    home.publish(orders())
    version = home.crown()
    watched = home.watch()
    # Each trading day after the as-of, and no other.
    days = orders().query(f"ordered_on > '{AS_OF}'")["ordered_on"].dt.date.unique()
    assert sorted(watched.added["period"].dt.date.unique()) == sorted(days)
    assert newest_alarm(home.lake, NAME, version) is None
    assert home.read("SELECT count(*) FROM monitor.drift WHERE alarm") == [(0,)]


def test_a_day_is_judged_once(home: Home, orders):
    home.publish(orders(STRONG))
    home.crown()
    first = home.watch()
    snapshot, rows = catalog.head(home.lake), home.read(ROWS)
    again = home.watch()
    assert len(first.added) == len(rows)
    assert again.added.empty
    assert again.reason == f"no day after {NEWEST} is over and published yet"
    assert (catalog.head(home.lake), home.read(ROWS)) == (snapshot, rows)
    pd.testing.assert_frame_equal(again.drift, first.drift)


@pytest.mark.long
def test_day_by_day_comes_to_the_same_as_all_at_once(home: Home, orders, new_home):
    steps = [AS_OF, date(2024, 3, 28), *(date(2024, 4, day) for day in (1, 2, 3, 4, 5)), NEWEST]
    home.publish(orders(STRONG), AS_OF)
    home.crown()
    for until in steps:
        home.publish(orders(STRONG), until)
        home.watch(bound=2.0)
    in_steps = home.read(ROWS)
    raised = [day for (day,) in home.read("SELECT period FROM monitor.drift WHERE alarm")]
    # Else it would not be seen that the statistic begins anew on the day after.
    assert set(raised) & set(steps[:-1])
    # Calibrated on the first day only.
    assert home.read("SELECT count(*) FROM monitor.reference") == [(len(FEATURES),)]

    other = new_home("other")
    other.publish(orders(STRONG))
    other.crown()
    other.watch(bound=2.0)
    assert other.read(ROWS) == in_steps


def test_a_new_champion_is_watched_from_its_own_as_of(home: Home, orders):
    home.publish(orders(STRONG))
    first = home.crown()
    home.watch()
    second = home.crown(date(2024, 4, 10))
    watched = home.watch()
    assert watched.version == second
    assert watched.added["period"].min() == pd.Timestamp(2024, 4, 11)
    statistics = watched.drift.loc[watched.drift["feature"] == NDCG, "statistic"]
    assert statistics.iloc[0] < 6
    old = newest_alarm(home.lake, NAME, first)
    assert old is not None
    assert old.version == first
    assert home.read("SELECT DISTINCT version FROM monitor.reference ORDER BY 1") == [(1,), (2,)]


def test_a_champion_with_too_short_a_history_says_so(home: Home, orders):
    home.publish(orders(STRONG).query("ordered_on >= '2024-02-05'"))
    version = home.crown()
    watched = home.watch()
    assert watched.version == version
    assert "too short to say what is normal" in watched.reason
    assert watched.added.empty
    assert newest_alarm(home.lake, NAME, version) is None
    assert "monitor.drift" not in catalog.last_changed(home.lake)


def test_days_at_fault_raise_no_alarm_and_are_named(home: Home, orders):
    home.publish(orders(0.8))
    home.crown()
    spoilt = [SHIFT + timedelta(n) for n in range((NEWEST - SHIFT).days + 1)]
    unfit = {day: f"orders {day}: volume" for day in spoilt}
    found = watch(home.lake, home.registry, NAME, Cusum(6.0), NEWEST, unfit)
    assert found.drift["period"].max() < pd.Timestamp(SHIFT) and not found.drift["alarm"].any()
    assert f"left out: orders {NEWEST}: volume" in found.reason
    again = watch(home.lake, home.registry, NAME, Cusum(6.0), NEWEST, unfit)
    assert again.added.empty and "left out: " in again.reason
    # Accepted, they are judged.
    assert home.watch().drift["alarm"].any()


def test_strangers_only_are_no_failure(home: Home, orders):
    renamed = orders().copy()
    late = renamed["ordered_on"] > pd.Timestamp(AS_OF)
    renamed.loc[late, "customer_id"] = "new" + renamed.loc[late, "customer_id"]
    home.publish(renamed)
    version = home.crown()
    watched = home.watch()
    assert watched.added.empty
    assert watched.reason == "0 days judged"
    assert newest_alarm(home.lake, NAME, version) is None


def test_before_there_is_anything(home: Home, orders):
    assert newest_alarm(home.lake, NAME, 1) is None
    assert home.watch().reason == "there is no champion yet"
    home.publish(orders())
    assert newest_alarm(home.lake, NAME, 1) is None
    assert home.watch().version is None


def test_nothing_is_judged_before_it_is_published(home: Home, orders):
    home.publish(orders())
    version = home.crown()
    (home.lake.home / "catalog.sqlite").unlink()
    with pytest.raises(NotPublishedError):
        home.watch()
    assert newest_alarm(home.lake, NAME, version) is None


def test_the_monitors_tables_leave_the_published_snapshot_alone(home: Home, orders):
    home.publish(orders(STRONG))
    home.crown()
    pointer = published(home.lake)
    home.watch()
    assert catalog.head(home.lake) > pointer.snapshot
    assert published(home.lake) == pointer
    assert changed_since(home.lake, pointer.marts) == []
    assert not features_changed_since(home.lake, pointer.snapshot)
    assert check(home.lake) == []


def test_an_alarm_is_named_by_model_version_and_day():
    alarm = Alarm("recommender", 3, date(2024, 7, 12), (NDCG,), "seen")
    assert alarm.id == "recommender-v3-2024-07-12"


def test_a_day_that_is_not_over_is_judged_when_it_is(home: Home, orders):
    home.publish(orders(0.0))
    home.crown()
    yesterday = NEWEST - timedelta(days=1)

    home.watch(over=yesterday)
    assert home.read("SELECT max(period) FROM monitor.drift") == [(yesterday,)]
    home.watch()
    assert home.read("SELECT max(period) FROM monitor.drift") == [(NEWEST,)]
