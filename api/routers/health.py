"""Whether the process answers, and the state of what it stands on."""

from __future__ import annotations

from fastapi import Request
from fastapi.responses import HTMLResponse, JSONResponse, Response

from ..auth import public, require_tier
from ..dependencies import WarehouseOf, reads
from ..page import listing
from ..problems import responses
from ..reading import Router
from ..schemas.results import Health, Status
from ..status import platform_status

router = Router(tags=["platform"])


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
    response_model=Status,
    responses={503: {"model": Status, "description": "The database cannot be reached."}},
    openapi_extra=reads(
        "collector_status",
        "collector_runs",
        "quarantined_records",
        "quarantine_resolutions",
        "securities",
        "labeled_event_datasets",
        "backtest_snapshots",
        "backtest_runs",
    ),
    summary="State of the platform",
)
def get_status(request: Request, warehouse: WarehouseOf) -> Response:
    """Homes, replication, schema version, collectors, row counts and Dagster; 503 where the database is away.

    What the watch says of the other home is at most two seconds old, and waited for four seconds at most.
    """
    status = platform_status(warehouse, request.app.state.watching, request.app.state.dagster_url)
    code = 200 if status.database == "reachable" else 503
    return JSONResponse(status.model_dump(mode="json"), code, headers={"Cache-Control": "no-store"})


@router.get(
    "/docs",
    response_class=HTMLResponse,
    openapi_extra=reads(),
    responses=responses(),
    summary="This list",
    dependencies=[public("Describes the interface and holds no data: the OpenAPI document as a page.")],
)
def get_docs(request: Request) -> HTMLResponse:
    """Every route with its parameters, made from the OpenAPI document; loads nothing from elsewhere."""
    return HTMLResponse(listing(request.app.openapi()))
