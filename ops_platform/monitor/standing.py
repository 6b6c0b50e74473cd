"""How a champion stands in production: what policies ask for, from the lake and the registry."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from functools import lru_cache

import pandas as pd

from ops_platform.lake.connect import connect
from ops_platform.lake.location import Lake
from ops_platform.lake.published import published
from ops_platform.models.registry import Registry, Version
from ops_platform.monitor.alarms import Alarm, alarms
from ops_platform.monitor.inputs import newest_input_alarm
from ops_platform.monitor.policy import Standing
from ops_platform.monitor.profile import NDCG
from ops_platform.monitor.tables import read_drift

_VISITORS = """
WITH visits AS (
    SELECT DISTINCT ordered_on AS day, customer_id
    FROM marts.fct_order_lines
    WHERE is_purchase AND is_product AND customer_id IS NOT NULL
)
SELECT day, min(day) OVER (PARTITION BY customer_id) AS first_day FROM visits
QUALIFY first_day < day ORDER BY day
"""


@dataclass(frozen=True)
class InProduction:
    """The `Evidence` of the present champion.

    Attributes
    ----------
    lake, registry : of the platform.
    champion : the version that serves.
    """

    lake: Lake
    registry: Registry
    champion: Version

    def judged(self) -> pd.DataFrame:
        """As `Evidence`."""
        return _of_ndcg(self._drift(self.champion.version))

    def alarms(self) -> Sequence[Alarm]:
        """As `Evidence`, each with all the features that changed."""
        return alarms(self._drift(self.champion.version))

    def input_alarms(self) -> Sequence[Alarm]:
        """As `Evidence`; the newest alone."""
        newest = newest_input_alarm(self.lake, self.champion.name)
        return [newest] if newest and newest.period > as_of_of(self.champion) else []

    def past(self) -> pd.DataFrame:
        """As `Evidence`."""
        name, number = self.champion.name, self.champion.version
        before = [one for one in self.registry.numbers(name) if one < number]
        return of_past(
            [
                (one, as_of_of(self.registry.version(name, one)), _of_ndcg(self._drift(one)))
                for one in before
            ]
        )

    def traffic(self) -> pd.DataFrame:
        """As `Evidence`."""
        return traffic(_visitors(self.lake, published(self.lake).snapshot), as_of_of(self.champion))

    def _drift(self, version: int) -> pd.DataFrame:
        with connect(self.lake) as connection:
            return read_drift(connection, self.champion.name, version)


# A sensor asks each few seconds, and all order lines are read for it.
@lru_cache(maxsize=1)
def _visitors(lake: Lake, snapshot: int) -> pd.DataFrame:
    with connect(lake, snapshot=snapshot) as connection:
        return connection.execute(_VISITORS).df()


def standing(lake: Lake, registry: Registry, champion: Version, day: date) -> Standing:
    """How a champion stands when `day` is the newest published one."""
    return Standing(day, as_of_of(champion), InProduction(lake, registry, champion))


def as_of_of(version: Version) -> date:
    """The newest day that a version learned from."""
    return date.fromisoformat(version.tags["as_of"])


def _of_ndcg(drift: pd.DataFrame) -> pd.DataFrame:
    return drift[drift["feature"] == NDCG].reset_index(drop=True)


def of_past(champions: Sequence[tuple[int, date, pd.DataFrame]]) -> pd.DataFrame:
    """What `Evidence.past` gives, of the version, as-of and judged days of each past champion."""
    columns = ["period", "value", "reference"]
    found = [
        days[columns].assign(version=version, age=(days["period"] - pd.Timestamp(as_of)).dt.days)
        for version, as_of, days in champions
        if not days.empty
    ]
    if not found:
        return pd.DataFrame(columns=[*columns, "version", "age"], dtype=float)
    return pd.concat(found, ignore_index=True)


def traffic(visitors: pd.DataFrame, as_of: date) -> pd.DataFrame:
    """What `Evidence.traffic` gives.

    Parameters
    ----------
    visitors : a row a visit, in order: columns day, and first_day of the customer's purchases.
    as_of : the champion's.
    """
    later = visitors[visitors["day"] > pd.Timestamp(as_of)]
    known = later["first_day"] <= pd.Timestamp(as_of)
    by_day = known.groupby(later["day"]).agg(visits="size", known="sum")
    return by_day.rename_axis("period").reset_index()
