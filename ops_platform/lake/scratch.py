"""Scratch folders that go with their process: what a killed one left is swept by the next."""

import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from uuid import uuid4

from filelock import FileLock, Timeout

from ops_platform.errors import OpsError


@contextmanager
def scratch_folder(root: Path) -> Iterator[Path]:
    """A new folder below `root` until the block ends, for nobody but its owner to read.

    First those that dead processes left in `root` are removed. Raises OpsError when the disk is
    full, or takes no writes.
    """
    with ExitStack() as held:
        try:
            folder = _make(root, held)
        except OSError as error:
            raise OpsError(
                f"no scratch folder can be made in {root}: {error.strerror}: make room, or make it "
                "writable, and try again"
            ) from error
        yield folder


def _make(root: Path, held: ExitStack) -> Path:
    root.mkdir(mode=0o700, parents=True, exist_ok=True)
    _sweep(root)
    folder = root / uuid4().hex
    # The system frees it with its process, so it tells the living from the dead. It is held before
    # the folder is there.
    held.enter_context(FileLock(_lock(folder)))
    held.callback(_remove, folder)
    folder.mkdir(mode=0o700)
    return folder


def _sweep(root: Path) -> None:
    # A process that was killed before it made its folder left the lock alone.
    for folder in {path.with_suffix("") for path in root.iterdir()}:
        try:
            with FileLock(_lock(folder), timeout=0):
                _remove(folder)
        except Timeout:
            continue


def _remove(folder: Path) -> None:
    # What can't be removed now is swept the next time.
    shutil.rmtree(folder, ignore_errors=True)
    _lock(folder).unlink(missing_ok=True)


def _lock(folder: Path) -> Path:
    return folder.with_suffix(".lock")
