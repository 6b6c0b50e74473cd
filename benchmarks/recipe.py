"""What the plain script is given: the very SQL that the graph runs, as text."""

import json
from datetime import date
from pathlib import Path
from typing import Any

from benchmarks.graph import Home
from ops_platform.features.build import query
from ops_platform.features.view import find_views
from ops_platform.lake.check import tables
from ops_platform.lake.connect import connect
from ops_platform.transform.project import read_manifest

# Stands for the as-of in the text of a feature view.
ANY_DAY = date(1999, 12, 31)


def write_recipe(home: Home, path: Path) -> None:
    """Write the empty tables, dbt's models in order, and the views with `$as_of`, as JSON.

    `home` has been materialized: the views' SQL depends on the marts' columns.
    """
    recipe = {"empty": _empty(home), "models": _models(home), "features": _features(home)}
    path.write_text(json.dumps(recipe, indent=1), encoding="utf-8")


def _empty(home: Home) -> dict[str, str]:
    """The columns of each table that the models read besides the orders: nothing delivers them."""
    read = {
        f"{node['schema']}.{node['name']}"
        for node in read_manifest(home.settings)["nodes"].values()
        if node["resource_type"] == "snapshot"
    }
    with connect(home.lake) as connection:
        read |= {name for name in tables(connection) if name.startswith("raw.")} - {"raw.orders"}
        return {
            name: ", ".join(
                f'"{column}" {kind}'
                for column, kind, *_ in connection.execute(f"DESCRIBE {name}").fetchall()
            )
            for name in sorted(read & set(tables(connection)))
        }


def _models(home: Home) -> list[dict[str, str]]:
    nodes = read_manifest(home.settings)["nodes"]
    left = {name: node for name, node in nodes.items() if node["resource_type"] == "model"}
    models: list[dict[str, str]] = []
    while left:
        ready = [n for n, node in left.items() if not left.keys() & node["depends_on"]["nodes"]]
        models += [_model(left.pop(name)) for name in sorted(ready)]
    return models


def _model(node: dict[str, Any]) -> dict[str, str]:
    kind = "VIEW" if node["config"]["materialized"] == "view" else "TABLE"
    return {
        "schema": node["schema"],
        "name": node["name"],
        "kind": kind,
        "sql": node["compiled_code"],
    }


def _features(home: Home) -> dict[str, str]:
    day = f"MAKE_DATE({ANY_DAY.year}, {ANY_DAY.month}, {ANY_DAY.day})"
    with connect(home.lake) as connection:
        return {
            view.table: query(connection, view, ANY_DAY, "lake").replace(day, "DATE '$as_of'")
            for view in find_views()
        }
