"""The door of the catalog: what the graph of assets says of each, and its checks' last results."""

import os
from collections import defaultdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dagster as dg
from dagster._core.storage.asset_check_execution_record import AssetCheckExecutionRecordStatus

from ops_platform.catalog.entries import FAILED, PASSED, Check, Known

# How the rooms' checks and dagster-dbt call the number of failing rows.
FAILING = ("failing_rows", "failures", "dagster_dbt/failed_row_count", "rows")

EVALUATED = {
    AssetCheckExecutionRecordStatus.SUCCEEDED,
    AssetCheckExecutionRecordStatus.FAILED,
}


def known_assets(definitions: dg.Definitions, instance: dg.DagsterInstance) -> dict[str, Known]:
    """By name, `marts.dim_products` say, what is known of each asset."""
    checks = defaultdict(list)
    graph = definitions.resolve_asset_graph()
    for key in sorted(graph.asset_check_keys, key=lambda key: key.name):
        checks[_name(key.asset_key)].append(_check(instance, graph.get_check_spec(key)))
    return {
        _name(spec.key): Known(
            description=spec.description or "",
            owner=", ".join(owner.removeprefix("team:") for owner in spec.owners),
            checks=tuple(checks[_name(spec.key)]),
        )
        for spec in definitions.resolve_all_asset_specs()
    }


def dagster_instance(home: Path) -> dg.DagsterInstance:
    """Dagster's storage of DAGSTER_HOME, else of the folder `home`; an empty one without any."""
    place = Path(os.environ.get("DAGSTER_HOME") or home)
    if not (place / "dagster.yaml").exists():
        return dg.DagsterInstance.ephemeral()
    return dg.DagsterInstance.from_config(str(place))


def _name(key: dg.AssetKey) -> str:
    return ".".join(key.path)


def _check(instance: dg.DagsterInstance, spec: dg.AssetCheckSpec) -> Check:
    check = Check(spec.name, spec.description or "", spec.blocking)
    # A run plans every check, and evaluates those of steps that had something to do.
    found = instance.event_log_storage.get_asset_check_execution_history(
        spec.key, limit=1, status=EVALUATED
    )
    event = found[0].event if found else None
    if event is None or event.dagster_event is None:
        return check
    evaluation: Any = event.dagster_event.event_specific_data
    found_by_name = [evaluation.metadata.get(name) for name in FAILING]
    # Of some checks the rows themselves are shown under such a name.
    counts = [one.value for one in found_by_name if isinstance(one, dg.IntMetadataValue)]
    return Check(
        spec.name,
        spec.description or "",
        spec.blocking,
        PASSED if evaluation.passed else FAILED,
        next((int(count) for count in counts if count is not None), None),
        datetime.fromtimestamp(found[0].create_timestamp, UTC).replace(tzinfo=None, microsecond=0),
    )
