"""An entity in the market: its bars, its insiders' trades, its filings, as they could have been known at a moment."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any

from fastapi import Depends, Query, Request
from fastapi.responses import Response
from pydantic import BaseModel

from .. import market, paging
from ..auth import require_tier
from ..dependencies import AsOf, End, Hash, KnownAsOf, Order, Start, View, Viewing, reads
from ..formats import Format, FormatOf, Origin, answer_rows, forms
from ..names import EntityName
from ..paging import pinned_moment
from ..pointintime import Basis, Clocks, choose_basis, choose_definitions
from ..reading import Router
from ..schemas.base import LatencyModelName
from ..schemas.market import Bar, BarPage, Filing, FilingPage, InsiderLine, InsiderPage, MarketMeta
from .signals import LatencyModelParameter

router = Router(prefix="/market/entities", tags=["market"], dependencies=[require_tier("free")])
_READS = reads("raw_records", "documents", "iald_signals")


@dataclass(frozen=True, slots=True)
class _Asked:
    as_of: datetime | None
    known_as_of: datetime | None
    start: datetime | None
    end: datetime | None
    order: str
    latency_model: str | None
    definitions: str | None
    limit: int
    cursor: str | None


async def _asked(
    as_of: AsOf = None,
    known_as_of: KnownAsOf = None,
    start: Start = None,
    end: End = None,
    order: Order = "desc",
    latency_model: LatencyModelParameter = None,
    definitions: Hash = None,
    limit: paging.Limit = 100,
    cursor: paging.CursorText = None,
) -> _Asked:
    return _Asked(as_of, known_as_of, start, end, order, latency_model, definitions, limit, cursor)


AskedOf = Annotated[_Asked, Depends(_asked)]
_Rows = Callable[[list[dict[str, Any]], Clocks, Basis | None], Iterable[dict[str, Any]]]


def _page(
    request: Request,
    view: View,
    form: Format,
    asked: _Asked,
    entity_id: str,
    source: str,
    row: type[BaseModel],
    made: _Rows,
) -> Response:
    names = ("as_of", "known_as_of", "start", "end", "order", "latency_model", "definitions")
    question = paging.question(f"market/{entity_id}/{source}", {name: getattr(asked, name) for name in names})
    after, pins = paging.decode(question, asked.cursor, (datetime, str))
    clocks = Clocks.of(
        pinned_moment(pins, "as_of", asked.as_of), pinned_moment(pins, "known_as_of", asked.known_as_of), view.settled
    )
    chosen = choose_definitions(view.connection, "iald_signals", pins.get("definitions", asked.definitions), clocks)
    basis = choose_basis(view.connection, asked.latency_model, chosen, clocks)
    records, key = market.records_page(
        view.connection,
        entity_id,
        source,
        clocks,
        basis,
        start=asked.start,
        end=asked.end,
        after=None if after is None else (after[0], after[1]),
        descending=asked.order == "desc",
        limit=asked.limit,
    )
    pinned = {"as_of": clocks.as_of, "known_as_of": clocks.known_as_of, "definitions": chosen}
    meta = MarketMeta(
        limit=asked.limit,
        next_cursor=paging.encode(question, key, pinned) if key else None,
        as_of=clocks.as_of,
        known_as_of=clocks.known_as_of,
        latency_model=LatencyModelName(hash=basis.model.hash, name=basis.name, chosen_by=basis.chosen_by)
        if basis
        else None,
        definitions_hash=chosen,
    )
    model = meta.latency_model.hash if meta.latency_model else None
    facts = {"as_of": clocks.as_of, "known_as_of": clocks.known_as_of, "latency_model_hash": model, "source": source}
    rows = list(made(records, clocks, basis))
    return answer_rows(request, form, row, rows, meta, Origin(f"{source}_{entity_id}", facts))


@router.get(
    "/{entity_id}/bars",
    response_model=BarPage,
    responses=forms(404, 409),
    openapi_extra=_READS,
    summary="Bars of an entity",
)
def list_bars(
    request: Request,
    view: Viewing,
    form: FormatOf,
    asked: AskedOf,
    entity_id: EntityName,
    interval: Annotated[market.Interval, Query(description="The length of a bar.", examples=["day"])] = "day",
) -> Response:
    """Bars that were available at `as_of`, as traded: unadjusted, with a split stated at the session it begins with.

    A bar is there once, in the reading that signals are made from; a later correction of the vendor changes nothing
    that was known before it. Reads raw records: an entity of a chain has none.
    """

    def made(records: list[dict[str, Any]], clocks: Clocks, basis: Basis | None) -> Iterable[dict[str, Any]]:
        ratios = market.splits(view.connection, entity_id, clocks, basis)
        return market.bars(records, ratios)

    return _page(request, view, form, asked, entity_id, market.source_of(interval), Bar, made)


@router.get(
    "/{entity_id}/insiders",
    response_model=InsiderPage,
    responses=forms(404, 409),
    openapi_extra=_READS,
    summary="Insiders' trades in an entity",
)
def list_insiders(request: Request, view: Viewing, form: FormatOf, asked: AskedOf, entity_id: EntityName) -> Response:
    """Lines of Forms 3, 4 and 5 that were available at `as_of`, by acceptance; `limit` counts documents."""
    return _page(request, view, form, asked, entity_id, "ownership", InsiderLine,
                 lambda records, *_: market.insider_lines(records))  # fmt: skip


@router.get(
    "/{entity_id}/filings",
    response_model=FilingPage,
    responses=forms(404, 409),
    openapi_extra=_READS,
    summary="Filings of an entity",
)
def list_filings(request: Request, view: Viewing, form: FormatOf, asked: AskedOf, entity_id: EntityName) -> Response:
    """Rows of the filer's list of submissions that were disseminated by `as_of`, by acceptance."""
    return _page(request, view, form, asked, entity_id, "filing_index", Filing,
                 lambda records, *_: market.filings(records))  # fmt: skip
