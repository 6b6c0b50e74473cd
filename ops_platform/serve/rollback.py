"""Back to a version that served before, which then stays."""

from datetime import datetime
from pathlib import Path

from ops_platform.errors import ReleaseError
from ops_platform.lake.location import Lake
from ops_platform.lake.lock import write_lock
from ops_platform.models.kinds import recommenders
from ops_platform.models.registry import ROLLED_BACK, Registry, Version
from ops_platform.serve import history, release
from ops_platform.serve.promotion import Served, make, move_pointer, note_alias


def roll_back(
    lake: Lake,
    registry: Registry,
    releases: Path,
    name: str,
    now: datetime,
    customer_key: str | None = None,
    to: int | None = None,
    only_from: int | None = None,
) -> Served:
    """Let an earlier version serve again: `to`, else the one that served before the present one.

    With `only_from` nothing moves where another version serves by now.

    Its release is used again where it is whole, else made anew, before anything moves. The version
    that is left is tagged, so that it is not promoted again by itself. Another call finishes what
    a killed one began. Of a model without releases of its own the alias alone goes back.

    Raises
    ------
    ReleaseError : nothing serves, none served before, or the release can't be made.
    RegistryError, LakeError : the registry, that version or its snapshot can't be read.
    """
    folder = release.folder_of(releases, name)
    with write_lock(lake):
        if name not in recommenders():
            return _alias_back(registry, folder, name, now, to)
        pointed = release.pointed(folder)
        if pointed is None:
            raise ReleaseError(f"no version of {name!r} serves yet, so there is none to leave")
        history.note(folder, pointed, now, "found to serve")
        left = release.version_of(pointed, folder)
        if only_from not in (None, left):
            return Served(name, left, pointed, moved=False)
        back = history.before(folder, left) if to is None else to
        if back is None:
            raise ReleaseError(
                f"no version of {name!r} is known to have served before version {left}: "
                "say which one by --to VERSION"
            )
        version = registry.version(name, back)
        if back == left:
            return Served(name, back, pointed, moved=False)
        made = release_of(lake, registry, folder, version, now, customer_key)
        _tag(registry, name, now, left, back)
        move_pointer(folder, made, now, f"rolled back from version {left}")
        registry.promote(name, back)
        return Served(name, back, made, moved=True)


def _alias_back(
    registry: Registry, folder: Path, name: str, now: datetime, to: int | None
) -> Served:
    champion = registry.champion(name)
    if champion is None:
        raise ReleaseError(f"{name!r} has no champion yet, so there is none to leave")
    left = champion.version
    back = history.before(folder, left) if to is None else to
    if back is None:
        raise ReleaseError(
            f"no version of {name!r} before {left} is known to have been champion: say which one "
            "by --to VERSION"
        )
    found = registry.version(name, back)
    if found.version != left:
        note_alias(folder, found, now, f"rolled back from version {left}")
        _tag(registry, name, now, left, back)
        registry.promote(name, back)
    return Served(name, back, "", moved=found.version != left)


def _tag(registry: Registry, name: str, now: datetime, left: int, back: int) -> None:
    """So that the version that is left is not promoted again by itself."""
    if left in registry.numbers(name):
        registry.set_tag(name, left, ROLLED_BACK, f"{now.isoformat()} to version {back}")
    registry.set_tag(name, back, ROLLED_BACK, None)


def release_of(
    lake: Lake,
    registry: Registry,
    folder: Path,
    version: Version,
    now: datetime,
    customer_key: str | None,
) -> str:
    """The release of a version: the one that is there and fits, which later code need not load."""
    for place in sorted(folder.glob(f"v{version.version}-*/")):
        try:
            manifest = release.load(place).manifest
        except ReleaseError:
            continue
        same = manifest.state_digest == version.tags["state_digest"]
        if same and manifest.customer_key == customer_key:
            return place.name
    return make(lake, registry, folder, version, now, customer_key)
