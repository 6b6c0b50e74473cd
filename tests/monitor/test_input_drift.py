"""The inputs' alarm on days that are made up: what it finds, what it lets pass, what it says."""

from copy import deepcopy
from dataclasses import replace
from datetime import date, timedelta

import numpy as np
import pytest

from ops_platform.lake.profile import Profile
from ops_platform.monitor.e_detector import POWERS, EDetector, p_values
from ops_platform.monitor.input_drift import InputDrift
from ops_platform.monitor.input_state import from_bytes, to_bytes

FIRST = date(2024, 1, 1)
AMOUNT, KIND = "trade/amount", "trade/kind"


def days(seed: int, count: int, amount: float = 0.0, rows: int = 600) -> list[dict[str, Profile]]:
    """Days of two features, whose amounts are moved by some standard deviations."""
    rng = np.random.default_rng(seed)
    made = []
    for day in range(count):
        weekly = 0.2 * (day % 7 == 5)
        value = np.exp(rng.normal(amount + weekly, 1.0, rows))
        parts = np.floor(np.log10(value) * 10).astype(int) + 100
        names, counts = np.unique(parts, return_counts=True)
        numbers = {str(name): int(n) for name, n in zip(names, counts, strict=True)}
        kinds = rng.multinomial(rows, [0.5, 0.3, 0.2])
        made.append(
            {
                AMOUNT: Profile(
                    rows, 0, rows, None, None, value.sum(), (value**2).sum(), numbers, ()
                ),
                KIND: Profile(
                    rows,
                    0,
                    3,
                    None,
                    None,
                    None,
                    None,
                    dict(zip("ABC", kinds.tolist(), strict=True)),
                    (),
                ),
            }
        )
    return made


def walk(drift: InputDrift, made: list[dict[str, Profile]], first: int = 0):
    return [drift.judge(FIRST + timedelta(first + at), one) for at, one in enumerate(made)]


@pytest.fixture(scope="module")
def learned() -> InputDrift:
    drift = InputDrift()
    judged = walk(drift, days(0, 110))
    assert {one.verdict for one in judged[:90]} == {"learning"}
    assert {one.verdict for one in judged[90:]} == {"fine"}
    return drift


def on(drift: InputDrift, profiles: dict[str, Profile]):
    """What is said of the next day, of a detector that is left as it is."""
    return deepcopy(drift).judge(FIRST + timedelta(110), profiles)


def read_again(drift: InputDrift, beside=None):
    read = from_bytes(to_bytes(drift, beside or {}), 365.0)
    assert read is not None
    return read


def verdicts(judged) -> dict[str, str]:
    return {one.feature: one.verdict for one in judged.features}


def test_a_change_alarms_within_days_and_is_then_the_new_normal(learned):
    drift = deepcopy(learned)
    judged = walk(drift, days(1, 90, amount=0.5), 110)
    alarms = [at for at, one in enumerate(judged) if one.alarm]
    assert len(alarms) == 1
    [alarm] = alarms
    assert alarm < 10
    assert judged[alarm].changed == (AMOUNT,)
    [amount] = [one for one in judged[alarm].features if one.feature == AMOUNT]
    assert abs((amount.since - FIRST).days - 110) <= 3


def test_a_day_is_judged_once(learned):
    drift = deepcopy(learned)
    before = to_bytes(drift, {})
    late = drift.judge(FIRST + timedelta(50), days(2, 1, amount=3.0)[0])
    assert (late.verdict, late.alarm) == ("judged already", False)
    assert to_bytes(drift, {}) == before


def test_a_day_whose_data_is_at_fault_is_left_out(learned):
    drift = deepcopy(learned)
    known = len(drift.features_[AMOUNT].days_)
    for at in range(20):
        judged = drift.skip(FIRST + timedelta(110 + at))
        assert (judged.verdict, judged.alarm) == ("data fault", False)
        assert set(verdicts(judged).values()) == {"data fault"}
    assert len(drift.features_[AMOUNT].days_) == known


@pytest.mark.parametrize(
    ("broken", "verdict"),
    [
        (lambda one: None, "vanished"),
        (lambda one: replace(one, nulls=one.rows, distinct=0, parts={}), "all null"),
        (lambda one: replace(one, distinct=1, parts={"103": one.rows}), "constant"),
        (lambda one: replace(one, total=None, squares=None, parts={"A": one.rows}), "another type"),
    ],
)
def test_a_broken_column_is_named_and_neither_alarms_nor_is_learned(learned, broken, verdict):
    drift = deepcopy(learned)
    known = len(drift.features_[AMOUNT].days_)
    for at, one in enumerate(days(3, 20)):
        spoilt = broken(one[AMOUNT])
        judged = drift.judge(
            FIRST + timedelta(110 + at),
            {KIND: one[KIND]} | ({AMOUNT: spoilt} if spoilt else {}),
        )
        assert verdicts(judged) == {AMOUNT: verdict, KIND: "fine"}
        assert not judged.alarm
    assert len(drift.features_[AMOUNT].days_) == known


def test_a_small_day_of_one_kind_is_not_broken(learned):
    [few] = days(3, 1, rows=60)
    alike = replace(few[KIND], distinct=1, parts={"A": 60})
    assert verdicts(on(learned, few | {KIND: alike}))[KIND] == "too few rows"
    [many] = days(3, 1)
    alike = replace(many[KIND], distinct=1, parts={"A": 600})
    assert verdicts(on(learned, many | {KIND: alike}))[KIND] == "constant"


def test_a_day_without_rows_says_nothing(learned):
    assert on(learned, {}).verdict == "no rows"
    alone = on(learned, {"served/score": days(4, 1)[0][AMOUNT]})
    assert verdicts(alone) == {
        AMOUNT: "no rows",
        KIND: "no rows",
        "served/score": "learning",
    }


def test_days_of_few_rows_are_put_together():
    drift = InputDrift()
    judged = walk(drift, days(5, 9, rows=200))
    assert [verdicts(one)[AMOUNT] for one in judged] == [
        "too few rows",
        "too few rows",
        "learning",
    ] * 3


def test_what_is_known_is_read_again_as_it_was(learned):
    drift, beside = read_again(learned, {"version": 3})
    assert beside == {"version": 3}
    there, here = (walk(one, days(6, 8, 0.3), 110) for one in (deepcopy(learned), drift))
    assert here == there
    young = InputDrift()
    made = days(7, 40, rows=300)
    walk(young, made[:25])
    read, _ = read_again(young)
    assert walk(read, made[25:], 25) == walk(young, made[25:], 25)


def test_a_constant_feature_more_dilutes_what_is_won(learned):
    more = deepcopy(learned)
    more.features_["trade/none"] = deepcopy(learned.features_[KIND])
    more.features_["trade/none"].restart()
    assert more.statistic < learned.statistic


def test_p_values_are_ranks_and_the_bets_win_nothing_on_average():
    known = np.arange(9.0)[:, None]
    assert p_values(np.array([9.0]), known)[0] == 0.1
    assert p_values(np.array([-1.0]), known)[1] == 0.1
    # Equal to all: nothing odd on either side.
    assert (p_values(np.array([2.0]), np.full((9, 1), 2.0)) == 1).all()
    for n in (20, 200):
        p = np.tile(np.arange(1, n + 1) / n, (2, 1))
        for row in (0, 3):
            detector = EDetector(n)
            detector.row_[:] = row
            detector.learn(1, p, n)
            # From nothing, what is won in a day.
            assert (detector.evidence_.mean(axis=1) <= 1 + 1e-12).all()
    assert detector.evidence_.shape == (2, 200, len(POWERS) + 1)


def test_false_alarms_of_chance_alone_are_rarer_than_the_rate():
    rng = np.random.default_rng(0)
    alarms, count = 0, 4000
    detector, known = EDetector(4), rng.normal(size=(60, 4))
    for day in range(count):
        scores = rng.normal(size=4)
        last = known[-400:]
        detector.learn(day + 1, p_values(scores, last), 1 + len(last))
        known = np.vstack([known, scores])
        if detector.statistic >= 100:
            alarms += 1
            detector.restart()
    assert 0 < alarms <= count / 100


def test_the_day_that_a_change_began_is_known():
    rng = np.random.default_rng(1)
    detector, known = EDetector(2), rng.normal(size=(200, 2))
    for day in range(1, 60):
        scores = rng.normal(size=2) + (4.0 if day >= 50 else 0.0)
        detector.learn(day, p_values(scores, known), 1 + len(known))
    assert abs(detector.since - 50) <= 10
