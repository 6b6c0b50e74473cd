"""Alerts: what somebody should look at, to the log and, where one is set, to a webhook."""

import fcntl
import json
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from http.client import HTTPException
from pathlib import Path

from pydantic import TypeAdapter

from ops_platform.settings import Settings

TIMEOUT_SECONDS = 10.0
STATE = "alerts.json"
# Within this time after it was told the same is only counted.
FOLDED = timedelta(days=1)
FORGOTTEN = timedelta(days=30)
FAILURE, BLOCKED, MISSING = "failure", "blocked by a check", "missing data"
ALARM, RETRAINING, PROMOTION, ROLLBACK = "alarm", "retraining", "promotion", "rollback"
Log = Callable[[str], object]


@dataclass(frozen=True)
class Alert:
    """What somebody is told.

    Parameters
    ----------
    kind : FAILURE, BLOCKED, MISSING, ALARM, RETRAINING, PROMOTION or ROLLBACK.
    cause : alerts of the same kind and cause are folded into one.
    what : has happened.
    since : when it began.
    sure : how sure that is.
    done : what the platform did.
    look : what to look at.
    """

    kind: str
    cause: str
    what: str
    since: str = ""
    sure: str = ""
    done: str = ""
    look: str = ""

    @property
    def text(self) -> str:
        """A line for each thing that there is to say."""
        beside = {
            "since": self.since,
            "how sure": self.sure,
            "done": self.done,
            "look at": self.look,
        }
        lines = [f"{self.kind}: {self.what}"]
        return "\n".join([*lines, *(f"{name}: {told}" for name, told in beside.items() if told)])


@dataclass(frozen=True)
class Told:
    """What was told last of a cause.

    Parameters
    ----------
    at : when.
    again : how often it has come again since.
    waiting : its text, where the webhook has not taken it yet.
    """

    at: datetime
    again: int
    waiting: str | None = None


_STATE = TypeAdapter(dict[str, Told])


def tell(told: Alert, settings: Settings, log: Log) -> bool:
    """Tell of something to the log and the webhook; the same within FOLDED is counted only.

    What is told after that says how often it came again meanwhile. By the platform's clock; one
    that goes backward begins anew. What the webhook does not take waits for `tell_waiting`. Returns
    whether it went out.
    """
    now, key = settings.now(), f"{told.kind}: {told.cause}"
    with _state(settings.home / "monitor", now, log) as state:
        last = state.get(key)
        if last and timedelta(0) <= now - last.at < FOLDED:
            state[key] = replace(last, again=last.again + 1)
            log(f"folded, it was told at {last.at:%Y-%m-%d %H:%M}: {told.kind}: {told.what}")
            return False
        again = "" if not last or not last.again else f"\nrepeated: {last.again} times more"
        text = told.text + again
        out = post(text, settings.webhook, log)
        state[key] = Told(now, 0, None if out else text)
        return out


def tell_waiting(settings: Settings, log: Log) -> int:
    """Post what the webhook did not take, the oldest first; how many still wait.

    The first that it does not take again ends it: the others would not fare better.
    """
    with _state(settings.home / "monitor", settings.now(), log) as state:
        waiting = [key for key, one in state.items() if one.waiting is not None]
        for number, key in enumerate(sorted(waiting, key=lambda key: state[key].at)):
            text = f"{state[key].waiting}\ndelayed since: {state[key].at:%Y-%m-%d %H:%M}"
            if not post(text, settings.webhook, log):
                return len(waiting) - number
            state[key] = replace(state[key], waiting=None)
    return 0


@contextmanager
def _state(folder: Path, now: datetime, log: Log) -> Iterator[dict[str, Told]]:
    """What was told, for one process at a time; what can't be kept holds no alert back."""
    state, path = dict[str, Told](), folder / STATE
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / f".{STATE}.lock").open("w")
    except OSError as error:
        log(f"{folder} can't be written, so no alert is folded: {error}")
        yield state
        return
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        before: dict[str, Told] | None = None
        try:
            if path.exists():
                state = _STATE.validate_json(path.read_bytes())
            before = dict(state)
        except (OSError, ValueError) as error:
            log(f"{path} can't be read, so it is begun anew ({type(error).__name__})")
        yield state
        kept = {key: one for key, one in state.items() if _counts(one, now)}
        # A sensor looks each minute whether anything waits.
        if kept != before:
            _write(path, kept, log)


def _counts(one: Told, now: datetime) -> bool:
    """Whether it is neither old nor, where the clock has gone backward, of the future."""
    return timedelta(0) <= now - one.at < FORGOTTEN


def _write(path: Path, kept: dict[str, Told], log: Log) -> None:
    aside = path.with_suffix(".part")
    try:
        aside.write_bytes(_STATE.dump_json(kept, indent=1))
        aside.replace(path)
    except OSError as error:
        log(f"{path} can't be written, so this may be told again: {error}")


def post(text: str, webhook: str | None, log: Log) -> bool:
    """Write the alert to the log and post it, as `{"text": ...}`, which Slack understands.

    Returns whether it was delivered; a webhook that can't be reached is said in the log, without
    its address, which may be a secret.
    """
    log(f"ALERT {text}")
    if webhook is None:
        return True
    try:
        request = urllib.request.Request(  # noqa: S310
            webhook,
            data=json.dumps({"text": text}).encode(),
            headers={"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS):  # noqa: S310
            return True
    except (OSError, ValueError, HTTPException) as error:
        # Of other errors the text may hold the address.
        reason = error.reason if isinstance(error, urllib.error.URLError) else type(error).__name__
        log(f"OPS_WEBHOOK could not be reached ({reason}), so the alert waits")
        return False
