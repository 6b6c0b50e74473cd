"""Live performance, from what was served and what was bought then, day by day."""

import numpy as np
import pytest

from ops_platform.lake import catalog, faults
from ops_platform.lake.history import Judgement
from ops_platform.lake.write import write
from ops_platform.monitor.ripe import unfit_days
from tests.monitor.live import LABEL_DAYS, copy_of, empty_home, measured, on, publish, row, serve

BEFORE = [("buys", -5, "p1"), ("buys", -4, "p2"), ("idle", -3, "p1"), ("third", -2, "p3")]
BOUGHT = [*BEFORE, ("buys", 2, "p1"), ("buys", 4, "p5"), ("third", 3, "p2"), ("buys", 5, "p3")]

ENDS = {on(3): on(5), on(4): on(6)}


@pytest.fixture(scope="module")
def traded(fresh_store, tmp_path_factory):
    """The champion learned from BEFORE; the days up to 4 are published."""
    home = empty_home(fresh_store, tmp_path_factory.mktemp("traded"))
    publish(home, 4, *BOUGHT)
    home.crown(on(0))
    return home


@pytest.fixture
def shop(traded, tmp_path):
    return copy_of(traded, tmp_path / "home")


def test_what_was_shown_counts_by_what_was_bought_within_the_days(shop):
    serve(
        shop,
        "first",
        ("buys", 2, ["p3", "p1"]), ("idle", 2, ["p1"]), ("third", 2, ["p1", "p2"]),
        # A second answer of the day, and customers of whom nothing is known.
        ("idle", 2, ["p2"]), ("stranger", 2, ["p1"]),
    )  # fmt: skip
    serve(shop, "unknown", ("nobody", 2, ["p1"]), known=False)
    serve(shop, "shadow", ("buys", 2, ["p5", "p1"]), arm="challenger", shown=False, model_version=9)
    everything = measured(shop)
    found = row(everything, 2)
    # "buys" bought p1 on day 2 and p5 on day 4, "third" p2 on day 3; of two each was listed second.
    second = 1 / np.log2(3)
    assert (found["answers"], found["hits"], found["units"]) == (3, 2, 2)
    assert found["hit_rate"] == pytest.approx(2 / 3)
    assert found["ndcg"] == pytest.approx((second / (1 + second) + second) / 2)
    # Own purchases first: p1 and p2 to "buys", and to "third" p3, then what most have bought.
    assert found["baseline_ndcg"] == pytest.approx((1 / (1 + second) + 0) / 2)
    assert found["baseline_hit_rate"] == pytest.approx(1 / 3)
    assert found["lead"] == pytest.approx(found["ndcg"] - found["baseline_ndcg"])
    assert found["ripe"] and not found["estimated"]
    segments = set(everything.rows["segment"])
    assert "new customers" in segments and any(one.startswith("customers in ") for one in segments)


def test_a_day_ripens_when_its_labels_are_there_and_once(shop):
    serve(shop, "first", ("buys", 2, ["p1"]), ("buys", 3, ["p3", "p2"]), ("buys", 4, ["p5"]))
    found = measured(shop)
    assert found.ripened == [on(1), on(2)]
    assert found.waiting == {day: f"what is bought up to {end} counts" for day, end in ENDS.items()}
    young = row(found, 3)
    assert not young["ripe"] and np.isnan(young["ndcg"]) and young["hits"] == 0

    publish(shop, 5, *BOUGHT, ("third", 2, "p1"))
    serve(shop, "late", ("third", 2, ["p1"]), ("third", 3, ["p2"]))
    again = measured(shop)
    assert again.ripened == [on(3)]
    assert row(again, 2).equals(row(found, 2))
    assert (row(again, 3)["ripe"], row(again, 3)["answers"], row(again, 3)["hits"]) == (True, 2, 2)


def test_what_the_champion_would_have_answered_is_judged_for_who_came(shop):
    found = measured(shop)
    assert row(found, 2, "as of")["answers"] == 2
    assert row(found, 2, "as of")["hits"] == 2
    assert set(found.rows["source"]) == {"as of"}
    # On the days that it has learned from the champion is not judged.
    assert found.rows["period"].min().date() == on(1)


def test_what_is_measured_again_and_has_not_changed_is_not_written_again(shop):
    serve(shop, "first", ("buys", 2, ["p1"]))
    first, head = measured(shop), catalog.head(shop.lake)
    assert first.waiting
    again = measured(shop)
    assert catalog.head(shop.lake) == head
    assert again.rows.equals(first.rows)


def test_before_a_day_is_over_there_is_nothing_to_measure(shop):
    found = measured(shop, over=0)
    assert (len(found.rows), found.ripened, found.waiting) == (0, [], {})


def test_a_succeeded_champions_days_still_ripen(shop):
    measured(shop)
    shop.crown(on(4))
    publish(shop, 6, *BOUGHT)
    found = measured(shop)
    assert row(found, 4, "as of")[["version", "ripe"]].tolist() == [1, True]
    assert row(found, 5, "as of")["version"] == 2


def test_a_clock_that_goes_backward_takes_back_no_judgement(shop):
    serve(shop, "first", ("buys", 2, ["p1"]), ("buys", 3, ["p3"]))
    first = measured(shop)
    back = measured(shop, over=2)
    assert row(back, 2).equals(row(first, 2))
    assert back.rows["period"].max().date() == on(2)


def test_days_whose_data_is_at_fault_or_without_any_trade_are_not_judged(shop):
    serve(shop, "first", ("buys", 2, ["p1"]))
    half = Judgement("volume", "", 100.0, 200.0, None, None, None, None, "unfit")

    def judge(connection) -> None:
        faults.make(connection)
        connection.execute("CREATE SCHEMA IF NOT EXISTS ledger")
        connection.execute(
            "CREATE TABLE IF NOT EXISTS ledger.deliveries "
            "(source VARCHAR, sha256 VARCHAR, path VARCHAR, number BIGINT)"
        )
        faults.write_judgements(connection, "orders", {on(4): [half]})

    write(shop.lake, judge)
    assert "volume 100" in measured(shop).waiting[on(2)]
    assert unfit_days(shop.lake, {"others"}) == {}


def test_before_there_is_a_champion_nothing_is_measured(home):
    assert measured(home).reason == "there is no champion yet"


def test_labels_that_never_come_leave_the_days_marked(shop):
    serve(shop, "first", *[("buys", day, ["p1"]) for day in (5, 300)])
    found = measured(shop)
    # And the last days on which somebody bought.
    assert len(found.waiting) == 2 + LABEL_DAYS - 1
    assert not found.rows[found.rows["source"] == "served"]["ripe"].any()
