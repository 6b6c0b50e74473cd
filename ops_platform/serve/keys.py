"""API keys: made, listed and revoked in one file, which holds salted hashes and never a key."""

import fcntl
import hashlib
import hmac
import json
import logging
import mmap
import os
import secrets
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Annotated, BinaryIO, Literal, get_args

from pydantic import Field, TypeAdapter

from ops_platform.errors import KeyFileError

Scope = Literal["recommend", "feedback", "admin"]
SCOPES: tuple[Scope, ...] = get_args(Scope)
# For what another program than this has written; changes that are made here count at once.
SECONDS = 1.0
_COUNT = 8
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Key:
    """What is kept of a key: who has it, what it may, and the salted hash of its secret.

    `number` counts the keys of the file from 1; times are ISO, `revoked_at` None while it is good.
    """

    number: int
    id: str
    name: str
    scopes: tuple[Scope, ...]
    salt: Annotated[str, Field(pattern="^[0-9a-f]{32}$")]
    hash: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
    created_at: str
    revoked_at: str | None = None


_KEYS = TypeAdapter(list[Key])
# What a stranger is compared with, so that an unknown id takes as long as a wrong secret.
_NOBODY = Key(0, "", "", (), "00" * 16, "00" * 32, "", "")


def create(path: Path, name: str, scopes: Sequence[Scope], now: datetime) -> str:
    """Add a key to the file and return it as text, which is kept nowhere.

    Raises KeyFileError when the file can't be read or written.
    """
    with _changing(path) as keys:
        identity, secret, salt = secrets.token_hex(6), secrets.token_hex(32), secrets.token_hex(16)
        ordered = tuple(scope for scope in SCOPES if scope in scopes)
        hashed = _hash(salt, secret)
        keys.append(Key(len(keys) + 1, identity, name, ordered, salt, hashed, now.isoformat()))
    return f"ops_{identity}_{secret}"


def revoke(path: Path, identity: str, now: datetime) -> Key:
    """Let the key of this id be refused from now on, and return what was kept of it until now.

    One that was revoked before stays as it was. Raises KeyFileError when there is none, or when
    the file can't be read or written.
    """
    with _changing(path) as keys:
        found = next((key for key in keys if key.id == identity), None)
        if found is None:
            raise KeyFileError(f"{path} has no key {identity!r}: see `ops keys list`")
        if found.revoked_at is None:
            keys[keys.index(found)] = replace(found, revoked_at=now.isoformat())
    return found


def read(path: Path) -> list[Key]:
    """Every key of the file, also the revoked; none where there is no file.

    Raises KeyFileError when it can't be read.
    """
    try:
        return _KEYS.validate_json(path.read_bytes())
    except FileNotFoundError:
        return []
    except (OSError, ValueError) as error:
        raise KeyFileError(
            f"the API keys in {path} can't be read ({type(error).__name__}): put a copy "
            "of it back, or delete it and make new keys with `ops keys create`"
        ) from error


@contextmanager
def _changing(path: Path) -> Iterator[list[Key]]:
    """The keys, written back as a whole at the end; one process at a time."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.with_suffix(".lock").open("a+b") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            keys = read(path)
            yield keys
            _write(path, keys)
            _count(lock)
    except OSError as error:
        raise KeyFileError(f"the API keys can't be written to {path}: {error}") from error


def _write(path: Path, keys: list[Key]) -> None:
    aside = path.with_suffix(".part")
    aside.unlink(missing_ok=True)
    with os.fdopen(os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        json.dump([asdict(key) for key in keys], file, indent=1)
        file.flush()
        os.fsync(file.fileno())
    aside.replace(path)


def _count(lock: BinaryIO) -> None:
    """Count a change in the lock's file, which services have mapped into their memory."""
    lock.truncate(_COUNT)
    with mmap.mmap(lock.fileno(), _COUNT) as counter:
        count = int.from_bytes(counter[:], "little") + 1
        counter[:] = count.to_bytes(_COUNT, "little")


def _hash(salt: str, secret: str) -> str:
    # The secret is 256 random bits, so a slow hash would guard nothing more.
    return hashlib.sha256(bytes.fromhex(salt) + secret.encode()).hexdigest()


def _mapped(path: Path) -> mmap.mmap | None:
    """The counter of changes, None before the first."""
    try:
        with path.open("rb") as lock:
            return mmap.mmap(lock.fileno(), _COUNT, access=mmap.ACCESS_READ)
    except (OSError, ValueError):
        return None


class Keyring:
    """The keys as a service knows them: the file is read again when it has changed.

    Where it has become unreadable the keys that were read last go on being good.

    Parameters
    ----------
    path : of the file.
    seconds : after so many it is looked at even if no change was counted.
    """

    def __init__(self, path: Path, seconds: float = SECONDS) -> None:
        """Begin without a key."""
        self.path, self._seconds = path, seconds
        self._again, self._counted = 0.0, b""
        self._counter: mmap.mmap | None = None
        self._seen: tuple[int, int, int] | None = None
        self._keys: dict[str, Key] = {}

    def find(self, text: str) -> Key | None:
        """The key that the text is, None where it is none or was revoked."""
        _, _, rest = text.partition("_")
        identity, _, secret = rest.partition("_")
        if time.monotonic() >= self._again or self._has_changed():
            self._look()
        key = self._keys.get(identity, _NOBODY)
        same = hmac.compare_digest(_hash(key.salt, secret), key.hash)
        return key if same and key.revoked_at is None else None

    def _has_changed(self) -> bool:
        """Whether a change was counted since the last look, or there is no telling."""
        return self._counter is None or self._counter[:] != self._counted

    def _look(self) -> None:
        self._again = time.monotonic() + self._seconds
        if self._counter is None:
            self._counter = _mapped(self.path.with_suffix(".lock"))
        if self._counter is not None:
            # Before the file is read: what changes from now on is another change.
            self._counted = self._counter[:]
        try:
            at = self.path.stat()
            seen = (at.st_ino, at.st_size, at.st_mtime_ns)
        except FileNotFoundError:
            seen = None
        except OSError as error:
            log.error("the API keys in %s can't be looked at: %s", self.path, error)
            return
        if seen == self._seen:
            return
        try:
            self._keys = {key.id: key for key in read(self.path)}
        except KeyFileError as error:
            log.error("%s; the keys that were read last stay good", error)
        self._seen = seen
