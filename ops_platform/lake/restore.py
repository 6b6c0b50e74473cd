"""`ops lake restore`: a backup put in place, here or in another home, the old state moved aside."""

import json
import shutil
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

from ops_platform.errors import LakeError
from ops_platform.lake import catalog_copy
from ops_platform.lake.backup import MANIFEST, Manifest, catalog_name, copy_file
from ops_platform.lake.location import Lake
from ops_platform.lake.lock import write_lock
from ops_platform.lake.write import sha256

ASIDE = ".before-restore"
# Where MLflow's database keeps absolute paths.
_MLFLOW_PATHS = {
    "experiments": ("artifact_location",),
    "runs": ("artifact_uri",),
    "logged_models": ("artifact_location",),
    "model_versions": ("source", "storage_location"),
    "workspaces": ("default_artifact_root", "trace_archival_location"),
}


def restore(
    source: Path, lake: Lake, folders: Mapping[str, Path], *, overwrite: bool = False
) -> list[Path]:
    """Put the backup `source` in place of the lake and of `folders`, name to path.

    Everything is copied and verified beside its place first. What was there is moved to siblings
    that end in `.before-restore`; they are returned. The catalog comes last, so a restore that is
    killed leaves no lake, rather than half of one, and can be run again.

    Raises LakeError for a damaged backup, one of another kind of catalog, and for a lake that
    exists unless `overwrite`. Then a SQLite catalog may be in any state; a Postgres one must be
    such that pg_dump can keep a copy of it.
    """
    manifest = verify(source)
    if manifest.catalog != catalog_name(lake):
        raise LakeError(
            f"{source} holds {manifest.catalog}, this lake wants {catalog_name(lake)}: "
            "set OPS_CATALOG_URL as it was when the backup was made"
        )
    places = _places(manifest, lake, folders)
    with write_lock(lake):
        taken = [str(place) for place in places.values() if _is_full(place)]
        # Not asked where it is to be overwritten: it may be what can't be read any more.
        if not overwrite and (taken or lake.exists):
            raise LakeError(
                f"{', '.join(taken) or lake.catalog_name} is there already: restore with "
                "--overwrite, which moves it aside, or into another OPS_HOME"
            )
        try:
            staged = {
                place: _stage(source, part, place, manifest) for part, place in places.items()
            }
            for folder in staged.values():
                _rewrite_paths(folder, manifest, folders)
            return _move_in(source, lake, staged)
        except (OSError, sqlite3.Error) as error:
            raise LakeError(f"the restore of {source} failed: {error}") from error


def verify(source: Path) -> Manifest:
    """The backup's manifest; raises LakeError naming every file that is not as it says."""
    try:
        read = json.loads((source / MANIFEST).read_text(encoding="utf-8"))
        manifest = Manifest(**read)
    except (OSError, ValueError, TypeError) as error:
        raise LakeError(f"{source} is not a whole backup: {error}") from error
    damaged = [
        name
        for name, (size, digest) in manifest.files.items()
        if not _is_as_stated(source / name, size, digest)
    ]
    if damaged:
        raise LakeError(f"{source} is damaged, nothing was restored: {', '.join(damaged)}")
    return manifest


def _is_as_stated(path: Path, size: int, digest: str) -> bool:
    return path.is_file() and path.stat().st_size == size and sha256(path) == digest


def _places(manifest: Manifest, lake: Lake, folders: Mapping[str, Path]) -> dict[str, Path]:
    """Each part of the backup with the place where it goes."""
    unknown = manifest.folders.keys() - folders.keys()
    if unknown:
        raise LakeError(f"the backup holds {', '.join(sorted(unknown))}, with no place to go")
    return {
        "data": lake.data_path,
        **{f"folders/{name}": folders[name] for name in manifest.folders},
    }


def _is_full(place: Path) -> bool:
    return place.is_dir() and any(place.iterdir())


def _stage(source: Path, part: str, place: Path, manifest: Manifest) -> Path:
    """Copy one part of the backup beside its place."""
    staged = place.with_name(f".{place.name}.restoring")
    shutil.rmtree(staged, ignore_errors=True)
    staged.mkdir(parents=True)
    for name, (size, digest) in manifest.files.items():
        if name.startswith(f"{part}/"):
            copied = staged / name.removeprefix(f"{part}/")
            copy_file(source / name, copied)
            if not _is_as_stated(copied, size, digest):
                raise LakeError(f"{source / name}: its copy has another SHA-256")
    for name, to in manifest.links.items():
        if name.startswith(f"{part}/"):
            link = staged / name.removeprefix(f"{part}/")
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(_moved(to, manifest.folders, {part.removeprefix("folders/"): place}))
    return staged


def _moved(path: str, old: Mapping[str, str], new: Mapping[str, Path]) -> str:
    """`path` with the folder that it begins with replaced by where that folder is now."""
    for name, place in new.items():
        if name in old and (path == old[name] or path.startswith(f"{old[name]}/")):
            return f"{place}{path.removeprefix(old[name])}"
    return path


def _rewrite_paths(staged: Path, manifest: Manifest, folders: Mapping[str, Path]) -> None:
    moved = {
        old: str(folders[name])
        for name, old in manifest.folders.items()
        if old != str(folders[name])
    }
    if not moved:
        return
    for database in (*staged.rglob("*.db"), *staged.rglob("*.sqlite")):
        with closing(sqlite3.connect(database)) as connection, connection:
            for table, columns in _MLFLOW_PATHS.items():
                there = {row[1] for row in connection.execute(f"PRAGMA table_info({table})")}
                for column in there.intersection(columns):
                    _replace_prefixes(connection, table, column, moved)


def _replace_prefixes(
    connection: sqlite3.Connection, table: str, column: str, moved: Mapping[str, str]
) -> None:
    for old, new in moved.items():
        for scheme in ("", "file://"):
            connection.execute(
                f"UPDATE {table} SET {column} = ? || substr({column}, length(?) + 1) "
                f"WHERE {column} = ? OR substr({column}, 1, length(?) + 1) = ? || '/'",
                [f"{scheme}{new}", *[f"{scheme}{old}"] * 4],
            )


def _move_in(source: Path, lake: Lake, staged: Mapping[Path, Path]) -> list[Path]:
    dump = lake.home / ".catalog.restoring"
    copy_file(source / catalog_name(lake), dump)
    aside = _catalog_aside(lake, _free(lake.home / f"catalog{ASIDE}"))
    for place, folder in staged.items():
        if place.exists():
            aside.append(place.rename(_free(place.with_name(place.name + ASIDE))))
        folder.rename(place)
    if lake.catalog_url is None:
        dump.rename(lake.catalog_file)
    else:
        catalog_copy.load(lake, dump)
        dump.unlink()
    catalog_copy.point_at(lake)
    return aside


def _catalog_aside(lake: Lake, away: Path) -> list[Path]:
    """Move the SQLite catalog with its journals away; of a Postgres one keep a dump."""
    if lake.catalog_url is not None:
        if not lake.exists:
            return []
        away.mkdir()
        catalog_copy.save(lake, away / catalog_name(lake))
        return [away]
    found = [path for path in lake.home.glob("catalog.sqlite*") if path.is_file()]
    if not found:
        return []
    away.mkdir()
    for path in found:
        path.rename(away / path.name)
    return [away]


def _free(path: Path) -> Path:
    names = (path, *(path.with_name(f"{path.name}-{number}") for number in range(2, 1000)))
    return next(name for name in names if not name.exists())
