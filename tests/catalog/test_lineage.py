"""The graph is walked both ways, a version to the deliveries that it learned from."""

import pytest
from rich.console import Console

from ops_platform.catalog.gather import Words, classified_columns
from ops_platform.catalog.lineage import DELIVERY, find, walk
from ops_platform.catalog.tree import as_data, drawn
from ops_platform.errors import OpsError


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
