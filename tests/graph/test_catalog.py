"""The lineage and the catalog of a whole platform."""

import json

import pytest
from typer.testing import CliRunner

from ops_platform.catalog.gather import gather
from ops_platform.catalog.lineage import find, walk
from ops_platform.cli import app
from ops_platform.ingest import ledger
from ops_platform.lake.check import tables
from ops_platform.lake.connect import connect
from ops_platform.lake.published import published
from ops_platform.models.registry import Registry

pytestmark = pytest.mark.graph


@pytest.fixture(scope="module")
def catalog(platform):
    return gather(platform.settings, {})


def _snapshot_of_first(platform) -> int:
    settings = platform.settings
    registry = Registry(settings.mlflow_tracking_uri, settings.mlflow_artifact_root)
    return int(registry.version("recommender", 1).tags["snapshot"])


def _held(lake, snapshot=None) -> frozenset[str]:
    """The deliveries of all connected sources by their names in the graph."""
    with connect(lake, snapshot=snapshot) as connection:
        return frozenset(
            f"deliveries/{source}/{sha256[:12]}"
            for source in ("orders",)
            for sha256 in ledger.held(ledger.read(connection, source))
        )


def _names(tree) -> set[str]:
    return {tree.node.id}.union(*(_names(one) for one in tree.branches))


def test_a_price_is_followed_from_its_delivery_to_the_version_that_serves(catalog, platform):
    graph = catalog.graph
    price = find(graph, "raw.orders.unit_price")
    (release,) = platform.settings.releases.glob("recommender/v1-*")

    above = _names(walk(graph, price, up=True))
    below = _names(walk(graph, price, up=False))

    assert "deliveries/orders.UnitPrice" in above
    # A delivery that was replaced since then is no longer above the table.
    assert _held(platform.lake) & graph.fitted_on["models/recommender@1"]
    assert _held(platform.lake) <= above
    assert {"marts.fct_order_lines.unit_price", "features.customer_activity.monetary"} <= below
    assert {"models/recommender@1", f"releases/recommender/{release.name}"} <= below


def test_a_version_is_followed_up_to_every_delivery_and_only_what_it_uses(catalog, platform):
    above = _names(walk(catalog.graph, find(catalog.graph, "models/recommender@1"), up=True))

    assert {"features.customer_products.day", "raw.orders.customer_id"} <= above
    assert not {"features.customer_activity", "raw.orders.country"} & above
    held = _held(platform.lake, snapshot=_snapshot_of_first(platform))
    assert catalog.graph.fitted_on["models/recommender@1"] == held


def test_a_wrong_delivery_is_followed_to_the_release_that_serves(platform):
    done = platform.run("ops", "impact", "2024-01-08.csv", "--json")

    assert done.returncode == 0, done.stderr
    (found,) = json.loads(done.stdout)
    assert found["rows_raw"] > 0 and found["held"]
    assert "unit_price" in found["tables"]["marts.fct_order_lines"]
    assert {"features.customer_activity", "features.customer_products"} <= {*found["features"]}
    assert found["versions"] == ["models/purchase_probability@1", "models/recommender@1"]
    assert [release["version"] for release in found["releases"]] == found["versions"]
    for release in found["releases"]:
        ((start, end),) = release["served"]
        assert start and end is None
    assert "no delivery 'x.csv'" in platform.run("ops", "impact", "x.csv").stderr


def test_every_table_and_column_is_in_the_catalog_and_has_words(catalog, platform):
    with connect(platform.lake, snapshot=published(platform.lake).snapshot) as connection:
        assert {table.name for table in catalog.tables} == tables(connection)
    for table in catalog.tables:
        assert table.description, table.name
        if table.name.split(".")[0] not in ("quarantine", "ledger", "monitor"):
            assert all(column.description for column in table.columns), table.name
            assert {f"{table.name}.{c.name}" for c in table.columns} <= catalog.graph.nodes.keys()


def test_quarantined_records_are_not_shown(catalog):
    (table,) = [table for table in catalog.tables if table.name == "quarantine.orders"]
    assert table.rows > 0
    assert not any(column.distribution for column in table.columns)


def test_an_unknown_name_ends_the_prompt_with_1(platform, monkeypatch):
    for name, value in platform.environment.items():
        monkeypatch.setenv(name, value)
    done = CliRunner().invoke(app, ["lineage", "fct_order_lines.unit_price"])
    assert done.exit_code == 1
    assert "did you mean marts.fct_order_lines.unit_price" in done.stderr
