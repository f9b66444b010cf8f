"""Whether the process answers, and the state of what it stands on."""

from __future__ import annotations

from typing import Any

from fastapi import Request
from fastapi.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response

from ..auth import admit_scraper, public, require_tier
from ..dependencies import WarehouseOf, reads
from ..metrics.platform import folders_used
from ..page import listing
from ..problems import responses
from ..reading import Router
from ..schemas.results import Health, PlatformStatus
from ..status import platform_status

router = Router(tags=["platform"])
_METRICS = {"schema": {"type": "string"}, "example": "signaldelta_up 1.0"}
METRICS_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {"description": "The metrics.", "content": {"text/plain": _METRICS, "application/openmetrics-text": _METRICS}}
}

# What the figures are read from that /status and /metrics share.
_READ = (
    "alert_deliveries",
    "collector_runs",
    "collector_status",
    "llm_usage_log",
    "misrouted_writes",
    "operator_alerts",
    "quarantine_resolutions",
    "quarantined_records",
)


@router.get(
    "/health",
    response_model=Health,
    openapi_extra=reads(),
    summary="Liveness",
    dependencies=[public("Whoever restarts or balances processes has no key; it says that the process answers.")],
)
def get_health() -> Health:
    """The process answers; nothing else is asked."""
    return Health(status="ok")


@router.get(
    "/status",
    dependencies=[require_tier("free")],
    response_model=PlatformStatus,
    responses={503: {"model": PlatformStatus, "description": "The database cannot be reached."}},
    openapi_extra=reads(
        *_READ,
        "securities",
        "labeled_event_datasets",
        "backtest_snapshots",
        "backtest_runs",
        cached=False,
    ),
    summary="State of the platform",
)
def get_status(request: Request, warehouse: WarehouseOf) -> Response:
    """Homes, replication, schema version, collectors, Dagster, jobs, models, alerts, disks, pools and row counts.

    503 where the database is away.

    What the watch says of the other home is at most two seconds old, and waited for four seconds at most.
    """
    state = request.app.state
    status = platform_status(
        warehouse,
        state.watching,
        state.dagster_url,
        figures=state.reading.figures(),
        disks=folders_used(state.folders),
        models=state.gateway is not None,
    )
    code = 200 if status.database == "reachable" else 503
    return JSONResponse(status.model_dump(mode="json"), code, headers={"Cache-Control": "no-store"})


@router.get(
    "/metrics",
    response_class=PlainTextResponse,
    responses=responses(401, 403) | METRICS_RESPONSES,
    openapi_extra=reads(*_READ),
    summary="Metrics for Prometheus",
    dependencies=[
        public(
            "Asks no user: it has to answer while the database, and with it every key, is away. It asks for the token"
            " of the settings, and without one answers this machine alone."
        ),
        admit_scraper(),
    ],
)
def get_metrics(request: Request) -> Response:
    """Prometheus's text format, or OpenMetrics where `Accept` asks for it. What there is: docs/observability.md."""
    body, media_type = request.app.state.metrics.render(request.headers.get("accept", ""))
    return Response(body, headers={"Content-Type": media_type, "Cache-Control": "no-store"})


@router.get(
    "/docs",
    response_class=HTMLResponse,
    openapi_extra=reads(),
    responses={200: {"content": {"text/html": {"example": "<!doctype html>"}}}},
    summary="This list",
    dependencies=[public("Describes the interface and holds no data: the OpenAPI document as a page.")],
)
def get_docs(request: Request) -> HTMLResponse:
    """Every route with its parameters, made from the OpenAPI document; loads nothing from elsewhere."""
    return HTMLResponse(listing(request.app.openapi()))
