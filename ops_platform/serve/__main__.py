"""`python -m ops_platform.serve`: the serving process, which loads neither Dagster nor MLflow."""

import argparse
import errno
import os
import shutil
import socket
import sys
import tempfile
from functools import partial
from pathlib import Path

import uvicorn
from pydantic import ValidationError
from starlette.types import ASGIApp
from uvicorn.supervisors import Multiprocess

from ops_platform.errors import OpsError
from ops_platform.serve import release
from ops_platform.serve.metrics import SHARED
from ops_platform.serve.patient import PatientProtocol
from ops_platform.serve.service import Service
from ops_platform.serve.worker import application
from ops_platform.settings import Settings

HOST = "127.0.0.1"
START_SECONDS = 60
# In memory: a disk that is full must not stop workers from counting.
MEMORY = Path("/dev/shm")  # noqa: S108


class _Server(uvicorn.Server):
    """Says where it answers once it does."""

    def __init__(self, config: uvicorn.Config, says: str) -> None:
        super().__init__(config)
        self._says = says

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            print(self._says, flush=True)


class _Workers(Multiprocess):
    """Several servers on one socket, replaced when they die."""

    def __init__(self, config: uvicorn.Config, listening: socket.socket, says: str) -> None:
        super().__init__(config, [listening])
        self._says = says

    def init_processes(self) -> None:
        super().init_processes()
        if all(one.wait_until_ready(START_SECONDS, self.should_exit) for one in self.processes):
            print(self._says, flush=True)


def main() -> None:
    """Serve a model's release until SIGTERM or Ctrl-C; exit code 1 where it can't begin."""
    parser = argparse.ArgumentParser(prog="ops serve", description=__doc__)
    parser.add_argument("--host", default=HOST, help="the address to listen on")
    parser.add_argument("--port", type=int, default=8000, help="0 lets the system choose")
    parser.add_argument("--model", default="recommender")
    parser.add_argument("--demo", action="store_true", help="show a shop window at /demo")
    options = parser.parse_args()
    try:
        settings = Settings()
        settings.now()
        folder = release.folder_of(settings.releases, options.model)
        Service(folder, settings.hash_key, settings.now).require_key()
        listening = _listen(options.host, options.port)
    except (OpsError, ValidationError) as error:
        sys.exit(f"error: {error}")
    says = f"{options.model}: http://{options.host}:{listening.getsockname()[1]}"
    made = partial(application, options.model, has_demo=options.demo)
    if settings.workers == 1:
        _Server(_config(made), says).run([listening])
        return
    shared = Path(tempfile.mkdtemp(prefix="ops-serve-", dir=MEMORY if MEMORY.is_dir() else None))
    os.environ[SHARED] = str(shared)
    try:
        made = partial(made, limits=shared / "limits")
        _Workers(_config(made, settings.workers), listening, says).run()
    finally:
        shutil.rmtree(shared, ignore_errors=True)


def _config(made: partial[ASGIApp], workers: int = 1) -> uvicorn.Config:
    return uvicorn.Config(
        made,
        factory=True,
        workers=workers,
        http=PatientProtocol,
        ws="none",
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,
    )


def _listen(host: str, port: int) -> socket.socket:
    listening = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
        # Bound is not yet taken: two that reuse the address are told apart only here.
        listening.listen(2048)
    except (OSError, OverflowError) as error:
        listening.close()
        if isinstance(error, OSError) and error.errno == errno.EADDRINUSE:
            raise OpsError(
                f"port {port} of {host} is in use: stop what listens there, or choose another "
                "with --port"
            ) from error
        raise OpsError(f"can't listen on port {port} of {host}: {error}") from error
    return listening


if __name__ == "__main__":
    main()
