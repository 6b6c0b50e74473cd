"""The dbt project compiled once, and its models made in any DuckDB from the compiled SQL."""

from collections.abc import Mapping
from typing import Any

import pytest

from ops_platform.settings import Settings
from ops_platform.transform.project import read_manifest
from tests.postgres import postgres_server, postgres_url  # noqa: F401


@pytest.fixture(scope="session")
def compiled(tmp_path_factory) -> Settings:
    """Settings of a home in which the manifest lies already."""
    settings = Settings(home=tmp_path_factory.mktemp("compiled"))
    read_manifest(settings)
    return settings


@pytest.fixture(scope="session")
def manifest(compiled) -> dict[str, Any]:
    return read_manifest(compiled)


@pytest.fixture(scope="session")
def make_models(manifest):
    """Makes every model as a table of `lake`, parents first, from what lies in `raw.orders`."""

    def make(connection) -> None:
        for node in _in_order(manifest["nodes"]):
            connection.execute(f"CREATE SCHEMA IF NOT EXISTS lake.{node['schema']}")
            connection.execute(
                f"CREATE TABLE lake.{node['schema']}.{node['name']} AS {node['compiled_code']}"
            )

    return make


def _in_order(nodes: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    waiting = {name: node for name, node in nodes.items() if node["resource_type"] == "model"}
    order = []
    while waiting:
        for name, node in sorted(waiting.items()):
            if not waiting.keys() & node["depends_on"]["nodes"]:
                order.append(waiting.pop(name))
    return order
