"""The dbt project: what it is made of, how dbt is called, and its compiled manifest."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

from ops_platform.errors import OpsError
from ops_platform.lake.dbt_scratch import SCRATCH
from ops_platform.lake.location import Lake
from ops_platform.settings import TELEMETRY_OFF, Settings

PARSED = "partial_parse.msgpack"
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


def kept_manifest(home: Path, digest: str) -> Path:
    """Where a home keeps the manifest of the project with this digest, once it is made."""
    return home / "dbt" / digest[:16] / "manifest.json"


def manifest_path(settings: Settings) -> Path:
    """The manifest with the compiled SQL of every model and test, made once for each state.

    It comes from a `dbt compile` without any lake, so a code location loads before the first run.
    Raises OpsError with dbt's own words when the project does not compile.
    """
    path = kept_manifest(settings.home, project_digest(settings))
    folder = path.parent
    if not path.exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
            _compile(settings, Path(scratch))
            folder.mkdir(exist_ok=True)
            # The manifest last: where it is, the other is too.
            for name in (PARSED, path.name):
                shutil.move(Path(scratch) / name, folder / name)
    return path


@contextmanager
def manifest_in_the_making(settings: Settings) -> Iterator[None]:
    """Let dbt compile in its own process while the caller does something else.

    Raises at the end of the block what `manifest_path` raises.
    """
    with ThreadPoolExecutor(max_workers=1) as background:
        made = background.submit(manifest_path, settings)
        yield
    made.result()


def _compile(settings: Settings, target: Path) -> None:
    command = [
        dbt_executable(), "--quiet", "compile",
        "--project-dir", str(settings.dbt_project), "--profiles-dir", str(settings.dbt_project),
        "--target-path", str(target), "--log-path", str(target / "logs"),
    ]  # fmt: skip
    done = subprocess.run(
        command,
        env={name: value for name, value in os.environ.items() if name != SCRATCH} | TELEMETRY_OFF,
        capture_output=True,
        text=True,
        check=False,
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
def dbt_scratch(settings: Settings) -> Iterator[tuple[Path, dict[str, str]]]:
    """A folder for one dbt process, and the environment in which it finds and locks the lake.

    Its folder `target` holds what dbt has parsed of the project already.
    """
    lake = Lake.at(settings)
    lake.data_path.mkdir(parents=True, exist_ok=True)
    parsed = manifest_path(settings).with_name(PARSED)
    with tempfile.TemporaryDirectory(dir=settings.home / "dbt") as name:
        scratch = Path(name)
        (scratch / "target").mkdir()
        shutil.copy(parsed, scratch / "target")
        yield (
            scratch,
            {
                **TELEMETRY_OFF,
                # dbt runs in the project's folder, where relative settings mean another place.
                "OPS_HOME": str(settings.home),
                "OPS_DATA_PATH": str(lake.data_path),
                SCRATCH: name,
                "OPS_DBT_NOW": settings.now().isoformat(sep=" "),
            },
        )


def run_dbt(settings: Settings, arguments: list[str]) -> int:
    """Run dbt on the lake as an analyst would, its output on the terminal; dbt's exit code."""
    with dbt_scratch(settings) as (scratch, environment):
        command = [
            dbt_executable(), *arguments,
            "--project-dir", str(settings.dbt_project), "--profiles-dir", str(settings.dbt_project),
            "--target-path", str(scratch / "target"), "--log-path", str(scratch / "logs"),
        ]  # fmt: skip
        return subprocess.run(command, env={**os.environ, **environment}, check=False).returncode
