"""Copies of what sources deliver from a database or the web, made beside whoever asks for them."""

import time
from concurrent.futures import Future, wait
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from threading import Thread

from ops_platform.errors import SourceError
from ops_platform.ingest.contract import Contract
from ops_platform.ingest.location import delivered_at, is_copied, landed
from ops_platform.settings import Settings


@dataclass
class Copies:
    """The copies under way in this process, each in a thread of its own.

    A database or a server that is slow, or hangs, holds up its own source and no other.
    """

    _under_way: dict[str, Future[Path]] = field(default_factory=dict)

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
        if contract.name not in self._under_way:
            self._under_way[contract.name] = self._start(settings, contract, location, patience)
            wait([self._under_way[contract.name]], max(0.0, until - time.monotonic()))
        if not self._under_way[contract.name].done():
            raise SourceError(f"{contract.name}: its copy is still being made, the others go on")
        return self._under_way.pop(contract.name).result()

    @staticmethod
    def _start(
        settings: Settings, contract: Contract, location: str, patience: timedelta
    ) -> Future[Path]:
        copy = Future[Path]()
        arguments = (copy, settings, contract, location, patience)
        # One that hangs does not keep the process from ending.
        Thread(target=_make, args=arguments, name=contract.name, daemon=True).start()
        return copy


def _make(
    copy: Future[Path], settings: Settings, contract: Contract, location: str, patience: timedelta
) -> None:
    try:
        copy.set_result(landed(settings, contract, location, patience))
    except Exception as error:
        # Whoever waits for it is told.
        copy.set_exception(error)
