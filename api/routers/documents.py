"""Immutable documents: definitions, models, protocols, environments, specs, by their hash."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from fastapi import Query, Request
from fastapi.responses import Response

from .. import paging, queries
from ..auth import require_tier
from ..caching import answer, answer_bytes
from ..dependencies import KnownAsOf, Reading, Viewing, reads
from ..files import MANIFEST_RESPONSES
from ..names import DocumentHash
from ..paging import pinned_moment
from ..pointintime import known_by
from ..problems import not_found, responses
from ..reading import Router
from ..schemas.base import Meta
from ..schemas.results import DocumentPage, DocumentSummary

router = Router(prefix="/backtests/documents", tags=["backtests"], dependencies=[require_tier("free")])
_READS = reads("documents")
Kind = Literal[
    "signal_definitions", "scoring_model", "latency_model", "evaluation_protocol", "environment", "backtest_spec"
]


@router.get("", response_model=DocumentPage, responses=responses(), openapi_extra=_READS, summary="List documents")
def list_documents(
    request: Request,
    view: Viewing,
    kind: Annotated[Kind | None, Query(examples=["latency_model"])] = None,
    known_as_of: KnownAsOf = None,
    limit: paging.Limit = 100,
    cursor: paging.CursorText = None,
) -> Response:
    """Documents without their content, newest first: those that were stored by `known_as_of`."""
    asked = paging.question("documents", {"kind": kind, "known_as_of": known_as_of})
    after, pins = paging.decode(asked, cursor, (datetime, str))
    known = known_by(pinned_moment(pins, "known_as_of", known_as_of), view.settled)
    rows = queries.documents_page(view.connection, kind, known, after, limit + 1)
    page, following = paging.cut(rows, limit, asked, ("ingest_time", "document_hash"), {"known_as_of": known})
    body = DocumentPage(
        data=[DocumentSummary.model_validate(row) for row in page],
        meta=Meta(limit=limit, next_cursor=following),
    )
    return answer(request, body)


@router.get(
    "/{document_hash}",
    response_class=Response,
    responses=MANIFEST_RESPONSES,
    openapi_extra=_READS,
    summary="One document",
)
def get_document(request: Request, connection: Reading, document_hash: DocumentHash) -> Response:
    """The canonical JSON (RFC 8785) whose SHA-256 is the document's name."""
    row = queries.document(connection, document_hash)
    if row is None:
        raise not_found("document", document_hash)
    return answer_bytes(request, bytes(row["canonical"]), immutable=True, etag=row["document_hash"])
