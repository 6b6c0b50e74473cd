"""Which challenger is tried in traffic, and how: one file beside the release pointer."""

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from hashlib import blake2b
from pathlib import Path
from typing import Literal

from pydantic import TypeAdapter

from ops_platform.errors import ReleaseError
from ops_platform.lake.durable import sync_folder
from ops_platform.serve import release

FILE = "experiment.json"
Mode = Literal["shadow", "split"]
SHADOW: Mode = "shadow"
SPLIT: Mode = "split"
# Who answered: what serves, or what is tried beside it.
CHAMPION, CHALLENGER = "champion", "challenger"


@dataclass(frozen=True)
class Experiment:
    """A release that is tried beside the one that serves.

    Parameters
    ----------
    release : of the challenger.
    mode : `shadow`, it answers too and its answers are only logged; `split`, it answers alone.
    share : of the customers for whom it does, above 0 and below 1; of a shadow it may be 1.
    started_at : ISO time in UTC.
    stopped_at, reason : when and why it ended; None while it goes on.
    """

    release: str
    mode: Mode
    share: float
    started_at: str
    stopped_at: str | None = None
    reason: str | None = None

    def takes(self, customer_id: str) -> bool:
        """Whether the challenger answers for this customer, which is so each time.

        Who is taken at one share is taken at a larger one too, and another challenger takes others.
        """
        digest = blake2b(f"{self.release} {customer_id}".encode("utf-8", "surrogatepass"))
        return int.from_bytes(digest.digest()[:8], "big") < self.share * 2**64


_EXPERIMENT = TypeAdapter(Experiment)


def read(folder: Path) -> Experiment | None:
    """The experiment of a model, also one that has ended; None before the first.

    Raises ReleaseError where the file can't be read.
    """
    path = folder / FILE
    try:
        found = _EXPERIMENT.validate_json(path.read_bytes())
        release.version_of(found.release, folder)
        require_share(found.mode, found.share)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, ReleaseError) as error:
        raise ReleaseError(
            f"the experiment {path} can't be read ({type(error).__name__}): delete it, and begin "
            "again with `ops experiment start`"
        ) from error
    return found


def running(folder: Path) -> Experiment | None:
    """The experiment that goes on; None without one. Raises as `read`."""
    found = read(folder)
    return None if found is None or found.stopped_at else found


def start(folder: Path, name: str, mode: Mode, share: float, now: datetime) -> Experiment:
    """Let a release be tried from now on.

    Raises ReleaseError where it is not whole, serves already, or another one is being tried.
    """
    require_share(mode, share)
    with _changing(folder) as present:
        if present is not None and not present.stopped_at:
            raise ReleaseError(
                f"{present.release} is tried in traffic since {present.started_at}: end that "
                "first with `ops experiment stop`"
            )
        serving = release.pointed(folder)
        if serving is None or serving == name:
            raise ReleaseError(
                f"{name} serves already: try another version against it"
                if serving
                else f"no version of {folder.name!r} serves yet, so there is none to try against"
            )
        release.load(folder / name)
        made = Experiment(name, mode, share, now.isoformat())
        _write(folder, made)
    return made


def stop(folder: Path, now: datetime, reason: str, only: Experiment | None = None) -> Experiment:
    """End the experiment that goes on, or `only` this one, and write down why.

    Where `only` was ended before, all stays as it was. Raises ReleaseError where nothing goes on.
    """
    with _changing(folder) as present:
        if present is None:
            raise ReleaseError(f"no challenger of {folder.name!r} was tried yet")
        if only not in (None, present):
            return present
        if present.stopped_at:
            raise ReleaseError(
                f"no challenger of {folder.name!r} is tried: the last, {present.release}, was "
                f"stopped at {present.stopped_at}, {present.reason}"
            )
        ended = replace(present, stopped_at=now.isoformat(), reason=reason)
        _write(folder, ended)
    return ended


def require_share(mode: Mode, share: float) -> None:
    """Raise ReleaseError where a challenger can't have this share of the customers."""
    if not (0 < share < 1 or (mode == SHADOW and share == 1)):
        raise ReleaseError(
            f"the share is {share:g}: it must be above 0 and below 1, or 1 for a shadow"
        )


@contextmanager
def _changing(folder: Path) -> Iterator[Experiment | None]:
    """What is there, for one process at a time that changes it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / f".{FILE}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield read(folder)
    except OSError as error:
        raise ReleaseError(f"{folder / FILE} can't be written: {error}") from error


def _write(folder: Path, experiment: Experiment) -> None:
    aside = folder / f".{FILE}"
    with aside.open("w", encoding="utf-8") as file:
        json.dump(asdict(experiment), file, indent=1)
        file.flush()
        os.fsync(file.fileno())
    aside.replace(folder / FILE)
    sync_folder(folder)
