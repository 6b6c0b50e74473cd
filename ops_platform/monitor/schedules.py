"""The jobs that sensors and the calendar ask for: a retraining, and a nightly run of all data."""

import dagster as dg
from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition

from ops_platform.automation import CAUSE_TAG, RETRAINING
from ops_platform.monitor.assets import CHECK
from ops_platform.serve.assets import RELEASE

NIGHTLY, WEEKLY = "nightly", "weekly_retraining"


def retraining_job(models: list[str]) -> UnresolvedAssetJobDefinition:
    """Train, gate and release in one run; a run may select one model of several."""
    keys = [dg.AssetKey(["models", *rest]) for m in models for rest in ([m, "training_set"], [m])]
    return dg.define_asset_job(
        RETRAINING,
        selection=dg.AssetSelection.assets(*keys, RELEASE),
        tags={"ops": "mlops"},
        description="Trains a challenger, lets the gate decide and releases what it promotes.",
    )


def nightly_job(models: list[str]) -> UnresolvedAssetJobDefinition:
    """All data from landing to the monitor: for what a sensor has missed, or failed to do."""
    trained = dg.AssetSelection.groups("models", "serve")
    return dg.define_asset_job(
        NIGHTLY,
        selection=(dg.AssetSelection.all() - trained)
        | dg.AssetSelection.checks(
            *(dg.AssetCheckKey(dg.AssetKey(["models", m]), CHECK) for m in models)
        ),
        tags={"ops": "dataops", "dagster/max_retries": "2"},
        description="Everything but models, from the deliveries on.",
    )


def nightly_schedule() -> dg.ScheduleDefinition:
    """At two in the morning, UTC."""
    return dg.ScheduleDefinition(
        name=NIGHTLY,
        job_name=NIGHTLY,
        cron_schedule="0 2 * * *",
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description="Takes in and makes what no sensor did in the day.",
    )


def weekly_schedule() -> dg.ScheduleDefinition:
    """The fallback: a challenger each Monday, whatever the monitor says."""
    return dg.ScheduleDefinition(
        name=WEEKLY,
        job_name=RETRAINING,
        cron_schedule="0 4 * * 1",
        tags={CAUSE_TAG: "the weekly retraining"},
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description="A challenger each week, should no alarm have asked for one.",
    )
