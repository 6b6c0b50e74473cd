"""From the offline tables of a snapshot to the online store, and whether both say the same."""

from collections.abc import Mapping
from datetime import date
from pathlib import Path

import duckdb
import numpy as np

from ops_platform.errors import ReleaseError
from ops_platform.features import online_store
from ops_platform.features.build import OWN
from ops_platform.features.online_store import Column, OnlineStore, Rows, Value
from ops_platform.features.view import FeatureView
from ops_platform.ingest.sql import quoted
from ops_platform.lake.session import has_table

_WHOLE = ("BIGINT", "INTEGER", "SMALLINT", "TINYINT", "UINTEGER", "USMALLINT", "UTINYINT")
_AT_ONCE = 10_000


def read_rows(
    connection: duckdb.DuckDBPyConnection, views: list[FeatureView], as_of: date
) -> dict[str, Rows]:
    """The rows of each view that is online and has a table in the connection's snapshot.

    Raises ReleaseError where a table is of another day, or a feature of a type that the store
    doesn't hold.
    """
    return {
        view.name: _rows(connection, view, as_of)
        for view in views
        if view.online and has_table(connection, view.table)
    }


def _rows(connection: duckdb.DuckDBPyConnection, view: FeatureView, as_of: date) -> Rows:
    days = connection.execute(f"SELECT DISTINCT as_of FROM {view.table}").fetchall()
    if any(day != as_of for (day,) in days):
        raise ReleaseError(
            f"{view.table} is as of {', '.join(str(day) for (day,) in days)}, the release as of "
            f"{as_of}: materialize the features and train again"
        )
    kinds = _kinds(connection, view)
    keys = ", ".join(f"{quoted(name)}::VARCHAR AS key_{n}" for n, name in enumerate(view.entity))
    values = [
        f"{_number(name, kind)} AS value_{n}, {quoted(name)} IS NULL AS null_{n}"
        for n, (name, kind) in enumerate(kinds.items())
    ]
    found = connection.execute(
        f"SELECT {', '.join([keys, *values])} FROM {view.table} ORDER BY {', '.join(view.entity)}"
    ).fetchnumpy()
    return Rows(
        view.entity,
        as_of.isoformat(),
        list(zip(*(found[f"key_{n}"].tolist() for n in range(len(view.entity))), strict=True)),
        {
            name: Column(kind, np.ma.getdata(found[f"value_{n}"]), np.asarray(found[f"null_{n}"]))
            for n, (name, kind) in enumerate(kinds.items())
        },
    )


def _kinds(connection: duckdb.DuckDBPyConnection, view: FeatureView) -> dict[str, str]:
    described = connection.execute(f"DESCRIBE {view.table}").fetchall()
    return {
        name: _kind(f"{view.table}.{name}", kind)
        for name, kind, *_ in described
        if name not in (*view.entity, *OWN)
    }


def _kind(column: str, kind: str) -> str:
    found = {
        **dict.fromkeys(_WHOLE, online_store.INT),
        **dict.fromkeys(("DOUBLE", "FLOAT"), online_store.FLOAT),
        "BOOLEAN": online_store.BOOL,
        "VARCHAR": online_store.TEXT,
        "DATE": online_store.DATE,
        "TIMESTAMP": online_store.TIME,
    }.get(kind)
    if found is not None:
        return found
    if kind.startswith("DECIMAL(") and int(kind[8:].split(",")[0]) <= 18:
        return online_store.DECIMAL + kind.rstrip(")").split(",")[1]
    raise ReleaseError(
        f"{column} is a {kind}, which the online store doesn't hold: cast it in its view to a "
        "whole number of 64 bits, a double, a decimal of 18 digits, a text, a date or a timestamp"
    )


def _number(name: str, kind: str) -> str:
    """The column as the store writes it; of what is null any value of the type."""
    column = quoted(name)
    if kind == online_store.FLOAT:
        return f"coalesce({column}::DOUBLE, 0)"
    if kind == online_store.TEXT:
        return f"coalesce({column}, '')"
    if kind == online_store.DATE:
        column = f"date_diff('day', DATE '1970-01-01', {column})"
    elif kind == online_store.TIME:
        column = f"epoch_us({column})"
    elif kind.startswith(online_store.DECIMAL):
        digits = int(kind.removeprefix(online_store.DECIMAL))
        column = f"{column}::DECIMAL(38, {digits}) * {10**digits}"
    return f"coalesce(({column})::BIGINT, 0)"


def require_same(
    connection: duckdb.DuckDBPyConnection, views: list[FeatureView], folder: Path
) -> None:
    """Ask the stores in `folder` for every entity of the views' tables, as the service would.

    Raises ReleaseError where a store has other rows or another value than its table.
    """
    for view in views:
        path = folder / f"{view.name}{online_store.SUFFIX}"
        if path.exists():
            _require_same(connection, view, OnlineStore(path))


def _require_same(
    connection: duckdb.DuckDBPyConnection, view: FeatureView, store: OnlineStore
) -> None:
    keys = [f"{quoted(name)}::VARCHAR" for name in view.entity]
    names = list(store.features)
    rows = connection.execute(f"SELECT {', '.join([*keys, *map(quoted, names)])} FROM {view.table}")
    count = 0
    while some := rows.fetchmany(_AT_ONCE):
        count += len(some)
        for row in some:
            key, expected = row[: len(keys)], dict(zip(names, row[len(keys) :], strict=True))
            found = store.get(*key)
            if found is None or not _same(found, expected):
                raise ReleaseError(
                    f"the online store of {view.name} says {found} of {', '.join(key)} and "
                    f"{view.table} {expected}: materialize serve/release, which writes it again"
                )
    if count != len(store):
        raise ReleaseError(
            f"the online store of {view.name} has {len(store)} rows and {view.table} {count}: "
            "materialize serve/release, which writes it again"
        )


def _same(found: Mapping[str, Value], expected: Mapping[str, Value]) -> bool:
    """Equal, or not a number on both sides."""
    return all(
        value == expected[name] or (value != value and expected[name] != expected[name])
        for name, value in found.items()
    )
