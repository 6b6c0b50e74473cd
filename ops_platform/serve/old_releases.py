"""Old releases go: the one that serves stays, and so many that served before it, to go back to."""

import shutil
from pathlib import Path

from ops_platform.lake.location import Lake
from ops_platform.lake.lock import write_lock
from ops_platform.serve import history, kept, release


def remove_old(lake: Lake, folder: Path, keep: int) -> list[str]:
    """Remove all releases of a model but the one that serves and the `keep` that served last.

    One that never served goes first. A version whose release is gone can be gone back to all the
    same: its release is made anew. Returns the names of those that went.

    Raises
    ------
    ReleaseError : the pointer can't be read, so that none is known to be an old one.
    """
    # A backup must not see a release go while it copies it.
    with write_lock(lake):
        serving = release.pointed(folder)
        last = {move.release: place for place, move in enumerate(history.read(folder))}
        others = [name for name in kept.names(folder) if name != serving]
        others.sort(key=lambda name: last.get(name, -1), reverse=True)
        for name in others[keep:]:
            # Under another name first: what bears a release's name is whole.
            going = folder / f".going-{name}"
            (folder / name).rename(going)
            shutil.rmtree(going, ignore_errors=True)
    return others[keep:]
