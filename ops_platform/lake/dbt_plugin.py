"""The dbt-duckdb plugin that leads dbt to the lake, and by which its process holds the lock itself.

A killed parent's lock would be freed while its dbt child writes on, and analysts run dbt by hand:
so the lock belongs to the process that writes. Commands that only read attach read-only instead.
"""

import atexit
import os
from contextlib import ExitStack
from functools import cache
from pathlib import Path
from typing import Any

from dbt.adapters.duckdb.credentials import Attachment
from dbt.adapters.duckdb.plugins import BasePlugin
from dbt.flags import get_flags
from dbt_common.exceptions import DbtRuntimeError
from duckdb import DuckDBPyConnection

from ops_platform.lake import catalog
from ops_platform.lake.connect import ALIAS, make_ready
from ops_platform.lake.dbt_scratch import (
    PRODUCTION_SNAPSHOT,
    PULL_REQUEST,
    SCRATCH,
    database,
    snapshot_file,
)
from ops_platform.lake.location import Lake
from ops_platform.lake.lock import write_lock
from ops_platform.settings import Settings

WRITING = {"run", "build", "seed", "snapshot", "test", "run-operation", "clone", "retry"}
_held = ExitStack()


class Plugin(BasePlugin):
    """Takes the write lock for commands that write, and keeps it until the process ends."""

    def initialize(self, plugin_config: dict[str, Any]) -> None:
        """Attach the lake in place of the profile's empty one: locked, or only to be read."""
        scratch = os.environ.get(SCRATCH)
        writes = getattr(get_flags(), "WHICH", None) in WRITING
        if scratch is None:
            if writes:
                raise DbtRuntimeError("dbt does not know of a lake here: run it as `ops dbt ...`")
            return
        settings = Settings()
        lake, snapshot = Lake.at(settings), os.environ.get(PRODUCTION_SNAPSHOT)
        if writes:
            _hold(lake, Path(scratch))
        self.creds.path = str(database(Path(scratch)))
        own = ALIAS if snapshot is None else PULL_REQUEST
        self.creds.attach = [_attachment(lake, own, read_only=not writes)]
        if snapshot is not None:
            production = _attachment(Lake.of_production(settings), ALIAS, read_only=True)
            production.options = {**production.options, "SNAPSHOT_VERSION": int(snapshot)}
            self.creds.attach.append(production)

    def configure_connection(self, conn: DuckDBPyConnection) -> None:
        """Load the lake's extensions and hand over its password, before dbt attaches it."""
        if SCRATCH in os.environ:
            make_ready(conn, Lake.at(Settings()))
        if PRODUCTION_SNAPSHOT in os.environ:
            make_ready(conn, Lake.of_production(Settings()))


def _attachment(lake: Lake, alias: str, *, read_only: bool) -> Attachment:
    return Attachment(
        path=lake.attach_path,
        alias=alias,
        is_ducklake=True,
        read_only=read_only,
        options=dict(lake.attach_options),
    )


@cache
def _hold(lake: Lake, scratch: Path) -> None:
    # Once: dbt may make its adapter twice in a process, and would wait for itself.
    _held.enter_context(write_lock(lake))
    atexit.register(_note_snapshot, lake, snapshot_file(scratch))


def _note_snapshot(lake: Lake, file: Path) -> None:
    # Still under the lock: the id is of what dbt left, before any other writer's turn.
    file.write_text(str(catalog.head(lake)), encoding="utf-8")
    _held.close()
