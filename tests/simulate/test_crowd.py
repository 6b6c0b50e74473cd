"""The purchases of a large shop."""

from datetime import date

import pandas as pd
import pytest

from ops_platform.simulate.crowd import purchases

START = date(2024, 1, 1)


def test_a_crowd_buys_the_same_twice_and_otherwise_with_another_seed():
    once, again, other = (purchases(500, 200, start=START, days=90, seed=s) for s in (1, 1, 2))
    pd.testing.assert_frame_equal(once, again)
    assert not once.equals(other)


def test_its_rows_are_distinct_in_the_span_and_some_twenty_a_customer():
    rows = purchases(2000, 500, start=START, days=90)
    assert not rows.duplicated().any()
    assert rows["day"].min() >= pd.Timestamp(START)
    assert rows["day"].max() < pd.Timestamp(START) + pd.Timedelta(days=90)
    assert rows["customer_id"].nunique() == 2000
    assert 10 < len(rows) / 2000 < 30


def test_customers_have_favourites():
    rows = purchases(2000, 500, start=START, days=365)
    days = rows.groupby(["customer_id", "product_id"])["day"].nunique()
    assert (days > 1).mean() > 0.05


def test_fewer_products_than_groups_are_refused():
    with pytest.raises(ValueError, match="at least 100 products, not 50"):
        purchases(10, 50, start=START, days=10)
