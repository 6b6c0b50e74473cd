"""What holds for every request, whoever answers it: counted, guarded by headers, not for ever."""

import asyncio
import time

from fastapi import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ops_platform.serve.metrics import REQUESTS, SECONDS

BODY_SECONDS = 10.0
HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cache-control", b"no-store"),
)
CONTENT_POLICY = b"content-security-policy"
NOTHING = b"default-src 'none'; frame-ancestors 'none'"


class Edge:
    """Counts and times each request, adds security headers, and waits for no body for long.

    The label `route` is the route's template, so that ids do not become labels.

    Parameters
    ----------
    app : what answers.
    """

    def __init__(self, app: ASGIApp) -> None:
        """Store it."""
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand the request on, and look at what is answered."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began, status = time.perf_counter(), 500

        async def sending(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                _guard(message, status)
            await send(message)

        try:
            await self._app(scope, _Patient(receive), sending)
        finally:
            route = getattr(scope.get("route"), "path", "none")
            version = str(scope["state"].get("version", ""))
            REQUESTS.labels(route, str(status), version).inc()
            SECONDS.labels(route, version).observe(time.perf_counter() - began)


def _guard(message: Message, status: int) -> None:
    headers = [*message.get("headers", ()), *HEADERS]
    if all(name != CONTENT_POLICY for name, _ in headers):
        headers.append((CONTENT_POLICY, NOTHING))
    if status == 408:
        # What may still come of the body is not another request.
        headers.append((b"connection", b"close"))
    message["headers"] = headers


class _Patient:
    """Receives a body that has begun no longer than `BODY_SECONDS` in all."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._deadline = asyncio.get_running_loop().time() + BODY_SECONDS
        self._is_whole = False

    async def __call__(self) -> Message:
        if self._is_whole:
            return await self._receive()
        try:
            async with asyncio.timeout_at(self._deadline):
                message = await self._receive()
        except TimeoutError:
            raise HTTPException(408) from None
        self._is_whole = not message.get("more_body", False)
        return message
