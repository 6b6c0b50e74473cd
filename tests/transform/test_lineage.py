"""Columns followed from the marts back to what was delivered."""

import copy

import pytest

from ops_platform.ingest.contract_file import read_contracts
from ops_platform.settings import PROJECT
from ops_platform.transform.lineage import column_lineage

RAW = "source.ops.raw.orders"


@pytest.fixture(scope="module")
def raw_columns():
    return {
        contract.name: [*(column.name for column in contract.columns), "_delivery"]
        for contract in read_contracts(PROJECT / "contracts")
    }


@pytest.fixture(scope="module")
def lineage(manifest, raw_columns):
    return column_lineage(manifest, raw_columns)


def origins(lineage, model: str, column: str) -> set[str]:
    """The raw columns that a column comes from, through all models between."""
    found = set()
    for parent, name in lineage[model][column]:
        found |= {name} if parent.startswith("source.") else origins(lineage, parent, name)
    return found


def test_a_models_own_step_is_named(lineage):
    staging, lines = lineage["model.ops.stg_orders__lines"], lineage["model.ops.fct_order_lines"]
    assert staging["amount"] == [(RAW, "quantity"), (RAW, "unit_price")]
    assert staging["delivery"] == [(RAW, "_delivery")]
    assert lines["unit_price"] == [("model.ops.stg_orders__lines", "unit_price")]


@pytest.mark.parametrize(
    ("mart", "column", "raw"),
    [
        ("fct_order_lines", "unit_price", {"unit_price"}),
        ("fct_order_lines", "amount", {"unit_price", "quantity"}),
        ("fct_interactions", "purchased_on", {"ordered_at"}),
        ("dim_customers", "country", {"country"}),
        ("dim_products", "last_price", {"unit_price"}),
        ("dim_products", "description", {"description"}),
        ("dim_products", "list_price", {"price"}),
    ],
)
def test_a_column_is_followed_from_raw_to_mart(lineage, mart, column, raw):
    assert origins(lineage, f"model.ops.{mart}", column) == raw


def test_a_snapshot_is_followed_like_a_model(lineage):
    snapshot = "snapshot.ops.customers_history"
    assert lineage[snapshot]["country"] == [("model.ops.stg_customers__accounts", "country")]


def test_a_matched_quantity_comes_from_quantities(lineage):
    found = origins(lineage, "model.ops.int_cancellations_matched", "quantity")
    assert found >= {"quantity"}
    assert "description" not in found


def test_every_column_of_every_mart_has_a_lineage_that_ends_in_raw(manifest, lineage, raw_columns):
    for name, node in manifest["nodes"].items():
        if node["resource_type"] == "model":
            assert lineage[name].keys() >= node["columns"].keys(), name
            for column in lineage[name]:
                assert origins(lineage, name, column) <= set().union(*raw_columns.values())


@pytest.mark.parametrize(
    "sql",
    [
        "select columns('a.*') from lake.staging.stg_orders__lines",
        "select * from (pivot lake.staging.stg_orders__lines on country using sum(quantity))",
        "select nothing from lake.staging.stg_orders__lines",
        "select from where",
    ],
)
def test_what_can_not_be_resolved_is_empty_and_the_others_are_not(manifest, raw_columns, sql):
    changed = copy.deepcopy(manifest)
    changed["nodes"]["model.ops.int_cancellations_matched"]["compiled_code"] = sql
    found = column_lineage(changed, raw_columns)
    assert found["model.ops.int_cancellations_matched"] == {}
    assert origins(found, "model.ops.fct_order_lines", "unit_price") == {"unit_price"}
    # Downstream goes on with the columns that the model's YAML documents.
    assert ("model.ops.int_cancellations_matched", "amount") in found["model.ops.fct_interactions"][
        "amount"
    ]
