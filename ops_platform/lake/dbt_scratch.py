"""The folder that a dbt process is given: DuckDB's scratch database, and word of what it left."""

from pathlib import Path

SCRATCH = "OPS_DBT_SCRATCH"
# Where it is set, dbt reads production at this snapshot, as `lake`, and writes a lake of its own.
PRODUCTION_SNAPSHOT = "OPS_DBT_PRODUCTION_SNAPSHOT"
PULL_REQUEST = "pr"


def database(scratch: Path) -> Path:
    """DuckDB's own file, for what dbt makes outside the lake."""
    return scratch / "scratch.duckdb"


def snapshot_file(scratch: Path) -> Path:
    """Where a dbt process that wrote leaves the id of the snapshot that it left."""
    return scratch / "snapshot"
