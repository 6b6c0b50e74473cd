"""A small shop's purchases, without a lake: what replays read of it is what these tables hold."""

from collections.abc import Callable
from dataclasses import replace
from datetime import date

import pandas as pd
import pytest

from ops_platform.models.zoo.recommender import Recommender
from ops_platform.monitor.alarm_rules.cusum import Cusum
from ops_platform.replay.history import visits_of
from ops_platform.replay.input_walk import InputWalk
from ops_platform.replay.period import period_of
from ops_platform.replay.store import Store
from ops_platform.replay.walk import Walker
from tests.monitor.conftest import SHOP, fresh_store, instance, new_home, orders

__all__ = ["fresh_store", "instance", "new_home", "orders"]
FIRST, LAST = date(2024, 3, 21), SHOP.start + pd.Timedelta(days=SHOP.days - 1)
RECIPE = Recommender(threads=1)


def lines_of(rows: pd.DataFrame) -> pd.DataFrame:
    """As `lines_between` gives them."""
    lines = rows[rows["is_product"]].rename(columns={"ordered_on": "day"})
    return lines.sort_values(["day", "order_line_id"], ignore_index=True)


def known_of(lines: pd.DataFrame) -> Callable[[date], pd.DataFrame]:
    """As `interactions_by` gives them: there are no cancellations in this shop."""
    bought = lines.loc[lines["customer_id"].notna(), ["customer_id", "product_id", "day"]]
    bought = bought.drop_duplicates()
    return lambda day: bought[bought["day"] <= pd.Timestamp(day)]


@pytest.fixture(scope="session")
def lines(orders) -> pd.DataFrame:
    """Of the shop in which most customers shift their taste within the period."""
    return lines_of(orders(0.7))


@pytest.fixture
def walker(tmp_path) -> Callable[..., Walker]:
    """Walks through the period of these lines; alarms beyond the bound."""

    def made(lines: pd.DataFrame, folder: str = "kept", bound: float = 6.0, **given) -> Walker:
        known = given.pop("known", None) or known_of(lines)
        trade = [day.date() for day in lines["day"].drop_duplicates()]
        period = replace(period_of(trade, FIRST, None), **given)
        store = Store(tmp_path / folder, RECIPE, visits_of(lines), known)
        inputs = InputWalk("recommender", dict, 365.0)
        return Walker("recommender", store, period, Cusum(bound), inputs)

    return made
