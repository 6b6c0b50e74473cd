"""What a pull request changes in the dbt project, built beside production and thrown away.

dbt compares the project with the manifest of what production has published; parents that did not
change are read from production, at its published snapshot.
"""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

from ops_platform.errors import NotPublishedError
from ops_platform.lake.dbt_scratch import PRODUCTION_SNAPSHOT, SCRATCH
from ops_platform.lake.location import Lake
from ops_platform.lake.published import published
from ops_platform.settings import TELEMETRY_OFF, Settings
from ops_platform.transform.project import dbt_executable, kept_manifest

CHANGED = "state:modified+"


def published_manifest(home: Path) -> Path:
    """Where a home keeps the manifest of the dbt build that its published snapshot holds."""
    return home / "dbt" / "published" / "manifest.json"


def keep_published_manifest(home: Path, digest: str) -> None:
    """Keep the manifest of the project with this digest as that of what is published."""
    kept, made = published_manifest(home), kept_manifest(home, digest)
    if not made.exists():
        # Another home's process built it; where that one publishes, it keeps its own.
        return
    kept.parent.mkdir(parents=True, exist_ok=True)
    partial = kept.with_suffix(".partial")
    shutil.copy(made, partial)
    partial.replace(kept)


def build_changed(settings: Settings, say: Callable[[str], object]) -> int:
    """Build and test what differs from production, and what follows from it; dbt's exit code.

    Raises NotPublishedError when production has published nothing yet.
    """
    production = Lake.of_production(settings)
    manifest = published_manifest(settings.production_home)
    if not manifest.exists():
        raise NotPublishedError(
            f"there is no manifest of production at {manifest}: set OPS_PRODUCTION_HOME, or "
            "materialize the graph there once up to lake/published_marts"
        )
    snapshot = published(production).snapshot
    say(f"comparing {settings.dbt_project} with production's published snapshot {snapshot}")
    (settings.home / "dbt").mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=settings.home / "dbt") as name:
        scratch = Path(name)
        (scratch / "state").mkdir()
        # A copy: production may publish between the two commands.
        shutil.copy(manifest, scratch / "state")
        listed = _listed(settings, scratch)
        if listed.returncode:
            say(listed.stdout)
            return listed.returncode
        changed = listed.stdout.split()
        if not changed:
            say("nothing differs")
            return 0
        say(f"{len(changed)} differ or follow from what does; the rest is read from production:")
        for selected in changed:
            say(f"  {selected}")
        command = _dbt(settings, scratch, "build", "--defer")
        environment = _building(settings, scratch, production, snapshot)
        return subprocess.run(command, env=environment, check=False).returncode


def _listed(settings: Settings, scratch: Path) -> subprocess.CompletedProcess[str]:
    """What dbt selects, one a line; it needs no lake for that."""
    return subprocess.run(
        _dbt(settings, scratch, "--quiet", "ls"),
        env={name: value for name, value in os.environ.items() if name != SCRATCH} | TELEMETRY_OFF,
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )


def _dbt(settings: Settings, scratch: Path, *command: str) -> list[str]:
    return [
        dbt_executable(), *command, "--target", "pull_request",
        "--select", CHANGED, "--state", str(scratch / "state"),
        "--project-dir", str(settings.dbt_project), "--profiles-dir", str(settings.dbt_project),
        "--target-path", str(scratch / "target"), "--log-path", str(scratch / "logs"),
    ]  # fmt: skip


def _building(settings: Settings, scratch: Path, production: Lake, snapshot: int) -> dict[str, str]:
    """The environment of the dbt that builds: a lake in `scratch`, whatever is configured."""
    own = Lake(home=scratch / "lake", data_path=scratch / "lake" / "data")
    own.data_path.mkdir(parents=True)
    return {
        **os.environ,
        **TELEMETRY_OFF,
        "OPS_HOME": str(scratch),
        "OPS_CATALOG_URL": "",
        "OPS_DATA_PATH": str(own.data_path),
        # dbt runs in the project's folder, where relative settings mean another place.
        "OPS_PRODUCTION_HOME": str(settings.production_home),
        "OPS_PRODUCTION_DATA_PATH": str(production.data_path),
        "OPS_PRODUCTION_CATALOG_URL": settings.production_catalog_url or "",
        SCRATCH: str(scratch),
        "OPS_DBT_NOW": settings.now().isoformat(sep=" "),
        PRODUCTION_SNAPSHOT: str(snapshot),
    }
