"""Live scores: latest, as of a moment, and their history. A score later than as_of is never shown."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response

from .. import paging, queries
from ..auth import require_tier
from ..caching import answer
from ..dependencies import AsOf, End, Hash, KnownAsOf, Order, Start, Viewing, reads
from ..names import EntityName
from ..paging import pinned_moment
from ..pointintime import Clocks
from ..problems import not_found, responses
from ..schemas.base import ClockMeta
from ..schemas.evidence import Score, ScoreAnswer, ScorePage

router = APIRouter(prefix="/signals/scores", tags=["signals"], dependencies=[require_tier("free")])
_READS = reads("score_samples")


def _models(scoring_model: Hash = None, latency_model: Hash = None, definitions: Hash = None) -> dict[str, Any]:
    return {"scoring_model": scoring_model, "latency_model": latency_model, "definitions": definitions}


Models = Annotated[dict[str, Any], Depends(_models)]


def _meta(limit: int, following: str | None, clocks: Clocks) -> ClockMeta:
    return ClockMeta(limit=limit, next_cursor=following, as_of=clocks.as_of, known_as_of=clocks.known_as_of)


@router.get(
    "/latest", response_model=ScorePage, responses=responses(), openapi_extra=_READS, summary="Latest score per entity"
)
def list_latest_scores(
    request: Request,
    view: Viewing,
    models: Models,
    as_of: AsOf = None,
    known_as_of: KnownAsOf = None,
    limit: paging.Limit = 100,
    cursor: paging.CursorText = None,
) -> Response:
    """The latest score of each entity at or before `as_of`, by entity_id.

    `limit` counts entities walked: a page is shorter where some had no score yet, and `next_cursor` goes on.
    Where several models scored the same moment and none is asked for, the one written last is shown.
    """
    asked = paging.question("scores/latest", models | {"as_of": as_of, "known_as_of": known_as_of})
    after, pins = paging.decode(asked, cursor, (str,))
    clocks = Clocks.of(
        pinned_moment(pins, "as_of", as_of), pinned_moment(pins, "known_as_of", known_as_of), view.settled
    )
    rows, last = queries.latest_scores_page(
        view.connection, models, clocks.as_of, clocks.known_as_of, after[0] if after else None, limit
    )
    pinned = {"as_of": clocks.as_of, "known_as_of": clocks.known_as_of}
    following = paging.encode(asked, (last,), pinned) if last else None
    return answer(
        request, ScorePage(data=[Score.model_validate(row) for row in rows], meta=_meta(limit, following, clocks))
    )


@router.get(
    "/{entity_id}",
    response_model=ScoreAnswer,
    responses=responses(404),
    openapi_extra=_READS,
    summary="Score of one entity as of a moment",
)
def get_score(
    request: Request,
    view: Viewing,
    models: Models,
    entity_id: EntityName,
    as_of: AsOf = None,
    known_as_of: KnownAsOf = None,
) -> Response:
    """The entity's latest score at or before `as_of` with its explanation; 404 where there was none yet."""
    clocks = Clocks.of(as_of, known_as_of, view.settled)
    row = queries.latest_score(view.connection, entity_id, models, clocks.as_of, clocks.known_as_of)
    if row is None:
        raise not_found(f"score as of {clocks.as_of.isoformat()}", entity_id)
    return answer(request, ScoreAnswer(data=Score.model_validate(row), meta=_meta(1, None, clocks)))


@router.get(
    "/{entity_id}/history",
    response_model=ScorePage,
    responses=responses(),
    openapi_extra=_READS,
    summary="Score history of one entity",
)
def list_score_history(
    request: Request,
    view: Viewing,
    models: Models,
    entity_id: EntityName,
    as_of: AsOf = None,
    known_as_of: KnownAsOf = None,
    start: Start = None,
    end: End = None,
    order: Order = "desc",
    limit: paging.Limit = 100,
    cursor: paging.CursorText = None,
) -> Response:
    """Every score of the entity at or before `as_of`, by time and model hashes."""
    filters = models | {"start": start, "end": end}
    asked = paging.question(
        f"scores/{entity_id}/history", filters | {"as_of": as_of, "known_as_of": known_as_of, "order": order}
    )
    after, pins = paging.decode(asked, cursor, (datetime, str, str, str))
    clocks = Clocks.of(
        pinned_moment(pins, "as_of", as_of), pinned_moment(pins, "known_as_of", known_as_of), view.settled
    )
    rows = queries.score_history_page(
        view.connection, entity_id, filters, clocks.as_of, clocks.known_as_of, after, order == "desc", limit + 1
    )
    pinned = {"as_of": clocks.as_of, "known_as_of": clocks.known_as_of}
    page, following = paging.cut(rows, limit, asked, queries.SCORE_KEY, pinned)
    return answer(
        request, ScorePage(data=[Score.model_validate(row) for row in page], meta=_meta(limit, following, clocks))
    )
