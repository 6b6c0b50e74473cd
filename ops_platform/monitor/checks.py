"""The monitor's checks, of performance and of inputs, with the judgement of the inputs."""

from datetime import timedelta
from typing import Any

import dagster as dg
import pandas as pd

from ops_platform.automation import WHEN_DATA_CHANGES
from ops_platform.errors import MonitorError, OpsError
from ops_platform.failures import told_plainly
from ops_platform.features.assets import PUBLISHED_FEATURES
from ops_platform.ingest.contract import Contract
from ops_platform.ingest.profiles import judge_sources
from ops_platform.lake.connect import connect
from ops_platform.lake.location import Lake
from ops_platform.lake.lock import POOL
from ops_platform.models.registry import Registry
from ops_platform.monitor.alarms import newest_alarm
from ops_platform.monitor.alerts import tell
from ops_platform.monitor.input_watch import InputsWatched, told_apart, watch_inputs
from ops_platform.monitor.inputs import (
    INPUTS,
    TOGETHER,
    InputAlarm,
    input_alarms,
    newest_input_alarm,
)
from ops_platform.monitor.notices import of_alarm
from ops_platform.monitor.tables import read_reference
from ops_platform.serve.assets import RELEASE
from ops_platform.settings import Settings

CHECK = "drift"
KEY, INPUTS_KEY = dg.AssetKey(["monitor", "drift"]), dg.AssetKey(["monitor", "inputs"])
DAYS_SHOWN, FEATURES_SHOWN, ALARMS_TOLD = 28, 20, 3


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


def inputs_asset(models: list[str], sources: list[Contract]) -> dg.AssetsDefinition:
    """The asset `monitor/inputs`: each day of what models see against the days before it.

    `sources` are those that the marts are made of: of an unfit day of theirs nothing is judged.
    """

    @dg.asset(
        key=INPUTS_KEY,
        deps=[PUBLISHED_FEATURES],
        group_name="monitor",
        owners=["team:data-science"],
        kinds={"duckdb", "numpy"},
        tags={"ops": "mlops"},
        pool=POOL,
        automation_condition=WHEN_DATA_CHANGES,
        description="What each model sees, by day: the evidence that it has changed, of all "
        "features together, with effect sizes by feature and segment.",
        metadata={"dagster/table_name": f"lake.{INPUTS}"},
    )
    @told_plainly()
    def inputs(
        context: dg.AssetExecutionContext, settings: dg.ResourceParam[Settings]
    ) -> dg.MaterializeResult:  # type: ignore[type-arg]
        lake = Lake.at(settings)
        registry = Registry(settings.mlflow_tracking_uri, settings.mlflow_artifact_root)
        over = settings.now().date() - timedelta(days=1)
        # Each day is judged once, so what is wrong with its data has to be known by then.
        judge_sources(lake, sources, settings.now())
        names = [source.name for source in sources]
        watched, failed = list[InputsWatched](), list[str]()
        for name in models:
            try:
                one = watch_inputs(lake, registry, name, over, names, settings.false_alarm_days)
            except OpsError as error:
                # The other models are watched all the same.
                failed.append(f"{name}: {error}")
                continue
            watched.append(one)
            context.log.info(f"{name}: {one.reason}")
        raised = [
            alarm for one in watched if not one.added.empty for alarm in input_alarms(one.added)
        ]
        for alarm in raised:
            # What was there before its champion learned is no news.
            if alarm.version:
                tell(of_alarm(alarm), settings, context.log.warning)
        if failed:
            raise MonitorError("\n".join(failed))
        return dg.MaterializeResult(
            metadata={
                "rows_added": sum(len(one.added) for one in watched),
                "alarms": [f"{alarm.id}: {alarm.seen}" for alarm in raised],
                "whole_rows": {alarm.id: _apart(lake, alarm) for alarm in raised[-ALARMS_TOLD:]},
                "models": {one.model: one.reason for one in watched},
                "statistic": dg.MetadataValue.md("\n\n".join(map(_table, watched))),
            }
        )

    return inputs


def _apart(lake: Lake, alarm: InputAlarm) -> str:
    found = told_apart(lake, alarm)
    if isinstance(found, str):
        return found
    by = ", ".join(f"{name} {loss:.2f}" for name, loss in found.features.items())
    return f"AUC {found.auc:.3f}, by {by or 'no feature alone'}"


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


def _table(watched: InputsWatched) -> str:
    """The last judged days of a model, and the newest one's features, as Markdown."""
    title = f"**{watched.model}** version {watched.version}: {watched.reason}"
    if watched.added.empty:
        return title
    rows = watched.added[watched.added["segment"] == ""]
    days = rows[rows["feature"] == TOGETHER].tail(DAYS_SHOWN)
    newest = rows[(rows["period"] == rows["period"].max()) & (rows["feature"] != TOGETHER)]
    strongest = newest.sort_values("statistic", ascending=False).head(FEATURES_SHOWN)
    return "\n".join(
        [
            title,
            "",
            "| day | evidence | bound | verdict | |",
            "|---|---|---|---|---|",
            *(_day(row) for _, row in days.iterrows()),
            "",
            "| feature | value | reference | PSI | evidence | verdict |",
            "|---|---|---|---|---|---|",
            *(_feature(row) for _, row in strongest.iterrows()),
        ]
    )


def _day(row: "pd.Series[Any]") -> str:
    said = f"**{row['verdict']}**" if row["alarm"] else row["verdict"]
    return (
        f"| {row['period']} | {row['statistic']:.1f} | {row['bound']:g} | {said} | {row['told']} |"
    )


def _feature(row: "pd.Series[Any]") -> str:
    cells = (row["value"], row["reference"], row["psi"], row["statistic"])
    told = ("" if pd.isna(cell) else f"{cell:.3g}" for cell in cells)
    return f"| {row['feature']} | {' | '.join(told)} | {row['verdict']} |"
