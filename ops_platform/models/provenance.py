"""Provenance: one record, kept with every version, of all that it takes to make it again."""

import hashlib
import json
import platform
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import version as installed
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from threadpoolctl import threadpool_info, threadpool_limits  # type: ignore[import-untyped]

from ops_platform.errors import RegistryError
from ops_platform.features.view import find_views
from ops_platform.ingest import ledger
from ops_platform.ingest.contract_faults import SUFFIX
from ops_platform.lake.connect import connect
from ops_platform.lake.location import Lake
from ops_platform.models import code
from ops_platform.models.artifact import REQUIREMENTS
from ops_platform.models.code import Code
from ops_platform.models.registry import Registry, Version
from ops_platform.settings import PROJECT, Settings
from ops_platform.transform.project import read_manifest

if TYPE_CHECKING:
    from ops_platform.models.task import TrainingSet

RECORD, PATCH = "provenance.json", "uncommitted.patch"
# Without any of these nothing can be made again or compared.
PARTS = ("model", "recipe", "params", "seed", "state_digest", "data", "code", "environment")
# The tag that holds the record's SHA-256.
SEAL = "provenance"
_BLAS = ("prefix", "version", "architecture", "num_threads")


@dataclass(frozen=True)
class MadeWith:
    """What stands around a training and decides what comes of it.

    Attributes
    ----------
    code : of the platform.
    lock : SHA-256 of requirements.lock; empty where there is none.
    contracts : the SHA-256 of each source's contract.
    dbt_manifest : digest of the SQL and the configuration of dbt's nodes.
    threads : of the linear algebra.
    """

    code: Code
    lock: str
    contracts: Mapping[str, str]
    dbt_manifest: str
    threads: int


def made_with(settings: Settings) -> MadeWith:
    """What a training by these settings is made with; raises OpsError as dbt does."""
    return MadeWith(
        code.read(PROJECT),
        lock_digest(PROJECT),
        {
            path.name.removesuffix(SUFFIX): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in sorted(settings.contracts.glob(f"*{SUFFIX}"))
        },
        manifest_digest(read_manifest(settings)),
        settings.threads,
    )


def lock_digest(project: Path) -> str:
    """SHA-256 of the project's requirements.lock; empty where there is none."""
    lock = project / "requirements.lock"
    return hashlib.sha256(lock.read_bytes()).hexdigest() if lock.exists() else ""


def manifest_digest(manifest: Mapping[str, Any]) -> str:
    """SHA-256 over the checksum and compiled SQL of dbt's nodes: no times, no places."""
    nodes = {
        name: (node["checksum"]["checksum"], node.get("compiled_code"))
        for name, node in manifest["nodes"].items()
    }
    return hashlib.sha256(json.dumps(nodes, sort_keys=True).encode()).hexdigest()


@contextmanager
def linear_algebra(threads: int) -> Iterator[None]:
    """Let the linear algebra of the block run on so many threads."""
    with threadpool_limits(limits=threads, user_api="blas"):
        yield


def environment() -> dict[str, Any]:
    """What computes in this process: Python, packages, BLAS with its kernel, numpy's own kernels.

    Threads are those of the moment, so it is asked within `linear_algebra`.
    """
    blas = [
        {name: one.get(name) for name in _BLAS}
        for one in threadpool_info()
        if one["user_api"] == "blas"
    ]
    simd: Mapping[str, Any] = np.show_config(mode="dicts")["SIMD Extensions"]
    return {
        "python": platform.python_version(),
        "machine": platform.machine(),
        "packages": {package: installed(package) for package in REQUIREMENTS},
        "blas": sorted(blas, key=lambda one: str(one["prefix"]) + str(one["version"])),
        "simd": list(simd.get("found", [])),
    }


def record(
    lake: Lake,
    rows: "TrainingSet",
    made: MadeWith,
    found: Mapping[str, Any],
    champion: Version | None,
    now: datetime,
) -> dict[str, Any]:
    """The record as values that JSON can hold.

    Parameters
    ----------
    found : what the training itself knows: model, recipe, params, seed, metrics, quality, details,
        cause, verdict and state_digest, as they are.
    champion : which the version was judged against.
    """
    pointer = rows.pointer
    return {
        **found,
        "made_at": now.isoformat(),
        "code": {
            "commit": made.code.commit,
            "uncommitted": bool(made.code.patch),
            "digest": made.code.digest,
            "files": dict(made.code.files),
        },
        "environment": {"lock": made.lock, "threads": made.threads, **environment()},
        "contracts": dict(made.contracts),
        "dbt_manifest": made.dbt_manifest,
        "data": {
            "snapshot": pointer.snapshot,
            "marts_snapshot": pointer.marts,
            "as_of": rows.as_of.isoformat(),
            "first_day": rows.first_day.isoformat(),
            "training_set": rows.digest,
            "rows": len(rows.rows),
            "views": view_versions(),
            "by_delivery": {mart: sorted(named) for mart, named in rows.by_delivery.items()},
            "deliveries": _deliveries(lake, pointer.snapshot, made.contracts),
        },
        "champion": champion
        and {"version": champion.version, "state_digest": champion.tags["state_digest"]},
    }


def view_versions() -> dict[str, str]:
    """The version of each feature view, as its file is now."""
    return {view.name: view.version for view in find_views()}


def _deliveries(lake: Lake, snapshot: int, sources: Iterable[str]) -> dict[str, dict[str, int]]:
    with connect(lake, snapshot=snapshot) as connection:
        held = {name: ledger.held(ledger.read(connection, name)).values() for name in sources}
    return {
        name: {"deliveries": len(entries), "rows": sum(entry.rows_raw for entry in entries)}
        for name, entries in held.items()
        if entries
    }


def documents(made: Mapping[str, Any], patch: bytes) -> dict[str, bytes]:
    """The files that are logged with a version: its record, and what was not committed."""
    text = json.dumps(made, indent=1, sort_keys=True) + "\n"
    return {RECORD: text.encode(), **({PATCH: patch} if patch else {})}


def tags(documents: Mapping[str, bytes], made: Mapping[str, Any]) -> dict[str, str]:
    """The short tags by which a version is known in the registry, the record's seal among them."""
    commit = made["code"]["commit"]
    return {SEAL: _seal(documents[RECORD]), **({"commit": commit} if commit else {})}


def _seal(text: bytes) -> str:
    return hashlib.sha256(text).hexdigest()


def read(registry: Registry, version: Version) -> tuple[dict[str, Any], bool]:
    """The record of a version, and whether it is still the one that was sealed.

    Raises RegistryError where it has none or it can't be read.
    """
    text = registry.document(version, RECORD)
    is_sealed = version.tags.get(SEAL) == _seal(text)
    try:
        found = json.loads(text)
    except ValueError as error:
        raise _unreadable(version, str(error)) from error
    missing = [part for part in PARTS if not isinstance(found, dict) or part not in found]
    if missing:
        raise _unreadable(version, f"it lacks {', '.join(missing)}")
    return found, is_sealed


def _unreadable(version: Version, why: str) -> RegistryError:
    return RegistryError(
        f"{RECORD} of version {version.version} of {version.name!r} can't be read ({why}): it was "
        "changed or damaged; put it back from a backup"
    )


def recorded_code(registry: Registry, version: Version, made: Mapping[str, Any]) -> Code:
    """The code of a record; raises RegistryError where its patch is gone."""
    told = made["code"]
    patch = registry.document(version, PATCH) if told["uncommitted"] else b""
    return Code(told["commit"], patch, told["files"])
