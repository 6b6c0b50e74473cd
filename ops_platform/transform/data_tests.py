"""dbt's data tests as checks of a snapshot: the compiled SQL, run wherever it is pinned."""

from typing import Any

from ops_platform.lake.published import BlockingCheck


def blocking_tests(manifest: dict[str, Any]) -> list[BlockingCheck]:
    """Every data test of severity error, as a query that counts its failing rows."""
    return [
        BlockingCheck(
            table=_table(manifest, node),
            name=node["name"],
            failures_sql=(
                f"SELECT CASE WHEN n {node['config']['error_if']} THEN n ELSE 0 END "
                f"FROM (SELECT {node['config']['fail_calc']} AS n FROM ({node['compiled_code']}))"
            ),
            description=node.get("description", ""),
        )
        for node in manifest["nodes"].values()
        if node["resource_type"] == "test" and node["config"]["severity"].lower() == "error"
    ]


def _table(manifest: dict[str, Any], node: dict[str, Any]) -> str:
    about = node.get("attached_node") or node["depends_on"]["nodes"][0]
    model = manifest["nodes"].get(about) or manifest["sources"][about]
    return f"{model['schema']}.{model['name']}"


def tables(manifest: dict[str, Any]) -> list[str]:
    """The tables (not the views) that dbt makes, as `schema.table`."""
    return sorted(
        f"{node['schema']}.{node['name']}"
        for node in manifest["nodes"].values()
        if node["resource_type"] in ("model", "snapshot")
        and node["config"]["materialized"] != "view"
    )
