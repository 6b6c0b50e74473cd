"""The folder that a dbt process is given: DuckDB's scratch database, and word of what it left."""

from pathlib import Path

SCRATCH = "OPS_DBT_SCRATCH"


def database(scratch: Path) -> Path:
    """DuckDB's own file, for what dbt makes outside the lake."""
    return scratch / "scratch.duckdb"


def snapshot_file(scratch: Path) -> Path:
    """Where a dbt process that wrote leaves the id of the snapshot that it left."""
    return scratch / "snapshot"
