"""Which challenger is tried: taken up as the file beside the pointer says, and stopped in it."""

import logging
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from ops_platform.errors import HashKeyError, OpsError, ReleaseError
from ops_platform.serve import experiment
from ops_platform.serve.experiment import Experiment
from ops_platform.serve.rehearsal import Loading
from ops_platform.serve.trial import Trial

log = logging.getLogger(__name__)


class Challenger:
    """Follows the experiment of a model.

    Parameters
    ----------
    folder : of the model's releases.
    now : the platform's present, naive UTC.
    loading : loads its release.

    Attributes
    ----------
    trial : None without one; an answer takes it once and asks only that.
    """

    def __init__(
        self,
        folder: Path,
        now: Callable[[], datetime],
        loading: Loading,
    ) -> None:
        """Begin without one."""
        self._folder, self._now, self._loading = folder, now, loading
        self.trial: Trial | None = None
        self._seen: tuple[tuple[int, int, int] | None, str | None] = (None, None)

    def look(self, serving: str | None) -> None:
        """Take up what the file says, if that or the release that serves has changed.

        Where it can't be taken up it is stopped; where the file can't be read, nothing is tried.
        """
        seen = (self._file(), serving)
        if seen == self._seen:
            return
        self._seen = seen
        try:
            wanted = experiment.running(self._folder)
        except ReleaseError as error:
            log.error("%s; no challenger is tried", error)
            wanted = None
        if wanted is not None and serving in (None, wanted.release):
            wanted = None
        if wanted != (self.trial and self.trial.experiment):
            self._take_up(wanted)

    def end(self) -> None:
        """Try nothing any longer."""
        self._take_up(None)

    def _take_up(self, wanted: Experiment | None) -> None:
        left, self.trial = self.trial, self._trial(wanted) if wanted else None
        if left is not None:
            left.end()
        if self.trial is not None:
            tried = self.trial.experiment
            log.info("%s is tried: %s of %g", tried.release, tried.mode, tried.share)

    def _trial(self, wanted: Experiment) -> Trial | None:
        try:
            scorer = self._loading.scorer(self._folder / wanted.release)
        except (ReleaseError, HashKeyError) as error:
            self._stop(wanted, str(error))
            return None
        return Trial(wanted, scorer, lambda reason: self._stop(wanted, reason))

    def _stop(self, ended: Experiment, reason: str) -> None:
        log.error("the challenger %s is stopped: %s", ended.release, reason)
        try:
            experiment.stop(self._folder, self._now(), reason, only=ended)
        except OpsError as error:
            # This process asks it no more all the same.
            log.error("%s", error)

    def _file(self) -> tuple[int, int, int] | None:
        try:
            at = (self._folder / experiment.FILE).stat()
        except OSError:
            return None
        return at.st_ino, at.st_size, at.st_mtime_ns
