"""Live scores: latest, as of a moment, and their history. A score later than as_of is never shown."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from datetime import datetime
from typing import Annotated, Any

from fastapi import Depends, Header, Query, Request
from fastapi.responses import Response
from fastapi.sse import EventSourceResponse, ServerSentEvent

from .. import bulk, paging, queries
from ..auth import PrincipalOf, require_feature, require_tier
from ..dependencies import (
    Asking,
    AsOf,
    End,
    EntityId,
    Hash,
    KnownAsOf,
    Order,
    SettledOf,
    Start,
    View,
    WarehouseOf,
    reads,
)
from ..formats import (
    BULK_RESPONSES,
    JSON,
    FormatOf,
    Origin,
    PageName,
    StreamFormatOf,
    answer_rows,
    answer_shown,
    answer_stream,
    arrow_schema,
    forms,
    page_format,
)
from ..live import Feed
from ..livescores import MOST_ENTITIES, Found, Question
from ..names import LONGEST, PLAIN, EntityName
from ..paging import pinned_moment
from ..pointintime import Clocks
from ..problems import bad_parameter, not_found, responses
from ..reading import Router
from ..schemas.base import ClockMeta
from ..schemas.evidence import Score, ScoreAnswer, ScorePage
from ..together import Together

router = Router(prefix="/signals/scores", tags=["signals"], dependencies=[require_tier("free")])
_READS = reads("score_samples")
_COLUMNS = queries.SCORE_COLUMNS


def _named(scoring_model: str | None, latency_model: str | None, definitions: str | None) -> dict[str, Any]:
    return {"scoring_model": scoring_model, "latency_model": latency_model, "definitions": definitions}


# The two routes that are asked most have these parameters as their own: a dependency takes longer than a parameter.
async def _models(scoring_model: Hash = None, latency_model: Hash = None, definitions: Hash = None) -> dict[str, Any]:
    return _named(scoring_model, latency_model, definitions)


Models = Annotated[dict[str, Any], Depends(_models)]


def _meta(limit: int, following: str | None, clocks: Clocks) -> ClockMeta:
    return ClockMeta(limit=limit, next_cursor=following, as_of=clocks.as_of, known_as_of=clocks.known_as_of)


def _origin(name: str, clocks: Clocks, filters: Mapping[str, Any]) -> Origin:
    return Origin(name, {"as_of": clocks.as_of, "known_as_of": clocks.known_as_of, **filters})


@router.get(
    "/latest",
    response_model=ScorePage,
    responses=forms(),
    openapi_extra=_READS,
    summary="Latest score per entity",
)
def list_latest_scores(
    request: Request,
    connection: Asking,
    settled: SettledOf,
    form: FormatOf,
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
    clocks = Clocks.of(pinned_moment(pins, "as_of", as_of), pinned_moment(pins, "known_as_of", known_as_of), settled)
    rows, last = queries.latest_scores_page(
        connection, models, clocks.as_of, clocks.known_as_of, after[0] if after else None, limit, _COLUMNS
    )
    pinned = {"as_of": clocks.as_of, "known_as_of": clocks.known_as_of}
    following = paging.encode(asked, (last,), pinned) if last else None
    origin = _origin("scores_latest", clocks, models)
    meta = _meta(limit, following, clocks)
    return answer_rows(request, form, Score, rows, meta, origin, json_text=queries.SCORE_JSON)


@router.get(
    "/export",
    dependencies=[require_feature("bulk_export")],
    response_class=Response,
    responses=BULK_RESPONSES,
    openapi_extra=_READS,
    summary="All scores, streamed",
)
def export_scores(
    request: Request,
    warehouse: WarehouseOf,
    form: StreamFormatOf,
    models: Models,
    as_of: AsOf = None,
    known_as_of: KnownAsOf = None,
    entity_id: EntityId = None,
    start: Start = None,
    end: End = None,
) -> Response:
    """Every score at or before `as_of`, of one entity or of all, by entity, time and model hashes, without pages.

    Read a few thousand rows at a time as the caller takes them; all of them as of the two clocks of the beginning.
    """
    filters = models | {"entity_id": entity_id, "start": start, "end": end}
    clocks = Clocks.of(as_of, known_as_of, warehouse.settled())

    def page(view: View, after: bulk.Key | None, limit: int) -> list[bulk.Row]:
        return queries.scores_page(view.connection, filters, clocks.as_of, clocks.known_as_of, after, limit)

    def rows() -> Any:
        return bulk.batches(Score, bulk.pages(warehouse, page, ("entity_id", *queries.SCORE_KEY)))

    origin = _origin(f"scores_{entity_id or 'all'}", clocks, filters)
    return answer_stream(request, form, arrow_schema(Score), rows, origin)


def _feed(request: Request) -> Feed:
    feed: Feed = request.app.state.scores
    return feed


LastEventId = Annotated[
    str | None,
    Header(
        alias="Last-Event-ID",
        max_length=2000,
        pattern=PLAIN,
        description="The id of the last event seen.",
        examples=["3f" * 8],
    ),
]


async def _feed_of_one(request: Request, principal: PrincipalOf, entity_id: EntityName) -> AsyncIterator[Feed]:
    with _feed(request).room(entity_id, caller=principal.user_id):
        yield _feed(request)


async def _entities(
    entities: Annotated[
        str,
        Query(
            pattern=r"[^,\s]",
            description=f"Whom to follow: entity ids with commas between, at most {MOST_ENTITIES}.",
            examples=["0000320193,0000789019"],
        ),
    ],
) -> list[str]:
    found = list(dict.fromkeys(one.strip() for one in entities.split(",") if one.strip()))
    if not 0 < len(found) <= MOST_ENTITIES or any(len(one) > LONGEST for one in found):
        expected = f"1 to {MOST_ENTITIES} entity ids with commas between, of at most {LONGEST} characters"
        raise bad_parameter("entities", expected, entities)
    return found


EntitiesOf = Annotated[list[str], Depends(_entities)]


async def _feed_of_some(request: Request, principal: PrincipalOf, entities: EntitiesOf) -> AsyncIterator[Feed]:
    with _feed(request).room(*entities, caller=principal.user_id):
        yield _feed(request)


@router.get(
    "/events",
    response_class=EventSourceResponse,
    responses=responses(),
    openapi_extra=_READS,
    summary="Live scores of some entities",
)
async def follow_scores(
    feed: Annotated[Feed, Depends(_feed_of_some)], entities: EntitiesOf, last_event_id: LastEventId = None
) -> AsyncIterator[ServerSentEvent]:
    """The latest score of each entity now, and each new one within about a second, as server-sent events `score`.

    A stream ends after a minute: come again with the last id (browsers do) and be told only what is new. The state
    now, not its past: scores as of a moment are `/signals/scores/latest`.
    """
    async for event in feed.follow_all(entities, last_event_id):
        yield event


@router.get(
    "/{entity_id}/events",
    response_class=EventSourceResponse,
    responses=responses(),
    openapi_extra=_READS,
    summary="Live scores of one entity",
)
async def follow_score(
    feed: Annotated[Feed, Depends(_feed_of_one)], entity_id: EntityName, last_event_id: LastEventId = None
) -> AsyncIterator[ServerSentEvent]:
    """The entity's latest score now, if it has one, and each new one, as server-sent events `score`."""
    async for event in feed.follow(entity_id, last_event_id):
        yield event


@router.get(
    "/{entity_id}",
    response_model=ScoreAnswer,
    responses=forms(404),
    openapi_extra=_READS,
    summary="Score of one entity as of a moment",
)
async def get_score(
    request: Request,
    entity_id: EntityName,
    as_of: AsOf = None,
    known_as_of: KnownAsOf = None,
    scoring_model: Hash = None,
    latency_model: Hash = None,
    definitions: Hash = None,
    format: PageName = None,
) -> Response:
    """The entity's latest score at or before `as_of` with its explanation; 404 where there was none yet."""
    form, models = page_format(request, format), _named(scoring_model, latency_model, definitions)
    latest: Together[Question, Found] = request.app.state.latest_scores
    found = await latest.ask(Question(entity_id, as_of, known_as_of, tuple(models.items())))
    if found.shown is None:
        raise not_found(f"score as of {found.clocks.as_of.isoformat()}", entity_id)
    meta = _meta(1, None, found.clocks)
    if form == JSON:
        return answer_shown(request, [found.shown], meta, one=True)
    row = Score.model_validate_json(found.shown).model_dump()
    return answer_rows(request, form, Score, [row], meta, _origin(f"score_{entity_id}", found.clocks, models))


@router.get(
    "/{entity_id}/history",
    response_model=ScorePage,
    responses=forms(),
    openapi_extra=_READS,
    summary="Score history of one entity",
)
def list_score_history(
    request: Request,
    connection: Asking,
    settled: SettledOf,
    entity_id: EntityName,
    as_of: AsOf = None,
    known_as_of: KnownAsOf = None,
    scoring_model: Hash = None,
    latency_model: Hash = None,
    definitions: Hash = None,
    start: Start = None,
    end: End = None,
    order: Order = "desc",
    limit: paging.Limit = 100,
    cursor: paging.CursorText = None,
    format: PageName = None,
) -> Response:
    """Every score of the entity at or before `as_of`, by time and model hashes."""
    form, models = page_format(request, format), _named(scoring_model, latency_model, definitions)
    filters = models | {"start": start, "end": end}
    asked = paging.question(
        f"scores/{entity_id}/history", filters | {"as_of": as_of, "known_as_of": known_as_of, "order": order}
    )
    after, pins = paging.decode(asked, cursor, (datetime, str, str, str))
    clocks = Clocks.of(pinned_moment(pins, "as_of", as_of), pinned_moment(pins, "known_as_of", known_as_of), settled)
    # As JSON the database writes each row; only of the last one the key is needed.
    columns = queries.SCORE_SHOWN if form == JSON else queries.SCORE_COLUMNS
    rows = queries.score_history_page(
        connection,
        entity_id,
        filters,
        clocks.as_of,
        clocks.known_as_of,
        after,
        order == "desc",
        limit + 1,
        columns,
    )
    pinned = {"as_of": clocks.as_of, "known_as_of": clocks.known_as_of}
    if form == JSON and len(rows) > limit:
        rows[limit - 1] |= queries.key_of_shown(rows[limit - 1]["shown"])
    page, following = paging.cut(rows, limit, asked, queries.SCORE_KEY, pinned)
    meta = _meta(limit, following, clocks)
    if form == JSON:
        return answer_shown(request, [row["shown"] for row in page], meta)
    return answer_rows(request, form, Score, page, meta, _origin(f"scores_{entity_id}", clocks, filters))
