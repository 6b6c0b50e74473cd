"""The shop window at /demo, off unless asked for: a page, and the two routes that it alone asks."""

import base64
import hashlib
from importlib.resources import files

from fastapi import APIRouter, HTTPException
from fastapi.responses import HTMLResponse

from ops_platform.serve.access import NO_QUERY, needs
from ops_platform.serve.messages import CustomerId, Customers, History, Product
from ops_platform.serve.problems import documented
from ops_platform.serve.scorer import Scorer
from ops_platform.serve.service import Service

PAGE = files("ops_platform.serve").joinpath("demo.html").read_text(encoding="utf-8")
SHOWN = 50


def routes(service: Service) -> APIRouter:
    """The page, and what it asks with a key: who may be chosen, and what a customer bought."""
    router = APIRouter()
    policy = _policy(PAGE)

    @router.get("/demo", include_in_schema=False)
    async def page() -> HTMLResponse:
        return HTMLResponse(PAGE, headers={"Content-Security-Policy": policy})

    asked = APIRouter(
        prefix="/v1/customers",
        dependencies=[needs("recommend"), NO_QUERY],
        responses=documented(401, 403, 408, 422, 429, 500, 503),
    )

    @asked.get("", response_model=Customers)
    async def customers() -> Customers:
        """Some of the customers that the release knows; none where it knows them by hashes."""
        scorer = _present(service)
        plain = scorer.manifest.customer_key is None
        return Customers(customers=scorer.sample(SHOWN) if plain else [])

    @asked.get("/{customer_id:path}/history", response_model=History)
    async def history(customer_id: CustomerId) -> History:
        """What the customer bought, as the release knows it; nothing of one it does not know."""
        scorer = _present(service)
        bought = scorer.bought(service.as_stored(scorer, customer_id))
        return History(
            customer_id=customer_id,
            release=scorer.manifest.release,
            bought=[Product(product_id=one, description=text) for one, text in bought],
        )

    router.include_router(asked)
    return router


def _present(service: Service) -> Scorer:
    if service.scorer is None:
        raise HTTPException(503)
    return service.scorer


def _policy(page: str) -> str:
    """Only the page's own script and style run, and it asks nobody but the service."""
    own = {
        name: base64.b64encode(
            hashlib.sha256(page.partition(f"<{name}>")[2].partition(f"</{name}>")[0].encode())
            .digest()
        ).decode()
        for name in ("script", "style")
    }  # fmt: skip
    return (
        f"default-src 'none'; script-src 'sha256-{own['script']}'; "
        f"style-src 'sha256-{own['style']}'; connect-src 'self'; frame-ancestors 'none'"
    )
