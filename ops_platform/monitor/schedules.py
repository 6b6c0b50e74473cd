"""What happens by the calendar: a nightly run of all data, and a weekly retraining."""

import dagster as dg

from ops_platform.automation import CAUSE_TAG, RETRAINING

NIGHTLY, WEEKLY = "nightly", "weekly_retraining"


def nightly_job() -> dg.UnresolvedAssetJobDefinition:
    """All data from landing to the monitor: for what a sensor has missed, or failed to do."""
    trained = dg.AssetSelection.groups("models", "serve")
    return dg.define_asset_job(
        NIGHTLY,
        selection=dg.AssetSelection.all() - trained,
        tags={"ops": "dataops", "dagster/max_retries": "2"},
        description="Everything but models, from the deliveries on.",
    )


def nightly_schedule() -> dg.ScheduleDefinition:
    """At two in the morning, in the machine's time zone."""
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
