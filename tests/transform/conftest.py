"""The dbt project compiled once, and its models made in any DuckDB from the compiled SQL."""

import os
import shutil
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from ops_platform.ingest.contract_file import read_contracts
from ops_platform.ingest.take_in import take_in
from ops_platform.lake.location import Lake
from ops_platform.settings import PROJECT, Settings
from ops_platform.transform.project import read_manifest
from tests.postgres import postgres_server, postgres_url  # noqa: F401

MADE = ("model", "snapshot")


@pytest.fixture(scope="session")
def compiled(tmp_path_factory) -> Settings:
    """Settings of a home in which the manifest lies already, the same in all processes of a run."""
    folder = tmp_path_factory.getbasetemp()
    folder = folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder
    settings = Settings(home=folder / "compiled")
    with FileLock(folder / "compiled.lock"):
        read_manifest(settings)
    return settings


def with_manifest(compiled: Settings, home: Path) -> Settings:
    """Settings of a home of its own, for which dbt need not compile again."""
    shutil.copytree(compiled.home / "dbt", home / "dbt")
    return Settings(home=home)


@pytest.fixture(scope="session")
def manifest(compiled) -> dict[str, Any]:
    return read_manifest(compiled)


def take_in_orders(lake: Lake, folder: Path) -> None:
    """Takes the orders of a folder in; the other sources are not connected, and empty."""
    for contract in read_contracts(PROJECT / "contracts"):
        location = folder if contract.name == "orders" else None
        take_in(lake, contract, location, datetime(2024, 6, 1))


@pytest.fixture(scope="session")
def make_models(manifest):
    """Makes every model and snapshot as a table of `lake`, parents first, from what lies in raw."""

    def make(connection) -> None:
        for node in in_order(manifest["nodes"]):
            query = node["compiled_code"]
            if node["resource_type"] == "snapshot":
                query = f"SELECT *, TIMESTAMP '2024-06-01' AS dbt_valid_from FROM ({query})"
            connection.execute(f"CREATE SCHEMA IF NOT EXISTS lake.{node['schema']}")
            connection.execute(f"CREATE TABLE lake.{node['schema']}.{node['name']} AS {query}")

    return make


def in_order(nodes: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    waiting = {name: node for name, node in nodes.items() if node["resource_type"] in MADE}
    order = []
    while waiting:
        for name, node in sorted(waiting.items()):
            if not waiting.keys() & node["depends_on"]["nodes"]:
                order.append(waiting.pop(name))
    return order
