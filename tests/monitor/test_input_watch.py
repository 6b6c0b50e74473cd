"""Inputs watched in a real lake: profiled once, judged once, faults named, alarms told."""

from datetime import date, timedelta

import numpy as np
import pandas as pd
import pytest

from ops_platform.monitor.input_watch import watch_inputs
from ops_platform.monitor.inputs import newest_input_alarm
from tests.monitor.conftest import NAME, Home

FIRST = date(2024, 1, 1)
DAYS, ROWS = 125, 520
SHIFT = FIRST + timedelta(days=100)
LAST = FIRST + timedelta(days=DAYS - 1)
ROWS_OF = "SELECT * EXCLUDE (since) FROM monitor.inputs ORDER BY ALL"


@pytest.fixture(scope="module")
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


def watch(home: Home, over: date = LAST):
    return watch_inputs(home.lake, home.registry, NAME, over, 365.0)


def test_a_change_alarms_once_and_says_of_what(home: Home, trade):
    home.publish(trade, LAST)
    watched = watch(home)
    assert watched.reason == f"{DAYS} days judged"
    alarm = newest_input_alarm(home.lake, NAME)
    assert alarm is not None
    raised = home.read("SELECT period FROM monitor.inputs WHERE alarm")
    assert raised == [(alarm.period,)]
    assert SHIFT <= alarm.period <= SHIFT + timedelta(days=10)
    assert abs(alarm.since - SHIFT) <= timedelta(days=3)
    assert alarm.id == f"{NAME}-inputs-{alarm.period}"
    assert alarm.features[0] == "interactions/quantity"
    assert "interactions/quantity 1" in alarm.seen
