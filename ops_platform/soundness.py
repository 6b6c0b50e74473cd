"""`ops lake check`: the lake, the releases and the registry, each held against its own digests."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from ops_platform.errors import LakeError, OpsError
from ops_platform.lake.check import check
from ops_platform.lake.location import Lake
from ops_platform.models.estimators import names
from ops_platform.models.registry import Registry
from ops_platform.models.sqlite_store import SQLITE
from ops_platform.serve import release
from ops_platform.serve.promotion import TAGS, require_registered
from ops_platform.settings import Settings


def faults(settings: Settings) -> list[str]:
    """Every fault of the lake and of what is backed up with it; raises LakeError without a lake."""
    return [*check(Lake.at(settings)), *(beside(settings) or _served_faults(settings))]


def beside(settings: Settings) -> list[str]:
    """Every fault of the releases and of the embedded registry, which hold without a lake too."""
    return [*_release_faults(settings.releases), *_registry_faults(settings)]


def require_beside(settings: Settings) -> None:
    """Raise LakeError with all that `beside` finds, before it is copied into a backup."""
    if found := beside(settings):
        raise LakeError("no backup, for what goes with the lake has faults: " + "; ".join(found))


def _release_faults(releases: Path) -> Iterator[str]:
    for folder in sorted(releases.glob("*/")):
        named = []
        try:
            pointed = release.pointed(folder)
            named = [] if pointed is None else [folder / pointed]
        except OpsError as error:
            yield str(error)
        for place in sorted({*folder.glob("v*-*/"), *named}):
            try:
                release.load(place)
            except OpsError as error:
                yield str(error)


def _registry_faults(settings: Settings) -> Iterator[str]:
    if not settings.mlflow_tracking_uri.startswith(SQLITE):
        return
    store = Path(settings.mlflow_tracking_uri.removeprefix(SQLITE))
    if not store.exists():
        return
    try:
        with closing(sqlite3.connect(f"{store.as_uri()}?mode=ro", uri=True)) as connection:
            said = connection.execute("PRAGMA integrity_check(5)").fetchall()
    except sqlite3.Error as error:
        said = [(str(error),)]
    damaged = [f"{store}: {line}; restore it from a backup" for (line,) in said if line != "ok"]
    yield from damaged
    if damaged:
        return
    registry = Registry(settings.mlflow_tracking_uri, settings.mlflow_artifact_root)
    for name in names():
        for number in registry.numbers(name):
            try:
                registry.verify(name, number)
            except OpsError as error:
                yield str(error)


def _served_faults(settings: Settings) -> Iterator[str]:
    """Whether what serves is of the version that the registry has under that number.

    No damage, so it keeps nobody from a backup. The releases and the registry are sound.
    """
    registry = Registry(settings.mlflow_tracking_uri, settings.mlflow_artifact_root)
    for name in names():
        folder = release.folder_of(settings.releases, name)
        pointed = release.pointed(folder)
        if pointed is not None:
            try:
                yield from _differences(registry, folder, pointed)
            except OpsError as error:
                yield str(error)


def _differences(registry: Registry, folder: Path, pointed: str) -> Iterator[str]:
    served = release.load(folder / pointed).manifest
    tags = registry.version(folder.name, require_registered(registry, folder, pointed)).tags
    for tag in TAGS:
        if tags.get(tag) != str(getattr(served, tag)):
            yield (
                f"the release {folder / pointed} says {tag} {getattr(served, tag)!r}, and the "
                f"registry's version {served.version} {tags.get(tag)!r}: they are not of one "
                "training; materialize serve/release, or restore a backup"
            )
