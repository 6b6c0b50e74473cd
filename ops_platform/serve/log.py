"""What was served and what came of it, as JSON lines that are deliveries; answers never wait."""

import fcntl
import json
import logging
import os
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from io import FileIO
from pathlib import Path
from typing import Protocol

import orjson

from ops_platform.errors import OpsError
from ops_platform.serve.metrics import LINES
from ops_platform.serve.scorer import Ranked

PART, DELIVERY = ".jsonl.part", ".jsonl"
WAITING_MAX = 10_000
BATCH = 64
DELIVERY_LINES = 20_000
WAKE_SECONDS = 0.1
log = logging.getLogger(__name__)


class Entry(Protocol):
    """What is logged at once: all its lines, or none where the disk is full."""

    def __len__(self) -> int:
        """The number of its lines."""
        ...

    def content(self, at: str) -> bytes:
        """Its lines as they are delivered, of an ISO time in UTC."""
        ...


@dataclass(frozen=True)
class Answer:
    """One answer, as it is logged: a line for each of its products, by rank.

    `arm` says who answered, and `shown` is false where nobody but the log was told.
    """

    answer_id: str
    customer_id: str
    known: bool
    model: str
    model_version: int
    release: str
    found: Ranked
    arm: str
    shown: bool

    def __len__(self) -> int:
        """The number of products."""
        return len(self.found.logged)

    def content(self, at: str) -> bytes:
        """As the contract `served` wants them."""
        about = orjson.dumps(
            {
                "answer_id": self.answer_id,
                "served_at": at,
                "customer_id": self.customer_id,
                "known": self.known,
                "model": self.model,
                "model_version": self.model_version,
                "release": self.release,
                "arm": self.arm,
                "shown": self.shown,
            }
        )
        if not self.found.logged:
            return b""
        begins = about[:-1] + b","
        return begins + (b"\n" + begins).join(self.found.logged) + b"\n"


@dataclass(frozen=True)
class Feedback:
    """What became of products of answers: (answer_id, product_id, kind) each."""

    seen: list[tuple[str, str, str]]

    def __len__(self) -> int:
        """The number of events."""
        return len(self.seen)

    def content(self, at: str) -> bytes:
        """As the contract `feedback` wants them."""
        return b"".join(
            orjson.dumps(
                {"answer_id": answer, "product_id": product, "kind": kind, "occurred_at": at},
                option=orjson.OPT_APPEND_NEWLINE,
            )
            for answer, product, kind in self.seen
        )


@dataclass(frozen=True)
class Counts:
    """Lines written and lost since the start, and why lines were last lost."""

    written: int
    lost: int
    reason: str | None


class DeliveryLog:
    """Writes entries in the background into a part file that becomes a delivery when it is closed.

    Parameters
    ----------
    folder : of the deliveries; made when there is something to write.
    now : the platform's present, naive UTC.
    seconds : after so many a part with lines in it becomes a delivery.
    lines : as it does with so many lines.
    """

    def __init__(
        self,
        folder: Path,
        now: Callable[[], datetime],
        seconds: float,
        lines: int = DELIVERY_LINES,
    ) -> None:
        """Store where, when and how much."""
        self.folder, self.now, self.seconds, self.lines = folder, now, seconds, lines
        self._waiting: deque[tuple[datetime, Entry]] = deque()
        self._part: _Part | None = None
        self._written = self._lost = 0
        self._reason: str | None = None
        self._counting = threading.Lock()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=folder.name, daemon=True)

    def start(self) -> None:
        """Deliver what dead processes have left, and begin to write."""
        deliver_left(self.folder)
        self._thread.start()

    def record(self, entry: Entry) -> None:
        """Have the entry written soon; never waits, and counts as lost what can't be kept."""
        if len(self._waiting) >= WAITING_MAX:
            self._lose(len(entry), "entries come faster than they can be written")
            return
        try:
            # Nobody is woken: that would take the processor from the answer.
            self._waiting.append((self.now(), entry))
        except OpsError as error:
            self._lose(len(entry), str(error))

    def close(self) -> None:
        """Write what waits and deliver it."""
        self._stopping.set()
        self._thread.join()

    def counts(self) -> Counts:
        """How many lines were written and lost so far."""
        with self._counting:
            return Counts(self._written, self._lost, self._reason)

    def _run(self) -> None:
        while not self._stopping.wait(WAKE_SECONDS) or self._waiting:
            while batch := self._next():
                self._write(
                    b"".join(_content(at, entry) for at, entry in batch),
                    sum(len(entry) for _, entry in batch),
                )
            if self._part is not None and self._part.is_due(self.seconds, self.lines):
                self._deliver()
        self._deliver()

    def _next(self) -> list[tuple[datetime, Entry]]:
        return [self._waiting.popleft() for _ in range(min(BATCH, len(self._waiting)))]

    def _write(self, content: bytes, lines: int) -> None:
        try:
            if self._part is None:
                self._part = _Part(self.folder, self.now())
            self._part.append(content, lines)
        except (OSError, OpsError) as error:
            self._lose(lines, f"{self.folder}: {error}")
            if self._part is not None and self._part.is_torn:
                # Its last line may be cut; whoever starts next delivers what is whole of it.
                self._part.file.close()
                self._part = None
            return
        with self._counting:
            self._written += lines
        LINES.labels(self.folder.name, "written").inc(lines)

    def _deliver(self) -> None:
        part, self._part = self._part, None
        if part is None:
            return
        try:
            part.deliver()
        except OSError as error:
            log.error("%s stays a part until the next start: %s", part.path, error)

    def _lose(self, lines: int, reason: str) -> None:
        with self._counting:
            is_new = reason != self._reason
            self._lost, self._reason = self._lost + lines, reason
        LINES.labels(self.folder.name, "lost").inc(lines)
        if is_new:
            log.error("lines of the log %s are lost: %s", self.folder.name, reason)


class _Part:
    """A file that is being written and locked as long as its process lives."""

    def __init__(self, folder: Path, now: datetime) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / f"{now:%Y%m%dT%H%M%S}-{uuid.uuid4().hex[:12]}{PART}"
        # Under another name until it is locked, so that nobody takes it for a dead process's.
        unlocked = self.path.with_name(f".{self.path.name}")
        self.file: FileIO = unlocked.open("xb", buffering=0)
        fcntl.flock(self.file, fcntl.LOCK_EX)
        unlocked.rename(self.path)
        self.lines = self.bytes = 0
        self.is_torn = False
        self._began = time.monotonic()

    def append(self, content: bytes, lines: int) -> None:
        """Write all of so many lines or, where the disk is full, none."""
        rest = memoryview(content)
        try:
            while rest:
                rest = rest[self.file.write(rest) or 0 :]
        except OSError:
            self.is_torn = True
            self.file.truncate(self.bytes)
            self.file.seek(self.bytes)
            self.is_torn = False
            raise
        self.bytes += len(content)
        self.lines += lines

    def is_due(self, seconds: float, lines: int) -> bool:
        return self.lines >= lines or time.monotonic() - self._began >= seconds

    def deliver(self) -> None:
        """Rename the part to a delivery, or remove it where it has no line."""
        with self.file:
            if self.lines:
                os.fsync(self.file.fileno())
                self.path.rename(_delivery(self.path))
            else:
                self.path.unlink()


def deliver_left(folder: Path) -> None:
    """Turn the parts of dead processes into deliveries, up to the first line that is not whole."""
    for path in sorted(folder.glob(f"*{PART}")):
        try:
            with path.open("r+b") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                whole = _whole(file.read())
                file.truncate(whole)
                os.fsync(file.fileno())
                if whole:
                    path.rename(_delivery(path))
                else:
                    path.unlink()
        except BlockingIOError:
            # Another service is writing it.
            continue
        except OSError as error:
            log.error("%s can't be delivered, it is tried again at the next start: %s", path, error)


def _whole(content: bytes) -> int:
    """How many bytes from the beginning are whole lines of JSON."""
    end = 0
    for line in content.splitlines(keepends=True):
        try:
            json.loads(line)
        except ValueError:
            break
        if not line.endswith(b"\n"):
            break
        end += len(line)
    return end


def _delivery(part: Path) -> Path:
    return part.with_name(part.name.removesuffix(PART) + DELIVERY)


def _content(at: datetime, entry: Entry) -> bytes:
    return entry.content(f"{at.isoformat(timespec='microseconds')}Z")
