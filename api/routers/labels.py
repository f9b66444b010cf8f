"""The ground truth: labels as they were known at a moment, their coverage, and the minimum of them."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from fastapi import Query, Request
from fastapi.responses import Response

from .. import bulk, paging, queries
from ..auth import require_feature, require_tier
from ..caching import answer
from ..dependencies import (
    AsOf,
    End,
    EntityId,
    Hash,
    KnownAsOf,
    Order,
    Reading,
    Start,
    View,
    Viewing,
    WarehouseOf,
    glancing,
    reads,
)
from ..formats import BULK_RESPONSES, FormatOf, Origin, StreamFormatOf, answer_rows, answer_stream, arrow_schema, forms
from ..names import LabelId
from ..paging import pinned_moment
from ..pointintime import Clocks, choose_definitions
from ..problems import not_found, responses
from ..reading import Router
from ..schemas.base import ClockMeta, Meta
from ..schemas.evidence import (
    CoverageCell,
    CoveragePage,
    Label,
    LabelAnswer,
    LabelEntities,
    LabelEntitiesPage,
    LabelMeta,
    LabelMinimum,
    LabelMinimumPage,
    LabelPage,
)

router = Router(prefix="/labels", tags=["labels"], dependencies=[require_tier("free")])
_READS = reads("labeled_events", "documents")
EventType = Annotated[str | None, Query(max_length=200, examples=["EARNINGS_SURPRISE"])]


_FACTS = ("event_type", "entity_id", "start", "end")


@router.get("", response_model=LabelPage, responses=forms(), openapi_extra=_READS, summary="List labels")
def list_labels(
    request: Request,
    view: Viewing,
    form: FormatOf,
    as_of: AsOf = None,
    known_as_of: KnownAsOf = None,
    event_type: EventType = None,
    entity_id: EntityId = None,
    start: Start = None,
    end: End = None,
    definitions: Hash = None,
    order: Order = "desc",
    limit: paging.Limit = 100,
    cursor: paging.CursorText = None,
) -> Response:
    """Exactly the labels with known_at at or before `as_of`, each in the latest revision known then."""
    filters: dict[str, Any] = {
        "event_type": event_type,
        "entity_id": entity_id,
        "start": start,
        "end": end,
        "definitions": definitions,
    }
    asked = paging.question("labels", filters | {"as_of": as_of, "known_as_of": known_as_of, "order": order})
    after, pins = paging.decode(asked, cursor, (datetime, str))
    clocks = Clocks.of(
        pinned_moment(pins, "as_of", as_of), pinned_moment(pins, "known_as_of", known_as_of), view.settled
    )
    chosen = choose_definitions(view.connection, "labeled_events", pins.get("definitions", definitions), clocks)
    rows = queries.labels_page(
        view.connection,
        filters | {"rules": None if chosen is None else queries.rules_of(view.connection, "labeled_events", chosen)},
        clocks.as_of,
        clocks.known_as_of,
        after,
        order == "desc",
        limit + 1,
    )
    pinned = {"as_of": clocks.as_of, "known_as_of": clocks.known_as_of, "definitions": chosen}
    page, following = paging.cut(rows, limit, asked, ("event_time", "label_id"), pinned)
    meta = LabelMeta(
        limit=limit,
        next_cursor=following,
        as_of=clocks.as_of,
        known_as_of=clocks.known_as_of,
        definitions_hash=chosen,
    )
    origin = Origin(f"labels_{event_type or 'all'}", dict(meta) | {name: filters[name] for name in _FACTS})
    return answer_rows(request, form, Label, page, meta, origin)


@router.get(
    "/export",
    dependencies=[require_feature("bulk_export")],
    response_class=Response,
    responses=BULK_RESPONSES,
    openapi_extra=_READS,
    summary="All labels, streamed",
)
def export_labels(
    request: Request,
    warehouse: WarehouseOf,
    form: StreamFormatOf,
    as_of: AsOf = None,
    known_as_of: KnownAsOf = None,
    event_type: EventType = None,
    entity_id: EntityId = None,
    start: Start = None,
    end: End = None,
    definitions: Hash = None,
) -> Response:
    """What the list of labels shows, by event_time and label_id, without pages: read as the caller takes it."""
    filters = {"event_type": event_type, "entity_id": entity_id, "start": start, "end": end}
    with glancing(warehouse) as view:
        clocks = Clocks.of(as_of, known_as_of, view.settled)
        chosen = choose_definitions(view.connection, "labeled_events", definitions, clocks)
        rules = None if chosen is None else queries.rules_of(view.connection, "labeled_events", chosen)

    def page(view: View, after: bulk.Key | None, limit: int) -> list[bulk.Row]:
        asked = filters | {"rules": rules}
        return queries.labels_page(view.connection, asked, clocks.as_of, clocks.known_as_of, after, False, limit)

    def rows() -> Any:
        return bulk.batches(Label, bulk.pages(warehouse, page, ("event_time", "label_id")))

    facts = {"as_of": clocks.as_of, "known_as_of": clocks.known_as_of, "definitions_hash": chosen} | filters
    return answer_stream(request, form, arrow_schema(Label), rows, Origin(f"labels_{event_type or 'all'}", facts))


@router.get(
    "/coverage",
    response_model=CoveragePage,
    responses=responses(),
    openapi_extra=reads("marts.mart_label_coverage", "documents"),
    summary="Label coverage",
)
def list_label_coverage(
    request: Request,
    connection: Reading,
    event_type: EventType = None,
    asset_class: Annotated[str | None, Query(max_length=200, examples=["equity"])] = None,
    definitions: Hash = None,
    limit: paging.Limit = 100,
    cursor: paging.CursorText = None,
) -> Response:
    """Labels per type, month and asset class; below 30 a cell or type is insufficient for evaluation.

    Read from the mart of the last dbt build: no point-in-time question.
    """
    filters = {"event_type": event_type, "asset_class": asset_class, "definitions": definitions}
    asked = paging.question("labels/coverage", filters)
    after, _ = paging.decode(asked, cursor, (str, str, str, str))
    rules = None if definitions is None else queries.rules_of(connection, "labeled_events", definitions)
    rows = queries.label_coverage(connection, filters | {"rules": rules}, after, limit + 1)
    page, following = paging.cut(rows, limit, asked, ("event_type", "month", "asset_class", "definitions_hash"))
    body = CoveragePage(
        data=[CoverageCell.model_validate(row) for row in page], meta=Meta(limit=limit, next_cursor=following)
    )
    return answer(request, body)


@router.get(
    "/coverage/entities",
    response_model=LabelEntitiesPage,
    responses=responses(),
    openapi_extra=reads("marts.mart_label_entities", "documents"),
    summary="Label coverage by entity",
)
def list_label_entities(
    request: Request,
    connection: Reading,
    event_type: EventType = None,
    entity_id: EntityId = None,
    definitions: Hash = None,
    limit: paging.Limit = 100,
    cursor: paging.CursorText = None,
) -> Response:
    """Labels per type and entity with their share of the type: one entity with most of them is seen here.

    Read from the mart of the last dbt build: no point-in-time question.
    """
    filters = {"event_type": event_type, "entity_id": entity_id, "definitions": definitions}
    asked = paging.question("labels/coverage/entities", filters)
    after, _ = paging.decode(asked, cursor, (str, str, str))
    rules = None if definitions is None else queries.rules_of(connection, "labeled_events", definitions)
    rows = queries.label_entities(connection, filters | {"rules": rules}, after, limit + 1)
    page, following = paging.cut(rows, limit, asked, ("event_type", "entity_id", "definitions_hash"))
    body = LabelEntitiesPage(
        data=[LabelEntities.model_validate(row) for row in page], meta=Meta(limit=limit, next_cursor=following)
    )
    return answer(request, body)


@router.get(
    "/minimum",
    response_model=LabelMinimumPage,
    responses=responses(),
    openapi_extra=reads("marts.mart_label_minimum"),
    summary="Minimum viable dataset",
)
def list_label_minimum(request: Request, connection: Reading, definitions: Hash = None) -> Response:
    """The labels of each asset class beside the minimum viable dataset, from the mart of the last dbt build."""
    rows = queries.label_minimum(connection, definitions)
    body = LabelMinimumPage(
        data=[LabelMinimum.model_validate(row) for row in rows], meta=Meta(limit=len(rows), next_cursor=None)
    )
    return answer(request, body)


@router.get(
    "/{label_id}",
    response_model=LabelAnswer,
    responses=responses(404),
    openapi_extra=_READS,
    summary="One label",
)
def get_label(
    request: Request, view: Viewing, label_id: LabelId, as_of: AsOf = None, known_as_of: KnownAsOf = None
) -> Response:
    """One label as it was known at `as_of`; 404 where it was not known yet, or withdrawn."""
    clocks = Clocks.of(as_of, known_as_of, view.settled)
    row = queries.label(view.connection, label_id, clocks.as_of, clocks.known_as_of)
    if row is None:
        raise not_found(f"label as of {clocks.as_of.isoformat()}", label_id)
    meta = ClockMeta(limit=1, next_cursor=None, as_of=clocks.as_of, known_as_of=clocks.known_as_of)
    return answer(request, LabelAnswer(data=Label.model_validate(row), meta=meta))
