"""A source's days in the lake: profiled as they come, judged once over, held back until mended."""

from datetime import date, datetime, timedelta

import numpy as np
import pytest
from typer.testing import CliRunner

from ops_platform.cli_data import data_app
from ops_platform.errors import LakeError, UnfitError
from ops_platform.ingest.profiles import judge_sources
from ops_platform.lake import faults
from ops_platform.lake.acceptance import accept
from ops_platform.lake.connect import connect
from ops_platform.lake.location import Lake
from ops_platform.models.training import require_fit
from tests.ingest.conftest import Shop, order

# A Monday, as is the day after.
START, LEARNED = date(2023, 1, 2), 112
NEXT = START + timedelta(LEARNED)


def lines(a_row, day: date, times: int = 1, rows: int = 60, guests: int = 0) -> list[list[str]]:
    rng = np.random.default_rng(day.toordinal())
    return [
        a_row(
            n,
            InvoiceNo=str(500000 + n // 4),
            InvoiceDate=f"{day} {8 + n % 10:02}:15:00",
            UnitPrice=f"{times * price:.2f}",
            CustomerID="" if n < guests else "17.0",
        )
        for n, price in enumerate(rng.choice([0.85, 1.25, 2.95, 4.95], rows))
    ]


@pytest.fixture(scope="module")
def judged(orders_contract, tmp_path_factory):
    """The shop after its first delivery, of 16 weeks, closed on Saturdays; the tests go on there."""
    folder = tmp_path_factory.mktemp("judged")
    (folder / "orders").mkdir()
    lake = Lake(folder / "lake", folder / "lake" / "data")
    shop = Shop(orders_contract, lake, folder / "orders", datetime(2023, 6, 1))
    days = [START + timedelta(n) for n in range(LEARNED)]
    shop.deliver("history.csv", *(r for d in days if d.weekday() != 5 for r in lines(order, d)))
    first = step(shop)
    assert first.profiled == len(first.judged) == LEARNED * 6 / 7
    assert faults.faults(lake) == []
    return shop


def step(shop):
    shop.run()
    return judge_sources(shop.lake, [shop.contract], shop.now)[shop.contract.name]


def test_a_unit_error_holds_training_back_until_it_is_corrected(judged):
    judged.deliver("monday.csv", *lines(order, NEXT, times=100))
    assert set(step(judged).judged) == {NEXT}
    with pytest.raises(UnfitError) as refused:
        require_fit(judged.lake, ["orders"])
    assert f"orders {NEXT}: distribution of unit_price 1.000 where" in str(refused.value)
    assert "brought by monday.csv" in str(refused.value)
    assert f"ops data accept orders {NEXT}" in str(refused.value)
    require_fit(judged.lake, ["products"])

    judged.deliver("monday.csv", *lines(order, NEXT))
    assert set(step(judged).judged) == {NEXT}
    require_fit(judged.lake, ["orders"])
    assert faults.faults(judged.lake) == []
    assert step(judged).profiled == 0


def test_what_is_accepted_is_fit_and_so_is_the_next_day_like_it(judged):
    tuesday, wednesday = NEXT + timedelta(1), NEXT + timedelta(2)
    judged.deliver("tuesday.csv", *lines(order, tuesday, times=100))
    step(judged)
    accept(judged.lake, "orders", tuesday, who="ann", why="in pence", now=judged.now)
    require_fit(judged.lake, ["orders"])
    [fault] = faults.faults(judged.lake)
    assert not fault.is_open
    assert fault.accepted == "by ann at 2023-06-01 00:00: in pence"

    judged.deliver("wednesday.csv", *lines(order, wednesday, times=100))
    assert set(step(judged).judged) == {wednesday}
    require_fit(judged.lake, ["orders"])


def test_what_is_accepted_is_what_was_seen_and_not_what_is_delivered_later(judged):
    tuesday = NEXT + timedelta(1)
    for times, unfit in ((10000, {tuesday}), (100, set())):
        judged.deliver("tuesday.csv", *lines(order, tuesday, times=times))
        step(judged)
        assert {one.day for one in faults.faults(judged.lake) if one.is_open} == unfit


def test_late_rows_are_judged_with_their_day_and_a_day_that_is_not_over_waits(judged):
    late, thursday = NEXT - timedelta(28), NEXT + timedelta(3)
    judged.now = datetime.combine(thursday, datetime.min.time()) + timedelta(hours=20)
    judged.deliver("thursday.csv", *lines(order, thursday), *lines(order, late, rows=5))
    done = step(judged)
    assert (done.profiled, set(done.judged)) == (2, {late})
    with connect(judged.lake) as connection:
        assert faults.profiles_of(connection, "orders", late)[late]["country"].rows == 65
    judged.now += timedelta(1)
    done = step(judged)
    assert (done.profiled, set(done.judged)) == (0, {thursday})


def test_a_working_day_without_rows_is_told_and_trained_on(judged):
    friday, sunday = NEXT + timedelta(4), NEXT + timedelta(6)
    judged.now = datetime(2023, 6, 1)
    judged.deliver("sunday.csv", *lines(order, sunday))
    step(judged)
    # Saturday is closed. A day on which nothing came may be a holiday.
    told = [one.told for one in faults.faults(judged.lake) if one.accepted is None]
    assert told == [f"orders {friday}: no rows on a working day"]
    require_fit(judged.lake, ["orders"])

    accept(judged.lake, "orders", friday, who="ann", why="a holiday", now=judged.now)
    assert all(one.accepted for one in faults.faults(judged.lake))


def test_the_days_after_the_accepted_one_are_judged_anew_by_the_level_that_is_right_now(judged):
    days = [NEXT + timedelta(n) for n in range(7, 21) if (NEXT + timedelta(n)).weekday() != 5]
    first, *_, other = days
    guests = {day: 36 if day == other else 12 for day in days}
    judged.deliver("guests.csv", *(r for d in days for r in lines(order, d, guests=guests[d])))
    step(judged)
    unfit = {one.day for one in faults.faults(judged.lake) if one.is_open}
    assert unfit == set(days)

    done = CliRunner().invoke(
        data_app,
        ["accept", "orders", str(first), "--why", "guests may buy"],
        env={"OPS_HOME": str(judged.folder.parent)},
    )
    accepted, *still = done.stdout.splitlines()
    assert accepted.startswith(f"orders {first} is accepted: ")
    assert "nulls of customer_id 0.200 where 0.000 was expected" in accepted
    assert [one[:56] for one in still] == [f"still unfit: orders {other}: nulls of customer_id 0.6"]
    assert {one.day for one in faults.faults(judged.lake) if one.is_open} == {other}


def test_a_day_of_which_nothing_was_told_has_nothing_to_accept(judged):
    with pytest.raises(LakeError, match="nothing of orders 2023-04-24 is told to be unlike"):
        accept(judged.lake, "orders", NEXT, who="ann", why="", now=judged.now)


def test_nothing_can_be_accepted_of_a_source_that_was_never_judged(judged):
    with pytest.raises(LakeError, match="oders has no profiles"):
        accept(judged.lake, "oders", NEXT, who="ann", why="", now=judged.now)
