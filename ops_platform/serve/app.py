"""The HTTP service: recommendations by customer, whether it lives and whether it is ready."""

import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict
from typing import Annotated, Any

from fastapi import FastAPI, Path, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from ops_platform.serve.log import Answer, ServedLog
from ops_platform.serve.service import Service

K_MAX = 100
# What is answered is logged, and the log's contract takes no control characters.
CustomerId = Annotated[str, Path(max_length=128, pattern=r"^[^\x00-\x1f\x7f]+$")]


class RecommendedProduct(BaseModel):
    """A product of an answer, and why it is in it."""

    product_id: str
    description: str
    score: float
    reason: str


class Recommendations(BaseModel):
    """An answer: products, best first, all by the one release that it names."""

    request_id: str
    customer_id: str
    known: bool
    message: str | None
    model: str
    version: int
    release: str
    as_of: str
    recommendations: list[RecommendedProduct]


def make_app(model: str, service: Service, log: ServedLog) -> FastAPI:
    """The application; it starts and stops `service` and `log` with itself."""

    @asynccontextmanager
    async def life(_: FastAPI) -> AsyncIterator[None]:
        service.start()
        log.start()
        yield
        service.stop()
        log.close()

    # The pages of /docs would load their scripts from elsewhere; /openapi.json stays.
    app = FastAPI(title=f"{model} recommendations", lifespan=life, docs_url=None, redoc_url=None)

    @app.exception_handler(RequestValidationError)
    async def refuse(_: Request, error: RequestValidationError) -> JSONResponse:
        faults = [f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors()]
        return _problem(422, "The request can't be answered", "; ".join(faults))

    @app.exception_handler(HTTPException)
    async def not_here(request: Request, error: HTTPException) -> JSONResponse:
        asked = f"{request.method} {request.url.path}"
        return _problem(error.status_code, error.detail, f"{asked}: see /openapi.json")

    # As a path: an id may hold a slash.
    @app.get("/v1/recommendations/{customer_id:path}", response_model=Recommendations)
    async def recommendations(
        customer_id: CustomerId, k: Annotated[int, Query(ge=1, le=K_MAX)] = 10
    ) -> Any:
        # Taken once: the whole answer is of one release, whatever the pointer does meanwhile.
        scorer = service.scorer
        if scorer is None:
            return _problem(503, "No release serves yet", _what_to_do(model, service))
        asked = service.as_stored(scorer, customer_id)
        found, known = scorer.recommend(asked, k), scorer.knows(asked)
        manifest, request_id = scorer.manifest, uuid.uuid4().hex
        log.record(
            Answer(
                request_id, asked, known,
                manifest.model, manifest.version, manifest.release, found,
            )
        )  # fmt: skip
        return Recommendations(
            request_id=request_id,
            customer_id=customer_id,
            known=known,
            message=None if known else "This customer is not known: here is what is popular.",
            model=manifest.model,
            version=manifest.version,
            release=manifest.release,
            as_of=manifest.as_of,
            recommendations=[RecommendedProduct(**asdict(one)) for one in found],
        )

    @app.get("/healthz")
    async def healthz() -> dict[str, str]:
        return {"status": "ok"}

    @app.get("/readyz")
    async def readyz() -> JSONResponse:
        scorer, refused = service.scorer, service.refused
        manifest = scorer.manifest if scorer else None
        return JSONResponse(
            {
                "ready": manifest is not None,
                "model": model,
                "version": manifest and manifest.version,
                "release": manifest and manifest.release,
                "as_of": manifest and manifest.as_of,
                "refused": refused and asdict(refused),
                "log": asdict(log.counts()),
            },
            status_code=200 if manifest else 503,
        )

    return app


def _what_to_do(model: str, service: Service) -> str:
    if service.refused is not None:
        return service.refused.reason
    return (
        f"There is no release of {model} in {service.folder}: materialize the graph up to "
        "serve/release; the service takes it up by itself."
    )


def _problem(status: int, title: str, detail: str) -> JSONResponse:
    """An error as RFC 9457 says: a title for people, and what to do."""
    return JSONResponse(
        {"type": "about:blank", "title": title, "status": status, "detail": detail},
        status_code=status,
        media_type="application/problem+json",
    )
