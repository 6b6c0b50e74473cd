"""What holds for every request, whoever answers it: counted, guarded by headers, not for ever."""

import asyncio
import time

from fastapi import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ops_platform.serve.metrics import requests_of, seconds_of

BODY_SECONDS = 10.0
BODY_MAX, PASSED_OVER_MAX = 1_000_000, 10_000_000
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
        began, status, body = time.perf_counter(), 500, _Body(receive)

        async def sending(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                _guard(message)
                if _has_body(scope) and not body.is_whole:
                    # What may still come of it is not another request.
                    message["headers"].append((b"connection", b"close"))
            await send(message)

        try:
            await self._app(scope, body, sending)
        finally:
            route = getattr(scope.get("route"), "path", "none")
            version = str(scope["state"].get("version", ""))
            requests_of(route, status, version).inc()
            seconds_of(route, version).observe(time.perf_counter() - began)


def _guard(message: Message) -> None:
    message["headers"] = headers = [*message.get("headers", ()), *HEADERS]
    if all(name != CONTENT_POLICY for name, _ in headers):
        headers.append((CONTENT_POLICY, NOTHING))


def _has_body(scope: Scope) -> bool:
    return any(
        name == b"transfer-encoding" or (name == b"content-length" and value != b"0")
        for name, value in scope["headers"]
    )


class _Body:
    """Receives a body for no longer than `BODY_SECONDS`, and no more than `BODY_MAX` of it."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._deadline = asyncio.get_running_loop().time() + BODY_SECONDS
        self._bytes = 0
        self.is_whole = False

    async def __call__(self) -> Message:
        if self.is_whole:
            # From now on it is asked whether the client has gone.
            return await self._receive()
        message = await self._next()
        while self._bytes > BODY_MAX:
            # A client that is still sending hears of it only when it has sent what it wanted to.
            if self.is_whole or self._bytes > PASSED_OVER_MAX:
                raise HTTPException(413)
            message = await self._next()
        return message

    async def _next(self) -> Message:
        try:
            async with asyncio.timeout_at(self._deadline):
                message = await self._receive()
        except TimeoutError:
            raise HTTPException(408) from None
        self._bytes += len(message.get("body", b""))
        self.is_whole = not message.get("more_body", False)
        return message
