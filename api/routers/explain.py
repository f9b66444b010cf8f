"""Explanations of terms and scores in plain words: by a model where one can be asked, by a template everywhere."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Request
from fastapi.responses import Response

from signaldelta_assets import llm
from signaldelta_assets.llm import Asker, Gateway, UnknownTermError

from .. import queries
from ..auth import PrincipalOf, require_tier
from ..dependencies import AsOf, WarehouseOf, glancing, reads
from ..pointintime import Clocks
from ..problems import not_found, responses
from ..reading import Router
from ..schemas.explaining import Explanation, ExplanationAnswer, Fact

router = Router(prefix="/platform/explain", tags=["platform"], dependencies=[require_tier("free")])
_MODELS = ("llm_model_routing", "llm_fallback_chain", "llm_usage_log", "tier_entitlements")
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


def _answer(made: llm.Explanation) -> Response:
    shown = Explanation(
        subject=made.facts.subject,
        text=made.text,
        made_by=made.made_by,
        model=made.model if made.made_by == "model" else None,
        why_template=made.why_template,
        facts=[Fact(name=fact.name, text=fact.text) for fact in made.facts.facts],
    )
    # Another answer each time, and by one's own budget: for no cache.
    headers = {"Cache-Control": "no-store"}
    return Response(ExplanationAnswer(data=shown).model_dump_json(), media_type="application/json", headers=headers)


@router.get(
    "/term/{term}",
    response_model=ExplanationAnswer,
    responses=responses(404),
    openapi_extra=reads(*_MODELS),
    summary="A term in plain words",
)
def explain_term(term: str, gateway: GatewayOf, asker: AskerOf) -> Response:
    """A signal (S001), family (F01), chain (CT-01), event type, or a word of a report or a score; 404 for others."""
    try:
        return _answer(llm.explain_term(term, gateway, asker))
    except UnknownTermError:
        raise not_found("term", term[:100]) from None


@router.get(
    "/score/{entity_id}",
    response_model=ExplanationAnswer,
    responses=responses(404),
    openapi_extra=reads("score_samples", *_MODELS),
    summary="A score in plain words",
)
def explain_score(
    warehouse: WarehouseOf, gateway: GatewayOf, asker: AskerOf, entity_id: str, as_of: AsOf = None
) -> Response:
    """The entity's latest score at or before `as_of`, from its stored figures and counterfactuals; 404 without one."""
    # Given back before a model is asked: an answer takes seconds, and connections are few.
    with glancing(warehouse) as view:
        clocks = Clocks.of(as_of, None, view.settled)
        row = queries.latest_score(view.connection, entity_id, _NO_MODELS, clocks.as_of, clocks.known_as_of)
    if row is None:
        raise not_found(f"score as of {clocks.as_of.isoformat()}", entity_id)
    return _answer(llm.explain_score(row, gateway, asker))
