"""A small catalog made up of plain values: a price from its delivery to two versions."""

from datetime import datetime

import pytest

from ops_platform.catalog import entries
from ops_platform.catalog.distribution import Distribution
from ops_platform.catalog.lineage import (
    COLUMN,
    DELIVERY,
    INPUT,
    RELEASE,
    ROWS,
    SOURCE,
    TABLE,
    TRAINING_SET,
    VALUE,
    VERSION,
    Edge,
    Graph,
    Node,
)

SOME_DAY = datetime(2024, 6, 1, 12)


@pytest.fixture
def graph() -> Graph:
    nodes = [
        Node("deliveries/orders/aaa", DELIVERY, "2024-01-01.csv, 5 rows", current=False),
        Node("deliveries/orders/bbb", DELIVERY, "2024-01-02.csv, 6 rows"),
        Node("deliveries/orders/ccc", DELIVERY, "2024-01-03.csv, 7 rows"),
        Node("deliveries/orders", SOURCE, "csv, contract 1.0.0"),
        Node("deliveries/orders.Price", INPUT),
        Node("raw.orders", TABLE),
        Node("raw.orders.price", COLUMN),
        Node("marts.sales", TABLE),
        Node("marts.sales.amount", COLUMN),
        Node("models/m/training_set", TRAINING_SET),
        Node("models/m@1", VERSION, "as of 2024-01-02"),
        Node("models/m@2", VERSION, "as of 2024-01-03"),
        Node("releases/m/v2-0", RELEASE, "serves"),
    ]
    edges = [
        *(
            Edge(f"deliveries/orders/{one}", "deliveries/orders", ROWS)
            for one in ("aaa", "bbb", "ccc")
        ),
        Edge("deliveries/orders", "deliveries/orders.Price", VALUE),
        Edge("deliveries/orders.Price", "raw.orders.price", VALUE),
        Edge("deliveries/orders", "raw.orders", ROWS),
        Edge("raw.orders.price", "marts.sales.amount", VALUE),
        Edge("raw.orders.price", "marts.sales", ROWS),
        Edge("raw.orders", "marts.sales", ROWS),
        Edge("marts.sales", "models/m/training_set", ROWS),
        Edge("models/m/training_set", "models/m@1", VALUE),
        Edge("models/m/training_set", "models/m@2", VALUE),
        Edge("models/m@2", "releases/m/v2-0", VALUE),
    ]
    first, second = (
        frozenset(f"deliveries/orders/{one}" for one in held)
        for held in (("aaa", "bbb"), ("bbb", "ccc"))
    )
    fitted_on = {"models/m@1": first, "models/m@2": second, "releases/m/v2-0": second}
    return Graph({node.id: node for node in nodes}, tuple(edges), fitted_on)


@pytest.fixture
def made_up(graph) -> entries.Catalog:
    def table(name, column, words, **more):
        given = {"checks": (), "freshness": None, **more}
        return entries.Table(name, words, "team", "contract orders 1.0.0", 18, (column,), **given)

    prices = Distribution((("1", 10), ("2", 8)), 0, None)
    checks = (
        entries.Check("positive", "No price is below 0.", True, entries.FAILED, 3, SOME_DAY),
        entries.Check("later", "", False),
    )
    return entries.Catalog(
        SOME_DAY,
        "dev",
        7,
        (
            table(
                "raw.orders",
                entries.Column(
                    "price", "DECIMAL(12,3)", "Of one <b>piece</b>, `0` if free.", None, prices
                ),
                "Every line.",
                checks=checks,
                freshness=entries.Freshness(SOME_DAY, "one no older than 4 days", overdue=False),
            ),
            table(
                "marts.sales",
                entries.Column("amount", "DECIMAL(18,3)", "What was paid.", "secret", None),
                "Sales </script> by day.",
            ),
        ),
        graph,
    )
