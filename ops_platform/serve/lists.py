"""The routes that answer for customers: lists, one or many, and purchase probabilities."""

from collections.abc import Sequence
from functools import partial
from random import Random
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, HTTPException, Query, Request, Response, params

from ops_platform.serve.access import JSON_ONLY, NO_QUERY, needs
from ops_platform.serve.experiment import CHALLENGER, CHAMPION
from ops_platform.serve.keys import Scope
from ops_platform.serve.log import Answer, DeliveryLog
from ops_platform.serve.messages import (
    Asked,
    Batch,
    Batched,
    CustomerId,
    Filters,
    PurchaseProbability,
    Recommendations,
)
from ops_platform.serve.metrics import answers_of
from ops_platform.serve.problems import documented
from ops_platform.serve.scorer import Question, Ranked, Scorer
from ops_platform.serve.service import Service

# Begins anywhere in each process; asking the system for each id takes longer than the answer.
_ids = Random()  # noqa: S311
SCOPE: Scope = "recommend"
PREFIX = "/v1"
LISTS = f"{PREFIX}/recommendations/"
UNKNOWN = "This customer is not known: here is what is popular."


class Lists:
    """Answers by the release that serves, and logs what it answers.

    Parameters
    ----------
    service : says which release that is.
    log : of what was served.
    """

    def __init__(self, service: Service, log: DeliveryLog) -> None:
        """Store them."""
        self._service, self._log = service, log

    @property
    def present(self) -> Scorer | None:
        """The scorer of the release that serves, which a request takes once; None before it."""
        return self._service.scorer

    def scorer(self, request: Request) -> Scorer:
        """The same, told to the metrics; raises 503."""
        scorer = self.present
        if scorer is None:
            raise HTTPException(503)
        request.state.version = scorer.manifest.version
        return scorer

    def answer(
        self,
        scorer: Scorer,
        customer_id: str,
        filters: Filters | Asked,
        session: Sequence[str] = (),
    ) -> dict[str, Any]:
        """The answer to one question, which is logged: `Recommendations`, for orjson to encode.

        It is the challenger's where that is its share. One that fails is passed over, and a shadow
        is asked later.
        """
        self._service.loading.make_way()
        customer = self._service.as_stored(scorer, customer_id)
        question = Question(
            customer, filters.k, filters.exclude_bought, filters.category, tuple(session)
        )
        trial, by, found = self._service.challenger.trial, scorer, None
        is_taken = trial is not None and trial.takes(customer)
        if trial and is_taken and not trial.is_shadow:
            found = trial.ask(question)
            by = scorer if found is None else trial.scorer
        if found is None:
            found = trial.timed(scorer, question) if trial else scorer.answer(question)
        if trial and is_taken and trial.is_shadow:
            trial.follow(question, partial(self._record, new_id(), trial.scorer, customer, False))
        manifest, known, request_id = by.manifest, by.knows(customer), new_id()
        self._record(
            request_id, by, customer, True, found, CHAMPION if by is scorer else CHALLENGER
        )
        answers_of(known, manifest.version).inc()
        return {
            "request_id": request_id,
            "customer_id": customer_id,
            "known": known,
            "message": None if known else UNKNOWN,
            "model": manifest.model,
            "version": manifest.version,
            "release": manifest.release,
            "as_of": manifest.as_of,
            "recommendations": orjson.Fragment(found.encoded),
        }

    def _record(
        self,
        request_id: str,
        by: Scorer,
        customer: str,
        shown: bool,
        found: Ranked,
        arm: str = CHALLENGER,
    ) -> None:
        about = by.manifest
        self._log.record(
            Answer(
                request_id, customer, by.knows(customer),
                about.model, about.version, about.release, found, arm, shown,
            )
        )  # fmt: skip

    def probability(self, scorer: Scorer, customer_id: str) -> PurchaseProbability:
        """How likely a customer buys; raises 404 where the release does not say it."""
        manifest = scorer.manifest
        if manifest.purchase_probability is None:
            raise HTTPException(404, f"The release {manifest.release} has no probabilities.")
        found = scorer.probability(self._service.as_stored(scorer, customer_id))
        if found is None:
            raise HTTPException(404, "The release has no probability of this customer.")
        return PurchaseProbability(
            request_id=new_id(),
            customer_id=customer_id,
            probability=found,
            version=manifest.purchase_probability,
            release=manifest.release,
            as_of=manifest.as_of,
        )


def new_id() -> str:
    """The id of an answer: 32 hexadecimal digits."""
    return f"{_ids.getrandbits(128):032x}"


def _encoded(answer: dict[str, Any]) -> Response:
    # By hand: to look whether what was made just now is as documented takes longer than making it.
    return Response(orjson.dumps(answer), media_type="application/json")


def one_list(lists: Lists) -> APIRouter:
    """The route of one customer's list; what is well is answered by the shortcut before it."""
    router = _router()

    # As a path: an id may hold a slash.
    @router.get("/recommendations/{customer_id:path}", response_model=Recommendations)
    async def recommendations(
        request: Request, customer_id: CustomerId, filters: Annotated[Filters, Query()]
    ) -> Response:
        """Products for a customer, best first; for one who is not known what is popular now."""
        return _encoded(lists.answer(lists.scorer(request), customer_id, filters))

    return router


def routes(lists: Lists) -> APIRouter:
    """The other routes of customers."""
    router = _router(NO_QUERY)

    # Not async: a batch is answered beside the others' requests.
    @router.post(
        "/recommendations", response_model=Batched, dependencies=[JSON_ONLY],
        responses=documented(400, 413, 415),
    )  # fmt: skip
    def batch(request: Request, asked: Batch) -> Response:
        """Lists for several customers, each with its filters and what the customer looks at."""
        scorer = lists.scorer(request)
        answers = [
            lists.answer(scorer, one.customer_id, one, one.session) for one in asked.requests
        ]
        return _encoded({"answers": answers})

    @router.get(
        "/customers/{customer_id:path}/purchase-probability",
        response_model=PurchaseProbability,
        responses=documented(404),
    )
    async def probability(request: Request, customer_id: CustomerId) -> PurchaseProbability:
        """How likely the customer buys soon, where the release says it."""
        return lists.probability(lists.scorer(request), customer_id)

    return router


def _router(*more: params.Depends) -> APIRouter:
    return APIRouter(
        prefix=PREFIX,
        dependencies=[needs(SCOPE), *more],
        responses=documented(401, 403, 408, 422, 429, 500, 503),
    )
