"""The application: made from a warehouse and an artifact store, or from the settings for a server (`create`)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from sqlalchemy.exc import OperationalError
from starlette.concurrency import run_in_threadpool

from signaldelta_assets.llm import Gateway, open_gateway
from signaldelta_assets.settings import load_settings
from signaldelta_assets.warehouse import (
    ArtifactStore,
    PoolLimits,
    Warehouse,
    database_url,
    peer_database_url,
    require_head,
    watch,
)

from . import problems
from .accounts import access_of, open_access
from .auth import Access, AccessMiddleware
from .correlation import CorrelationMiddleware
from .grids import Verified
from .head import HeadMiddleware
from .livescores import latest_scores, score_feed
from .reading import settling
from .routers import ROOT, V2
from .routes import path_finder, route_table
from .status import Watching

PREFIX = "/api/v2"
_DESCRIPTION = """What was collected, extracted, labeled, scored and tested, to read; and one's own API keys.

* A bearer token or an API key (`X-API-Key`) says who asks. `RateLimit-*` headers say how many more requests may come.
* Questions with `as_of` never show what could not have been known then; `known_as_of` asks what this database held.
* Lists page by keyset: follow `meta.next_cursor` with the same filters until it is null.
* Errors are RFC 9457 problem documents with the request's correlation id (`X-Request-ID`).
* Immutable things carry a strong ETag and may be cached for ever; everything else can be revalidated.
* A change that would break a reader of `/api/v2` gets a new prefix; fields may be added.
"""
_SCHEMES = {
    "token": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"},
    "key": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
}


def create_app(
    warehouse: Warehouse,
    store: ArtifactStore,
    *,
    access: Access | None = None,
    reports: Path | None = None,
    dagster_url: str | None = None,
    gateway: Gateway | None = None,
    questions: Sequence[watch.Question] = (),
) -> FastAPI:
    """Return the API over `warehouse` and `store`. Opens nothing; the warehouse is closed with the server.

    `access`: who is let in; None lets in everybody on this machine, and nobody from elsewhere. `reports`: the folder
    of written reports; `dagster_url`: the webserver whose reachability `/status` tells; `gateway`: the way to language
    models, closed with the server. None for none. `questions`: what `/status` asks beside all that the watch does.

    Raises `routes.UndeclaredRouteError` where a route does not say what it asks of its caller.
    """

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        if gateway is not None:
            await run_in_threadpool(gateway.close)
        await run_in_threadpool(warehouse.close)

    app = FastAPI(
        title="SignalDelta API",
        version=version("signaldelta"),
        description=_DESCRIPTION,
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
    )
    app.state.warehouse, app.state.store, app.state.dagster_url = warehouse, store, dagster_url
    app.state.reports, app.state.gateway = reports, gateway
    app.state.verified, app.state.scores = Verified(), score_feed(warehouse)
    app.state.latest_scores, app.state.settling = latest_scores(warehouse), settling(warehouse)
    app.state.watching = Watching(warehouse, questions)
    app.state.access = access if access is not None else open_access(warehouse)
    for router in ROOT:
        app.include_router(router)
    for router in V2:
        app.include_router(router, prefix=PREFIX)
    route_table(app)
    problems.install(app)
    app.openapi = lambda: _document(app)  # type: ignore[method-assign]
    app.add_middleware(HeadMiddleware)
    app.add_middleware(AccessMiddleware, access=app.state.access, path_of=path_finder(app))
    app.add_middleware(CorrelationMiddleware)
    return app


def _document(app: FastAPI) -> dict[str, Any]:
    """Return the OpenAPI document with the schema of problems, which routes name but none returns as its model."""
    if app.openapi_schema is None:
        document = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
        schema = problems.Problem.model_json_schema(ref_template="#/components/schemas/{model}")
        document["components"]["schemas"] |= schema.pop("$defs") | {"Problem": schema}
        document["components"]["securitySchemes"] = _SCHEMES
        open_to_all = {(row.path, row.method.lower()) for row in route_table(app) if row.auth == "public"}
        for path, operations in document["paths"].items():
            for method, operation in operations.items():
                operation["security"] = [] if (path, method) in open_to_all else [{name: []} for name in _SCHEMES]
        app.openapi_schema = document
    return app.openapi_schema


def create() -> FastAPI:
    """Return the API by the settings: ``uvicorn --factory api.app:create``. Starts the embedded database if need be."""
    settings = load_settings()
    url, peer = database_url(settings), peer_database_url(settings)
    # A database that does not answer may yet do so, and `/status` tells; one of another version is refused.
    with suppress(OperationalError):
        require_head(url, place=settings.place, peer_url=peer)
    # A request that takes longer than anybody waits for gives its connection back.
    limits = PoolLimits(
        settings.api_connections,
        wait_seconds=10,
        statement_seconds=settings.api_statement_timeout_seconds,
        lock_seconds=5,
        idle_seconds=60,
    )
    warehouse = Warehouse(url, place=settings.place, peer_url=peer, limits=limits)
    return create_app(
        warehouse,
        ArtifactStore(settings.artifacts_dir),
        access=access_of(settings, warehouse),
        reports=settings.reports_dir,
        dagster_url=f"http://127.0.0.1:{settings.webserver_port}",
        questions=[
            watch.disks(
                [settings.home_dir, settings.archive_dir, settings.artifacts_dir],
                settings.disk_warning,
                settings.disk_critical,
            )
        ],
        gateway=open_gateway(settings, warehouse),
    )
