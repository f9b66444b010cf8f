"""Snapshots: what was frozen, with its manifest and its parts. Nothing here ever changes."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from fastapi import Request
from fastapi.responses import FileResponse, Response
from psycopg import Connection

from .. import paging, queries
from ..auth import require_feature, require_tier
from ..caching import answer, answer_bytes
from ..dependencies import End, EntityId, KnownAsOf, Reading, Start, StoreOf, Viewing, reads
from ..files import FILE_RESPONSES, MANIFEST_RESPONSES, names, send, stream_rows
from ..formats import BULK_RESPONSES, StreamFormatOf
from ..grids import Cut
from ..names import FileHash, SnapshotName
from ..paging import pinned_moment
from ..pointintime import known_by
from ..problems import not_found, responses
from ..reading import Router
from ..schemas.base import Meta
from ..schemas.results import Snapshot, SnapshotPage, SnapshotSummary

router = Router(prefix="/backtests/snapshots", tags=["backtests"], dependencies=[require_tier("free")])
_READS = reads("backtest_snapshots")


def _snapshot(connection: Connection[dict[str, Any]], snapshot: str) -> dict[str, Any]:
    row = queries.snapshot(connection, snapshot)
    if row is None:
        raise not_found("snapshot", snapshot)
    return row


@router.get("", response_model=SnapshotPage, responses=responses(), openapi_extra=_READS, summary="List snapshots")
def list_snapshots(
    request: Request,
    view: Viewing,
    known_as_of: KnownAsOf = None,
    limit: paging.Limit = 100,
    cursor: paging.CursorText = None,
) -> Response:
    """Snapshots without their manifests, newest first: those that were frozen by `known_as_of`."""
    asked = paging.question("snapshots", {"known_as_of": known_as_of})
    after, pins = paging.decode(asked, cursor, (datetime, str))
    known = known_by(pinned_moment(pins, "known_as_of", known_as_of), view.settled)
    rows = queries.snapshots_page(view.connection, known, after, limit + 1)
    page, following = paging.cut(rows, limit, asked, ("ingest_time", "snapshot_id"), {"known_as_of": known})
    body = SnapshotPage(
        data=[SnapshotSummary.model_validate(row) for row in page], meta=Meta(limit=limit, next_cursor=following)
    )
    return answer(request, body)


@router.get(
    "/{snapshot}", response_model=Snapshot, responses=responses(404), openapi_extra=_READS, summary="One snapshot"
)
def get_snapshot(request: Request, connection: Reading, snapshot: SnapshotName) -> Response:
    """One snapshot with its manifest, by id or hash."""
    row = _snapshot(connection, snapshot)
    return answer(request, Snapshot.model_validate(row), immutable=True)


@router.get(
    "/{snapshot}/manifest",
    response_class=Response,
    responses=MANIFEST_RESPONSES,
    openapi_extra=_READS,
    summary="Manifest of a snapshot",
)
def get_snapshot_manifest(request: Request, connection: Reading, snapshot: SnapshotName) -> Response:
    """The manifest, byte for byte as it was hashed (RFC 8785 canonical JSON)."""
    row = _snapshot(connection, snapshot)
    return answer_bytes(request, bytes(row["manifest_canonical"]), immutable=True)


@router.get(
    "/{snapshot}/parts/{file_hash}",
    dependencies=[require_feature("bulk_export")],
    response_class=FileResponse,
    responses=FILE_RESPONSES,
    openapi_extra=_READS,
    summary="Download a part",
)
def download_snapshot_part(
    request: Request, connection: Reading, store: StoreOf, snapshot: SnapshotName, file_hash: FileHash
) -> Response:
    """A part of the snapshot by the SHA-256 of its bytes, checked before it is sent; Range is honoured."""
    row = queries.snapshot(connection, snapshot)
    if row is None or not names(row["manifest"], file_hash):
        raise not_found("snapshot part", f"{snapshot}/{file_hash}")
    return send(request, store, file_hash, f"{file_hash}.parquet", "application/vnd.apache.parquet")


@router.get(
    "/{snapshot}/parts/{file_hash}/rows",
    dependencies=[require_feature("bulk_export")],
    response_class=Response,
    responses=BULK_RESPONSES,
    openapi_extra=_READS,
    summary="Rows of a part, streamed",
)
def stream_snapshot_part(
    request: Request,
    connection: Reading,
    store: StoreOf,
    form: StreamFormatOf,
    snapshot: str,
    file_hash: str,
    entity_id: EntityId = None,
    start: Start = None,
    end: End = None,
) -> Response:
    """The rows of a part: all of them, or of one entity, or of a stretch of event_time. A part never changes."""
    row = queries.snapshot(connection, snapshot)
    if row is None or not names(row["manifest"], file_hash):
        raise not_found("snapshot part", f"{snapshot}/{file_hash}")
    facts = {name: row[name] for name in ("snapshot_hash", "as_of", "definitions_hash")}
    name = f"part_{row['snapshot_id']}_{file_hash[:12]}"
    return stream_rows(request, store, form, file_hash, Cut(entity_id, start, end), name, facts)
