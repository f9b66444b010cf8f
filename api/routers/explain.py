"""Explanations of terms and scores in plain words: by a model where one can be asked, by a template everywhere."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from threading import BoundedSemaphore
from typing import Annotated, Any

from fastapi import Depends, Request
from fastapi.responses import Response
from fastapi.sse import EventSourceResponse, ServerSentEvent

from signaldelta_assets import llm
from signaldelta_assets.llm import Asker, ExplanationStream, Gateway, UnknownTermError

from .. import queries
from ..auth import PrincipalOf, require_tier
from ..deferring import Deferring, DeferringOf
from ..dependencies import AsOf, WarehouseOf, glancing, reads
from ..names import EntityName, Term
from ..pointintime import Clocks
from ..problems import ProblemError, not_found, responses
from ..reading import Router
from ..schemas.explaining import Explanation, ExplanationAnswer

router = Router(prefix="/platform/explain", tags=["platform"], dependencies=[require_tier("free")])
_MODELS = ("llm_model_routing", "llm_fallback_chain", "llm_usage_log", "tier_entitlements", "jobs")
_NO_MODELS = {"scoring_model": None, "latency_model": None, "definitions": None}


async def get_asker(principal: PrincipalOf) -> Asker:
    """Who asks, and by whose budget."""
    return Asker(user_id=principal.user_id, tier=principal.tier)


async def get_gateway(request: Request) -> Gateway | None:
    """The gateway the app was made with, None where it was made without."""
    gateway: Gateway | None = request.app.state.gateway
    return gateway


AskerOf = Annotated[Asker, Depends(get_asker)]
GatewayOf = Annotated[Gateway | None, Depends(get_gateway)]


# A stream holds a thread while its model thinks; there are forty, and reads need them too.
_MOST_STREAMS = 8
_streams = BoundedSemaphore(_MOST_STREAMS)


def _one_of_few() -> Iterator[None]:
    if not _streams.acquire(blocking=False):
        words = f"{_MOST_STREAMS} explanations are being told, as many as may be: ask again, or without the stream"
        raise ProblemError(503, "too-many-streams", words, headers={"Retry-After": "10"})
    try:
        yield
    finally:
        _streams.release()


def _answer(shown: Explanation) -> Response:
    # Another answer each time, and by one's own budget: for no cache.
    headers = {"Cache-Control": "no-store"}
    return Response(ExplanationAnswer(data=shown).model_dump_json(), media_type="application/json", headers=headers)


@router.get(
    "/term/{term}",
    response_model=ExplanationAnswer,
    responses=responses(404),
    openapi_extra=reads(*_MODELS, cached=False),
    summary="A term in plain words",
)
def explain_term(term: Term, gateway: GatewayOf, asker: AskerOf, deferring: DeferringOf) -> Response:
    """A signal (S001), family (F01), chain (CT-01), event type, or a word of a report or a score; 404 for others.

    Where the model is offsite, a job asks it (`job`): the template answers now, and the model once the job is complete.
    """
    try:
        return _answer(deferring.shown(llm.explain_term(term, gateway, asker)))
    except UnknownTermError:
        raise not_found("term", term[:100]) from None


def get_told_term(term: Term, gateway: GatewayOf, asker: AskerOf) -> Iterator[ExplanationStream]:
    """The explanation to be told, made before the answer begins: an unknown term is a 404, not a broken stream.

    Closed here: the generator of a reader who has left waits for the garbage collector, and its model goes on.
    """
    try:
        told = llm.stream_term(term, gateway, asker)
    except UnknownTermError:
        raise not_found("term", term[:100]) from None
    with closing(told):
        yield told


@router.get(
    "/term/{term}/events",
    dependencies=[Depends(_one_of_few)],
    response_class=EventSourceResponse,
    responses=responses(404),
    openapi_extra=reads(*_MODELS, cached=False),
    summary="A term in plain words, as a stream",
)
def tell_term(
    told: Annotated[ExplanationStream, Depends(get_told_term)], deferring: DeferringOf
) -> Iterator[ServerSentEvent]:
    """Events `sentence` as the model says them, each figure held against the facts before; last `explanation`.

    The last event has what `/term/{term}` answers and counts: where no model could be asked, failed, or brought a
    figure of its own, its text is the template's, to be shown in place of the sentences.
    """
    yield from _events(told, deferring)


@router.get(
    "/score/{entity_id}",
    response_model=ExplanationAnswer,
    responses=responses(404),
    openapi_extra=reads("score_samples", *_MODELS, cached=False),
    summary="A score in plain words",
)
def explain_score(
    warehouse: WarehouseOf,
    gateway: GatewayOf,
    asker: AskerOf,
    deferring: DeferringOf,
    entity_id: EntityName,
    as_of: AsOf = None,
) -> Response:
    """The entity's latest score at or before `as_of`, from its stored figures and counterfactuals; 404 without one.

    Where the model is offsite, a job asks it, as for a term.
    """
    return _answer(deferring.shown(llm.explain_score(_stored(warehouse, entity_id, as_of), gateway, asker)))


def get_told_score(
    warehouse: WarehouseOf, gateway: GatewayOf, asker: AskerOf, entity_id: EntityName, as_of: AsOf = None
) -> Iterator[ExplanationStream]:
    """The explanation to be told, made before the answer begins: without a score it is a 404. Closed here too."""
    with closing(llm.stream_score(_stored(warehouse, entity_id, as_of), gateway, asker)) as told:
        yield told


@router.get(
    "/score/{entity_id}/events",
    dependencies=[Depends(_one_of_few)],
    response_class=EventSourceResponse,
    responses=responses(404),
    openapi_extra=reads("score_samples", *_MODELS, cached=False),
    summary="A score in plain words, as a stream",
)
def tell_score(
    told: Annotated[ExplanationStream, Depends(get_told_score)], deferring: DeferringOf
) -> Iterator[ServerSentEvent]:
    """As `/term/{term}/events`, of the entity's latest score at or before `as_of`."""
    yield from _events(told, deferring)


def _events(told: ExplanationStream, deferring: Deferring) -> Iterator[ServerSentEvent]:
    for sentence in told:
        # In between a comment: it is at what is sent that one who has left is noticed.
        yield (
            ServerSentEvent(comment="")
            if sentence is None
            else ServerSentEvent(event="sentence", data={"text": sentence})
        )
    assert told.explanation is not None
    yield ServerSentEvent(event="explanation", data=deferring.shown(told.explanation))


def _stored(warehouse: WarehouseOf, entity_id: str, as_of: AsOf) -> dict[str, Any]:
    # Given back before a model is asked: an answer takes seconds, and connections are few.
    with glancing(warehouse) as view:
        clocks = Clocks.of(as_of, None, view.settled)
        row = queries.latest_score(view.connection, entity_id, _NO_MODELS, clocks.as_of, clocks.known_as_of)
    if row is None:
        raise not_found(f"score as of {clocks.as_of.isoformat()}", entity_id)
    return row
