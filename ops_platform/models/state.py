"""The learned state of a model as plain arrays: its digest, and its file without pickles."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from ops_platform.errors import StateError

State = Mapping[str, np.ndarray]


def digest(state: State) -> str:
    """SHA-256 (hex) over names, dtypes, shapes and bytes, in the order of the names.

    The digest is of the arrays and not of a file, because archives hold times and paddings.

    Raises
    ------
    StateError : an array holds Python objects, so its bytes are addresses.
    """
    total = hashlib.sha256()
    for name in sorted(state):
        array = np.ascontiguousarray(state[name])
        if array.dtype.hasobject:
            raise StateError(f"State array {name!r} holds Python objects; make it plain numbers.")
        # A shape ends in its count of bytes, so no two different states share one stream.
        header = f"{name}\0{array.dtype.str}\0{state[name].shape}\0{array.nbytes}\0"
        total.update(header.encode())
        total.update(array.tobytes())
    return total.hexdigest()


def save(state: State, path: Path) -> None:
    """Write the arrays to an `.npz` file, uncompressed and without pickles."""
    with path.open("wb") as file:
        np.savez(file, allow_pickle=False, **dict(state))


def load(path: Path, expected: str) -> dict[str, np.ndarray]:
    """Read the arrays of an `.npz` file whose digest must be `expected`.

    Raises
    ------
    StateError : the file is missing, is not such a file, or has another digest.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            state = {name: archive[name] for name in archive.files}
    except (OSError, ValueError, EOFError, BadZipFile) as error:
        raise StateError(
            f"Model state {path} can't be read as plain arrays ({error}); "
            "register the model again or restore the file."
        ) from error
    found = digest(state)
    if found != expected:
        raise StateError(
            f"Model state {path} has digest {found}, but {expected} was recorded for it: "
            "the file was changed or damaged; restore it or register the model again."
        )
    return state
