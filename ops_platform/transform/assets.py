"""The door of transform: dbt's models as assets, and the first move of the published snapshot."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, cast

import dagster as dg
from dagster_dbt import DbtCliResource, dbt_assets

from ops_platform.automation import WHEN_DATA_CHANGES
from ops_platform.errors import BlockedError
from ops_platform.failures import told_plainly
from ops_platform.ingest.contract import Contract
from ops_platform.ingest.rules import raw_checks
from ops_platform.lake import catalog
from ops_platform.lake.connect import connect
from ops_platform.lake.dbt_scratch import snapshot_file
from ops_platform.lake.location import Lake
from ops_platform.lake.lock import POOL
from ops_platform.lake.published import (
    Published,
    changed_since,
    publish,
    published_or_none,
    require,
)
from ops_platform.lake.write import digest_new_files
from ops_platform.settings import Settings
from ops_platform.transform import data_tests
from ops_platform.transform.lineage import Lineage, column_lineage
from ops_platform.transform.project import dbt_scratch, manifest_path, project_digest
from ops_platform.transform.slim import keep_published_manifest
from ops_platform.transform.translator import Translator

BUILD = "dbt"
PUBLISHED_MARTS = dg.AssetKey(["lake", "published_marts"])


def mart_assets(
    settings: Settings, manifest: dict[str, Any], contracts: list[Contract]
) -> dg.AssetsDefinition:
    """Every model of the dbt project as an asset, its data tests as asset checks."""
    raw = {c.name: [*(column.name for column in c.columns), "_delivery"] for c in contracts}
    lineage = column_lineage(manifest, raw)
    tables = data_tests.tables(manifest)
    read = [node["name"] for node in manifest["sources"].values()]

    @dbt_assets(
        manifest=manifest_path(settings),
        dagster_dbt_translator=Translator(),
        exclude="resource_type:unit_test",
        name="dbt_models",
        pool=POOL,
    )
    def dbt_models(
        context: dg.AssetExecutionContext, dbt: DbtCliResource, settings: dg.ResourceParam[Settings]
    ) -> Iterator[Any]:
        lake = Lake.at(settings)
        inputs = _inputs(settings, lake, read)
        if catalog.build_is_current(lake, BUILD, inputs, tables):
            context.log.info("nothing that dbt reads has changed since its last build")
            for key in (_key(manifest, unique_id) for unique_id in lineage):
                if key in context.selected_asset_keys:
                    yield dg.MaterializeResult(asset_key=key, metadata={"changed": False})
            return
        with dbt_scratch(settings) as (scratch, environment):
            arguments = ["build"]
            if not _made_by_this_project(lake, inputs, tables):
                # What an incremental model keeps was decided by the project as it was then.
                arguments.append("--full-refresh")
            with _in_environment(environment):
                invocation = dbt.cli(arguments, context=context, target_path=scratch / "target")
            yield from _described(invocation.stream(), lake, manifest, lineage)
            snapshot = int(snapshot_file(scratch).read_text(encoding="utf-8"))
        with told_plainly():
            digest_new_files(lake)
            # A run may leave out tests, which publishing runs by itself, but no model.
            if {_key(manifest, made) for made in lineage} <= context.selected_asset_keys:
                catalog.record_build(lake, BUILD, inputs, snapshot)

    return cast(dg.AssetsDefinition, dbt_models)


@contextmanager
def _in_environment(variables: Mapping[str, str]) -> Iterator[None]:
    """dagster-dbt hands a process of dbt's the environment of its own."""
    before = dict(os.environ)
    os.environ.update(variables)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def _made_by_this_project(lake: Lake, inputs: str, tables: list[str]) -> bool:
    """Whether every table is as a complete build of the project left it, as the project now is."""
    built, changed = catalog.built_at(lake, BUILD), catalog.last_changed(lake)
    same = _built_digest(lake) == inputs.split(" ")[0]
    return same and built is not None and all(changed.get(t, built + 1) <= built for t in tables)


def _built_digest(lake: Lake) -> str:
    """The digest of the project that the last complete build was made of."""
    return catalog.build_inputs(lake, BUILD).split(" ")[0]


def _inputs(settings: Settings, lake: Lake, sources: list[str]) -> str:
    """The state of all that dbt reads: its project, and the raw tables that it names."""
    changed = catalog.last_changed(lake)
    raw = " ".join(f"raw.{name}={changed.get(f'raw.{name}')}" for name in sorted(sources))
    return f"{project_digest(settings)} {raw}"


def _described(
    events: Iterator[Any], lake: Lake, manifest: Mapping[str, Any], lineage: dict[str, Lineage]
) -> Iterator[Any]:
    """Add row count, column types and column lineage to what dbt reports of each model."""
    by_output = {
        f"{node['schema']}__{node['name']}": unique_id
        for unique_id, node in manifest["nodes"].items()
    }
    for event in events:
        unique_id = by_output.get(getattr(event, "output_name", ""))
        if unique_id is None:
            yield event
            continue
        metadata = _table_metadata(lake, manifest, unique_id, lineage[unique_id])
        yield event.with_metadata({**event.metadata, **metadata})


def _table_metadata(
    lake: Lake, manifest: Mapping[str, Any], unique_id: str, lineage: Lineage
) -> dict[str, Any]:
    node = manifest["nodes"][unique_id]
    relation = f'"{node["schema"]}"."{node["name"]}"'
    # dbt has committed this model already, and readers wait for nobody.
    with connect(lake) as connection:
        columns = connection.execute(f"DESCRIBE {relation}").fetchall()
        count = connection.execute(f"SELECT count(*) FROM {relation}").fetchone()
    return {
        "dagster/row_count": count[0] if count else 0,
        "dagster/column_schema": dg.TableSchema(
            columns=[
                dg.TableColumn(
                    name, kind, description=node["columns"].get(name, {}).get("description")
                )
                for name, kind, *_ in columns
            ]
        ),
        "dagster/column_lineage": dg.TableColumnLineage(
            {
                column: [
                    dg.TableColumnDep(asset_key=_key(manifest, parent), column_name=name)
                    for parent, name in sources
                ]
                for column, sources in lineage.items()
            }
        ),
    }


def _key(manifest: Mapping[str, Any], unique_id: str) -> dg.AssetKey:
    node = manifest["nodes"].get(unique_id) or manifest["sources"][unique_id]
    return dg.AssetKey([node["schema"], node["name"]])


def _require_one_build(marts: list[str], changed: Mapping[str, int], built: int | None) -> None:
    apart = [table for table in marts if built is None or changed.get(table, built + 1) > built]
    if apart:
        raise BlockedError(
            f"{', '.join(apart)} changed after the last complete dbt build, so the marts may "
            "not fit together: materialize all dbt models"
        )


def unread(manifest: Mapping[str, Any], contracts: list[Contract]) -> list[Contract]:
    """The sources that no dbt model is made from, what was served say."""
    read = {node["name"] for node in manifest["sources"].values()}
    return [contract for contract in contracts if contract.name not in read]


def published_marts(manifest: dict[str, Any], contracts: list[Contract]) -> dg.AssetsDefinition:
    """The step that publishes raw tables and marts once their blocking checks hold."""
    beside = [dg.AssetKey(["raw", contract.name]) for contract in unread(manifest, contracts)]
    checks = [
        *(check for contract in contracts for check in raw_checks(contract)),
        *data_tests.blocking_tests(manifest),
    ]
    marts = data_tests.tables(manifest)
    models = [
        _key(manifest, unique_id)
        for unique_id, node in manifest["nodes"].items()
        if node["resource_type"] in ("model", "snapshot")
    ]

    @dg.asset(
        key=PUBLISHED_MARTS,
        deps=[*models, *(dg.AssetKey(["raw", contract.name]) for contract in contracts)],
        group_name="lake",
        owners=["team:platform"],
        kinds={"ducklake"},
        tags={"ops": "devops"},
        pool=POOL,
        # What no mart is made from waits for the marts: features would be made for nothing.
        automation_condition=WHEN_DATA_CHANGES.ignore(dg.AssetSelection.assets(*beside)),
        description="The snapshot that features, training and people read: moved when every raw "
        "table and mart has passed its blocking checks since it last changed.",
    )
    @told_plainly()
    def publish_marts(settings: dg.ResourceParam[Settings]) -> dg.MaterializeResult:  # type: ignore[type-arg]
        lake = Lake.at(settings)
        # In this order: a build or a publication that ends in between is then seen as a change.
        pointer, built = published_or_none(lake), catalog.built_at(lake, BUILD)
        digest = _built_digest(lake)
        snapshot = catalog.head(lake)
        changed = catalog.last_changed(lake)
        _require_one_build(marts, changed, built)
        if pointer and not changed_since(lake, pointer.marts):
            # Again: a run may have been killed after it had moved the pointer.
            keep_published_manifest(settings.home, digest)
            return dg.MaterializeResult(metadata={"snapshot": pointer.snapshot, "moved": False})
        # A source that has never been taken in has no table, and no rows that could break a rule.
        due = [c for c in checks if not c.table.startswith("raw.") or c.table in changed]
        with connect(lake, snapshot=snapshot) as connection:
            require(connection, due)
        publish(lake, Published(snapshot, snapshot), seen=pointer)
        keep_published_manifest(settings.home, digest)
        return dg.MaterializeResult(
            metadata={"snapshot": snapshot, "moved": True, "checks": len(due)}
        )

    return publish_marts
