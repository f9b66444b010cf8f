"""Collectors: how each is now, and what it refused."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from .. import paging, queries
from ..auth import require_tier
from ..caching import answer
from ..dependencies import Reading, reads
from ..names import FeedName, Upstream
from ..problems import not_found, responses
from ..schemas.base import Meta
from ..schemas.results import CollectorFreshness, CollectorList, Refusal, RefusalPage

router = APIRouter(prefix="/platform/collectors", tags=["platform"], dependencies=[require_tier("free")])


@router.get(
    "",
    response_model=CollectorList,
    responses=responses(),
    openapi_extra=reads("collector_status", "collector_runs", "quarantined_records", "quarantine_resolutions"),
    summary="List collectors",
)
def list_collectors(request: Request, connection: Reading) -> Response:
    """Every collector that has run: last success and error, whether late, running, hung or dead, what it refused."""
    rows = queries.collectors(connection)
    return answer(request, CollectorList(data=[CollectorFreshness.model_validate(row) for row in rows]))


# A collector's name is its upstream and its feed: edgar/form_8k.
@router.get(
    "/{upstream}/{feed}/quarantine",
    response_model=RefusalPage,
    responses=responses(404),
    openapi_extra=reads("quarantined_records", "quarantine_resolutions", "collector_status"),
    summary="What a collector refused",
)
def list_refusals(
    request: Request,
    connection: Reading,
    upstream: Upstream,
    feed: FeedName,
    open_only: Annotated[bool, Query(alias="open", description="Only what still stands refused.", examples=[True])] = (
        False
    ),
    limit: paging.Limit = 100,
    cursor: paging.CursorText = None,
) -> Response:
    """Refused records with field, expectation and what was found, newest first; and which run read them since."""
    name = f"{upstream}/{feed}"
    if name not in {row["collector"] for row in queries.collectors(connection)}:
        raise not_found("collector", name)
    asked = paging.question("refusals", {"collector": name, "open": open_only})
    after, _ = paging.decode(asked, cursor, (datetime, str))
    rows = queries.refusals_page(connection, name, open_only, after, limit + 1)
    page, following = paging.cut(rows, limit, asked, ("ingest_time", "quarantine_id"))
    body = RefusalPage(
        data=[Refusal.model_validate(row) for row in page], meta=Meta(limit=limit, next_cursor=following)
    )
    return answer(request, body)
