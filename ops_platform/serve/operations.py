"""The routes of those who run the service: health, metrics, releases; and what shops tell back."""

from dataclasses import asdict

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from ops_platform.serve import kept
from ops_platform.serve.access import JSON_ONLY, NO_QUERY, needs
from ops_platform.serve.log import DeliveryLog, Feedback
from ops_platform.serve.messages import Accepted, FeedbackGiven, Ready, Releases
from ops_platform.serve.metrics import exposition
from ops_platform.serve.problems import documented
from ops_platform.serve.service import Service

TEXT = "text/plain; version=0.0.4; charset=utf-8"
GUARDED = (401, 403, 429, 500)


def health(service: Service, logs: dict[str, DeliveryLog]) -> APIRouter:
    """Whether the service lives and whether it is ready, for anybody."""
    router = APIRouter()

    @router.get("/healthz")
    async def healthz() -> dict[str, str]:
        """Whether the process answers."""
        return {"status": "ok"}

    @router.get("/readyz", response_model=Ready, responses={503: {"model": Ready}})
    async def readyz(request: Request) -> JSONResponse:
        """Whether a release answers; an admin is told too what was refused and what was lost."""
        scorer, refused, key = service.scorer, service.refused, request.state.key
        manifest = scorer.manifest if scorer else None
        told = Ready(
            ready=manifest is not None,
            model=service.folder.name,
            version=manifest and manifest.version,
            release=manifest and manifest.release,
            as_of=manifest and manifest.as_of,
        )
        if key is not None and "admin" in key.scopes:
            told.refused = asdict(refused) if refused else None
            told.logs = {name: asdict(log.counts()) for name, log in logs.items()}
        return JSONResponse(told.model_dump(), status_code=200 if manifest else 503)

    return router


def administration(service: Service, now: kept.Now) -> APIRouter:
    """What only admins see."""
    router = APIRouter(dependencies=[needs("admin")], responses=documented(*GUARDED))

    @router.get("/metrics", response_class=Response, responses={200: {"content": {TEXT: {}}}})
    def metrics() -> Response:
        """What Prometheus reads, of all workers."""
        scorer = service.scorer
        told = exposition(scorer.manifest if scorer else None, now())
        return Response(told, media_type=TEXT)

    @router.get("/v1/releases", response_model=Releases)
    def releases() -> Releases:
        """The releases that are kept or have served, and when."""
        return kept.told(service.folder)

    return router


def feedback(log: DeliveryLog) -> APIRouter:
    """What shops tell back."""
    router = APIRouter(prefix="/v1", dependencies=[needs("feedback"), NO_QUERY])

    @router.post(
        "/feedback", status_code=202, response_model=Accepted, dependencies=[JSON_ONLY],
        responses=documented(400, 408, 413, 415, 422, *GUARDED),
    )  # fmt: skip
    async def take(given: FeedbackGiven) -> Accepted:
        """What became of recommended products: shown, clicked or bought."""
        log.record(Feedback([(one.answer_id, one.product_id, one.kind) for one in given.events]))
        return Accepted(accepted=len(given.events))

    return router
