"""What a simulated shop sells, as the shop writes it, and its recommender fitted day by day."""

from datetime import date, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import duckdb
import pandas as pd

from ops_platform.models.zoo.recommender import Recommender
from ops_platform.monitor.reference import Reference, calibrate
from ops_platform.simulate.shop import Shop, write_orders

SHOP = Shop(days=180 + 1 + 365, customers=400, products=300, dirty_rate=0)
AS_OF = SHOP.start + timedelta(days=180)

_PURCHASES = """
SELECT CAST(InvoiceDate AS DATE) AS day, InvoiceNo AS order_id, CustomerID AS customer_id,
       StockCode AS product_id, CAST(UnitPrice AS DOUBLE) AS unit_price,
       CAST(Quantity AS INTEGER) AS quantity, Country AS country,
       -- After its colour and its pattern.
       regexp_replace(Description, '^\\S+ \\S+ ', '') AS category
FROM read_csv('{folder}/*.csv', all_varchar = true, nullstr = '')
WHERE NOT starts_with(InvoiceNo, 'C') AND StockCode <> 'POST'
ORDER BY ALL
"""


def purchases(shop: Shop) -> pd.DataFrame:
    """The lines of a simulated shop, in order of the days."""
    with TemporaryDirectory() as folder, duckdb.connect() as connection:
        write_orders(shop, Path(folder))
        return connection.execute(_PURCHASES.format(folder=folder)).df()


class Trade:
    """The purchases of a shop, and its recipe fitted on those up to a day, once for each day."""

    def __init__(self, lines: pd.DataFrame) -> None:
        """Keep the purchases."""
        self.lines = lines
        named = lines[lines["customer_id"].notna()]
        self.bought = named[["customer_id", "product_id", "day"]].drop_duplicates()
        self._fitted: dict[date, tuple[Recommender, pd.DataFrame]] = {}

    def fit(self, as_of: date) -> tuple[Recommender, pd.DataFrame]:
        """The model as of a day, and what it was fitted on."""
        if as_of not in self._fitted:
            known = self.bought[self.bought["day"] <= pd.Timestamp(as_of)]
            self._fitted[as_of] = Recommender(threads=1).fit(known, as_of), known
        return self._fitted[as_of]

    def reference(self, as_of: date) -> Reference:
        """What is normal for the champion as of a day."""
        return calibrate(self.fit, self.lines, as_of, SHOP.start)

    def between(self, after: date, until: date) -> pd.DataFrame:
        """The lines after a day, up to another."""
        day = self.lines["day"]
        return self.lines[(day > pd.Timestamp(after)) & (day <= pd.Timestamp(until))]
