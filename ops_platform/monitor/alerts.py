"""Alerts: what somebody should look at, to the log and, where one is set, to a webhook."""

import json
import urllib.error
import urllib.request
from collections.abc import Callable

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
    except (urllib.error.URLError, OSError, ValueError) as error:
        reason = getattr(error, "reason", None) or type(error).__name__
        log(f"OPS_WEBHOOK could not be reached ({reason}), so the alert is only in this log")
        return False
