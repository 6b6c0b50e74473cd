"""The graph, made once for the session on a small simulated shop, by Dagster's own command."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import pytest

from ops_platform.lake.location import Lake
from ops_platform.settings import PROJECT, TELEMETRY_OFF, Settings
from ops_platform.simulate.shop import Shop, write_orders

SHOP = Shop(seed=1, start=date(2024, 1, 1), days=90, customers=120, products=90)
BIN = Path(sys.executable).parent


@dataclass(frozen=True)
class Platform:
    """A home with its orders folder; commands run in it as a user runs them."""

    home: Path
    orders: Path

    @property
    def environment(self) -> dict[str, str]:
        ours = {"OPS_HOME": str(self.home), "OPS_SOURCE_ORDERS": str(self.orders)}
        return {**os.environ, **TELEMETRY_OFF, **ours}

    @property
    def settings(self) -> Settings:
        return Settings(home=self.home, source={"orders": str(self.orders)})

    @property
    def lake(self) -> Lake:
        return Lake.at(self.settings)

    def run(self, *command: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(BIN / command[0]), *command[1:]],
            cwd=PROJECT,
            env={**self.environment, **environment},
            capture_output=True,
            text=True,
            check=False,
        )

    def materialize(self, select: str = "*") -> subprocess.CompletedProcess[str]:
        return self.run(
            *("ops", "dagster", "asset", "materialize"),
            *("-m", "ops_platform.definitions", "--select", select),
        )

    def status(self) -> dict:
        done = self.run("ops", "status", "--json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)


@pytest.fixture(scope="session")
def platform(tmp_path_factory) -> Platform:
    """A platform whose graph has been materialized once; tests of a file go on from there."""
    folder = tmp_path_factory.mktemp("platform")
    made = Platform(folder / "home", folder / "orders")
    write_orders(SHOP, made.orders)
    done = made.materialize()
    assert done.returncode == 0, done.stderr[-5000:] + done.stdout[-5000:]
    assert "Warning" not in done.stderr
    return made
