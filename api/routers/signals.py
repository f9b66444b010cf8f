"""Signal events as they could have been known at a moment."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
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
    Start,
    Viewing,
    WarehouseOf,
    glancing,
    reads,
)
from ..formats import BULK_RESPONSES, FormatOf, Origin, StreamFormatOf, answer_rows, answer_stream, arrow_schema, forms
from ..names import EventId
from ..paging import pinned_moment
from ..pointintime import Basis, Clocks, choose_basis, choose_definitions, revisions_available, signals_page
from ..problems import not_found, responses
from ..reading import Router
from ..schemas.base import LatencyModelName
from ..schemas.evidence import SignalEvent, SignalMeta, SignalPage, SignalRevisions

router = Router(prefix="/signals", tags=["signals"], dependencies=[require_tier("free")])
_READS = reads("iald_signals", "documents")

LatencyModelParameter = Annotated[
    str | None,
    Query(
        max_length=200,
        description="Latency model by hash or name. Default: the availability basis of the definitions, else the "
        "newest stored; the answer says which.",
        examples=["default"],
    ),
]


def _meta(
    limit: int, following: str | None, clocks: Clocks, basis: Basis | None, definitions: str | None
) -> SignalMeta:
    named = LatencyModelName(hash=basis.model.hash, name=basis.name, chosen_by=basis.chosen_by) if basis else None
    return SignalMeta(
        limit=limit,
        next_cursor=following,
        as_of=clocks.as_of,
        known_as_of=clocks.known_as_of,
        latency_model=named,
        definitions_hash=definitions,
    )


def _origin(meta: SignalMeta, filters: Mapping[str, Any]) -> Origin:
    facts = {"as_of": meta.as_of, "known_as_of": meta.known_as_of, "definitions_hash": meta.definitions_hash}
    model = meta.latency_model.hash if meta.latency_model else None
    asked = {name: value for name, value in filters.items() if name != "definitions"}
    return Origin(f"signals_{filters.get('entity_id') or 'all'}", facts | {"latency_model_hash": model} | asked)


@router.get(
    "", response_model=SignalPage, responses=forms(404, 409), openapi_extra=_READS, summary="List signal events"
)
def list_signals(
    request: Request,
    view: Viewing,
    form: FormatOf,
    as_of: AsOf = None,
    known_as_of: KnownAsOf = None,
    entity_id: EntityId = None,
    signal_id: Annotated[str | None, Query(max_length=200, examples=["S001"])] = None,
    family: Annotated[str | None, Query(max_length=200, examples=["F01"])] = None,
    start: Start = None,
    end: End = None,
    latency_model: LatencyModelParameter = None,
    definitions: Hash = None,
    order: Order = "desc",
    limit: paging.Limit = 100,
    cursor: paging.CursorText = None,
) -> Response:
    """Exactly the events with available_time at or before `as_of`, by event_time and event_id.

    available_time comes from the latency model over all inputs of the event. An event appears in the latest
    revision that was available, and not at all where that one withdraws it. Events of one set of definitions:
    the one asked for, else the newest that has events. The first page pins both clocks, model and definitions in
    the cursor, so pages neither skip nor repeat while rows are added.
    """
    filters: dict[str, Any] = {
        "entity_id": entity_id,
        "signal_id": signal_id,
        "family": family,
        "start": start,
        "end": end,
        "definitions": definitions,
    }
    asked = paging.question(
        "signals",
        filters | {"as_of": as_of, "known_as_of": known_as_of, "latency_model": latency_model, "order": order},
    )
    after, pins = paging.decode(asked, cursor, (datetime, str, int))
    clocks = Clocks.of(
        pinned_moment(pins, "as_of", as_of), pinned_moment(pins, "known_as_of", known_as_of), view.settled
    )
    chosen = choose_definitions(view.connection, "iald_signals", pins.get("definitions", definitions), clocks)
    basis = choose_basis(view.connection, latency_model, chosen, clocks)
    rows, key = signals_page(
        view.connection,
        filters | {"rules": None if chosen is None else queries.rules_of(view.connection, "iald_signals", chosen)},
        clocks,
        basis,
        after=after,
        descending=order == "desc",
        limit=limit,
    )
    pinned = {"as_of": clocks.as_of, "known_as_of": clocks.known_as_of, "definitions": chosen}
    following = paging.encode(asked, key, pinned) if key else None
    meta = _meta(limit, following, clocks, basis, chosen)
    # A frontier's times are text in its JSON: the schema makes them all of one form.
    shown = [SignalEvent.model_validate(row).model_dump() for row in rows]
    return answer_rows(request, form, SignalEvent, shown, meta, _origin(meta, filters))


@router.get(
    "/export",
    dependencies=[require_feature("bulk_export")],
    response_class=Response,
    responses=BULK_RESPONSES,
    openapi_extra=_READS,
    summary="All signal events, streamed",
)
def export_signals(
    request: Request,
    warehouse: WarehouseOf,
    form: StreamFormatOf,
    as_of: AsOf = None,
    known_as_of: KnownAsOf = None,
    entity_id: EntityId = None,
    signal_id: Annotated[str | None, Query(max_length=200, examples=["S001"])] = None,
    family: Annotated[str | None, Query(max_length=200, examples=["F01"])] = None,
    start: Start = None,
    end: End = None,
    latency_model: LatencyModelParameter = None,
    definitions: Hash = None,
) -> Response:
    """What the list of signal events shows, by event_time and event_id, without pages: read as the caller takes it."""
    filters = {"entity_id": entity_id, "signal_id": signal_id, "family": family, "start": start, "end": end}
    with glancing(warehouse) as view:
        clocks = Clocks.of(as_of, known_as_of, view.settled)
        chosen = choose_definitions(view.connection, "iald_signals", definitions, clocks)
        basis = choose_basis(view.connection, latency_model, chosen, clocks)
        rules = None if chosen is None else queries.rules_of(view.connection, "iald_signals", chosen)

    def pages() -> Iterator[list[dict[str, Any]]]:
        after: tuple[Any, ...] | None = None
        while True:
            with glancing(warehouse) as view:
                found, after = signals_page(
                    view.connection,
                    filters | {"rules": rules},
                    clocks,
                    basis,
                    after=after,
                    descending=False,
                    limit=bulk.ROWS,
                )
            yield [SignalEvent.model_validate(row).model_dump() for row in found]
            if after is None:
                return

    meta = _meta(bulk.ROWS, None, clocks, basis, chosen)
    schema = arrow_schema(SignalEvent)
    return answer_stream(request, form, schema, lambda: bulk.batches(SignalEvent, pages()), _origin(meta, filters))


@router.get(
    "/{event_id}",
    response_model=SignalRevisions,
    responses=responses(404, 409),
    openapi_extra=_READS,
    summary="One signal event with its revisions",
)
def get_signal(
    request: Request,
    view: Viewing,
    event_id: EventId,
    as_of: AsOf = None,
    known_as_of: KnownAsOf = None,
    latency_model: LatencyModelParameter = None,
) -> Response:
    """Every revision of the event that was available at `as_of`, oldest first; withdrawals have `active` false."""
    clocks = Clocks.of(as_of, known_as_of, view.settled)
    found = queries.signal_event_revisions(view.connection, event_id, clocks.known_as_of)
    rule = found[0]["definitions_hash"] if found else ""
    definitions = queries.definitions_of_rule(view.connection, "iald_signals", rule, clocks.known_as_of)
    basis = choose_basis(view.connection, latency_model, definitions, clocks)
    rows = revisions_available(found, clocks, basis)
    if not rows:
        raise not_found(f"signal event as of {clocks.as_of.isoformat()}", event_id)
    data = [SignalEvent.model_validate(row) for row in rows]
    return answer(request, SignalRevisions(data=data, meta=_meta(len(data), None, clocks, basis, definitions)))
