"""Entities: who they are, with dated tickers and names."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Query, Request
from fastapi.responses import Response

from .. import paging, queries
from ..auth import require_tier
from ..caching import answer
from ..dependencies import KnownAsOf, Viewing, reads
from ..formats import FormatOf, Origin, answer_rows, forms
from ..moments import CalendarDay
from ..names import EntityName
from ..paging import pinned_moment
from ..pointintime import known_by
from ..problems import not_found, responses
from ..reading import Router
from ..schemas.base import Meta
from ..schemas.evidence import Security, SecurityPage, SecuritySummary

AsOf = Annotated[
    CalendarDay | None,
    Query(
        description="A day in New York: identifiers as they held on it. Without it, all of them.",
        examples=["2022-01-31"],
    ),
]

router = Router(prefix="/market/securities", tags=["market"], dependencies=[require_tier("free")])


@router.get(
    "",
    response_model=SecurityPage,
    responses=forms(),
    openapi_extra=reads("securities", "security_identifiers"),
    summary="List securities",
)
def list_securities(
    request: Request,
    view: Viewing,
    form: FormatOf,
    q: Annotated[
        str | None, Query(max_length=100, description="Part of a present or former name or ticker.", examples=["apple"])
    ] = None,
    ticker: Annotated[
        str | None, Query(max_length=200, description="A present or former ticker, exactly.", examples=["AAPL"])
    ] = None,
    cik: Annotated[str | None, Query(pattern="^[0-9]{10}$", examples=["0000320193"])] = None,
    asset_class: Annotated[str | None, Query(max_length=200, examples=["equity"])] = None,
    as_of: AsOf = None,
    known_as_of: KnownAsOf = None,
    limit: paging.Limit = 100,
    cursor: paging.CursorText = None,
) -> Response:
    """Securities by entity_id, as they are now; with `as_of`, who had the ticker or name on that day.

    A ticker passes from one issuer to another: without `as_of` everyone who ever had it is listed. Names, tickers and
    the days of listing are then those of the day; what the sources do not date (SIC code, fiscal year) has no past.
    """
    filters: dict[str, Any] = {"q": q, "ticker": ticker, "cik": cik, "asset_class": asset_class, "day": as_of}
    asked = paging.question("securities", filters | {"known_as_of": known_as_of})
    after, pins = paging.decode(asked, cursor, (str,))
    known = known_by(pinned_moment(pins, "known_as_of", known_as_of), view.settled)
    rows = queries.securities_page(view.connection, filters, known, after[0] if after else None, limit + 1)
    page, following = paging.cut(rows, limit, asked, ("entity_id",), {"known_as_of": known})
    shown = [dict(row) for row in page]
    if as_of is not None:
        held = queries.identifiers(view.connection, [row["entity_id"] for row in page], known, as_of)
        shown = [queries.as_of_day(row, held.get(row["entity_id"], []), as_of) for row in shown]
    meta, facts = Meta(limit=limit, next_cursor=following), {"day": as_of and str(as_of), "known_as_of": known}
    return answer_rows(request, form, SecuritySummary, shown, meta, Origin("securities", facts))


@router.get(
    "/{entity_id}",
    response_model=Security,
    responses=responses(404),
    openapi_extra=reads("securities", "security_identifiers"),
    summary="One security",
)
def get_security(
    request: Request, view: Viewing, entity_id: EntityName, as_of: AsOf = None, known_as_of: KnownAsOf = None
) -> Response:
    """One security with its dated identifiers, former ones included; with `as_of`, those that held on that day."""
    row = queries.security(view.connection, entity_id)
    known = known_by(known_as_of, view.settled)
    if row is None or row["first_seen_at"] > known:
        raise not_found("security", entity_id)
    found = queries.identifiers(view.connection, [entity_id], known, as_of).get(entity_id, [])
    if as_of is not None:
        row = queries.as_of_day(row, found, as_of)
    return answer(request, Security.model_validate(row | {"identifiers": found}))
