"""The dbt-duckdb plugin by which a dbt process holds the lake's lock itself.

A killed parent's lock would be freed while its dbt child writes on, and analysts run dbt by hand:
so the lock belongs to the process that writes. Commands that only read attach read-only instead.
"""

import atexit
import os
from contextlib import ExitStack
from functools import cache
from pathlib import Path
from typing import Any

from dbt.adapters.duckdb.credentials import DuckDBCredentials
from dbt.adapters.duckdb.plugins import BasePlugin
from dbt.flags import get_flags
from duckdb import DuckDBPyConnection

from ops_platform.lake import catalog
from ops_platform.lake.connect import make_ready
from ops_platform.lake.location import Lake
from ops_platform.lake.lock import write_lock
from ops_platform.settings import Settings

WRITING = {"run", "build", "seed", "snapshot", "test", "run-operation", "clone", "retry"}
SNAPSHOT_FILE = "OPS_DBT_SNAPSHOT_FILE"
_held = ExitStack()


class Plugin(BasePlugin):
    """Takes the write lock for commands that write, and keeps it until the process ends."""

    def initialize(self, plugin_config: dict[str, Any]) -> None:
        """Lock, or turn the attached lake read-only."""
        credentials = self.creds
        in_dagster = (credentials.config_options or {}).get("access_mode") == "READ_ONLY"
        if getattr(get_flags(), "WHICH", None) in WRITING and not in_dagster:
            _hold(Lake.at(Settings()))
        else:
            _read_only(credentials)

    def configure_connection(self, conn: DuckDBPyConnection) -> None:
        """Load the lake's extensions and hand over its password, before dbt attaches it."""
        make_ready(conn, Lake.at(Settings()))


@cache
def _hold(lake: Lake) -> None:
    # Once: dbt may make its adapter twice in a process, and would wait for itself.
    _held.enter_context(write_lock(lake))
    if os.environ.get(SNAPSHOT_FILE):
        atexit.register(_note_snapshot, lake, Path(os.environ[SNAPSHOT_FILE]))


def _note_snapshot(lake: Lake, file: Path) -> None:
    # Still under the lock: the id is of what dbt left, before any other writer's turn.
    file.write_text(str(catalog.head(lake)), encoding="utf-8")


def _read_only(credentials: DuckDBCredentials) -> None:
    for attachment in credentials.attach or []:
        attachment.read_only = True
