"""The graph is walked both ways, a version to the deliveries that it learned from."""

import pytest
from rich.console import Console

from ops_platform.catalog.by_column import by_column
from ops_platform.catalog.gather import NOT_TOLD, Words, classified_columns
from ops_platform.catalog.lineage import DELIVERY, Edge, Graph, Node, find, walk
from ops_platform.catalog.tree import as_data, drawn
from ops_platform.errors import OpsError
from ops_platform.ingest.contract_file import read_contracts
from ops_platform.settings import PROJECT


def names(tree, kind=None) -> list[str]:
    own = [tree.node.id] if kind in (None, tree.node.kind) else []
    return own + [name for one in tree.branches for name in names(one, kind)]


def test_a_price_is_followed_down_to_the_release_by_values_and_rows(graph):
    tree = walk(graph, find(graph, "raw.orders.price"), up=False)

    assert {"marts.sales.amount", "models/m@1", "models/m@2", "releases/m/v2-0"} <= {*names(tree)}
    assert [(one.node.id, one.kind) for one in tree.branches] == [
        ("marts.sales.amount", "value"),
        ("marts.sales", "rows"),
    ]


@pytest.mark.parametrize(
    ("start", "deliveries"),
    [
        ("models/m@1", ["aaa", "bbb"]),
        ("releases/m/v2-0", ["bbb", "ccc"]),
        ("raw.orders.price", ["bbb", "ccc"]),
    ],
)
def test_what_was_in_the_snapshot_of_a_version_is_what_it_is_made_from(graph, start, deliveries):
    found = names(walk(graph, find(graph, start), up=True), DELIVERY)
    assert found == [f"deliveries/orders/{one}" for one in deliveries]


def test_a_delivery_goes_into_the_versions_that_have_seen_it(graph):
    assert "models/m@2" not in names(walk(graph, find(graph, "deliveries/orders/aaa"), up=False))
    assert "models/m@1" not in names(walk(graph, find(graph, "deliveries/orders/ccc"), up=False))


def test_what_comes_again_is_not_repeated(graph):
    tree = walk(graph, find(graph, "marts.sales"), up=True)
    assert names(tree).count("deliveries/orders/bbb") == 1
    assert [one.again for one in tree.branches[1].branches] == [True]


def test_an_unknown_name_is_told_with_those_most_like_it(graph):
    with pytest.raises(OpsError, match=r"'sales\.amount': did you mean marts\.sales\.amount"):
        find(graph, "sales.amount")
    with pytest.raises(OpsError, match=r"raw\.orders\.price"):
        find(graph, "raw.order.prise")


def test_the_tree_is_drawn_and_is_data(graph):
    console = Console(width=200)
    tree = walk(graph, find(graph, "marts.sales.amount"), up=True)
    with console.capture() as told:
        console.print(drawn(tree, "is made from"))
    assert "rows: deliveries/orders/ccc 2024-01-03.csv, 7 rows" in told.get()
    assert as_data(tree)["branches"][0]["name"] == "raw.orders.price"


def test_what_is_made_from_a_classified_column_is_classified_too(graph):
    words = {"raw.orders": Words("", "", {}, {"price": "confidential"})}
    assert classified_columns(graph, words) == {
        "raw.orders.price": "confidential",
        "marts.sales.amount": "confidential, from raw.orders.price",
    }


@pytest.mark.parametrize(
    ("select", "documented"),
    [("to_json(o) AS amount", True), ("COLUMNS('.*')", True), ("COLUMNS('.*')", False)],
)
def test_where_lineage_is_unknown_any_closed_column_above_closes_all(select, documented):
    tables = {
        "model.ops.stg_sales": f"SELECT {select} FROM lake.raw.orders o",
        "model.ops.sales": "SELECT amount AS total FROM lake.staging.stg_sales",
    }
    manifest = {
        "sources": {
            "source.ops.raw.orders": {
                "database": "lake", "schema": "raw", "name": "orders", "source_name": "raw",
            }
        },
        "nodes": {
            name: {
                "database": "lake",
                "schema": schema,
                "name": name.split(".")[-1],
                "resource_type": "model",
                "compiled_code": tables[name],
                "columns": {column: {}} if documented or schema == "marts" else {},
                "depends_on": {"nodes": [parent]},
            }
            for name, schema, column, parent in [
                ("model.ops.stg_sales", "staging", "amount", "source.ops.raw.orders"),
                ("model.ops.sales", "marts", "total", "model.ops.stg_sales"),
            ]
        },
    }  # fmt: skip
    parts = list(by_column(read_contracts(PROJECT / "contracts"), manifest, [], []))
    nodes = {part.id: part for part in parts if isinstance(part, Node)}
    edges = [part for part in parts if isinstance(part, Edge)]
    graph = Graph(nodes, tuple(e for e in edges if {e.source, e.target} <= nodes.keys()), {})

    words = {"raw.orders": Words("", "", {}, {"unit_price": "personal", "country": "internal"})}
    found = classified_columns(graph, words)
    told = f"{NOT_TOLD}: raw.orders.unit_price is personal"
    if documented:
        assert found["staging.stg_sales.amount"] == told
        assert found["marts.sales.total"] == "personal, from raw.orders.unit_price"
    else:
        assert found["marts.sales.total"] == told
    assert "raw.orders" in names(walk(graph, nodes["marts.sales"], up=True))

    words = {"raw.orders": Words("", "", {}, {"country": "internal"})}
    assert set(classified_columns(graph, words)) == {"raw.orders.country"}


def test_what_is_open_hands_nothing_on(graph):
    words = {"raw.orders": Words("", "", {}, {"price": "internal"})}
    assert classified_columns(graph, words) == {"raw.orders.price": "internal"}


def test_what_is_made_from_a_closed_column_is_not_opened_by_its_own_word(graph):
    words = {
        "raw.orders": Words("", "", {}, {"price": "personal"}),
        "marts.sales": Words("", "", {}, {"amount": "public"}),
    }
    found = classified_columns(graph, words)["marts.sales.amount"]
    assert found == "personal, from raw.orders.price"
