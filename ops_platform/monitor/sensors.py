"""The sensors that watch: one retrains, one tells of failed runs, one of what is missing."""

import hashlib
import json
import logging
from collections.abc import Iterator
from datetime import UTC, date, datetime

import dagster as dg
from dagster._core.storage.tags import SENSOR_NAME_TAG, WILL_RETRY_TAG

from ops_platform.automation import AUTOMATION, CAUSE_TAG, EVERY_SECONDS, RETRAINING
from ops_platform.errors import OpsError
from ops_platform.failures import cause_of
from ops_platform.features.build import published_day
from ops_platform.ingest.contract import Contract
from ops_platform.lake.faults import faults
from ops_platform.lake.location import Lake
from ops_platform.models.registry import Registry, Version
from ops_platform.monitor.alerts import BLOCKED, FAILURE, MISSING, Alert, tell, tell_waiting
from ops_platform.monitor.alerts import RETRAINING as RETRAINED
from ops_platform.monitor.freshness import newest_event, overdue
from ops_platform.monitor.policy import Policy, policy, reasons
from ops_platform.monitor.retraining import (
    CANCELLED,
    NOTHING,
    Attempt,
    Cause,
    is_settled,
    next_attempt,
    rules_of,
)
from ops_platform.monitor.standing import as_of_of, standing
from ops_platform.serve.assets import RELEASE
from ops_platform.serve.promotion import reconcile
from ops_platform.settings import Settings

CAUSE_ID_TAG, AS_OF_TAG, UNFIT_TAG = "ops/cause_id", "ops/as_of", "ops/unfit"

# In Dagster's message of a step whose blocking check failed.
CHECK_FAILED = "blocking asset check"
NOT_AGAIN = (
    "nothing asks for it again before a source has news or `nightly` runs: mend it, then "
    "materialize from the failed step on"
)


def retraining_sensor(models: list[str]) -> dg.SensorDefinition:
    """The retraining policy, or no champion yet, asks for one run of the retraining job."""

    @dg.sensor(
        name=RETRAINING,
        job_name=RETRAINING,
        minimum_interval_seconds=EVERY_SECONDS,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Asks for a retraining when there is no champion yet, or the policy "
        "(OPS_RETRAINING_POLICY) has a reason; again, with back-off, when that run fails. What it "
        "waits for is said in its ticks.",
    )
    def retraining(
        context: dg.SensorEvaluationContext, settings: dg.ResourceParam[Settings]
    ) -> dg.SensorResult:
        registry = Registry(settings.mlflow_tracking_uri, settings.mlflow_artifact_root)
        day = published_day(Lake.at(settings))
        if day is None:
            return dg.SensorResult(skip_reason="no features are published yet")
        requests, waiting = [], []
        # One that is not there fails the tick, and not each model of it.
        asked = policy(settings.retraining_policy)
        for model in models:
            try:
                request, whys = _due(context, settings, registry, asked, model, day)
            except OpsError as error:
                # The other models are retrained all the same.
                request, whys = None, [f"{model}: {error}"]
            waiting += whys
            if request is not None:
                requests.append(request)
        for why in waiting if requests else ():
            # A tick that asks for a run shows no reason to skip.
            context.log.info(why)
        nothing = f"by {settings.retraining_policy} there is no reason to retrain"
        return dg.SensorResult(
            run_requests=requests,
            skip_reason=None if requests else "; ".join(waiting) or nothing,
        )

    return retraining


def _due(
    context: dg.SensorEvaluationContext,
    settings: Settings,
    registry: Registry,
    asked: Policy,
    model: str,
    day: date,
) -> tuple[dg.RunRequest | None, list[str]]:
    """The run that is due for a model, if any, and what is waited for."""
    lake, waiting = Lake.at(settings), list[str]()
    try:
        # Somebody may have gone back to an older release.
        reconcile(registry, settings.releases, model)
    except OpsError as error:
        waiting.append(str(error))
    champion = registry.champion(model)
    as_of = as_of_of(champion) if champion else None
    for cause in _causes(asked, lake, registry, champion, model, day):
        attempts = list(_attempts(context.instance, model, cause))
        # What is settled keeps no other reason from being heard.
        if not is_settled(attempts, as_of):
            break
        waiting.append(f"{cause.text}: settled, {attempts[-1].decision}")
    else:
        return None, waiting
    unfit = unfit_now(lake)
    number, why = next_attempt(
        cause,
        attempts,
        rules_of(settings),
        as_of=day,
        unfit=unfit,
        champion_as_of=as_of,
        trained_this_month=_trained_in_month(registry, model, day),
        system_time=datetime.now(UTC),
    )
    if number is None:
        return None, [*waiting, why]
    asked_for = Alert(RETRAINED, f"{cause.id}#{number}", why, look="the job retraining's runs")
    tell(asked_for, settings, context.log.warning)
    return retraining_request(model, cause, number, day, unfit), waiting


def _causes(
    asked: Policy, lake: Lake, registry: Registry, champion: Version | None, model: str, day: date
) -> Iterator[Cause]:
    """Why a model is to be trained; nothing where it is not."""
    if champion is None:
        yield Cause(f"{model}-first", f"{model} has no champion yet")
        return
    for reason in reasons(asked, standing(lake, registry, champion, day)):
        yield Cause(f"{model}-v{champion.version}-{reason.key}", reason.text)


def _trained_in_month(registry: Registry, model: str, day: date) -> int:
    """How many versions, promoted or not, learned up to a day of the same month."""
    return sum(
        version.tags.get("as_of", "").startswith(f"{day:%Y-%m}")
        for version in registry.versions(model)
    )


def unfit_now(lake: Lake) -> str:
    """A digest of what of the data is unfit for training, which says whether that has changed."""
    told = "\n".join(fault.told for fault in faults(lake) if fault.is_open)
    return hashlib.sha256(told.encode()).hexdigest()[:16]


def retraining_request(
    model: str, cause: Cause, number: int, day: date, unfit: str
) -> dg.RunRequest:
    """One attempt to retrain one model for a cause, on what is published up to a day.

    `unfit` is what `unfit_now` says.
    """
    return dg.RunRequest(
        # A key is never used again, even after a failure; the same tick twice asks once.
        run_key=f"{cause.id}#{number}",
        job_name=RETRAINING,
        asset_selection=[
            dg.AssetKey(["models", model, "training_set"]),
            dg.AssetKey(["models", model]),
            RELEASE,
        ],
        tags={
            CAUSE_TAG: cause.text,
            CAUSE_ID_TAG: cause.id,
            AS_OF_TAG: day.isoformat(),
            UNFIT_TAG: unfit,
        },
    )


def _attempts(instance: dg.DagsterInstance, model: str, cause: Cause) -> Iterator[Attempt]:
    """The runs for a cause, oldest first."""
    records = instance.get_run_records(
        dg.RunsFilter(job_name=RETRAINING, tags={CAUSE_ID_TAG: cause.id}), ascending=True
    )
    for record in records:
        run, ended = record.dagster_run, record.end_time
        finished = run.is_finished
        yield Attempt(
            as_of=date.fromisoformat(run.tags[AS_OF_TAG]),
            unfit=run.tags.get(UNFIT_TAG, ""),
            ended=datetime.fromtimestamp(ended or record.update_timestamp.timestamp(), UTC)
            if finished
            else None,
            decision=_decision(instance, run, model) if finished else None,
        )


def _decision(instance: dg.DagsterInstance, run: dg.DagsterRun, model: str) -> str | None:
    """What the gate decided in a run that ended, None where it failed."""
    if run.status == dg.DagsterRunStatus.CANCELED:
        return CANCELLED
    if not run.is_success:
        return None
    key = dg.AssetKey(["models", model])
    for event in instance.all_logs(run.run_id, of_type=dg.DagsterEventType.ASSET_MATERIALIZATION):
        made = event.asset_materialization
        if made is not None and made.asset_key == key:
            return str(made.metadata["decision"].value)
    return NOTHING


def failed_run_sensor() -> dg.SensorDefinition:
    """Tells of each failed run."""

    @dg.run_failure_sensor(
        name="failed_runs",
        minimum_interval_seconds=EVERY_SECONDS,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Writes an alert for each failed run to the log and to OPS_WEBHOOK.",
    )
    def failed_runs(
        context: dg.RunFailureSensorContext, settings: dg.ResourceParam[Settings]
    ) -> None:
        run, what = context.dagster_run, _what_failed(context)
        cause, done = run.tags.get(CAUSE_TAG), ""
        about = f" ({cause})" if cause else ""
        if run.tags.get(WILL_RETRY_TAG) == "true":
            done = "it is tried again"
        elif run.tags.get(SENSOR_NAME_TAG) == AUTOMATION:
            done = NOT_AGAIN
        failed = Alert(
            BLOCKED if CHECK_FAILED in what else FAILURE,
            f"{run.job_name}: {what}; {done}",
            f"run {run.run_id[:8]} of {run.job_name} failed{about}: {what}",
            done=done,
            look=f"the run's page, runs/{run.run_id}",
        )
        tell(failed, settings, logging.getLogger("ops").warning)

    return failed_runs


def _what_failed(context: dg.RunFailureSensorContext) -> str:
    """The failed steps with their causes, or what Dagster says where no step has failed."""
    steps = [
        f"{event.step_key}: {cause_of(event.step_failure_data)}"
        for event in context.get_step_failure_events()
    ]
    return "; ".join(steps) or str(context.failure_event.message)


def missing_sensor(contracts: list[Contract], beside: list[Contract]) -> dg.SensorDefinition:
    """Tells once of each source that is older than its contract promises.

    `beside` are those of `contracts` that no mart is made from: they are published only along with
    the next marts, so what counts of them is what was taken in.
    """
    promised = [contract for contract in contracts if contract.freshness is not None]
    apart = {contract.name for contract in beside}

    @dg.sensor(
        name="missing_data",
        minimum_interval_seconds=60,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Writes an alert when nothing new of a source has come for longer than its "
        "contract promises: it did not deliver, or no run took it in and published it. Posts again "
        "what OPS_WEBHOOK did not take.",
    )
    def missing_data(
        context: dg.SensorEvaluationContext, settings: dg.ResourceParam[Settings]
    ) -> dg.SkipReason:
        tell_waiting(settings, context.log.warning)
        told: dict[str, str] = json.loads(context.cursor or "{}")
        missing = []
        for contract in promised:
            try:
                newest = newest_event(
                    Lake.at(settings), contract, published=contract.name not in apart
                )
            except OpsError as error:
                missing.append(f"{contract.name}: {error}")
                continue
            what = overdue(contract, newest, settings.now())
            if what is not None:
                missing.append(what)
                if told.get(contract.name) != str(newest):
                    late = Alert(MISSING, f"{contract.name} {newest}", what, look="ops status")
                    tell(late, settings, context.log.warning)
                    told[contract.name] = str(newest)
        context.update_cursor(json.dumps(told, sort_keys=True))
        return dg.SkipReason("; ".join(missing) or "every source is as fresh as promised")

    return missing_data
