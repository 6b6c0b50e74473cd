"""How dbt's models appear in the graph: keys, group, tags and the tables they stand for."""

from collections.abc import Mapping
from typing import Any

import dagster as dg
from dagster_dbt import DagsterDbtTranslator, DbtProject

from ops_platform.automation import when_any_changes


class Translator(DagsterDbtTranslator):
    """Models are keyed `<schema>/<name>` in the group of their room; sources `raw/<source>`."""

    def get_asset_spec(
        self, manifest: Mapping[str, Any], unique_id: str, project: DbtProject | None
    ) -> dg.AssetSpec:
        """The asset of a model or source."""
        spec: dg.AssetSpec = super().get_asset_spec(manifest, unique_id, project)
        node = manifest["nodes"].get(unique_id) or manifest["sources"][unique_id]
        # The marts are published together, so they are built together.
        read = sorted((one["schema"], one["name"]) for one in manifest["sources"].values())
        made = when_any_changes([dg.AssetKey(key) for key in read])
        return spec.replace_attributes(
            key=dg.AssetKey([node["schema"], node["name"]]),
            group_name="transform",
            tags={"ops": "dataops"},
            automation_condition=(made if node["resource_type"] in ("model", "snapshot") else None),
        ).merge_attributes(metadata={"dagster/table_name": f"lake.{node['schema']}.{node['name']}"})

    def get_asset_key(self, dbt_resource_props: Mapping[str, Any]) -> dg.AssetKey:
        """The asset key of a model, source or snapshot."""
        return dg.AssetKey([dbt_resource_props["schema"], dbt_resource_props["name"]])
