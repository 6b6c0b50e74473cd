"""What is where: deliveries, the published snapshot and the champion, as plain values."""

import json
from dataclasses import asdict
from typing import Any

from ops_platform.errors import OpsError
from ops_platform.ingest import ledger
from ops_platform.ingest.contract import Contract
from ops_platform.ingest.contract_file import read_contracts
from ops_platform.ingest.location import connected_to
from ops_platform.ingest.sql import quoted
from ops_platform.lake import catalog
from ops_platform.lake.connect import connect
from ops_platform.lake.location import Lake
from ops_platform.lake.published import published_or_none
from ops_platform.models.estimators import names
from ops_platform.models.registry import Registry
from ops_platform.monitor.alarm_rule import alarm_rule
from ops_platform.monitor.policy import policy
from ops_platform.serve import release
from ops_platform.serve.promotion import reconcile
from ops_platform.settings import Settings


def status(settings: Settings) -> dict[str, Any]:
    """The state of the platform.

    Rows are the engine's own counts of the tables, deliveries those whose rows count;
    the figures beside the sources are the sums over all of them. Of a model that can't be told of
    there is the `fault` only. Raises OpsError as `require_rules`.
    """
    require_rules(settings)
    lake = Lake.at(settings)
    sources = {
        contract.name: {
            "connected": connected_to(settings, contract) is not None,
            **_source(lake, contract),
        }
        for contract in read_contracts(settings.contracts, settings.hash_key)
    }
    pointer = published_or_none(lake)
    totals = {
        key: sum(source[key] for source in sources.values())
        for key in ("rows_delivered", "rows_raw", "rows_quarantined", "deliveries")
    }
    return {
        "environment": settings.env,
        "home": str(settings.home),
        **totals,
        "sources": sources,
        "published": asdict(pointer) if pointer else None,
        "models": {name: _model_or_fault(settings, name) for name in names()},
    }


def require_rules(settings: Settings) -> None:
    """Raise OpsError where the settings name a retraining policy or alarm rule that is not there.

    Else only a tick of the sensor, or a step that watches, would fail, at night maybe.
    """
    try:
        policy(settings.retraining_policy)
    except OpsError as error:
        raise OpsError(f"OPS_RETRAINING_POLICY: {error}") from error
    alarm_rule(settings.alarm_rule, settings.alarm_bound)


def _source(lake: Lake, contract: Contract) -> dict[str, Any]:
    raw = f"raw.{contract.name}"
    if raw not in catalog.last_changed(lake):
        return {
            "rows_delivered": 0,
            "rows_raw": 0,
            "rows_quarantined": 0,
            "deliveries": 0,
            "troubled": [],
        }
    with connect(lake) as connection:
        entries = ledger.read(connection, contract.name)
        counts = [
            connection.execute(f"SELECT count(*) FROM {schema}.{quoted(contract.name)}").fetchone()
            for schema in ("raw", "quarantine")
        ]
    held = ledger.held(entries)
    return {
        "rows_delivered": sum(entry.records for entry in held.values()),
        "rows_raw": counts[0][0] if counts[0] else 0,
        "rows_quarantined": counts[1][0] if counts[1] else 0,
        "deliveries": len(held),
        "troubled": [
            {"path": entry.path, "status": entry.status, "reason": entry.trouble}
            for entry in entries
            if entry.trouble is not None
        ],
    }


def _model_or_fault(settings: Settings, name: str) -> dict[str, Any] | None:
    try:
        return _model(settings, name)
    except (OpsError, OSError) as error:
        return {"fault": str(error)}


def _model(settings: Settings, name: str) -> dict[str, Any] | None:
    if settings.mlflow_uri is None and not (settings.home / "mlflow").exists():
        return None
    registry = Registry(settings.mlflow_tracking_uri, settings.mlflow_artifact_root)
    # Otherwise what is told of the champion may be of another version than the one that serves.
    reconcile(registry, settings.releases, name)
    champion = registry.champion(name)
    if champion is None:
        return None
    tags = champion.tags
    return {
        "version": champion.version,
        "as_of": tags["as_of"],
        "snapshot": int(tags["snapshot"]),
        "training_set": tags["training_set"],
        "cause": tags["cause"],
        "decision": tags["decision"],
        "window": _window(tags["verdict"]),
        "release": _release(settings, name),
        **champion.metrics,
    }


def _release(settings: Settings, name: str) -> dict[str, Any] | None:
    """What the model's pointer names."""
    folder = release.folder_of(settings.releases, name)
    pointed = release.pointed(folder)
    if pointed is None:
        return None
    return {"id": pointed, "version": release.version_of(pointed, folder)}


def _window(verdict: str) -> dict[str, Any]:
    read = json.loads(verdict)
    return {"start": read["window_start"], "end": read["window_end"]}
