"""The embedded store of MLflow, a SQLite file: made whole or not at all."""

import sqlite3
from contextlib import closing
from pathlib import Path

from filelock import FileLock

SQLITE = "sqlite:///"


def make_store(path: Path) -> None:
    """Make the file where there is none; raises OSError or sqlite3.Error where it can't be used.

    MLflow makes it aside and it is renamed: a run killed in its migrations would leave half a
    store, which MLflow refuses ever after. A file that is there is tried first, because MLflow
    tries a bad one for a minute.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path.with_suffix(".lock")):
        if not path.exists():
            _make(path)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA schema_version").fetchone()


def _make(path: Path) -> None:
    from mlflow import MlflowClient

    partial = path.with_suffix(".partial")
    partial.unlink(missing_ok=True)
    uri = f"{SQLITE}{partial}"
    MlflowClient(uri, uri).search_registered_models(max_results=1)
    partial.rename(path)
