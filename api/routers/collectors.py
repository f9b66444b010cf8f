"""Collectors: how each is now, and what it refused."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from fastapi import Query, Request
from fastapi.responses import Response

from .. import paging, queries
from ..auth import require_tier
from ..caching import answer
from ..dependencies import KnownAsOf, Reading, View, Viewing, reads
from ..formats import FormatOf, Origin, answer_rows, forms
from ..names import FeedName, Upstream
from ..paging import pinned_moment
from ..pointintime import known_by
from ..problems import not_found, responses
from ..reading import Router
from ..schemas.base import Meta
from ..schemas.results import CollectorFreshness, CollectorList, CollectorRun, CollectorRunPage, Refusal, RefusalPage

router = Router(prefix="/platform/collectors", tags=["platform"], dependencies=[require_tier("free")])


@router.get(
    "",
    response_model=CollectorList,
    responses=responses(),
    openapi_extra=reads("collector_status", "collector_runs", "quarantined_records", "quarantine_resolutions"),
    summary="List collectors",
)
def list_collectors(request: Request, connection: Reading) -> Response:
    """Every collector that has run: last success and error, whether late, running, hung or dead, what it refused.

    As they are now: of this state no past is kept; what is kept are the runs, `/runs`, and what was refused.
    """
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
    view: Viewing,
    upstream: Upstream,
    feed: FeedName,
    open_only: Annotated[bool, Query(alias="open", description="Only what still stands refused.", examples=[True])] = (
        False
    ),
    known_as_of: KnownAsOf = None,
    limit: paging.Limit = 100,
    cursor: paging.CursorText = None,
) -> Response:
    """Refused records with field, expectation and what was found, newest first; and which run read them since.

    With `known_as_of` as they stood then: open is what no run had read by that moment.
    """
    name = _named(view, upstream, feed)
    asked = paging.question("refusals", {"collector": name, "open": open_only, "known_as_of": known_as_of})
    after, pins = paging.decode(asked, cursor, (datetime, str))
    known = known_by(pinned_moment(pins, "known_as_of", known_as_of), view.settled)
    rows = queries.refusals_page(view.connection, name, open_only, known, after, limit + 1)
    page, following = paging.cut(rows, limit, asked, ("ingest_time", "quarantine_id"), {"known_as_of": known})
    body = RefusalPage(
        data=[Refusal.model_validate(row) for row in page], meta=Meta(limit=limit, next_cursor=following)
    )
    return answer(request, body)


@router.get(
    "/{upstream}/{feed}/runs",
    response_model=CollectorRunPage,
    responses=forms(404),
    openapi_extra=reads("collector_runs", "collector_status"),
    summary="Runs of a collector",
)
def list_collector_runs(
    request: Request,
    view: Viewing,
    form: FormatOf,
    upstream: str,
    feed: str,
    known_as_of: KnownAsOf = None,
    limit: paging.Limit = 100,
    cursor: paging.CursorText = None,
) -> Response:
    """The runs that had ended by `known_as_of`, newest first: what each read, wrote, knew already and refused."""
    name = _named(view, upstream, feed)
    asked = paging.question("collector runs", {"collector": name, "known_as_of": known_as_of})
    after, pins = paging.decode(asked, cursor, (datetime, str))
    known = known_by(pinned_moment(pins, "known_as_of", known_as_of), view.settled)
    rows = queries.collector_runs_page(view.connection, name, known, after, limit + 1)
    page, following = paging.cut(rows, limit, asked, ("finished_at", "collector_run_id"), {"known_as_of": known})
    origin = Origin(f"runs_{upstream}_{feed}", {"known_as_of": known})
    return answer_rows(request, form, CollectorRun, page, Meta(limit=limit, next_cursor=following), origin)


def _named(view: View, upstream: str, feed: str) -> str:
    name = f"{upstream}/{feed}"
    if name not in {row["collector"] for row in queries.collectors(view.connection)}:
        raise not_found("collector", name)
    return name
