"""The jobs that sensors and the calendar ask for: a retraining, and a nightly run of all data."""

from datetime import date

import dagster as dg
from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition

from ops_platform.automation import MAX_RETRIES, RETRAINING
from ops_platform.features.build import published_day
from ops_platform.lake.location import Lake
from ops_platform.models.registry import Registry
from ops_platform.monitor.checks import CHECK
from ops_platform.monitor.reference import SPAN_DAYS
from ops_platform.monitor.retraining import Cause, is_due
from ops_platform.monitor.sensors import retraining_request, unfit_now
from ops_platform.serve.assets import RELEASE
from ops_platform.serve.checks import PARITY
from ops_platform.settings import Settings

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


def nightly_job(watched: list[str]) -> UnresolvedAssetJobDefinition:
    """All data from landing to the monitor: for what a sensor has missed, or failed to do.

    `watched` are the models that the monitor watches.
    """
    others = dg.AssetSelection.groups("models", "serve", "replay")
    return dg.define_asset_job(
        NIGHTLY,
        selection=(dg.AssetSelection.all() - others)
        | dg.AssetSelection.checks(
            *(dg.AssetCheckKey(dg.AssetKey(["models", m]), CHECK) for m in watched),
            dg.AssetCheckKey(RELEASE, PARITY),
        ),
        tags={"ops": "dataops", **MAX_RETRIES},
        description="Everything but models and replays, from the deliveries on.",
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


def weekly_schedule(models: list[str]) -> dg.ScheduleDefinition:
    """The fallback: each Monday a challenger for every champion that has served long enough."""

    @dg.schedule(
        name=WEEKLY,
        job_name=RETRAINING,
        cron_schedule="0 4 * * 1",
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description=f"A challenger where the champion is {SPAN_DAYS} days old or older, or where "
        "there is none, should no alarm have asked for one.",
    )
    def weekly_retraining(
        context: dg.ScheduleEvaluationContext, settings: dg.ResourceParam[Settings]
    ) -> list[dg.RunRequest] | dg.SkipReason:
        registry = Registry(settings.mlflow_tracking_uri, settings.mlflow_artifact_root)
        lake = Lake.at(settings)
        day = published_day(lake)
        if day is None:
            return dg.SkipReason("no features are published yet")
        week = f"{context.scheduled_execution_time:%G-W%V}"
        requests, waiting = [], []
        for model in models:
            champion = registry.champion(model)
            as_of, age = None, f"{model} has no champion yet"
            if champion is not None:
                as_of = date.fromisoformat(champion.tags["as_of"])
                age = f"{model} version {champion.version} is {(day - as_of).days} days old"
            if is_due(as_of, day):
                cause = Cause(f"{model}-{week}", f"weekly retraining: {age}")
                request = retraining_request(model, cause, 1, day, unfit_now(lake))
                requests.append(request._replace(tags={**request.tags, **MAX_RETRIES}))
            else:
                waiting.append(f"{age}, retrained from {SPAN_DAYS} on")
        return requests or dg.SkipReason("; ".join(waiting))

    return weekly_retraining
