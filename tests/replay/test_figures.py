"""The figures of a replay by hand, its picture, and which days it walks through."""

from datetime import date

import numpy as np
import pandas as pd
import pytest

from ops_platform.errors import ReplayError
from ops_platform.replay.backtest import Backtest
from ops_platform.replay.figures import TASKS, as_markdown, by_day, figures, resampled_means
from ops_platform.replay.history import visits_of
from ops_platform.replay.period import day_of, period_of
from ops_platform.replay.picture import picture
from ops_platform.replay.walk import Training, Walk

FIRST, LAST = date(2024, 3, 1), date(2024, 3, 2)
TRADE = [date(2024, 3, day) for day in (1, 2, 4, 5, 8)]


@pytest.fixture
def backtest() -> Backtest:
    """Four visits of three customers on two days; the last bought nothing for the first time."""
    nan = np.nan

    def walk(ndcg, discovery, *trainings):
        return Walk(np.array(ndcg), np.array(discovery), trainings)

    days = np.array(["2024-03-01", "2024-03-01", "2024-03-02", "2024-03-02"], "datetime64[D]")
    return Backtest(
        "recommender",
        FIRST,
        LAST,
        date(2024, 2, 28),
        days,
        np.array([0, 1, 0, 2]),
        {
            "never": walk([0.2, 0.2, 0.1, 0.1], [0.1, 0.1, 0.1, nan]),
            "every:28": walk([0.3, 0.2, 0.2, 0.3], [0.1, 0.1, 0.4, nan], Training(FIRST, "old", 2)),
            "daily": walk([0.4, 0.4, 0.2, 0.2], [0.2, 0.2, 0.2, nan], Training(FIRST, "old", 2)),
        },
    )


def test_the_figures_are_what_they_are_by_hand(backtest):
    found = {(one.policy, one.task): one for one in figures(backtest)}

    never, every, daily = (found[name, "all items"] for name in backtest.walks)
    assert (never.visits, never.ndcg.value) == (4, pytest.approx(0.15))
    assert every.ndcg.value == pytest.approx(0.25)
    assert daily.ndcg.value == pytest.approx(0.3)
    assert every.regret.value == pytest.approx(0.05)
    assert (daily.regret.low, daily.regret.high) == (0, 0)
    assert [one.kept.value for one in (never, every, daily)] == pytest.approx([0, 2 / 3, 1])
    assert every.kept.low <= 2 / 3 <= every.kept.high
    # For discovery three visits count, and a policy may do better than daily.
    assert found["every:28", "discovery"].visits == 3
    assert found["every:28", "discovery"].kept.value == pytest.approx(1.0)


def test_where_daily_gains_nothing_there_is_no_share_of_it(backtest):
    flat = Backtest(
        **{**vars(backtest), "walks": dict.fromkeys(backtest.walks, backtest.walks["never"])}
    )
    assert all(one.kept is None for one in figures(flat))


def test_customers_are_resampled_and_not_visits():
    index = pd.MultiIndex.from_tuples([(1, 0), (2, 0), (3, 0), (1, 1)], names=["day", "customer"])
    scores = pd.DataFrame({"a": [0.0, 0.0, 0.0, 1.0], "b": [1.0, 1.0, 1.0, 0.0]}, index=index)

    found = resampled_means(scores, seed=0)

    # Of two customers: twice the first, both, or twice the second.
    assert set(found["a"]) == {0.0, 0.25, 1.0}
    assert (found["a"] + found["b"]).to_numpy() == pytest.approx(1.0)
    pd.testing.assert_frame_equal(found, resampled_means(scores, seed=0))


def test_the_quality_by_day_the_table_and_the_picture(backtest):
    assert by_day(backtest, "all items")["daily"].tolist() == pytest.approx([0.4, 0.2])
    assert by_day(backtest, "discovery")["every:28"].tolist() == pytest.approx([0.1, 0.4])
    assert "| every:28 | 1 | 0.2500 | +0.0500 [" in as_markdown(
        backtest, figures(backtest), TASKS[0]
    )
    drawn = picture(backtest)
    assert drawn.startswith(b"\x89PNG")
    assert drawn == picture(backtest)


def test_a_period_is_what_is_asked_for_or_the_later_half():
    whole = period_of(TRADE, None, None)
    assert whole.days == tuple(TRADE[2:])
    assert (whole.start, whole.history) == (TRADE[1], TRADE[0])
    part = period_of(TRADE, date(2024, 3, 3), date(2024, 3, 6))
    assert part.days == (date(2024, 3, 4), date(2024, 3, 5))


@pytest.mark.parametrize(
    ("trade", "first", "last", "told"),
    [
        ([], None, None, "there is no history"),
        (TRADE, date(2024, 3, 5), date(2024, 3, 4), "2024-03-05, is after the last, 2024-03-04"),
        (TRADE, None, date(2024, 3, 9), "is later than what is published; .* 2024-03-01 to"),
        (TRADE, date(2024, 3, 1), None, "5 days of trade, and 0 before"),
        (TRADE, date(2024, 3, 6), None, "1 days of trade, and 4 before"),
        (TRADE[:1], None, None, "two and one are needed"),
    ],
)
def test_a_period_that_cant_be_replayed_is_told(trade, first, last, told):
    with pytest.raises(ReplayError, match=told):
        period_of(trade, first, last)


def test_a_day_is_read():
    assert day_of("2024-03-01", "first") == FIRST
    assert day_of("", "first") is None
    with pytest.raises(ReplayError, match="last='March' is no day"):
        day_of("March", "last")


def test_visits_are_those_of_customers_who_had_bought_before():
    rows = [
        (1, "ann", "p1"),
        (1, "ann", "p2"),
        (1, None, "p1"),
        (2, "bob", "p1"),
        (3, "ann", "p1"),
        (3, "ann", "p1"),
        (3, "ann", "p3"),
        (4, "ann", "p3"),
        (4, "bob", "p2"),
    ]
    lines = pd.DataFrame(rows, columns=["day", "customer_id", "product_id"])
    lines["day"] = [pd.Timestamp(2024, 3, day) for day in lines["day"]]

    found = visits_of(lines)

    assert found.day.astype(str).tolist() == ["2024-03-03", "2024-03-04", "2024-03-04"]
    assert found.customers[found.customer].tolist() == ["ann", "ann", "bob"]
    assert found.products[found.bought.product].tolist() == ["p1", "p3", "p3", "p2"]
    assert found.bought.visit.tolist() == [0, 0, 1, 2]
    assert found.products[found.first_bought.product].tolist() == ["p3", "p2"]
    assert found.first_bought.visit.tolist() == [0, 2]
    assert [found.first_after(date(2024, 3, day)) for day in (2, 3, 4)] == [0, 1, 3]
    assert found.bought.after(1).visit.tolist() == [0, 1]
