"""Errors as RFC 9457 says: a status, a title for people, and what to do; nothing of the inside."""

import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, HTTPException, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from pydantic import BaseModel
from starlette.exceptions import HTTPException as AnyHTTPException

MEDIA_TYPE = "application/problem+json"
DETAIL_MAX = 500
# What stands in the body for a status, where nothing better is known of it.
WORDS = {
    400: "The body can't be read as JSON.",
    401: "Send a key that is good: `Authorization: Bearer <key>`; `ops keys create` makes one.",
    403: "The key lacks the scope that this route needs.",
    404: "There is nothing here: see /openapi.json.",
    405: "The route does not answer this method: see /openapi.json.",
    408: "The request did not arrive in time: send it faster.",
    413: "The body is too large: send fewer requests at once.",
    415: "Send the body as `Content-Type: application/json`.",
    422: "The request does not fit: see /openapi.json.",
    429: "The key has used up its requests: wait as long as Retry-After says.",
    500: "The service failed; its log says how.",
    503: "No release serves yet: materialize the graph up to serve/release. With an admin key "
    "/readyz says what was refused, and why.",
}


class Problem(BaseModel):
    """What went wrong with a request."""

    type: str
    title: str
    status: int
    detail: str


def problem(status: int, detail: str = "", headers: Mapping[str, str] | None = None) -> Response:
    """The answer to a request that fails; `detail` is the words of the status if it is empty."""
    told = Problem(
        type="about:blank",
        title=HTTPStatus(status).phrase,
        status=status,
        detail=(detail or WORDS.get(status, ""))[:DETAIL_MAX],
    )
    # All ASCII: what was asked for may be no text that can be sent.
    body = json.dumps(told.model_dump()).encode()
    return Response(body, status, dict(headers or {}), MEDIA_TYPE)


def documented(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The problems that a route may answer with, for the OpenAPI document."""
    schema = Problem.model_json_schema()
    return {
        status: {
            "description": WORDS.get(status, HTTPStatus(status).phrase),
            "content": {MEDIA_TYPE: {"schema": schema}},
        }
        for status in statuses
    }


def tell_problems(app: FastAPI) -> None:
    """Let every error of the application be answered by a problem."""

    @app.exception_handler(RequestValidationError)
    async def refuse(_: Request, error: RequestValidationError) -> Response:
        faults = error.errors()
        if any(fault["type"] == "json_invalid" for fault in faults):
            return problem(400)
        told = [f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in faults]
        return problem(422, "; ".join(told))

    @app.exception_handler(AnyHTTPException)
    async def not_here(_: Request, error: AnyHTTPException) -> Response:
        own = error.detail if isinstance(error, HTTPException) else ""
        known = "" if own == HTTPStatus(error.status_code).phrase else own
        detail = "" if error.status_code == 400 else known
        return problem(error.status_code, detail, error.headers)

    @app.exception_handler(Exception)
    async def failed(_: Request, __: Exception) -> Response:
        return problem(500)
