"""`python -m ops_platform.serve`: the serving process, which loads neither Dagster nor MLflow."""

import argparse
import errno
import logging
import socket
import sys

import uvicorn
from pydantic import ValidationError

from ops_platform.errors import OpsError
from ops_platform.serve import release
from ops_platform.serve.app import make_app
from ops_platform.serve.log import ServedLog
from ops_platform.serve.service import Service
from ops_platform.settings import Settings

HOST = "127.0.0.1"


class _Server(uvicorn.Server):
    """Says where it answers once it does."""

    def __init__(self, config: uvicorn.Config, says: str) -> None:
        super().__init__(config)
        self._says = says

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            print(self._says, flush=True)


def main() -> None:
    """Serve a model's release until SIGTERM or Ctrl-C; exit code 1 where it can't begin."""
    parser = argparse.ArgumentParser(prog="ops serve", description=__doc__)
    parser.add_argument("--port", type=int, default=8000, help="0 lets the system choose")
    parser.add_argument("--model", default="recommender")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    try:
        settings = Settings()
        settings.now()
        service = Service(release.folder_of(settings.releases, options.model), settings.hash_key)
        service.require_key()
        listening = _listen(options.port)
    except (OpsError, ValidationError) as error:
        sys.exit(f"error: {error}")
    log = ServedLog(settings.served, settings.now, settings.served_seconds)
    config = uvicorn.Config(
        make_app(options.model, service, log), log_level="warning", access_log=False
    )
    port = listening.getsockname()[1]
    _Server(config, f"{options.model}: http://{HOST}:{port}").run([listening])


def _listen(port: int) -> socket.socket:
    listening = socket.socket()
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((HOST, port))
        # Bound is not yet taken: two that reuse the address are told apart only here.
        listening.listen(2048)
    except (OSError, OverflowError) as error:
        listening.close()
        if isinstance(error, OSError) and error.errno == errno.EADDRINUSE:
            raise OpsError(
                f"port {port} of {HOST} is in use: stop what listens there, or choose another "
                "with --port"
            ) from error
        raise OpsError(f"can't listen on port {port} of {HOST}: {error}") from error
    return listening


if __name__ == "__main__":
    main()
