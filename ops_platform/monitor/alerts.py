"""Alerts: what somebody should look at, to the log and, where one is set, to a webhook."""

import json
import urllib.error
import urllib.request
from collections.abc import Callable
from http.client import HTTPException

TIMEOUT_SECONDS = 10.0
Log = Callable[[str], object]


def alert(text: str, webhook: str | None, log: Log) -> bool:
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
        log(f"OPS_WEBHOOK could not be reached ({reason}), so the alert is only in this log")
        return False
