"""A real lake and a real registry, fed by a small simulated shop, with and without a shift."""

import json
import shutil
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import dagster as dg
import duckdb
import pandas as pd
import pytest

from ops_platform.features.build import build
from ops_platform.features.view import FeatureView
from ops_platform.features.views import customer_products
from ops_platform.lake import catalog
from ops_platform.lake.connect import connect
from ops_platform.lake.location import Lake
from ops_platform.lake.published import Published, publish, published_or_none
from ops_platform.lake.write import write
from ops_platform.models.recommending import interactions_by
from ops_platform.models.registry import Registry
from ops_platform.models.zoo.recommender import Recommender
from ops_platform.monitor.alarm_rules.cusum import Cusum
from ops_platform.monitor.watch import Watched, watch
from ops_platform.settings import Settings
from ops_platform.simulate.change import TasteShift
from ops_platform.simulate.shop import Shop, write_orders

SHOP = Shop(seed=3, days=110, customers=150, products=80, dirty_rate=0)
AS_OF = date(2024, 3, 20)
SHIFT = date(2024, 3, 27)
NEWEST = date(2024, 4, 19)
NAME = "recommender"

_ORDERS = """
SELECT row_number() OVER (ORDER BY InvoiceNo, StockCode, Quantity) AS order_line_id,
       InvoiceNo AS order_id, CustomerID AS customer_id, StockCode AS product_id,
       CAST(Quantity AS INTEGER) AS quantity, CAST(UnitPrice AS DECIMAL(12, 3)) AS unit_price,
       CAST(InvoiceDate AS DATE) AS ordered_on, TRUE AS is_purchase,
       StockCode <> 'POST' AS is_product
FROM read_csv('{folder}/*.csv', all_varchar = true, nullstr = '')
WHERE NOT starts_with(InvoiceNo, 'C')
"""
_INTERACTIONS = """
SELECT customer_id, product_id, ordered_on AS day, ordered_on AS purchased_on,
       'purchase' AS kind, sum(quantity)::BIGINT AS quantity,
       sum(quantity * unit_price)::DECIMAL(18, 3) AS amount
FROM marts.fct_order_lines WHERE customer_id IS NOT NULL AND is_product GROUP BY ALL
"""
_CUSTOMERS = """
SELECT customer_id, CASE WHEN hash(customer_id) % 5 = 0 THEN 'France' ELSE 'United Kingdom' END
       AS country, min(ordered_on)::DATE AS first_ordered_on
FROM rows WHERE customer_id IS NOT NULL GROUP BY customer_id
"""
_PRODUCTS = """
SELECT DISTINCT product_id, product_id AS description, NULL::VARCHAR AS title,
       'Kind ' || hash(product_id) % 5 AS category
FROM rows WHERE is_product
"""


@pytest.fixture(scope="session")
def orders(tmp_path_factory) -> Callable[[float], pd.DataFrame]:
    """The purchases of the shop in which so many customers shift their taste on SHIFT."""
    made: dict[float, pd.DataFrame] = {}

    def of(strength: float = 0.0) -> pd.DataFrame:
        if strength not in made:
            folder = tmp_path_factory.mktemp("orders")
            write_orders(replace(SHOP, drifts=(TasteShift(SHIFT, strength),)), folder)
            with duckdb.connect() as connection:
                made[strength] = connection.execute(_ORDERS.format(folder=folder)).df()
        return made[strength]

    return of


@pytest.fixture(scope="session")
def fresh_store(tmp_path_factory) -> Path:
    """An empty MLflow database: its migrations take seconds, a copy of it does not."""
    path = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
    assert Registry(f"sqlite:///{path}").champion(NAME) is None
    return path


@dataclass(frozen=True)
class Home:
    """A lake with a registry, and what the graph would do there."""

    settings: Settings

    @property
    def lake(self) -> Lake:
        return Lake.at(self.settings)

    @property
    def registry(self) -> Registry:
        return Registry(self.settings.mlflow_tracking_uri, self.settings.mlflow_artifact_root)

    def publish(
        self,
        orders: pd.DataFrame,
        until: date = NEWEST,
        # Of the features the monitor and the recommender read only this view.
        views: tuple[FeatureView, ...] = (customer_products.VIEW,),
    ) -> None:
        """Publish the orders up to a day, and these features as of it."""
        rows = orders[orders["ordered_on"] <= pd.Timestamp(until)]

        def work(connection: duckdb.DuckDBPyConnection) -> None:
            connection.register("rows", rows)
            connection.execute("CREATE SCHEMA IF NOT EXISTS marts")
            for table, sql in (
                ("fct_order_lines", "SELECT * REPLACE (ordered_on::DATE AS ordered_on) FROM rows"),
                ("fct_interactions", _INTERACTIONS),
                ("dim_customers", _CUSTOMERS),
                ("dim_products", _PRODUCTS),
            ):
                connection.execute(f"CREATE OR REPLACE TABLE marts.{table} AS {sql}")
            connection.unregister("rows")

        write(self.lake, work)
        marts = catalog.head(self.lake)
        publish(self.lake, Published(marts, marts), published_or_none(self.lake))
        for view in views:
            build(self.lake, view, until)
        pointer = Published(catalog.head(self.lake), marts)
        publish(self.lake, pointer, seen=Published(marts, marts))

    def crown(self, as_of: date = AS_OF, name: str = NAME) -> int:
        """Fit a champion on what is published up to a day; its version."""
        with connect(self.lake) as connection:
            known = interactions_by(connection, as_of)
        version = self.registry.register(
            name,
            Recommender(threads=1).fit(known, as_of),
            metrics={},
            tags={"as_of": as_of.isoformat()},
            now=datetime(2024, 5, 1),
        )
        self.registry.promote(name, version)
        return version

    def watch(self, bound: float = 6.0, over: date = NEWEST) -> Watched:
        return watch(self.lake, self.registry, NAME, Cusum(bound), over)

    def read(self, sql: str) -> list[tuple]:
        with connect(self.lake) as connection:
            return connection.execute(sql).fetchall()


@pytest.fixture
def new_home(fresh_store: Path, tmp_path: Path) -> Callable[[str], Home]:
    def made(name: str) -> Home:
        (tmp_path / name / "mlflow").mkdir(parents=True)
        shutil.copy(fresh_store, tmp_path / name / "mlflow" / "mlflow.db")
        return Home(Settings(home=tmp_path / name))

    return made


@pytest.fixture
def home(new_home: Callable[[str], Home]) -> Home:
    return new_home("home")


@pytest.fixture
def instance():
    with dg.instance_for_test(overrides={"run_retries": {"enabled": True}}) as made:
        yield made


@pytest.fixture
def webhook():
    """The address of a server, and what it was sent."""
    got = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            got.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(404 if self.path == "/gone" else 200)
            self.end_headers()

        def log_message(self, *arguments):
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", got
    server.shutdown()
    thread.join()
    server.server_close()
