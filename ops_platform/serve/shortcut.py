"""The route that is asked most, answered before FastAPI has looked for it."""

from functools import lru_cache
from urllib.parse import parse_qsl

import orjson
from pydantic import TypeAdapter, ValidationError
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Receive, Send
from starlette.types import Scope as Connection

from ops_platform.serve.lists import LISTS, SCOPE, Lists
from ops_platform.serve.messages import Filters, Id

_ID: TypeAdapter[str] = TypeAdapter(Id)


class Shortcut:
    """Answers `GET /v1/recommendations/{customer_id}` where nothing is wrong with the request.

    FastAPI takes several times as long to find a route, to solve its dependencies and to send what
    it answers as the list itself takes. Here the models that document the route check what is
    asked. Whatever is refused, and every other route, is handed on: FastAPI tells what is wrong.

    Parameters
    ----------
    app : what else answers.
    lists : the lists.
    route : by which the metrics count them.
    """

    def __init__(self, app: ASGIApp, lists: Lists, route: BaseRoute) -> None:
        """Store them."""
        self._app, self._lists, self._route = app, lists, route

    async def __call__(self, connection: Connection, receive: Receive, send: Send) -> None:
        """Answer, or hand the request on."""
        body = self._answer(connection) if connection["type"] == "http" else None
        if body is None:
            await self._app(connection, receive, send)
            return
        headers = [
            (b"content-length", b"%d" % len(body)),
            (b"content-type", b"application/json"),
        ]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    def _answer(self, connection: Connection) -> bytes | None:
        path, state = connection["path"], connection["state"]
        if connection["method"] != "GET" or not path.startswith(LISTS):
            return None
        scorer = self._lists.present
        if scorer is None or SCOPE not in state["key"].scopes:
            return None
        try:
            customer = _ID.validate_python(path[len(LISTS) :])
            filters = _filters(connection["query_string"])
        except ValidationError:
            return None
        answer = self._lists.answer(scorer, customer, filters)
        # A challenger's, maybe: its errors and times are told by its own version.
        state["version"] = answer["version"]
        connection["route"] = self._route
        return orjson.dumps(answer)


@lru_cache(1024)
def _filters(query: bytes) -> Filters:
    """What stands in the query; clients ask with the same one again and again."""
    return Filters.model_validate(dict(parse_qsl(query.decode("latin-1"), keep_blank_values=True)))
