"""The landing sensor: asks for raw tables when deliveries have come, changed or gone."""

import hashlib
import json
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import duckdb
from dagster._core.execution.stats import StepEventStatus

from ops_platform.automation import EVERY_SECONDS, SETTLED_TAG
from ops_platform.errors import OpsError
from ops_platform.ingest import ledger
from ops_platform.ingest.assets import steps
from ops_platform.ingest.contract import Contract
from ops_platform.ingest.copies import Copies
from ops_platform.ingest.deliveries import Found, find
from ops_platform.ingest.location import is_copied
from ops_platform.ingest.take_in import has_news
from ops_platform.lake.connect import connect
from ops_platform.lake.location import Lake
from ops_platform.settings import Settings

NOT_CONNECTED = "not connected"
# How long a tick waits for copies, all sources together.
COPIES_SECONDS = 5.0
_FAILED = (dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED)
_OPEN = [
    status
    for status in dg.DagsterRunStatus
    if status not in (dg.DagsterRunStatus.SUCCESS, *_FAILED)
]


def landing_sensor(contracts: list[Contract]) -> dg.SensorDefinition:
    """One sensor for all sources; its cursor holds for each what it has dealt with already."""
    copies = Copies()

    @dg.sensor(
        name="landing",
        target=[dg.AssetKey(["raw", contract.name]) for contract in contracts],
        minimum_interval_seconds=EVERY_SECONDS,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Asks for raw tables when deliveries of their sources have come, changed or "
        "gone, in one run; again, with back-off, those whose own steps in it fail. A delivery that "
        "has changed just now is left for a later run. What it waits for is said in its ticks.",
    )
    def landing(
        context: dg.SensorEvaluationContext, settings: dg.ResourceParam[Settings]
    ) -> dg.SensorResult:
        seen: dict[str, str] = json.loads(context.cursor or "{}")
        settled_ns = time.time_ns() - int(settings.settle_seconds * 1e9)
        patience = timedelta(seconds=settings.poll_seconds)
        until = time.monotonic() + COPIES_SECONDS
        due, waiting = dict[str, str](), []
        for contract in contracts:
            try:
                location = copies.location(settings, contract, patience, until)
                state, why = _ask(context.instance, settings, contract, location, seen, settled_ns)
            except (OpsError, OSError, duckdb.Error) as error:
                # The other sources land all the same.
                state, why = None, str(error)
            if state is not None:
                due[contract.name] = state
            if why:
                waiting.append(why)
        for why in waiting if due else ():
            # A tick that asks for a run shows no reason to skip.
            context.log.info(why)
        return dg.SensorResult(
            run_requests=[_request(due, seen, settled_ns)] if due else [],
            skip_reason=None if due else dg.SkipReason("; ".join(waiting) or "nothing new"),
            cursor=json.dumps(seen, sort_keys=True),
        )

    return landing


def state_tag(source: str) -> str:
    """The tag of a run that says which state of a source's deliveries it was asked for."""
    return f"ops/deliveries.{source}"


def _request(due: dict[str, str], seen: dict[str, str], settled_ns: int) -> dg.RunRequest:
    """One run for all that is due at once: what follows from it is then one run too."""
    return dg.RunRequest(
        # The same attempts are asked for once, also by a tick that is repeated or by two daemons.
        run_key=" ".join(seen[source] for source in due),
        asset_selection=[dg.AssetKey(["raw", source]) for source in due],
        tags={
            **{state_tag(source): state for source, state in due.items()},
            SETTLED_TAG: str(settled_ns),
        },
    )


def _ask(
    instance: dg.DagsterInstance,
    settings: Settings,
    contract: Contract,
    location: Path | None,
    seen: dict[str, str],
    settled_ns: int,
) -> tuple[str | None, str]:
    """The state of the source's deliveries if a run is due for it, else what is waited for.

    `seen` holds by source the attempt that was last asked for, or the state that is dealt with.
    """
    # Of a source that is not connected the empty table is made: marts are made of it.
    files = [] if location is None else find(contract, location)
    until = None if is_copied(settings, contract) else settled_ns
    settled = [file for file in files if until is None or file.modified_ns <= until]
    late = "" if settled == files else f"{contract.name}: a delivery has changed just now"
    # Without a location no key is needed that hashes personal data.
    state = NOT_CONNECTED if location is None else _digest(contract, settled)
    asked = seen.get(contract.name)
    if asked == state or (late and not settled):
        return None, late
    if _is_under_way(instance, contract):
        return None, f"{contract.name}: its run is under way"
    before = _runs(instance, contract, state)
    fault = _fault(instance, settings, contract, before)
    if fault:
        again = _again(before, settings.retry_seconds)
        if datetime.now(UTC) < again:
            return None, f"{contract.name}: {fault}, tried again at {again:%H:%M:%S}"
    else:
        # Not of a run that failed: it may have taken all in and died before its checks.
        done = before and asked == _key(contract, state, len(before))
        if done or not has_news(Lake.at(settings), contract, location, settings.now(), until):
            seen[contract.name] = state
            return None, late
    seen[contract.name] = _key(contract, state, len(before) + 1)
    return state, ""


def _is_under_way(instance: dg.DagsterInstance, contract: Contract) -> bool:
    unfinished = instance.get_run_records(dg.RunsFilter(statuses=_OPEN))
    return any(state_tag(contract.name) in record.dagster_run.tags for record in unfinished)


def _runs(instance: dg.DagsterInstance, contract: Contract, state: str) -> list[dg.RunRecord]:
    """The runs that were asked for this state of the source's deliveries, the newest first."""
    return list(instance.get_run_records(dg.RunsFilter(tags={state_tag(contract.name): state})))


def _fault(
    instance: dg.DagsterInstance,
    settings: Settings,
    contract: Contract,
    before: list[dg.RunRecord],
) -> str:
    """Why the newest run is not the last that is asked for this state; empty where it is."""
    if not before:
        return ""
    if _has_failed(instance, contract, before[0].dagster_run):
        return "its run failed"
    lake = Lake.at(settings)
    if not lake.exists:
        return ""
    with connect(lake) as connection:
        unread = ledger.unread(ledger.read(connection, contract.name))
    # Nothing of a file need change when a disk or a share answers again.
    return f"{', '.join(unread)} can't be read" if unread else ""


def _has_failed(instance: dg.DagsterInstance, contract: Contract, run: dg.DagsterRun) -> bool:
    """Whether a run that failed did so for this source too, or did not come to all its steps."""
    if run.status not in _FAILED:
        return False
    own = steps(contract)
    ended = {one.step_key: one.status for one in instance.get_run_step_stats(run.run_id, own)}
    return any(ended.get(step) != StepEventStatus.SUCCESS for step in own)


def _again(before: list[dg.RunRecord], retry_seconds: float) -> datetime:
    """When a state of the deliveries is tried again after these runs."""
    ended = before[0].end_time or before[0].update_timestamp.timestamp()
    wait = timedelta(seconds=retry_seconds * 2 ** (len(before) - 1))
    return datetime.fromtimestamp(ended, UTC) + wait


def _key(contract: Contract, state: str, attempt: int) -> str:
    return f"{contract.name}-{state}#{attempt}"


def _digest(contract: Contract, found: list[Found]) -> str:
    """Of all that decides what would be taken in: files, and the contract, which may be mended."""
    listed = "\n".join(f"{file.path} {file.bytes} {file.modified_ns}" for file in found)
    return hashlib.sha256(f"{contract.digest}\n{listed}".encode()).hexdigest()[:16]
