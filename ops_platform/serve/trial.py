"""A challenger in traffic: its scorer, what it has cost, and when that is too much."""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from statistics import median

from ops_platform.serve.experiment import SHADOW, Experiment
from ops_platform.serve.metrics import CHALLENGER
from ops_platform.serve.scorer import Question, Ranked, Scorer

# The rule: of the last LAST answers FAILED_MAX fail; or, of LAST each, the challenger's median time
# is more than SLOWER times the champion's and more than SLOWER_SECONDS above it.
LAST, FAILED_MAX = 200, 5
SLOWER, SLOWER_SECONDS = 2.0, 0.005
WAITING_MAX = 100
log = logging.getLogger(__name__)


class Cost:
    """The last answers of both arms in this process.

    Times are of the thread's own work: waiting for other requests is no fault of a release.
    """

    def __init__(self) -> None:
        """Begin without an answer."""
        self._failed = deque[bool](maxlen=LAST)
        self._champion, self._challenger = deque[float](maxlen=LAST), deque[float](maxlen=LAST)
        self._counted = 0

    def champion(self, seconds: float) -> None:
        """Count an answer of the champion."""
        self._champion.append(seconds)

    def challenger(self, seconds: float, *, failed: bool) -> str | None:
        """Count an answer of the challenger; why it is to be stopped, where it is."""
        self._failed.append(failed)
        if not failed:
            self._challenger.append(seconds)
        failures = sum(self._failed)
        if failures >= FAILED_MAX:
            return f"{failures} of its last {len(self._failed)} answers failed"
        self._counted += 1
        # Twenty looks at each window: a median is dearer than a sum.
        if self._counted % (LAST // 20) or min(map(len, (self._champion, self._challenger))) < LAST:
            return None
        own, other = median(self._challenger), median(self._champion)
        if own > SLOWER * other and own > other + SLOWER_SECONDS:
            return (
                f"the median of its last {LAST} answers takes {1000 * own:.1f} ms, "
                f"the champion's {1000 * other:.1f} ms"
            )
        return None


class Trial:
    """The challenger that is tried, asked for the customers of its share.

    Parameters
    ----------
    experiment : says which release and how.
    scorer : of that release, rehearsed.
    stop : is called with the reason when it costs too much, once.
    """

    def __init__(self, experiment: Experiment, scorer: Scorer, stop: Callable[[str], None]) -> None:
        """Begin to count."""
        self.experiment, self.scorer, self._stop = experiment, scorer, stop
        self._cost, self._counting, self._is_over = Cost(), threading.Lock(), False
        self._waiting = threading.Semaphore(WAITING_MAX)
        self._shadow = ThreadPoolExecutor(1, "shadow")

    @property
    def is_shadow(self) -> bool:
        """Whether its answers are not shown."""
        return self.experiment.mode == SHADOW

    def takes(self, customer_id: str) -> bool:
        """Whether it answers for this customer, until it is over."""
        return not self._is_over and self.experiment.takes(customer_id)

    def timed(self, scorer: Scorer, question: Question) -> Ranked:
        """The champion's answer, whose time is what the challenger's is held against."""
        began = time.thread_time()
        found = scorer.answer(question)
        seconds = time.thread_time() - began
        with self._counting:
            self._cost.champion(seconds)
        return found

    def ask(self, question: Question) -> Ranked | None:
        """The challenger's answer; None where it fails, so that the champion is asked."""
        began, found = time.thread_time(), None
        try:
            found = self.scorer.answer(question)
        except Exception:
            # Whatever is wrong with a challenger must be no customer's business.
            log.exception("the challenger %s fails", self.experiment.release)
        CHALLENGER.labels(self.experiment.mode, "failed" if found is None else "answered").inc()
        with self._counting:
            seconds = time.thread_time() - began
            reason = self._cost.challenger(seconds, failed=found is None)
            ends, self._is_over = bool(reason) and not self._is_over, self._is_over or bool(reason)
        if reason and ends:
            self._stop(reason)
        return found

    def follow(self, question: Question, then: Callable[[Ranked], None]) -> None:
        """Ask the challenger later, in the background; with too much waiting it is not asked."""
        if not self._waiting.acquire(blocking=False):
            CHALLENGER.labels(self.experiment.mode, "passed over").inc()
            return
        try:
            self._shadow.submit(self._follow, question, then)
        except RuntimeError:
            # It was ended meanwhile.
            self._waiting.release()

    def _follow(self, question: Question, then: Callable[[Ranked], None]) -> None:
        try:
            found = self.ask(question) if not self._is_over else None
            if found is not None:
                then(found)
        finally:
            self._waiting.release()

    def end(self) -> None:
        """Answer what waits and no more."""
        self._shadow.shutdown()
