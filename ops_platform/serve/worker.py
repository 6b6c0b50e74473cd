"""One process of the service: what it needs is made here, from the settings."""

import logging
import multiprocessing
import os
import signal
import threading
from pathlib import Path

from starlette.types import ASGIApp

from ops_platform.serve import release
from ops_platform.serve.app import make_app
from ops_platform.serve.keys import Keyring
from ops_platform.serve.limits import Limits
from ops_platform.serve.log import DeliveryLog
from ops_platform.serve.service import Service
from ops_platform.settings import Settings


def application(model: str, limits: Path | None = None, *, has_demo: bool = False) -> ASGIApp:
    """The application of a worker.

    Parameters
    ----------
    model : whose releases answer.
    limits : the file that workers count the requests of keys in; None for a single one.
    has_demo : whether the shop window answers at /demo.
    """
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    _end_with_parent()
    settings = Settings()
    served, feedback = (
        DeliveryLog(folder, settings.now, settings.served_seconds)
        for folder in (settings.served, settings.feedback)
    )
    return make_app(
        Service(release.folder_of(settings.releases, model), settings.hash_key, settings.now),
        served,
        feedback,
        Keyring(settings.keys),
        Limits(settings.key_rate, limits),
        settings.now,
        has_demo=has_demo,
    )


def _end_with_parent() -> None:
    """Stop politely when what started this worker was killed, which can no longer stop it."""
    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def watch() -> None:
        parent.join()
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, name="parent", daemon=True).start()
