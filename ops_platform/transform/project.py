"""The dbt project: what it is made of, how dbt is called, and its compiled manifest."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

from ops_platform.errors import OpsError
from ops_platform.lake.dbt_plugin import SNAPSHOT_FILE
from ops_platform.lake.location import Lake
from ops_platform.settings import TELEMETRY_OFF, Settings

GENERATED = {"target", "logs", "dbt_packages"}


def project_digest(settings: Settings) -> str:
    """SHA-256 over the project's files and the versions of dbt and its adapter."""
    digest = hashlib.sha256(f"{version('dbt-core')} {version('dbt-duckdb')}".encode())
    for path in sorted(settings.dbt_project.rglob("*")):
        name = path.relative_to(settings.dbt_project)
        hidden = any(part in GENERATED or part.startswith(".") for part in name.parts)
        if path.is_file() and not hidden:
            digest.update(f"\n{name} {hashlib.sha256(path.read_bytes()).hexdigest()}".encode())
    return digest.hexdigest()


def dbt_executable() -> str:
    """The dbt of this very environment, whatever PATH says."""
    return str(Path(sys.executable).with_name("dbt"))


def manifest_path(settings: Settings) -> Path:
    """The manifest with the compiled SQL of every model and test, made once for each state.

    It comes from a `dbt compile` without any lake, so a code location loads before the first run.
    Raises OpsError with dbt's own words when the project does not compile.
    """
    folder = settings.home / "dbt" / project_digest(settings)[:16]
    path = folder / "manifest.json"
    if not path.exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
            _compile(settings, Path(scratch))
            folder.mkdir(exist_ok=True)
            shutil.move(Path(scratch) / "manifest.json", path)
    return path


def _compile(settings: Settings, target: Path) -> None:
    command = [
        dbt_executable(), "--quiet", "compile", "--target", "compile",
        "--project-dir", str(settings.dbt_project), "--profiles-dir", str(settings.dbt_project),
        "--target-path", str(target), "--log-path", str(target / "logs"),
    ]  # fmt: skip
    done = subprocess.run(
        command, env={**os.environ, **TELEMETRY_OFF}, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise OpsError(
            f"the dbt project in {settings.dbt_project} does not compile:\n"
            f"{done.stdout}{done.stderr}"
        )


def read_manifest(settings: Settings) -> dict[str, Any]:
    """The compiled manifest as a dictionary."""
    manifest: dict[str, Any] = json.loads(manifest_path(settings).read_text(encoding="utf-8"))
    return manifest


@contextmanager
def dbt_environment(settings: Settings) -> Iterator[dict[str, str]]:
    """What a dbt process needs to find and lock the lake, with a scratch file of its own.

    After it, `OPS_DBT_SNAPSHOT_FILE` holds the id of the snapshot that the process left.
    """
    lake = Lake.at(settings)
    lake.data_path.mkdir(parents=True, exist_ok=True)
    (settings.home / "dbt").mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=settings.home / "dbt") as scratch:
        yield {
            **TELEMETRY_OFF,
            # dbt runs in the project's folder, where relative settings would mean another place.
            "OPS_HOME": str(settings.home),
            "OPS_DBT_SCRATCH": f"{scratch}/scratch.duckdb",
            "OPS_LAKE_ATTACH": lake.attach_path,
            "OPS_LAKE_OPTIONS": json.dumps(lake.attach_options),
            SNAPSHOT_FILE: f"{scratch}/snapshot",
        }


def run_dbt(settings: Settings, arguments: list[str]) -> int:
    """Run dbt on the lake as an analyst would, its output on the terminal; dbt's exit code."""
    with dbt_environment(settings) as environment:
        scratch = Path(environment["OPS_DBT_SCRATCH"]).parent
        command = [
            dbt_executable(), *arguments,
            "--project-dir", str(settings.dbt_project), "--profiles-dir", str(settings.dbt_project),
            "--target-path", str(scratch / "target"), "--log-path", str(scratch / "logs"),
        ]  # fmt: skip
        return subprocess.run(command, env={**os.environ, **environment}, check=False).returncode
