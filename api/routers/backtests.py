"""Backtests: runs, figures, alerts, manifests and files, and the leaderboard. A run never changes."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal

from fastapi import Query, Request
from fastapi.responses import FileResponse, Response
from psycopg import Connection

from .. import paging, queries
from ..auth import require_feature, require_tier
from ..caching import answer, answer_bytes
from ..dependencies import End, EntityId, Hash, KnownAsOf, Reading, ReportsOf, Start, StoreOf, Viewing, reads
from ..files import FILE_RESPONSES, MANIFEST_RESPONSES, REPORT_RESPONSES, send, stream_rows
from ..formats import BULK_RESPONSES, FormatOf, Origin, StreamFormatOf, answer_rows, forms
from ..grids import Cut
from ..names import FileName, RunName
from ..paging import pinned_moment
from ..pointintime import known_by
from ..problems import not_found, responses
from ..reading import Router
from ..schemas.base import Meta
from ..schemas.results import (
    Alert,
    AlertPage,
    Figure,
    FigureList,
    LeaderboardPage,
    LeaderboardRow,
    Run,
    RunPage,
    RunSummary,
)

router = Router(prefix="/backtests", tags=["backtests"], dependencies=[require_tier("free")])
_READS = reads("backtest_runs", "backtest_artifacts")
# What a run's rows are a function of, told with them.
_NAMED = ("run_hash", "scoring_model_hash", "latency_model_hash", "protocol_hash", "definitions_hash", "snapshot_id")
Family = Annotated[str | None, Query(max_length=200, examples=["insider-buys"])]
Evidence = Annotated[
    str | None, Query(max_length=200, description="Which evidence counted.", examples=["all_evidence"])
]
Slice = Annotated[
    str | None, Query(max_length=200, description="What the figures are divided by.", examples=["event_type"])
]


def _run(connection: Connection[dict[str, Any]], run: str) -> dict[str, Any]:
    row = queries.run(connection, run)
    if row is None:
        raise not_found("backtest run", run)
    return row


@router.get("", response_model=RunPage, responses=responses(), openapi_extra=_READS, summary="List runs")
def list_runs(
    request: Request,
    view: Viewing,
    hypothesis_family: Family = None,
    snapshot_id: Annotated[str | None, Query(max_length=200, examples=["01HZFNS0V0QJ5Y8T1J3M8Z6K4D"])] = None,
    status: Annotated[Literal["complete", "insufficient"] | None, Query(examples=["complete"])] = None,
    known_as_of: KnownAsOf = None,
    limit: paging.Limit = 100,
    cursor: paging.CursorText = None,
) -> Response:
    """Runs without their documents, newest first: those that were kept by `known_as_of`."""
    filters = {"hypothesis_family": hypothesis_family, "snapshot_id": snapshot_id, "status": status}
    asked = paging.question("backtests", filters | {"known_as_of": known_as_of})
    after, pins = paging.decode(asked, cursor, (datetime, str))
    known = known_by(pinned_moment(pins, "known_as_of", known_as_of), view.settled)
    rows = queries.runs_page(view.connection, filters, known, after, limit + 1)
    page, following = paging.cut(rows, limit, asked, ("ingest_time", "run_id"), {"known_as_of": known})
    body = RunPage(data=[RunSummary.model_validate(row) for row in page], meta=Meta(limit=limit, next_cursor=following))
    return answer(request, body)


@router.get(
    "/leaderboard",
    response_model=LeaderboardPage,
    responses=responses(),
    openapi_extra=reads("marts.mart_backtest_leaderboard"),
    summary="Leaderboard of one metric",
)
def list_leaderboard(
    request: Request,
    connection: Reading,
    metric: Annotated[str, Query(max_length=200, examples=["auc"])] = "auc",
    evidence: Evidence = None,
    slice_kind: Slice = None,
    hypothesis_family: Family = None,
    snapshot_hash: Hash = None,
    limit: paging.Limit = 100,
    cursor: paging.CursorText = None,
) -> Response:
    """One metric over runs with interval, null, base rate and trial number, ranked among comparable runs.

    Read from the mart of the last dbt build.
    """
    filters = {
        "metric": metric,
        "evidence": evidence,
        "slice_kind": slice_kind,
        "hypothesis_family": hypothesis_family,
        "snapshot_hash": snapshot_hash,
    }
    asked = paging.question("backtests/leaderboard", filters)
    after, _ = paging.decode(asked, cursor, (str, str, str, str, str))
    rows = queries.leaderboard(connection, filters, after, limit + 1)
    key = ("rank_key", "run_id", "evidence", "slice_kind", "slice_value")
    page, following = paging.cut(rows, limit, asked, key)
    body = LeaderboardPage(
        data=[LeaderboardRow.model_validate(row) for row in page],
        meta=Meta(limit=limit, next_cursor=following),
    )
    return answer(request, body)


@router.get("/{run}", response_model=Run, responses=responses(404), openapi_extra=_READS, summary="One run")
def get_run(request: Request, connection: Reading, run: RunName) -> Response:
    """One run by id or hash, with its evaluation and its files."""
    row = _run(connection, run)
    body = Run.model_validate(row | {"artifacts": queries.artifacts(connection, row["run_id"])})
    return answer(request, body, immutable=True)


@router.get(
    "/{run}/metrics",
    response_model=FigureList,
    responses=forms(404),
    openapi_extra=reads("backtest_metrics"),
    summary="Figures of a run",
)
def list_metrics(
    request: Request,
    connection: Reading,
    form: FormatOf,
    run: RunName,
    evidence: Evidence = None,
    slice_kind: Slice = None,
    metric: Annotated[str | None, Query(max_length=200, examples=["auc"])] = None,
) -> Response:
    """Every figure of the run with its interval and null; one that does not exist is null with its reason."""
    filters = {"evidence": evidence, "slice_kind": slice_kind, "metric": metric}
    found = _run(connection, run)
    rows = queries.metrics(connection, found["run_id"], filters)
    origin = Origin(f"metrics_{found['run_id']}", {name: found[name] for name in _NAMED} | filters)
    return answer_rows(request, form, Figure, rows, None, origin, immutable=True)


@router.get(
    "/{run}/alerts",
    response_model=AlertPage,
    responses=forms(404),
    openapi_extra=reads("backtest_alerts"),
    summary="Alerts of a run",
)
def list_alerts(
    request: Request,
    connection: Reading,
    form: FormatOf,
    run: RunName,
    limit: paging.Limit = 100,
    cursor: paging.CursorText = None,
) -> Response:
    """Alert episodes by time, each with the event it matched."""
    found = _run(connection, run)
    run_id = found["run_id"]
    asked = paging.question(f"backtests/{run_id}/alerts", {})
    after, _ = paging.decode(asked, cursor, (datetime, str))
    rows = queries.alerts_page(connection, run_id, after, limit + 1)
    page, following = paging.cut(rows, limit, asked, ("alert_at", "entity_id"))
    origin = Origin(f"alerts_{run_id}", {name: found[name] for name in _NAMED})
    return answer_rows(request, form, Alert, page, Meta(limit=limit, next_cursor=following), origin, immutable=True)


@router.get(
    "/{run}/manifest",
    response_class=Response,
    responses=MANIFEST_RESPONSES,
    openapi_extra=_READS,
    summary="Manifest of a run",
)
def get_run_manifest(request: Request, connection: Reading, run: RunName) -> Response:
    """The manifest, byte for byte as it was hashed (RFC 8785 canonical JSON)."""
    return answer_bytes(request, bytes(_run(connection, run)["manifest_canonical"]), immutable=True)


@router.get(
    "/{run}/report",
    response_class=Response,
    responses=REPORT_RESPONSES,
    openapi_extra=_READS,
    summary="Report of a run",
)
def get_run_report(request: Request, connection: Reading, reports: ReportsOf, run: RunName) -> Response:
    """The run's report as it was last written: verdict, figures with intervals and nulls, pictures, manifest.

    The backtest asset writes it, and `signaldelta backtest report`; it can be written anew, so caches ask again.
    """
    name = f"{_run(connection, run)['run_hash']}.html"
    path = None if reports is None else reports / name
    if path is None or not path.is_file():
        raise not_found("report of the run", run)
    return answer_bytes(request, path.read_bytes(), immutable=False, media_type="text/html; charset=utf-8")


@router.get(
    "/{run}/grid",
    dependencies=[require_feature("bulk_export")],
    response_class=Response,
    responses=BULK_RESPONSES,
    openapi_extra=_READS,
    summary="Score grid of a run, streamed",
)
def stream_grid(
    request: Request,
    connection: Reading,
    store: StoreOf,
    form: StreamFormatOf,
    run: str,
    entity_id: EntityId = None,
    start: Start = None,
    end: End = None,
) -> Response:
    """The scores the run was evaluated by, by entity and time: all of them, or of one entity, or of a stretch of time.

    A run never changes, so the same question has the same bytes. Read from the run's file as the caller takes them.
    """
    row = _run(connection, run)
    artifacts = queries.artifacts(connection, row["run_id"])
    found = next((one for one in artifacts if Path(one["name"]).stem == "scores"), None)
    if found is None:
        raise not_found("score grid of the run", run)
    facts = {name: row[name] for name in _NAMED}
    name = f"grid_{row['run_id']}"
    return stream_rows(request, store, form, found["file_hash"], Cut(entity_id, start, end), name, facts)


@router.get(
    "/{run}/artifacts/{name}",
    dependencies=[require_feature("bulk_export")],
    response_class=FileResponse,
    responses=FILE_RESPONSES,
    openapi_extra=_READS,
    summary="Download a file of a run",
)
def download_artifact(request: Request, connection: Reading, store: StoreOf, run: RunName, name: FileName) -> Response:
    """A file of the run by its name or the SHA-256 of its bytes, checked before it is sent; Range is honoured."""
    row = queries.artifact(connection, _run(connection, run)["run_id"], name)
    if row is None:
        raise not_found("file of the run", f"{run}/{name}")
    return send(request, store, row["file_hash"], Path(row["name"]).name, row["media_type"])
