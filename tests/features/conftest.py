"""Raw orders in a DuckDB, with the dbt project's own SQL as views over them."""

from datetime import date, datetime, timedelta
from decimal import Decimal

import duckdb
import pytest

from ops_platform.features.build import build
from ops_platform.features.view import find_views
from ops_platform.ingest.contract_file import read_contracts
from ops_platform.ingest.ledger import COLUMNS
from ops_platform.lake import catalog
from ops_platform.lake.location import Lake
from ops_platform.lake.published import Published, publish
from ops_platform.lake.write import write
from ops_platform.settings import PROJECT, Settings
from tests.transform.conftest import compiled, in_order, manifest  # noqa: F401

CATALOG = {"10001": "bowls", "10002": "bowls", "10003": "stands"}
AT, AS_OF = datetime(2024, 1, 1), date(2027, 4, 25)


def after(days: int, hours: int = 0) -> datetime:
    return AT + timedelta(days=days, hours=hours)


# Lines at the label's very time, on its day, after it, before every time to live, and late ones.
EDGES = (
    [
        ("ann", "10001", "1", after(0), 2, Decimal(2), "d1"),
        ("ann", "10002", "2", after(800, 6), 2, Decimal(2), "d1"),
        ("ann", "10001", "3", after(1200, 6), 3, Decimal(2), "d1"),
        ("bob", "10001", "4", after(1200, 12), 3, Decimal(2), "d2"),
        ("ann", "10001", "C5", after(1200, 12), -1, Decimal(2), "d1"),
        ("ann", "10002", "C6", after(1210), -1, Decimal(2), "d1"),
    ],
    [after(1200, 12), after(1201)],
    {"d1": after(0), "d2": after(1201), "d3": after(0)},
    CATALOG,
)


@pytest.fixture(scope="session")
def shop(manifest):  # noqa: F811
    """A connection whose marts follow from what is inserted into `lake.raw`."""
    with duckdb.connect() as connection:
        connection.execute("ATTACH ':memory:' AS lake; USE lake; CREATE SCHEMA raw")
        for contract in read_contracts(PROJECT / "contracts"):
            columns = [f'"{one.name}" {one.stored_type}' for one in contract.columns]
            connection.execute(
                f"CREATE TABLE raw.{contract.name} ({', '.join(columns)}, _delivery VARCHAR)"
            )
        connection.execute(f"CREATE SCHEMA ledger; CREATE TABLE ledger.deliveries ({COLUMNS})")
        for node in in_order(manifest["nodes"]):
            connection.execute(f"CREATE SCHEMA IF NOT EXISTS {node['schema']}")
            if node["resource_type"] == "model":
                connection.execute(
                    f"CREATE VIEW {node['schema']}.{node['name']} AS {node['compiled_code']}"
                )
        yield connection


def fill(connection, lines, deliveries, categories=CATALOG) -> None:
    """Let raw hold these lines, (customer, product, order, at, quantity, price, delivery), and the
    ledger these deliveries, by name the time at which each came."""
    connection.execute(
        "DELETE FROM raw.orders; DELETE FROM raw.products; DELETE FROM ledger.deliveries"
    )
    _insert(
        connection,
        "raw.orders (customer_id, product_id, order_id, ordered_at, quantity, unit_price, _delivery)",
        lines,
    )
    _insert(connection, "raw.products (product_id, category)", categories.items())
    _insert(
        connection,
        "ledger.deliveries (source, status, sha256, delivered_at)",
        [("orders", "taken", *one) for one in deliveries.items()],
    )


def _insert(connection, table, rows) -> None:
    if rows:
        row = f"({', '.join('?' for _ in next(iter(rows)))})"
        connection.execute(
            f"INSERT INTO {table} VALUES {', '.join(row for _ in rows)}",
            [value for one in rows for value in one],
        )


@pytest.fixture(scope="session")
def lake(shop, tmp_path_factory) -> Lake:
    """A lake with the marts of a few lines and every view as of the newest day, published."""
    fill(shop, EDGES[0], EDGES[2])
    marts = ("fct_order_lines", "fct_interactions", "dim_products")
    rows = {name: shop.execute(f"SELECT * FROM marts.{name}").to_arrow_table() for name in marts}
    made = Lake.at(Settings(home=tmp_path_factory.mktemp("home")))

    def work(connection: duckdb.DuckDBPyConnection) -> None:
        connection.execute("CREATE SCHEMA marts")
        for name, table in rows.items():
            connection.register("given", table)
            connection.execute(f"CREATE TABLE marts.{name} AS SELECT * FROM given")
            connection.unregister("given")

    write(made, work)
    head = catalog.head(made)
    publish(made, Published(head, head), None)
    for view in find_views():
        assert build(made, view, AS_OF)
    return made
