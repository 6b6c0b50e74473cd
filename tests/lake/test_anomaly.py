"""The test of a day: what it finds, what it leaves alone, and at which rate."""

from copy import deepcopy
from datetime import date, timedelta

import numpy as np
import pytest

from ops_platform.lake.anomaly import DAYS_A_YEAR, SHARES, is_missing, judge, tail_chance
from ops_platform.lake.history import History, Watched
from ops_platform.lake.profile import Profile

WATCHED = Watched(("price",), frozenset({"price"}), frozenset({"price"}))
START = date(2023, 1, 2)
CLOSED = 5  # Saturdays
CHRISTMAS = {date(2023, 12, 25), date(2023, 12, 26)}


def a_day(rng: np.random.Generator, rows: float, nulls: float = 0.02, times: int = 0):
    count = rng.poisson(rows)
    missing = rng.binomial(count, nulls)
    shares = np.array([1, 2, 4, 2, 1]) / 10
    parts = rng.multinomial(count - missing, shares)
    bins = {str(100 + n + times): int(c) for n, c in enumerate(parts)}
    return {"price": Profile(count, missing, 5, 1.0, 9.0, 1.0, 1.0, bins, ())}


def rows_of(day: date) -> float:
    season = 1 + 0.4 * np.cos(2 * np.pi * (day.timetuple().tm_yday - 325) / 365)
    return 600 * season * (0.6 if day.weekday() == 6 else 1)


@pytest.fixture(scope="module")
def shop():
    """Two years without a fault: the history, and a Thursday soon after it."""
    rng, history, anomalies = np.random.default_rng(0), History(), []
    for day in (START + timedelta(n) for n in range(730)):
        if day.weekday() == CLOSED or day in CHRISTMAS:
            continue
        profiles = a_day(rng, rows_of(day))
        judged = judge(day, profiles, WATCHED, history)
        history.add(day, profiles, judged)
        anomalies += [(day, one) for one in judged if one.is_anomaly]
    return history, START + timedelta(731), anomalies


def found(history, day, profiles):
    return {
        (one.measure, one.verdict)
        for one in judge(day, profiles, WATCHED, history)
        if one.is_anomaly
    }


def test_two_years_without_a_fault_warn_no_more_than_twice(shop):
    assert len(shop[2]) <= 2


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        ({}, set()),
        ({"times": 20}, {("distribution", "unfit")}),
        ({"nulls": 0.07}, {("nulls", "unfit")}),
    ],
)
def test_a_spoilt_day_is_told_by_its_measure(shop, fault, expected):
    history, day, _ = shop
    assert found(history, day, a_day(np.random.default_rng(1), rows_of(day), **fault)) == expected


def test_half_the_rows_are_unfit_and_twice_as_many_are_a_warning(shop):
    history, day, _ = shop
    rng = np.random.default_rng(2)
    assert ("volume", "unfit") in found(history, day, a_day(rng, rows_of(day) / 2))
    assert ("volume", "warning") in found(history, day, a_day(rng, rows_of(day) * 2))


def test_a_closed_day_is_not_missing_and_a_working_day_is(shop):
    history, thursday, _ = shop
    assert is_missing(thursday, history)
    assert not is_missing(thursday + timedelta(2), history)
    # Closed last year on the same date.
    assert not is_missing(date(2024, 12, 25), history)
    # On the same date last year it was a Saturday.
    assert date(2024, 1, 6).weekday() == CLOSED
    assert is_missing(date(2025, 1, 6), history)
    # Nothing is said of the first weeks.
    assert not is_missing(START + timedelta(30), history)


def test_nothing_is_said_before_enough_days_are_known():
    rng, history = np.random.default_rng(3), History()
    for day in (START + timedelta(n) for n in range(60)):
        profiles = a_day(rng, 600)
        judged = judge(day, profiles, WATCHED, history)
        history.add(day, profiles, judged)
        assert {one.verdict for one in judged} == {"learning"}
    assert not found(history, START + timedelta(60), a_day(rng, 600, times=20))


def test_a_fault_is_not_learned_from_unless_it_is_accepted(shop):
    history, day, _ = shop
    rng, wrong = np.random.default_rng(4), {}
    for accepted in (frozenset(), frozenset({(day, "distribution", "price")})):
        after = History(
            dict(history.series), dict(history.profiles), list(history.traded), accepted, {}
        )
        series = after.series["distribution", "price"]
        after.series["distribution", "price"] = type(series)(list(series.days), dict(series.judged))
        spoilt = a_day(rng, rows_of(day), times=20)
        after.add(day, spoilt, judge(day, spoilt, WATCHED, after))
        wrong[bool(accepted)] = found(after, day + timedelta(1), a_day(rng, rows_of(day), times=20))
    assert wrong[False] == {("distribution", "unfit")}
    assert wrong[True] == set()


def test_in_the_weeks_after_an_accepted_fault_another_is_told_and_the_new_level_is_not(shop):
    history, first, _ = shop
    rng, after = np.random.default_rng(5), deepcopy(history)
    after.accepted = frozenset({(first, "distribution", "price")})
    told = []
    for day in (first + timedelta(n) for n in range(43)):
        if day.weekday() == CLOSED:
            continue
        another = found(after, day, a_day(rng, rows_of(day), times=40))
        level = a_day(rng, rows_of(day), times=20)
        told.append((("distribution", "unfit") in another, bool(found(after, day, level))))
        after.add(day, level, judge(day, level, WATCHED, after))
    assert told == [(True, True)] + [(True, False)] * 36


def test_the_budget_is_one_warning_a_year():
    assert sum(map(sum, SHARES.values())) == pytest.approx(1)


@pytest.mark.parametrize("known", [60, 300])
def test_the_chance_holds_on_exponential_residuals_whatever_their_number(known):
    rng, chance = np.random.default_rng(5), 20 / DAYS_A_YEAR
    runs = 1500
    hits = sum(
        tail_chance(abs(one), list(rest)) <= chance
        for one, *rest in rng.laplace(size=(runs, known + 1))
        if one > 0
    )
    assert hits <= chance * runs * 1.35
    assert hits >= chance * runs * 0.65
