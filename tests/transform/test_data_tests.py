"""dbt's data tests as checks of a pinned snapshot: each finds the fault that is planted for it."""

import pytest

from ops_platform.errors import BlockedError
from ops_platform.lake import catalog
from ops_platform.lake.connect import connect
from ops_platform.lake.location import Lake
from ops_platform.lake.published import require
from ops_platform.lake.write import write
from ops_platform.simulate.shop import Shop, write_orders
from ops_platform.transform.data_tests import blocking_tests, tables
from tests.transform.conftest import take_in_orders

# In this order, each on top of those before it, so that none of them hides another.
FAULTS = {
    "not_null_fct_order_lines_unit_price": (
        "UPDATE marts.fct_order_lines SET unit_price = NULL "
        "WHERE order_line_id = (SELECT min(order_line_id) FROM marts.fct_order_lines)"
    ),
    "unique_dim_customers_customer_id": (
        "INSERT INTO marts.dim_customers FROM marts.dim_customers ORDER BY customer_id LIMIT 1"
    ),
    "every_line_of_raw_is_in_the_mart": (
        "DELETE FROM marts.fct_order_lines "
        "WHERE order_line_id = (SELECT max(order_line_id) FROM marts.fct_order_lines)"
    ),
    "no_purchase_is_cancelled_beyond_its_quantity": (
        "INSERT INTO marts.fct_interactions SELECT customer_id, product_id, day, purchased_on, "
        "'cancellation', -quantity - 1, -amount FROM marts.fct_interactions "
        "WHERE kind = 'purchase' ORDER BY ALL LIMIT 1"
    ),
    "interactions_have_the_sign_of_their_kind": (
        "UPDATE marts.fct_interactions SET amount = 0.5 WHERE kind = 'cancellation'"
    ),
    "no_cancellation_takes_back_more_than_it_says": (
        "UPDATE intermediate.int_cancellations_matched SET quantity = quantity + 100"
    ),
    "unique_together_int_cancellations_matched_customer_id__product_id__cancelled_on__purchased_on": (
        "INSERT INTO intermediate.int_cancellations_matched "
        "FROM intermediate.int_cancellations_matched ORDER BY ALL LIMIT 1"
    ),
    "accepted_values_fct_interactions_kind__purchase__cancellation": (
        "INSERT INTO marts.fct_interactions SELECT customer_id, product_id, day, purchased_on, "
        "'gift', quantity, amount FROM marts.fct_interactions "
        "WHERE kind = 'purchase' ORDER BY ALL LIMIT 1"
    ),
    "relationships_fct_interactions_product_id__product_id__ref_dim_products_": (
        "DELETE FROM marts.dim_products "
        "WHERE product_id = (SELECT min(product_id) FROM marts.fct_interactions)"
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def snapshots(tmp_path_factory, make_models):
    """A lake of sound marts, then a snapshot for each fault; the ids in order, the sound one first."""
    home = tmp_path_factory.mktemp("checks")
    lake = Lake(home / "lake", home / "lake" / "data")
    write_orders(Shop(days=25, customers=30, products=15), home / "orders")
    take_in_orders(lake, home / "orders")
    write(lake, make_models)
    ids = [catalog.head(lake)]
    for sql in FAULTS.values():
        write(lake, lambda connection, sql=sql: connection.execute(sql))
        ids.append(catalog.head(lake))
    return lake, ids


@pytest.fixture(scope="module")
def checks(manifest):
    return {check.name: check for check in blocking_tests(manifest)}


def failing(lake, snapshot, checks) -> dict[str, int]:
    with connect(lake, snapshot=snapshot) as connection:
        found = {name: check.failures(connection) for name, check in checks.items()}
    return {name: count for name, count in found.items() if count}


def test_sound_marts_pass_every_test(snapshots, checks):
    lake, (sound, *_) = snapshots
    assert len(checks) > 40
    assert failing(lake, sound, checks) == {}


@pytest.mark.parametrize("number", range(1, len(FAULTS) + 1), ids=FAULTS)
def test_a_planted_fault_is_found_from_its_snapshot_on(snapshots, checks, number):
    lake, ids = snapshots
    name = list(FAULTS)[number - 1]
    only = {name: checks[name]}
    assert failing(lake, ids[number - 1], only) == {}
    assert failing(lake, ids[number], only)[name] > 0


def test_what_fails_is_named_with_its_table_and_rows(snapshots, checks):
    lake, ids = snapshots
    with connect(lake, snapshot=ids[1]) as connection, pytest.raises(BlockedError) as caught:
        require(connection, list(checks.values()))
    assert "marts.fct_order_lines: not_null_fct_order_lines_unit_price (1 rows)" in str(
        caught.value
    )


def test_a_test_that_only_warns_does_not_block(checks, manifest):
    warns = "cancellations_have_negative_quantities"
    assert any(node["name"] == warns for node in manifest["nodes"].values())
    assert warns not in checks


def test_the_tables_are_those_that_dbt_makes(manifest):
    assert tables(manifest) == [
        "intermediate.int_cancellations_matched", "marts.dim_customers", "marts.dim_products",
        "marts.fct_events", "marts.fct_interactions", "marts.fct_order_lines",
        "snapshots.customers_history",
    ]  # fmt: skip
