"""A release: the immutable folder that the service loads, named by its content, and its pointer."""

import hashlib
import io
import json
import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from ops_platform.errors import ReleaseError
from ops_platform.features import online_store
from ops_platform.lake.durable import sync_folder
from ops_platform.models import state
from ops_platform.models.scoring import OF_CUSTOMERS, OF_PRODUCTS

MODEL, ONLINE, CATALOG, MANIFEST = "model.npz", "online.npz", "catalog.json", "manifest.json"
POINTER = "current"
ARRAYS = {MODEL: OF_PRODUCTS, ONLINE: OF_CUSTOMERS}
_ID = re.compile(r"v([1-9][0-9]*)-[0-9a-f]{12}")
# Of the manifest, what does not decide what is served.
_BESIDE = ("release", "created_at")


@dataclass(frozen=True)
class Origin:
    """Which version a release serves, and from what it was made.

    `customer_key` is the fingerprint of the key by which its customers' ids are hashed, None where
    they are plain.
    """

    model: str
    version: int
    as_of: str
    snapshot: int
    training_set: str
    state_digest: str
    customer_key: str | None = field(default=None, kw_only=True)


@dataclass(frozen=True)
class Manifest(Origin):
    """What a release says of itself; `files` holds the SHA-256 of each of its files."""

    files: Mapping[str, str]
    release: str
    created_at: str


@dataclass(frozen=True)
class Release:
    """A release in memory: its manifest, its arrays by name, and its products' descriptions."""

    manifest: Manifest
    arrays: Mapping[str, np.ndarray]
    catalog: Mapping[str, str]


def folder_of(releases: Path, model: str) -> Path:
    """Where the releases of a model and the pointer to the one that serves lie."""
    return releases / model


def pointed(folder: Path) -> str | None:
    """The release that the model's pointer names, None before the first.

    Raises ReleaseError when the pointer can't be read or names no release.
    """
    try:
        named = (folder / POINTER).read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise ReleaseError(f"the pointer {folder / POINTER} can't be read: {error}") from error
    version_of(named, folder)
    return named


def version_of(release: str, folder: Path) -> int:
    """The version that a release's name states; raises ReleaseError where it is no such name."""
    found = _ID.fullmatch(release)
    if found is None:
        raise ReleaseError(
            f"the pointer {folder / POINTER} names {release[:80]!r}, which is no release: write "
            "the name of one of the folders beside it into it, or materialize serve/release"
        )
    return int(found[1])


def point_to(folder: Path, release: str) -> None:
    """Let the pointer name this release, atomically and for good."""
    aside = folder / f".{POINTER}"
    with aside.open("w", encoding="utf-8") as file:
        file.write(release + "\n")
        file.flush()
        os.fsync(file.fileno())
    aside.replace(folder / POINTER)
    sync_folder(folder)


def write(
    folder: Path,
    origin: Origin,
    arrays: Mapping[str, np.ndarray],
    catalog: Mapping[str, str],
    now: datetime,
    features: Mapping[str, online_store.Rows],
) -> str:
    """Write a release among those of its model and return its name, the same for the same content.

    Made aside and renamed, so what bears the name is whole; one that is there and whole is left,
    one that is damaged is replaced. The caller holds the lake's write lock. Raises ReleaseError
    when it can't be written.
    """
    making = folder / ".making"
    try:
        shutil.rmtree(making, ignore_errors=True)
        making.mkdir(parents=True)
        release = _make(making, origin, arrays, catalog, now, features)
        _put_in_place(making, folder / release)
    except OSError as error:
        raise ReleaseError(
            f"the release of {origin.model} version {origin.version} can't be written to "
            f"{folder}: {error}; the present one goes on serving"
        ) from error
    finally:
        shutil.rmtree(making, ignore_errors=True)
    return release


def _make(
    making: Path,
    origin: Origin,
    arrays: Mapping[str, np.ndarray],
    catalog: Mapping[str, str],
    now: datetime,
    features: Mapping[str, online_store.Rows],
) -> str:
    for name, held in ARRAYS.items():
        state.save({array: arrays[array] for array in held}, making / name)
    _write_json(making / CATALOG, dict(sorted(catalog.items())))
    for view, rows in features.items():
        online_store.write(making / f"{view}{online_store.SUFFIX}", rows)
    names = (*ARRAYS, CATALOG, *(f"{view}{online_store.SUFFIX}" for view in features))
    files = {name: _sha256_of(making / name) for name in names}
    served = {**asdict(origin), "files": files}
    release = _name(served)
    _write_json(making / MANIFEST, {**served, "release": release, "created_at": now.isoformat()})
    for path in making.iterdir():
        with path.open("rb") as file:
            os.fsync(file.fileno())
    sync_folder(making)
    return release


def _put_in_place(making: Path, place: Path) -> None:
    if is_whole(place):
        return
    damaged = making.with_name(".damaged")
    shutil.rmtree(damaged, ignore_errors=True)
    if place.exists():
        place.rename(damaged)
    making.rename(place)
    sync_folder(place.parent)
    shutil.rmtree(damaged, ignore_errors=True)


def is_whole(place: Path) -> bool:
    """Whether the folder holds a release whose every file is as its manifest says."""
    try:
        load(place)
    except ReleaseError:
        return False
    return True


def load(place: Path) -> Release:
    """Read a release, every file verified by its digest and the manifest by the folder's name.

    Raises
    ------
    ReleaseError : the folder or a file is missing, changed or damaged.
    """
    try:
        manifest = _read_manifest(place)
        contents = {
            name: _verified(place / name, sha)
            for name, sha in manifest.files.items()
            if not name.endswith(online_store.SUFFIX)
        }
        for name in manifest.files.keys() - contents.keys():
            # They stay on the disk, and may be larger than what is held in memory.
            if _sha256_of(place / name) != manifest.files[name]:
                raise ValueError(f"{name} has not the SHA-256 that the manifest says")
        arrays = {}
        for name, held in ARRAYS.items():
            with np.load(io.BytesIO(contents[name]), allow_pickle=False) as archive:
                arrays.update({array: archive[array] for array in held})
        return Release(manifest, arrays, json.loads(contents[CATALOG]))
    except (OSError, ValueError, KeyError, TypeError, EOFError, BadZipFile) as error:
        raise ReleaseError(
            f"the release {place} can't be loaded ({type(error).__name__}: {error}): "
            "materialize serve/release, which writes it again"
        ) from error


def _read_manifest(place: Path) -> Manifest:
    read = json.loads((place / MANIFEST).read_bytes())
    served = {name: value for name, value in read.items() if name not in _BESIDE}
    if not place.name == read["release"] == _name(served):
        raise ValueError("its manifest is not the one that it was named by")
    return Manifest(**read)


def _verified(path: Path, expected: str) -> bytes:
    content = path.read_bytes()
    if _sha256(content) != expected:
        raise ValueError(f"{path.name} has not the SHA-256 that the manifest says")
    return content


def _name(served: Mapping[str, object]) -> str:
    """`v<version>-` and the first 12 digits of the digest of all that is served."""
    text = json.dumps(served, sort_keys=True)
    return f"v{served['version']}-{_sha256(text.encode())[:12]}"


def _write_json(path: Path, value: object) -> None:
    path.write_text(json.dumps(value, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def _sha256_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
