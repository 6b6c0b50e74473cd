"""So many requests a second of each key, counted by all workers together."""

import fcntl
import mmap
import struct
import tempfile
import time
from pathlib import Path

# Keys whose numbers differ by a multiple of it share a limit.
SLOTS = 8192
_NANO = 1_000_000_000
_SLOT = struct.Struct("<q")


class Limits:
    """A bucket a key that holds the requests of one second, and refills at that rate.

    As the generic cell rate algorithm has it, a bucket is one number: when it will be full again.

    Parameters
    ----------
    rate : requests a second of one key.
    path : of the file that all workers count in; made where it is missing.
    """

    def __init__(self, rate: float, path: Path | None = None) -> None:
        """Map the buckets, all full."""
        self._step = int(_NANO / rate)
        # A rate below one a second still lets one through.
        self._most = max(_NANO, self._step)
        # One that counts alone does so in its event loop, one request after the other.
        self._is_shared = path is not None
        self._file = path.open("a+b") if path else tempfile.TemporaryFile()  # noqa: SIM115
        self._file.truncate(SLOTS * _SLOT.size)
        self._buckets = mmap.mmap(self._file.fileno(), SLOTS * _SLOT.size)

    def wait(self, number: int) -> int:
        """Take one request of the key of this number; else the seconds until there is one, >= 1."""
        # The same clock in every process of the machine.
        now = time.monotonic_ns()
        place = number % SLOTS * _SLOT.size
        if not self._is_shared:
            return self._take(now, place)
        fcntl.lockf(self._file, fcntl.LOCK_EX, _SLOT.size, place)
        try:
            return self._take(now, place)
        finally:
            fcntl.lockf(self._file, fcntl.LOCK_UN, _SLOT.size, place)

    def _take(self, now: int, place: int) -> int:
        (full,) = _SLOT.unpack_from(self._buckets, place)
        full = max(full, now) + self._step
        if full - now > self._most:
            return int(-(-(full - now - self._most) // _NANO))
        _SLOT.pack_into(self._buckets, place, full)
        return 0
