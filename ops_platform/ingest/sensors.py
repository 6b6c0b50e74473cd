"""The landing sensor: asks for a source's raw table when deliveries have come, changed or gone."""

import hashlib
import json
import time
from datetime import UTC, datetime, timedelta

import dagster as dg

from ops_platform.automation import EVERY_SECONDS, SETTLED_TAG
from ops_platform.errors import OpsError
from ops_platform.ingest.contract import Contract
from ops_platform.ingest.deliveries import Found, find
from ops_platform.ingest.location import source_location
from ops_platform.ingest.take_in import has_news
from ops_platform.lake.location import Lake
from ops_platform.settings import Settings

SOURCE_TAG, STATE_TAG = "ops/source", "ops/deliveries"
_FAILED = dg.DagsterRunStatus.FAILURE
_OPEN = [
    status
    for status in dg.DagsterRunStatus
    if status not in (dg.DagsterRunStatus.SUCCESS, _FAILED, dg.DagsterRunStatus.CANCELED)
]


def landing_sensor(contracts: list[Contract]) -> dg.SensorDefinition:
    """One sensor for all sources; its cursor holds for each what it has dealt with already."""

    @dg.sensor(
        name="landing",
        target=[dg.AssetKey(["raw", contract.name]) for contract in contracts],
        minimum_interval_seconds=EVERY_SECONDS,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Asks for a raw table when deliveries of its source have come, changed or "
        "gone; again, with back-off, when that run fails. A delivery that has changed just now is "
        "left for a later run. What it waits for is said in its ticks.",
    )
    def landing(
        context: dg.SensorEvaluationContext, settings: dg.ResourceParam[Settings]
    ) -> dg.SensorResult:
        seen: dict[str, str] = json.loads(context.cursor or "{}")
        requests, waiting = [], []
        for contract in contracts:
            try:
                found, why = _ask(context.instance, settings, contract, seen)
            except OpsError as error:
                found, why = None, str(error)
            if found is not None:
                requests.append(found)
            if why:
                waiting.append(why)
        return dg.SensorResult(
            run_requests=requests,
            skip_reason=None if requests else dg.SkipReason("; ".join(waiting) or "nothing new"),
            cursor=json.dumps(seen, sort_keys=True),
        )

    return landing


def _ask(
    instance: dg.DagsterInstance, settings: Settings, contract: Contract, seen: dict[str, str]
) -> tuple[dg.RunRequest | None, str]:
    """A run for the source's deliveries if one is due, else what is waited for.

    `seen` holds by source the run key that was last asked for, or the state that is dealt with.
    """
    patience = timedelta(seconds=settings.poll_seconds)
    location = source_location(settings, contract, patience)
    if location is None:
        return None, ""
    settled_ns = time.time_ns() - int(settings.settle_seconds * 1e9)
    files = find(contract, location)
    settled = [file for file in files if file.modified_ns <= settled_ns]
    late = "" if settled == files else f"{contract.name}: a delivery has changed just now"
    state, asked = _digest(contract, settled), seen.get(contract.name)
    if asked == state or (late and not settled):
        return None, late
    if _runs(instance, contract, statuses=_OPEN):
        return None, f"{contract.name}: its run is under way"
    before = _runs(instance, contract, state)
    again = _again(before, settings.retry_seconds)
    if again is not None and datetime.now(UTC) < again:
        return None, f"{contract.name}: its run failed, tried again at {again:%H:%M:%S}"
    done = again is None and before and asked == _key(contract, state, len(before))
    if done or not has_news(Lake.at(settings), contract, location, settings.now(), settled_ns):
        seen[contract.name] = state
        return None, late
    seen[contract.name] = _key(contract, state, len(before) + 1)
    return dg.RunRequest(
        run_key=seen[contract.name],
        asset_selection=[dg.AssetKey(["raw", contract.name])],
        tags={SOURCE_TAG: contract.name, STATE_TAG: state, SETTLED_TAG: str(settled_ns)},
    ), ""


def _runs(
    instance: dg.DagsterInstance,
    contract: Contract,
    state: str | None = None,
    statuses: list[dg.DagsterRunStatus] | None = None,
) -> list[dg.RunRecord]:
    """The runs that were asked for, of one state or of all, the newest first."""
    tags = {SOURCE_TAG: contract.name} | ({} if state is None else {STATE_TAG: state})
    return list(instance.get_run_records(dg.RunsFilter(tags=tags, statuses=statuses)))


def _again(before: list[dg.RunRecord], retry_seconds: float) -> datetime | None:
    """When a run that failed is tried again; None where the newest did not fail."""
    if not before or before[0].dagster_run.status != _FAILED:
        return None
    ended = before[0].end_time or before[0].update_timestamp.timestamp()
    wait = timedelta(seconds=retry_seconds * 2 ** (len(before) - 1))
    return datetime.fromtimestamp(ended, UTC) + wait


def _key(contract: Contract, state: str, attempt: int) -> str:
    """The same attempt is asked for once, also by a tick that is repeated or by two daemons."""
    return f"{contract.name}-{state}#{attempt}"


def _digest(contract: Contract, found: list[Found]) -> str:
    """Of all that decides what would be taken in: files, and the contract, which may be mended."""
    listed = "\n".join(f"{file.path} {file.bytes} {file.modified_ns}" for file in found)
    return hashlib.sha256(f"{contract.digest}\n{listed}".encode()).hexdigest()[:16]
