"""HTTP as uvicorn speaks it, but for clients that send headers too slowly, too long or wrong."""

import asyncio
from http import HTTPStatus

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from ops_platform.serve.problems import MEDIA_TYPE, problem

HEADER_SECONDS = 10.0
HEADER_BYTES = 64 * 1024


class PatientProtocol(HttpToolsProtocol):
    """Ends a connection on which a request's headers do not arrive in time and size."""

    _waiting: asyncio.TimerHandle | None = None
    _bytes = 0
    _in_headers = True

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for the first request."""
        super().connection_made(transport)
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no longer."""
        self._arrived()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Count what comes before the headers have ended."""
        if self._in_headers:
            self._bytes += len(data)
        super().data_received(data)
        # Headers that came at once are nothing to wait for.
        if not (self._in_headers and self._bytes) or self.transport.is_closing():
            return
        if self._bytes > HEADER_BYTES:
            self._refuse(431, "The headers are too large.")
        elif self._waiting is None:
            self._wait()

    def on_message_begin(self) -> None:
        """Begin with the headers of a request."""
        self._in_headers = True
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """All headers are here."""
        self._arrived()
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """What comes next is another request."""
        self._in_headers = True
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        """Refuse what is no HTTP."""
        self._refuse(400, "This is no request that HTTP knows.")

    def _wait(self) -> None:
        self._waiting = self.loop.call_later(HEADER_SECONDS, self._give_up)

    def _arrived(self) -> None:
        self._in_headers, self._bytes = False, 0
        if self._waiting is not None:
            self._waiting.cancel()
            self._waiting = None

    def _give_up(self) -> None:
        self._waiting = None
        if not self.transport.is_closing():
            self._refuse(408, "")

    def _refuse(self, status: int, detail: str) -> None:
        body = problem(status, detail).body
        head = (
            f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\ncontent-type: {MEDIA_TYPE}\r\n"
            f"content-length: {len(body)}\r\nconnection: close\r\n\r\n"
        )
        self.transport.write(head.encode() + bytes(body))
        self.transport.close()
