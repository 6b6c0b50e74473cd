"""Which release answers: taken up when the pointer moves, kept when the next one is damaged."""

import logging
import math
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from pydantic import SecretStr

from ops_platform.errors import HashKeyError, ReleaseError
from ops_platform.ingest.personal import SETTING, fingerprint, hashed, require
from ops_platform.serve import release
from ops_platform.serve.challenger import Challenger
from ops_platform.serve.rehearsal import Loading
from ops_platform.serve.scorer import Scorer

POLL_SECONDS = 0.5
# What was refused is looked at again after so long, then after twice as long, and so on.
RETRY_SECONDS, RETRY_SECONDS_MAX = 2.0, 60.0
log = logging.getLogger(__name__)

# What the pointer names, and of each of the release's files its inode, size and time of change.
Seen = tuple[str | None, tuple[tuple[str, int, int, int], ...]]


@dataclass(frozen=True)
class Refused:
    """What the pointer names and can't be served, and why."""

    release: str | None
    reason: str


class Service:
    """The scorer of the release that serves, replaced as a whole while requests go on.

    Parameters
    ----------
    folder : of the model's releases and pointer.
    key : the secret by which customers' ids are hashed, where releases know them so.
    now : the platform's present, naive UTC, for when a challenger is stopped.

    Attributes
    ----------
    scorer : None before the first release; a request takes it once and asks only that.
    refused : None while what the pointer names is what serves.
    loading : who answers makes way for it.
    challenger : what is tried beside it.
    """

    def __init__(
        self,
        folder: Path,
        key: SecretStr | None,
        now: Callable[[], datetime],
    ) -> None:
        """Begin without a release."""
        self.folder, self.key = folder, key
        self.loading = Loading(self._require_key)
        self.challenger = Challenger(folder, now, self.loading)
        self.scorer: Scorer | None = None
        self.refused: Refused | None = None
        self._seen: Seen | None = None
        self._wait, self._again = RETRY_SECONDS, math.inf
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="releases", daemon=True)

    def start(self) -> None:
        """Take up the release that the pointer names, and follow the pointer from then on."""
        self._look_at_both()
        self._thread.start()

    def stop(self) -> None:
        """Follow the pointer no longer."""
        self._stopping.set()
        self._thread.join()
        self.challenger.end()

    def look(self) -> None:
        """Take up what the pointer names, if that or its files changed since the last look.

        What could not be taken up is tried again: the disk may have failed for a moment.
        """
        try:
            pointed = release.pointed(self.folder)
        except ReleaseError as error:
            self._seen = None
            self._refuse(None, str(error))
            return
        seen = (pointed, _files(self.folder / pointed) if pointed else ())
        if seen != self._seen:
            self._seen, self._wait = seen, RETRY_SECONDS
        elif time.monotonic() < self._again:
            return
        self._again = math.inf
        if pointed is None:
            if self.scorer is not None:
                self._refuse(None, f"the pointer {self.folder / release.POINTER} is gone")
            return
        # Before it is tried, for whatever it may end with.
        self._again = time.monotonic() + self._wait
        self._wait = min(2 * self._wait, RETRY_SECONDS_MAX)
        try:
            scorer = self.loading.scorer(self.folder / pointed)
        except (ReleaseError, HashKeyError) as error:
            self._refuse(pointed, str(error))
            return
        # One assignment: whoever is answering goes on with the scorer that it has.
        self.scorer, self.refused, self._again = scorer, None, math.inf
        log.info("%s serves", pointed)

    def require_key(self) -> None:
        """Raise HashKeyError where the release that the pointer names can't be asked by the key."""
        with suppress(ReleaseError):
            pointed = release.pointed(self.folder)
            if pointed is not None:
                self._require_key(release.read_manifest(self.folder / pointed))

    def as_stored(self, scorer: Scorer, customer_id: str) -> str:
        """The customer's id as the release knows it and as it is logged: hashed, where that is."""
        if scorer.manifest.customer_key is None:
            return customer_id
        return hashed(require(self.key, "the release knows customers by hashes"), customer_id)

    def _require_key(self, manifest: release.Manifest) -> None:
        expected, name = manifest.customer_key, manifest.release
        if expected is None:
            return
        key = require(self.key, f"the release {name} knows customers by hashes of their ids")
        if fingerprint(key) != expected:
            raise HashKeyError(
                f"{SETTING} is another key than that by which the release {name} knows customers: "
                "give the service the key of the graph that made it"
            )

    def _refuse(self, name: str | None, reason: str) -> None:
        refused = Refused(name, reason)
        if refused != self.refused:
            present = self.scorer.manifest.release if self.scorer else "no release"
            log.error("%s; %s goes on serving", reason, present)
        self.refused = refused

    def _look_at_both(self) -> None:
        self.look()
        self.challenger.look(self.scorer.manifest.release if self.scorer else None)

    def _follow(self) -> None:
        while not self._stopping.wait(POLL_SECONDS):
            try:
                self._look_at_both()
            except Exception:
                # Whatever is wrong with one release must not keep the next from being taken up.
                log.exception("the release that the pointer names can't be looked at")


def _files(place: Path) -> tuple[tuple[str, int, int, int], ...]:
    try:
        found = [(path.name, path.stat()) for path in sorted(place.iterdir())]
    except OSError:
        return ()
    return tuple((name, at.st_ino, at.st_size, at.st_ctime_ns) for name, at in found)
