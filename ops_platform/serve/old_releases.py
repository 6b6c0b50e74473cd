"""Old releases go: what serves or is tried stays, and so many that served before, to go back to."""

import shutil
from pathlib import Path

from ops_platform.lake.location import Lake
from ops_platform.lake.lock import write_lock
from ops_platform.serve import experiment, history, kept, release


def remove_old(lake: Lake, folder: Path, keep: int) -> list[str]:
    """Remove all releases of a model but what serves, what is tried beside it, and the
    `keep` that served last.

    One that never served goes first. A version whose release is gone can be gone back to all the
    same: its release is made anew. Returns the names of those that went.

    Raises
    ------
    ReleaseError : the pointer or the experiment can't be read: none is known to be an old one.
    """
    # A backup must not see a release go while it copies it.
    with write_lock(lake):
        serving = release.pointed(folder)
        last = {move.release: place for place, move in enumerate(history.read(folder))}
        tried = experiment.running(folder)
        needed = {serving, tried and tried.release}
        others = [name for name in kept.names(folder) if name not in needed]
        others.sort(key=lambda name: last.get(name, -1), reverse=True)
        for name in others[keep:]:
            # Under another name first: what bears a release's name is whole.
            going = folder / f".going-{name}"
            (folder / name).rename(going)
            shutil.rmtree(going, ignore_errors=True)
    return others[keep:]
