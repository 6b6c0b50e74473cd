"""Copies of what sources deliver from a database or the web, made beside whoever asks for them."""

import math
import pickle
import subprocess
import sys
import time
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from ops_platform.errors import SourceError
from ops_platform.ingest.contract import Contract
from ops_platform.ingest.landing import has_landed, landed
from ops_platform.ingest.location import delivered_at, is_copied
from ops_platform.settings import Settings

NOW = timedelta()


def source_location(
    settings: Settings, contract: Contract, patience: timedelta = NOW
) -> Path | None:
    """The folder or glob of a source's files, None where it is not connected.

    What is in a database or on the web is first copied here, unless that was done within
    `patience`. Raises SourceError when that fails or takes longer than `OPS_COPY_SECONDS`, and as
    `delivered_at`.
    """
    return Copies().location(settings, contract, patience, math.inf)


@dataclass
class Copies:
    """The copies under way that this process has begun, each in a process of its own.

    A database or a server that is slow, or hangs, holds up its own source and no other.
    """

    _under_way: dict[str, "_Copy"] = field(default_factory=dict)

    def location(
        self, settings: Settings, contract: Contract, patience: timedelta, until: float
    ) -> Path | None:
        """As `source_location`, but a copy that this begins is waited for only until then.

        Raises SourceError while it is still being made; who asks again later is given it.

        Parameters
        ----------
        patience : how old a copy may be.
        until : of `time.monotonic`.
        """
        location = delivered_at(settings, contract)
        if location is None:
            return None
        if not is_copied(settings, contract):
            return Path(location)
        name = contract.name
        if name in self._under_way:
            until = 0  # whoever began it has waited for it
        elif has_landed(settings, contract, location, patience):
            return landed(settings, contract)
        else:
            self._under_way[name] = _Copy(settings, contract, location, patience)
        if not self._under_way[name].is_over(until):
            raise SourceError(f"{name}: its copy is still being made, the others go on")
        self._under_way.pop(name).require_done()
        return landed(settings, contract)


class _Copy:
    """A process that makes a copy, and that ends with this one."""

    def __init__(
        self, settings: Settings, contract: Contract, location: str, patience: timedelta
    ) -> None:
        self._source, self._seconds = contract.name, settings.copy_seconds
        self._ends = time.monotonic() + self._seconds
        self._process = subprocess.Popen(
            [sys.executable, "-m", "ops_platform.ingest.landing"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            # Ctrl-C is for whoever waits.
            start_new_session=True,
        )
        assert self._process.stdin is not None
        # By no argument and no variable: others could read there what is secret. It stays open.
        pickle.dump((settings, contract, location, patience), self._process.stdin)
        self._process.stdin.flush()

    def is_over(self, until: float) -> bool:
        """Whether it has ended, or its time has, before `until`."""
        try:
            self._process.wait(max(0.0, min(until, self._ends) - time.monotonic()))
        except subprocess.TimeoutExpired:
            return time.monotonic() >= self._ends
        return True

    def require_done(self) -> None:
        """Raise SourceError where it failed; where its time is over, end it."""
        with self._process as process:
            if process.poll() is None:
                process.kill()
                raise SourceError(
                    f"source {self._source}: its copy is not done after {self._seconds:g} s: see "
                    f"that what OPS_SOURCE_{self._source.upper()} names answers, or allow more by "
                    "OPS_COPY_SECONDS; it is tried again at the next look"
                )
            assert process.stdout is not None
            told = process.stdout.read().decode()
        if process.returncode:
            raise SourceError(
                told or f"source {self._source}: its copy ended with {process.returncode}"
            )
