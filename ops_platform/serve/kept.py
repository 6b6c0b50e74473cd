"""The releases of a model that are kept: which there are, and which served when."""

from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from ops_platform.errors import ReleaseError
from ops_platform.serve import history, release
from ops_platform.serve.messages import Releases, ReleaseTold

Now = Callable[[], datetime]


def told(folder: Path) -> Releases:
    """Every release that is kept or has served, by when it first served; the others at the end."""
    kept = names(folder)
    stretches = [one for one in history.stretches(folder) if release.is_name(one.release)]
    every = list(dict.fromkeys([*(one.release for one in stretches), *kept]))
    try:
        serving = release.pointed(folder)
    except ReleaseError:
        serving = None
    found = []
    for name in every:
        manifest = _manifest(folder / name) if name in kept else None
        found.append(
            ReleaseTold(
                release=name,
                version=release.version_of(name, folder),
                serves=name == serving,
                kept=name in kept,
                as_of=manifest and manifest.as_of,
                created_at=manifest and manifest.created_at,
                served=[(one.start, one.end) for one in stretches if one.release == name],
            )
        )
    return Releases(model=folder.name, releases=found)


def names(folder: Path) -> list[str]:
    """The releases that are there, whole or not."""
    return sorted(place.name for place in folder.glob("v*-*/") if release.is_name(place.name))


def _manifest(place: Path) -> release.Manifest | None:
    try:
        return release.read_manifest(place)
    except ReleaseError:
        return None
