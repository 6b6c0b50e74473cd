"""A bare FastAPI route that answers a constant of $SIZE bytes: what the framework alone costs."""

import os

from fastapi import FastAPI, Response

app = FastAPI()
BODY = b'"' + b"x" * (int(os.environ.get("SIZE", "2")) - 2) + b'"'


@app.get("/constant")
async def constant() -> Response:
    """The constant, encoded once for all."""
    return Response(BODY, media_type="application/json")
