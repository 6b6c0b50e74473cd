"""Which release has served when: a line for each move of the pointer, beside the pointer."""

import json
import os
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

from ops_platform.errors import ReleaseError
from ops_platform.lake.durable import sync_folder
from ops_platform.serve.release import version_of

HISTORY = "history.jsonl"


@dataclass(frozen=True)
class Move:
    """From `at`, an ISO time in UTC, this release has served; `why` is in words."""

    at: str
    release: str
    why: str


@dataclass(frozen=True)
class Stretch:
    """A release has served from `start` until `end`, ISO times; `end` is None while it serves."""

    release: str
    start: str
    end: str | None


def read(folder: Path) -> list[Move]:
    """Every move of a model's pointer, the oldest first.

    A line that is damaged, or that a killed writer left unfinished, is passed over.
    """
    try:
        lines = (folder / HISTORY).read_text(encoding="utf-8", errors="replace").splitlines()
    except FileNotFoundError:
        return []
    return [move for line in lines if (move := _move(line))]


def _move(line: str) -> Move | None:
    try:
        return Move(**json.loads(line))
    except (ValueError, TypeError):
        return None


def note(folder: Path, release: str, now: datetime, why: str) -> None:
    """Write down, for good, that the pointer names this release now, if that is not known yet.

    Raises ReleaseError when it can't be written.
    """
    moves = read(folder)
    if moves and moves[-1].release == release:
        return
    line = json.dumps(asdict(Move(now.isoformat(), release, why)))
    try:
        with (folder / HISTORY).open("ab") as file:
            # What a killed writer left unfinished ends here.
            start = "\n" if _is_torn(folder / HISTORY) else ""
            file.write(f"{start}{line}\n".encode())
            file.flush()
            os.fsync(file.fileno())
        sync_folder(folder)
    except OSError as error:
        raise ReleaseError(
            f"{release} serves, but {folder / HISTORY} can't be written to: {error}"
        ) from error


def _is_torn(path: Path) -> bool:
    content = path.read_bytes()
    return bool(content) and not content.endswith(b"\n")


def stretches(folder: Path) -> list[Stretch]:
    """When each release has served, the oldest first."""
    moves = read(folder)
    ends = [*(move.at for move in moves[1:]), None]
    return [Stretch(move.release, move.at, end) for move, end in zip(moves, ends, strict=False)]


def before(folder: Path, serving: int) -> int | None:
    """The version that served before `serving` first did; None where none is known.

    Whoever went back is where they were then, so going back again goes one further.
    """
    served = [version_of(move.release, folder) for move in read(folder)]
    first = served.index(serving) if serving in served else 0
    return served[first - 1] if first else None
