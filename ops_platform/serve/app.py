"""The HTTP service as one application: its routes, and all that stands before them."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from starlette.types import ASGIApp

from ops_platform.serve import demo, lists, operations, pages
from ops_platform.serve.access import Access
from ops_platform.serve.edge import Edge
from ops_platform.serve.keys import Keyring
from ops_platform.serve.limits import Limits
from ops_platform.serve.log import DeliveryLog
from ops_platform.serve.problems import tell_problems
from ops_platform.serve.service import Service
from ops_platform.serve.shortcut import Shortcut


def make_app(
    service: Service,
    served: DeliveryLog,
    feedback: DeliveryLog,
    keyring: Keyring,
    limits: Limits,
    now: Callable[[], datetime],
    *,
    has_demo: bool = False,
) -> ASGIApp:
    """The application; it starts and stops the service and its logs with itself.

    With `has_demo` the shop window answers at /demo.
    """

    @asynccontextmanager
    async def life(_: FastAPI) -> AsyncIterator[None]:
        service.start()
        served.start()
        feedback.start()
        yield
        service.stop()
        served.close()
        feedback.close()

    app = FastAPI(
        title=f"{service.folder.name}: recommendations",
        lifespan=life,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        redirect_slashes=False,
    )
    tell_problems(app)
    answering = lists.Lists(service, served)
    one_list = lists.one_list(answering)
    app.include_router(one_list)
    # Inside of what answers when anything fails.
    app.add_middleware(Shortcut, lists=answering, route=one_list.routes[0])
    app.include_router(lists.routes(answering))
    app.include_router(operations.feedback(feedback))
    app.include_router(operations.administration(service, now))
    app.include_router(operations.health(service, {"served": served, "feedback": feedback}))
    app.include_router(pages.routes())
    if has_demo:
        app.include_router(demo.routes(service))

    @app.get("/openapi.json", include_in_schema=False)
    async def document(_: Request) -> JSONResponse:
        return JSONResponse(app.openapi())

    return Edge(Access(app, keyring, limits))
