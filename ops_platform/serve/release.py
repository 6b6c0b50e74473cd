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
# No view has a hyphen in its name.
PROBABILITIES = f"purchase-probability{online_store.SUFFIX}"
POINTER = "current"
ARRAYS = {MODEL: OF_PRODUCTS, ONLINE: OF_CUSTOMERS}
_ID = re.compile(r"v([1-9][0-9]*)-[0-9a-f]{12}")
# Of the manifest, what does not decide what is served.
_BESIDE = ("release", "created_at")


@dataclass(frozen=True)
class Origin:
    """Which version a release serves, and from what it was made.

    `customer_key` is the fingerprint of the key by which its customers' ids are hashed, None where
    they are plain. `purchase_probability` is the version of the model of that name whose
    probabilities are in it, None where it has none.
    """

    model: str
    version: int
    as_of: str
    snapshot: int
    training_set: str
    state_digest: str
    customer_key: str | None = field(default=None, kw_only=True)
    purchase_probability: int | None = field(default=None, kw_only=True)


@dataclass(frozen=True)
class Manifest(Origin):
    """What a release says of itself; `files` holds the SHA-256 of each of its files."""

    files: Mapping[str, str]
    release: str
    created_at: str


@dataclass(frozen=True)
class Product:
    """What the catalog says of a product; one that is not `offered` is never recommended."""

    description: str
    category: str | None
    offered: bool


@dataclass(frozen=True)
class Release:
    """A release in memory: its manifest, arrays by name, products and purchase probabilities.

    `probabilities` has the feature `probability` of each customer; None where there are none.
    """

    manifest: Manifest
    arrays: Mapping[str, np.ndarray]
    catalog: Mapping[str, Product]
    probabilities: online_store.OnlineStore | None = None


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


def is_name(name: str) -> bool:
    """Whether a release may bear this name."""
    return _ID.fullmatch(name) is not None


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
    catalog: Mapping[str, Product],
    now: datetime,
    features: Mapping[str, online_store.Rows],
    probabilities: online_store.Rows | None = None,
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
        stores = {f"{view}{online_store.SUFFIX}": rows for view, rows in features.items()}
        if probabilities is not None:
            stores[PROBABILITIES] = probabilities
        release = _make(making, origin, arrays, catalog, now, stores)
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
    catalog: Mapping[str, Product],
    now: datetime,
    stores: Mapping[str, online_store.Rows],
) -> str:
    for name, held in ARRAYS.items():
        state.save({array: arrays[array] for array in held}, making / name)
    products = {product: asdict(entry) for product, entry in sorted(catalog.items())}
    _write_json(making / CATALOG, products)
    for name, rows in stores.items():
        online_store.write(making / name, rows)
    names = (*ARRAYS, CATALOG, *stores)
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
        manifest = _manifest(place)
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
        catalog = {name: Product(**entry) for name, entry in json.loads(contents[CATALOG]).items()}
        probabilities = None
        if PROBABILITIES in manifest.files:
            probabilities = online_store.OnlineStore(place / PROBABILITIES)
        return Release(manifest, arrays, catalog, probabilities)
    except (OSError, ValueError, KeyError, TypeError, EOFError, BadZipFile) as error:
        raise _cant_be_loaded(place, error) from error


def read_manifest(place: Path) -> Manifest:
    """What a release says of itself, verified by the folder's name; its files are not.

    Raises ReleaseError where it is missing, changed or damaged.
    """
    try:
        return _manifest(place)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise _cant_be_loaded(place, error) from error


def _cant_be_loaded(place: Path, error: Exception) -> ReleaseError:
    return ReleaseError(
        f"the release {place} can't be loaded ({type(error).__name__}: {error}): "
        "materialize serve/release, which writes it again"
    )


def _manifest(place: Path) -> Manifest:
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
