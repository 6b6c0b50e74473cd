"""The landing sensor: asks for a source's raw table when deliveries have come, changed or gone."""

import hashlib
import json
import time

import dagster as dg

from ops_platform.automation import EVERY_SECONDS, MAX_RETRIES
from ops_platform.errors import SourceError
from ops_platform.ingest.contract import Contract
from ops_platform.ingest.deliveries import Found, find
from ops_platform.ingest.location import source_location
from ops_platform.ingest.take_in import has_news
from ops_platform.lake.location import Lake
from ops_platform.settings import Settings


def landing_sensor(contracts: list[Contract]) -> dg.SensorDefinition:
    """One sensor for all sources; its cursor holds for each what it has asked for already."""

    @dg.sensor(
        name="landing",
        target=[dg.AssetKey(["raw", contract.name]) for contract in contracts],
        minimum_interval_seconds=EVERY_SECONDS,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Asks for a raw table when deliveries of its source have come, changed or "
        "gone, once none of them has changed for some seconds.",
    )
    def landing(
        context: dg.SensorEvaluationContext, settings: dg.ResourceParam[Settings]
    ) -> dg.SensorResult:
        seen: dict[str, str] = json.loads(context.cursor or "{}")
        requests, waiting = [], []
        for contract in contracts:
            try:
                location = source_location(settings, contract)
                found = [] if location is None else find(contract, location)
            except SourceError as error:
                waiting.append(str(error))
                continue
            state = _digest(contract, found)
            if location is None or seen.get(contract.name) == state:
                continue
            if _grows(found, settings.settle_seconds, time.time()):
                # Its writer may not be done.
                waiting.append(f"{contract.name}: a delivery has changed just now")
                continue
            if has_news(Lake.at(settings), contract, location, settings.now()):
                requests.append(_request(contract, state))
            seen[contract.name] = state
        return dg.SensorResult(
            run_requests=requests,
            skip_reason=None if requests else dg.SkipReason("; ".join(waiting) or "nothing new"),
            cursor=json.dumps(seen, sort_keys=True),
        )

    return landing


def _request(contract: Contract, state: str) -> dg.RunRequest:
    return dg.RunRequest(
        # The same deliveries are asked for once, also by a tick that is repeated.
        run_key=f"{contract.name}-{state}",
        asset_selection=[dg.AssetKey(["raw", contract.name])],
        tags={"ops/source": contract.name, **MAX_RETRIES},
    )


def _digest(contract: Contract, found: list[Found]) -> str:
    """Of all that decides what would be taken in: files, and the contract, which may be mended."""
    listed = "\n".join(f"{file.path} {file.bytes} {file.modified_ns}" for file in found)
    return hashlib.sha256(f"{contract.digest}\n{listed}".encode()).hexdigest()[:16]


def _grows(found: list[Found], settle_seconds: float, now: float) -> bool:
    """Whether a file changed within the last seconds, by the file system's clock."""
    return any(0 <= now - file.modified_ns / 1e9 < settle_seconds for file in found)
