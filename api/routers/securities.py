"""Entities: who they are, with dated tickers and names."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from .. import paging, queries
from ..auth import require_tier
from ..caching import answer
from ..dependencies import Reading, reads
from ..moments import CalendarDay
from ..names import EntityName
from ..problems import not_found, responses
from ..schemas.base import Meta
from ..schemas.evidence import Security, SecurityPage, SecuritySummary

AsOf = Annotated[
    CalendarDay | None,
    Query(
        description="A day in New York: identifiers as they held on it. Without it, all of them.",
        examples=["2022-01-31"],
    ),
]

router = APIRouter(prefix="/market/securities", tags=["market"], dependencies=[require_tier("free")])


@router.get(
    "",
    response_model=SecurityPage,
    responses=responses(),
    openapi_extra=reads("securities", "security_identifiers"),
    summary="List securities",
)
def list_securities(
    request: Request,
    connection: Reading,
    q: Annotated[
        str | None, Query(max_length=100, description="Part of a present or former name or ticker.", examples=["apple"])
    ] = None,
    ticker: Annotated[
        str | None, Query(max_length=200, description="A present or former ticker, exactly.", examples=["AAPL"])
    ] = None,
    cik: Annotated[str | None, Query(pattern="^[0-9]{10}$", examples=["0000320193"])] = None,
    asset_class: Annotated[str | None, Query(max_length=200, examples=["equity"])] = None,
    as_of: AsOf = None,
    limit: paging.Limit = 100,
    cursor: paging.CursorText = None,
) -> Response:
    """Securities by entity_id, as they are now; with `as_of`, who had the ticker or name on that day.

    A ticker passes from one issuer to another: without `as_of` everyone who ever had it is listed.
    """
    filters: dict[str, Any] = {"q": q, "ticker": ticker, "cik": cik, "asset_class": asset_class, "day": as_of}
    asked = paging.question("securities", filters)
    after, _ = paging.decode(asked, cursor, (str,))
    rows = queries.securities_page(connection, filters, after[0] if after else None, limit + 1)
    page, following = paging.cut(rows, limit, asked, ("entity_id",))
    body = SecurityPage(
        data=[SecuritySummary.model_validate(row) for row in page], meta=Meta(limit=limit, next_cursor=following)
    )
    return answer(request, body)


@router.get(
    "/{entity_id}",
    response_model=Security,
    responses=responses(404),
    openapi_extra=reads("securities", "security_identifiers"),
    summary="One security",
)
def get_security(request: Request, connection: Reading, entity_id: EntityName, as_of: AsOf = None) -> Response:
    """One security with its dated identifiers, former ones included; with `as_of`, those that held on that day."""
    row = queries.security(connection, entity_id)
    if row is None:
        raise not_found("security", entity_id)
    found = queries.identifiers(connection, entity_id, as_of)
    primary = [one for one in found if one["kind"] == "ticker" and one["is_primary"] and one["valid_from"] is not None]
    if as_of is not None and primary:
        row = row | {"primary_ticker": primary[0]["value"]}
    return answer(request, Security.model_validate(row | {"identifiers": found}))
