"""Whole, consistent copies of the catalog database, while others read and write it."""

import os
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

from ops_platform.errors import LakeError
from ops_platform.lake.location import Lake
from ops_platform.lake.session import session

# DuckLake's tables and ours; another tool's tables in the same database are not ours to touch.
_TABLES = ("--table=ducklake_*", "--table=ops_*")


# Without the imports of this file a process takes 30 ms.
_COPY = """
import sqlite3, sys
old, new = sqlite3.connect(sys.argv[1] + "?mode=ro", uri=True), sqlite3.connect(sys.argv[2])
old.backup(new)
new.execute("PRAGMA journal_mode=DELETE")
new.close()
"""


def save(lake: Lake, target: Path) -> None:
    """Write the catalog to the file `target`: a SQLite database, or pg_dump's custom format."""
    if lake.catalog_url is None:
        _copy_catalog(lake.catalog_file, target)
    else:
        _postgres(lake, "pg_dump", "--format=custom", *_TABLES, f"--file={target}")


def load(lake: Lake, dump: Path) -> None:
    """Put what `save` wrote of a Postgres catalog in place of the one there, in one transaction."""
    _postgres(
        lake, "pg_restore", "--clean", "--if-exists", "--single-transaction", "--no-owner",
        "--exit-on-error", str(dump),
    )  # fmt: skip


def point_at(lake: Lake) -> None:
    """Tell the catalog where its data files lie now."""
    with session(lake) as connection:
        connection.execute(
            "UPDATE ducklake_metadata SET value = ? WHERE key = 'data_path'",
            [f"{lake.data_path}/"],
        )


def copy_sqlite(source: Path, target: Path) -> None:
    """Copy a SQLite database by its own backup API, into one file without a journal beside it.

    Not the lake's catalog: DuckDB has that open in this process (see `session`).
    """
    with (
        closing(sqlite3.connect(f"{source.absolute().as_uri()}?mode=ro", uri=True)) as old,
        closing(sqlite3.connect(target)) as new,
    ):
        old.backup(new)
        new.execute("PRAGMA journal_mode=DELETE")


def _copy_catalog(source: Path, target: Path) -> None:
    """`copy_sqlite` in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", _COPY, source.absolute().as_uri(), str(target)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        raise LakeError(f"the catalog {source} can't be copied: {done.stderr.strip()}")


def postgres_tool(name: str) -> str | None:
    """The path of one of Postgres's programs, or None where it is not installed."""
    found, config = shutil.which(name), shutil.which("pg_config")
    if found is None and config is not None:
        where = subprocess.run([config, "--bindir"], capture_output=True, text=True, check=True)
        found = shutil.which(name, path=where.stdout.strip())
    return found


def _postgres(lake: Lake, tool: str, *arguments: str) -> None:
    program = postgres_tool(tool)
    if program is None:
        raise LakeError(f"{tool} is needed for a Postgres catalog: install Postgres's client")
    where, password = lake.postgres
    # The password goes by the environment: a command line is everybody's to read.
    environment = {**os.environ, **({} if password is None else {"PGPASSWORD": password})}
    done = subprocess.run(
        [program, f"--dbname={where}", *arguments],
        env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        raise LakeError(f"{tool} of {lake.catalog_name} failed: {done.stderr.strip()}")
