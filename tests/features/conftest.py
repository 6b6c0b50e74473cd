"""Raw orders in a DuckDB, with the dbt project's own SQL as views over them."""

from datetime import datetime

import duckdb
import pytest

from ops_platform.ingest.contract_file import read_contracts
from ops_platform.ingest.ledger import COLUMNS
from ops_platform.settings import PROJECT
from tests.transform.conftest import compiled, in_order, manifest  # noqa: F401

CATALOG = {"10001": "bowls", "10002": "bowls", "10003": "stands"}


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


AT = datetime(2024, 1, 1)
