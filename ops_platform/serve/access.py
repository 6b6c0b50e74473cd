"""Who may ask: nothing but health and static pages answers without a key."""

from typing import Annotated

from fastapi import Depends, HTTPException, Request, Security, params
from fastapi.exceptions import RequestValidationError
from fastapi.security import HTTPBearer
from starlette.types import ASGIApp, Receive, Send
from starlette.types import Scope as Connection

from ops_platform.serve.keys import Key, Keyring, Scope
from ops_platform.serve.limits import Limits
from ops_platform.serve.problems import problem

OPEN = ("/healthz", "/readyz", "/docs", "/demo")
OPEN_BELOW = "/docs/"
_BEARER = b"bearer "
_scheme = HTTPBearer(auto_error=False, description="An API key, made by `ops keys create`.")


class Access:
    """Lets through what carries a good key that has requests left, and what needs none.

    The key stands in the request's state as `key`, None where the request carries no good one.

    Parameters
    ----------
    app : what is guarded.
    keyring : of the keys that are good.
    limits : of each key.
    """

    def __init__(self, app: ASGIApp, keyring: Keyring, limits: Limits) -> None:
        """Store them."""
        self._app, self._keyring, self._limits = app, keyring, limits

    async def __call__(self, connection: Connection, receive: Receive, send: Send) -> None:
        """Answer with a problem, or hand the request on."""
        if connection["type"] != "http":
            await self._app(connection, receive, send)
            return
        key = self._key(connection)
        connection["state"]["key"] = key
        answer = self._app
        if not _is_open(connection["path"]):
            if key is None:
                answer = problem(401, headers={"WWW-Authenticate": "Bearer"})
            elif wait := self._limits.wait(key.number):
                answer = problem(429, headers={"Retry-After": str(wait)})
        await answer(connection, receive, send)

    def _key(self, connection: Connection) -> Key | None:
        for name, value in connection["headers"]:
            if name == b"authorization" and value[: len(_BEARER)].lower() == _BEARER:
                return self._keyring.find(value[len(_BEARER) :].decode("latin-1").strip())
        return None


def _is_open(path: str) -> bool:
    return path in OPEN or path.startswith(OPEN_BELOW)


def needs(scope: Scope) -> params.Depends:
    """The dependency of routes that only keys of this scope may ask."""

    # Async, as below: what is not is run in a thread of its own, which costs more than it does.
    async def check(request: Request, _: Annotated[object, Security(_scheme)]) -> None:
        require(request, scope)

    dependency: params.Depends = Depends(check)
    return dependency


def require(request: Request, scope: Scope) -> None:
    """Raise HTTPException 403 where the request's key has not this scope."""
    if scope not in request.state.key.scopes:
        raise HTTPException(403, f"The key lacks the scope {scope!r}, which this route needs.")


async def _require_json(request: Request) -> None:
    given = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if given != "application/json":
        raise HTTPException(415)


JSON_ONLY: params.Depends = Depends(_require_json)


async def _require_no_query(request: Request) -> None:
    if unknown := [
        {"type": "extra_forbidden", "loc": ("query", name), "msg": "Extra inputs are not permitted"}
        for name in request.query_params
    ]:
        raise RequestValidationError(unknown)


NO_QUERY: params.Depends = Depends(_require_no_query)
