"""`ops reproduce`: a version is made again from its record, and the two states are compared."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from importlib.metadata import version as installed
from pathlib import Path
from typing import Any

from ops_platform.errors import ReproductionError
from ops_platform.models import code, comparison, provenance, state
from ops_platform.models.artifact import REQUIREMENTS
from ops_platform.models.comparison import Finding
from ops_platform.models.rebuild import REBUILT, STATE
from ops_platform.models.registry import Registry, Version
from ops_platform.settings import Settings

TOLD = 5


def reproduce(
    settings: Settings,
    registry: Registry,
    version: Version,
    project: Path,
    scratch: Path,
    *,
    in_recorded_environment: bool = False,
) -> Finding:
    """Make a version again by its recorded code, threads and kernels, and compare.

    Nothing is registered or written outside `scratch`.

    Parameters
    ----------
    project : whose code and git are at hand.
    scratch : an existing folder for what is made on the way; environments in it are used again.
    in_recorded_environment : install the recorded commit's requirements.lock where it is another.

    Raises
    ------
    RegistryError : the registry can't be reached, or the version has no record or no state.
    """
    record, sealed = provenance.read(registry, version)
    params = json.loads(version.tags["params"])
    if found := comparison.of_record(record, version.tags, params, sealed=sealed):
        return found
    original = registry.state(version)
    folder = scratch / f"{version.name}-{version.version}"
    folder.mkdir(parents=True)
    try:
        recorded = provenance.recorded_code(registry, version, record)
        place = _code(project, recorded, record, folder / "code", in_recorded_environment)
        python = _python(project, place, recorded, record, scratch, in_recorded_environment)
        rebuilt, learned = _rebuild(settings, record, place, python, folder)
    except _NotComparableError as error:
        return Finding("not comparable", error.part, str(error))
    return comparison.of_rebuild(record, rebuilt, original, learned)


class _NotComparableError(Exception):
    """Why a version can't be made again here as it was, and in which part that lies."""

    def __init__(self, part: str, told: str) -> None:
        super().__init__(told)
        self.part = part


def _code(
    project: Path, recorded: code.Code, record: Mapping[str, Any], folder: Path, anyway: bool
) -> Path:
    """Where the recorded code lies: the project itself, where nothing of it has moved on."""
    moved = code.differing(code.read(project).files, recorded.files)
    if not moved and not (anyway and _other_environment(project, record)):
        return project
    folder.mkdir()
    try:
        code.check_out(project, recorded, folder)
    except ReproductionError as error:
        files = ", ".join(moved[:TOLD]) + (f" and {len(moved) - TOLD} more" * (len(moved) > TOLD))
        raise _NotComparableError("code", f"{error}. Of the code here differ: {files}") from error
    return folder


def _python(
    project: Path,
    place: Path,
    recorded: code.Code,
    record: Mapping[str, Any],
    scratch: Path,
    install: bool,
) -> Path:
    """The interpreter with the recorded packages: this one, or one that is installed."""
    other = _other_environment(project, record)
    if not other:
        return Path(sys.executable)
    if not install:
        raise _NotComparableError(
            "environment",
            f"{other}: --in-recorded-environment installs the requirements.lock of commit "
            f"{recorded.commit}",
        )
    if provenance.lock_digest(place) != record["environment"]["lock"]:
        raise _NotComparableError("environment", "the recorded requirements.lock is not at hand")
    return _installed(place / "requirements.lock", scratch / record["environment"]["lock"][:16])


def _other_environment(project: Path, record: Mapping[str, Any]) -> str:
    """In which way the packages here are others than the recorded; empty where they are not."""
    recorded = record["environment"]
    here: dict[str, Any] = {
        "lock": provenance.lock_digest(project),
        "packages": {package: installed(package) for package in REQUIREMENTS},
    }
    return "; ".join(
        f"{name} was {recorded[name]} and is {here[name]}"
        for name in here
        if recorded[name] != here[name]
    )


def _installed(lock: Path, folder: Path) -> Path:
    python = folder / "bin" / "python"
    if python.exists():
        return python
    install = ("-m", "pip", "install", "--quiet", "--disable-pip-version-check")
    for command in (
        [sys.executable, "-m", "venv", str(folder)],
        [str(python), *install, "--require-hashes", "--no-deps", "-r", str(lock)],
    ):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            shutil.rmtree(folder, ignore_errors=True)
            told = (done.stderr or done.stdout).strip()[-500:]
            raise _NotComparableError("environment", f"it can't be installed: {told}")
    return python


def _rebuild(
    settings: Settings, record: Mapping[str, Any], place: Path, python: Path, folder: Path
) -> tuple[dict[str, Any], state.State]:
    given = folder / provenance.RECORD
    given.write_text(json.dumps(record), encoding="utf-8")
    command = [str(python), "-m", "ops_platform.models.rebuild", str(given), str(folder)]
    done = _run(command, settings, place, _kernels(record["environment"]))
    if done.returncode < 0:
        # A kernel of instructions that this processor lacks.
        done = _run(command, settings, place, {})
    if done.returncode:
        told = done.stderr.strip().splitlines()[-1:] or ["it said nothing"]
        raise _NotComparableError("code", f"the rebuild failed: {told[0]}")
    rebuilt: dict[str, Any] = json.loads((folder / REBUILT).read_text(encoding="utf-8"))
    if "failed" in rebuilt:
        raise _NotComparableError("data", rebuilt["failed"])
    return rebuilt, state.load(folder / STATE, rebuilt["state_digest"])


def _run(
    command: list[str], settings: Settings, place: Path, kernels: Mapping[str, str]
) -> "subprocess.CompletedProcess[str]":
    environment = {**os.environ, **settings.as_environment(), "PYTHONPATH": str(place), **kernels}
    return subprocess.run(
        command, cwd=place, env=environment, capture_output=True, text=True, check=False
    )


def _kernels(recorded: Mapping[str, Any]) -> dict[str, str]:
    """The variables by which BLAS and numpy take the recorded kernels where they have them."""
    here = provenance.environment()
    threads = str(recorded["threads"])
    forced = {"OPENBLAS_NUM_THREADS": threads, "OMP_NUM_THREADS": threads}
    cores = {one["architecture"] for one in recorded["blas"] if one["architecture"]}
    if len(cores) == 1:
        forced["OPENBLAS_CORETYPE"] = cores.pop()
    if beyond := [one for one in here["simd"] if one not in recorded["simd"]]:
        forced["NPY_DISABLE_CPU_FEATURES"] = " ".join(beyond)
    return forced
