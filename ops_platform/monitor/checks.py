"""The monitor's checks, of performance and of inputs."""

from typing import Any

import dagster as dg

from ops_platform.failures import told_plainly
from ops_platform.lake.connect import connect
from ops_platform.lake.location import Lake
from ops_platform.models.registry import Registry
from ops_platform.monitor.alarms import newest_alarm
from ops_platform.monitor.inputs import newest_input_alarm
from ops_platform.monitor.tables import read_reference
from ops_platform.serve.assets import RELEASE
from ops_platform.settings import Settings

CHECK = "drift"
KEY, INPUTS_KEY = dg.AssetKey(["monitor", "drift"]), dg.AssetKey(["monitor", "inputs"])


def drift_check(name: str) -> dg.AssetChecksDefinition:
    """Whether the present champion of a model has raised an alarm; it warns and blocks nothing."""

    @dg.asset_check(
        asset=dg.AssetKey(["models", name]),
        # After the release, which decides who the champion is.
        additional_deps=[KEY, RELEASE],
        name=CHECK,
        blocking=False,
        description="The present champion has raised no alarm.",
    )
    @told_plainly()
    def no_alarm(settings: dg.ResourceParam[Settings]) -> dg.AssetCheckResult:
        lake = Lake.at(settings)
        registry = Registry(settings.mlflow_tracking_uri, settings.mlflow_artifact_root)
        return dg.AssetCheckResult(**verdict(lake, registry, name))

    return no_alarm


def verdict(lake: Lake, registry: Registry, name: str) -> dict[str, Any]:
    """What the check says now, as the arguments of Dagster's own classes."""
    champion = registry.champion(name)
    alarm = champion and newest_alarm(lake, name, champion.version)
    return {
        "passed": not alarm,
        "severity": dg.AssetCheckSeverity.WARN,
        "description": alarm.seen if alarm else "No alarm.",
        "metadata": {
            "champion_version": champion.version if champion else 0,
            "alarm": alarm.id if alarm else "",
            "watched": bool(champion and _is_watched(lake, name, champion.version)),
        },
    }


def report_check(instance: dg.DagsterInstance, name: str, found: dict[str, Any]) -> None:
    """Have the graph show what the check says now; it is run only with the model and at night."""
    instance.report_runless_asset_event(
        dg.AssetCheckEvaluation(dg.AssetKey(["models", name]), CHECK, **found)
    )


def _is_watched(lake: Lake, name: str, version: int) -> bool:
    with connect(lake) as connection:
        return read_reference(connection, name, version) is not None


def inputs_check(models: list[str]) -> dg.AssetChecksDefinition:
    """Whether the inputs of a model have changed since its champion's as-of; it blocks nothing."""

    @dg.asset_check(
        asset=INPUTS_KEY,
        name="no_input_drift",
        blocking=False,
        description="No model's inputs have changed since its champion learned.",
    )
    @told_plainly()
    def no_input_drift(settings: dg.ResourceParam[Settings]) -> dg.AssetCheckResult:
        registry = Registry(settings.mlflow_tracking_uri, settings.mlflow_artifact_root)
        lake, found = Lake.at(settings), []
        for name in models:
            alarm, champion = newest_input_alarm(lake, name), registry.champion(name)
            if alarm and (champion is None or champion.tags["as_of"] < alarm.period.isoformat()):
                found.append(alarm)
        return dg.AssetCheckResult(
            passed=not found,
            severity=dg.AssetCheckSeverity.WARN,
            description="; ".join(alarm.headline for alarm in found) or "No alarm.",
            metadata={"alarms": [alarm.id for alarm in found]},
        )

    return no_input_drift
