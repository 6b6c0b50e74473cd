"""`ops lake backup`: the checked lake and the folders that go with it, whole or not at all."""

import json
import os
import shutil
import sqlite3
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from ops_platform.errors import LakeError
from ops_platform.lake import catalog, catalog_copy
from ops_platform.lake.check import faults
from ops_platform.lake.location import Lake
from ops_platform.lake.lock import write_lock
from ops_platform.lake.write import sha256

MANIFEST = "manifest.json"
_JOURNALS = ("-wal", "-shm", "-journal")


@dataclass(frozen=True)
class Manifest:
    """What a backup holds and where it was made.

    Parameters
    ----------
    catalog : the catalog's file in the backup; its name tells SQLite from Postgres.
    data_path, folders : where the data files and each named folder lay.
    files : each file's path in the backup with its size and SHA-256.
    links : each symbolic link's path with what it points to.
    """

    catalog: str
    data_path: str
    folders: dict[str, str]
    files: dict[str, tuple[int, str]]
    links: dict[str, str]


def backup(lake: Lake, folders: Mapping[str, Path], target: Path) -> Manifest:
    """Copy the catalog, its data files and `folders`, name to path, to the new folder `target`.

    A folder that is not there is left out. Written beside `target` and renamed at the end, so
    what bears the name is whole. Raises LakeError when the lake does not hold, `target` exists
    or the disk is full.
    """
    target = target.expanduser().absolute()
    _refuse_place(lake, folders, target)
    partial = target.with_name(f".{target.name}.partial")
    with write_lock(lake):
        catalog.require(lake)
        found = faults(lake)
        if found:
            raise LakeError("no backup, because the lake has faults: " + "; ".join(found))
        try:
            shutil.rmtree(partial, ignore_errors=True)
            manifest = _copy(lake, folders, partial)
            partial.rename(target)
        except (OSError, sqlite3.Error) as error:
            raise LakeError(
                f"the backup to {target} failed, nothing is left of it: {error}"
            ) from error
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    return manifest


def catalog_name(lake: Lake) -> str:
    """What the catalog's copy is called in a backup."""
    return "catalog.sqlite" if lake.catalog_url is None else "catalog.pgdump"


def _refuse_place(lake: Lake, folders: Mapping[str, Path], target: Path) -> None:
    if target.exists():
        raise LakeError(f"{target} exists: name a folder that does not, a backup is never changed")
    for folder in (lake.data_path, *folders.values()):
        if target.is_relative_to(folder):
            raise LakeError(f"{target} lies in {folder}, which is backed up: name another folder")


def _copy(lake: Lake, folders: Mapping[str, Path], target: Path) -> Manifest:
    (target / "data").mkdir(parents=True)
    catalog_copy.save(lake, target / catalog_name(lake))
    _copy_data(lake, target / "data")
    present = {name: folder for name, folder in folders.items() if folder.is_dir()}
    links = {
        f"folders/{name}/{path}": to
        for name, folder in present.items()
        for path, to in _copy_folder(folder, target / "folders" / name).items()
    }
    manifest = Manifest(
        catalog=catalog_name(lake),
        data_path=str(lake.data_path),
        folders={name: str(folder) for name, folder in present.items()},
        files={
            str(path.relative_to(target)): (path.stat().st_size, sha256(path))
            for path in sorted(target.rglob("*"))
            if path.is_file() and not path.is_symlink()
        },
        links=links,
    )
    (target / MANIFEST).write_text(json.dumps(asdict(manifest), indent=1), encoding="utf-8")
    return manifest


def _copy_data(lake: Lake, target: Path) -> None:
    recorded = catalog.digests(lake)
    for file in catalog.files(lake):
        if Path(file.name).is_absolute():
            raise LakeError(f"{file.path} lies outside {lake.data_path}, so it can't be backed up")
        copied = target / file.name
        copy_file(file.path, copied)
        if sha256(copied) != recorded[file.name]:
            raise LakeError(f"{file.path}: its copy has another SHA-256; see `ops lake check`")


def _copy_folder(folder: Path, target: Path) -> dict[str, str]:
    """Copy a folder; its symbolic links by path.

    Databases go first, then what lies at the top: an artifact is written before the database
    that names it, a release before the pointer to it, so all that is named has been copied.
    """
    target.mkdir(parents=True)
    found = sorted(_walk(folder), key=lambda path: (not _is_sqlite(path), len(path.parts), path))
    links = {}
    for path in found:
        name = path.relative_to(folder)
        if path.is_symlink():
            links[str(name)] = str(path.readlink())
        elif _is_sqlite(path):
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            catalog_copy.copy_sqlite(path, target / name)
        elif not _is_journal(path):
            copy_file(path, target / name)
    return links


def _walk(folder: Path) -> Iterator[Path]:
    for path in folder.rglob("*"):
        if path.is_symlink() or path.is_file():
            yield path


def _is_sqlite(path: Path) -> bool:
    if path.is_symlink() or path.suffix not in (".db", ".sqlite", ".sqlite3"):
        return False
    with path.open("rb") as file:
        return file.read(16) == b"SQLite format 3\0"


def _is_journal(path: Path) -> bool:
    database = next((path.name.removesuffix(e) for e in _JOURNALS if path.name.endswith(e)), None)
    return database is not None and _is_sqlite_there(path.with_name(database))


def _is_sqlite_there(path: Path) -> bool:
    return path.is_file() and _is_sqlite(path)


def copy_file(source: Path, target: Path) -> None:
    """Copy a file's bytes and flush them to the disk."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with source.open("rb") as old, target.open("wb") as new:
        shutil.copyfileobj(old, new, 1 << 20)
        new.flush()
        os.fsync(new.fileno())
