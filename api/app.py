"""The application: made from a warehouse and an artifact store, or from the settings for a server (`create`)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path

from fastapi import FastAPI, Request
from httpx import Timeout
from sqlalchemy.exc import OperationalError
from starlette.concurrency import run_in_threadpool
from starlette.types import Scope

from signaldelta_assets.llm import Gateway, open_gateway
from signaldelta_assets.observability import Configured, begin_logging
from signaldelta_assets.settings import load_settings
from signaldelta_assets.warehouse import (
    ArtifactStore,
    IntegrityError,
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
from .auth.dependencies import admit
from .correlation import CorrelationMiddleware
from .description import document
from .files import damaged
from .grids import Verified
from .head import HeadMiddleware
from .jobs import DagsterClient, Dispatcher, Pace
from .livescores import latest_scores, score_feed
from .metrics import Metrics, Reading
from .parameters import Parameters
from .reading import settling
from .routers import ROOT, V2
from .routers.jobs import make_feed
from .routes import asks_finder, methods_finder, path_finder, route_table
from .status import Watching
from .walls import (
    BodyLimits,
    BodyWall,
    CompressionMiddleware,
    CorsMiddleware,
    SecurityHeaders,
    TextWall,
    UnexpectedErrors,
)

PREFIX = "/api/v2"
_DESCRIPTION = """What was collected, extracted, labeled, scored and tested, to read; and one's own API keys.

* A bearer token or an API key (`X-API-Key`) says who asks. `RateLimit-*` headers say how many more requests may come.
* Questions with `as_of` never show what could not have been known then; `known_as_of` asks what this database held.
* Lists page by keyset: follow `meta.next_cursor` with the same filters until it is null.
* A query parameter that a route does not have is refused (422), never ignored.
* Errors are RFC 9457 problem documents with the request's correlation id (`X-Request-ID`).
* Immutable things carry a strong ETag and may be cached for ever; everything else can be revalidated.
* A change that would break a reader of `/api/v2` gets a new prefix; fields may be added.
"""


@dataclass(frozen=True, slots=True)
class Parts:
    """What the API is made of. What is closed or stopped at all is so with the server.

    warehouse, store: what it reads and writes; the warehouse is closed.
    access: who is let in; None lets in everybody on this machine, and nobody from elsewhere.
    reports: the folder of written reports.
    dagster_url: the webserver whose reachability `/status` tells, and which is asked what a backfill may name.
    gateway: the way to language models; closed. None: templates answer.
    dispatcher: what launches jobs; started and stopped. None: they wait for another process.
    questions: what `/status` asks beside all that the watch does.
    origins: pages of which sites a browser lets read.
    bodies: how large a body may be and how long it may take.
    folders: whose disks `/status` and `/metrics` tell, by name.
    scrape_token: what `/metrics` asks for; without one it answers this machine.
    logging: undone.
    """

    warehouse: Warehouse
    store: ArtifactStore
    access: Access | None = None
    reports: Path | None = None
    dagster_url: str | None = None
    gateway: Gateway | None = None
    dispatcher: Dispatcher | None = None
    questions: Sequence[watch.Question] = ()
    origins: Collection[str] = ()
    bodies: BodyLimits | None = None
    folders: Mapping[str, Path] = field(default_factory=dict)
    scrape_token: str | None = None
    logging: Configured | None = None


def create_app(parts: Parts) -> FastAPI:
    """Return the API of its parts. Opens nothing.

    Raises `routes.UndeclaredRouteError` where a route does not say what it asks of its caller.
    """
    warehouse = parts.warehouse
    # What a request waits for; the dispatcher has more patience, and a client of its own.
    dagster = None if parts.dagster_url is None else DagsterClient(parts.dagster_url, Timeout(3.0, connect=1.0))

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        if parts.dispatcher is not None:
            parts.dispatcher.start()
        yield
        if parts.dispatcher is not None:
            await run_in_threadpool(parts.dispatcher.stop)
        if parts.gateway is not None:
            await run_in_threadpool(parts.gateway.close)
        if dagster is not None:
            dagster.close()
        await run_in_threadpool(warehouse.close)
        if parts.logging is not None:
            parts.logging.close()

    app = FastAPI(
        title="SignalDelta API",
        version=version("signaldelta"),
        description=_DESCRIPTION,
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
        # Another path is not there. A redirect would lead to whatever host the caller named.
        redirect_slashes=False,
        # The function's own name: readable, and the same when a path moves.
        generate_unique_id_function=lambda route: route.name,
    )
    app.state.warehouse, app.state.store, app.state.dagster_url = warehouse, parts.store, parts.dagster_url
    app.state.reports, app.state.gateway = parts.reports, parts.gateway
    app.state.dagster = dagster
    app.state.dispatcher, app.state.jobs_feed = parts.dispatcher, make_feed(warehouse, parts.dagster_url)
    app.state.verified, app.state.scores = Verified(), score_feed(warehouse)
    app.state.latest_scores, app.state.settling = latest_scores(warehouse), settling(warehouse)
    app.state.watching, app.state.reading = Watching(warehouse, parts.questions), Reading(warehouse)
    app.state.folders, app.state.scrape_token = dict(parts.folders), parts.scrape_token
    app.state.metrics = Metrics(warehouse, app.state.watching, app.state.reading, parts.folders)
    app.state.access = parts.access if parts.access is not None else open_access(warehouse)
    for router in ROOT:
        app.include_router(router)
    for router in V2:
        app.include_router(router, prefix=PREFIX)
    route_table(app)
    app.state.methods_of = methods_finder(app)
    let_in = _admission(app)
    app.state.parameters = Parameters(app, let_in)
    problems.install(app)
    app.add_exception_handler(IntegrityError, damaged)
    app.openapi = lambda: document(app)  # type: ignore[method-assign]
    requests, path_of = app.state.metrics.requests, path_finder(app)
    # From the inside out.
    app.add_middleware(UnexpectedErrors)
    app.add_middleware(BodyWall, limits=parts.bodies, admit=let_in)
    app.add_middleware(TextWall)
    app.add_middleware(AccessMiddleware, access=app.state.access, path_of=path_of)
    app.add_middleware(CompressionMiddleware)
    app.add_middleware(HeadMiddleware)
    app.add_middleware(CorsMiddleware, origins=parts.origins)
    app.add_middleware(SecurityHeaders)
    app.add_middleware(CorrelationMiddleware, path_of=path_of, began=requests.began, ended=requests.ended)
    return app


def _admission(app: FastAPI) -> Callable[[Scope], Awaitable[None]]:
    """Return what lets a request in before its route has it, where that asks who is there."""
    asks = asks_finder(app)

    async def let_in(scope: Scope) -> None:
        if asks(scope.get("route")):
            await admit(Request(scope))

    return let_in


def create() -> FastAPI:
    """Return the API by the settings, as a server makes it (`server`). Starts the embedded database if need be."""
    settings = load_settings()
    logging = begin_logging("api", settings, stderr=True)
    url, peer = database_url(settings), peer_database_url(settings)
    # A database that does not answer may yet do so, and `/status` tells; one of another version is refused.
    with suppress(OperationalError):
        require_head(url, place=settings.place, peer_url=peer)
    # A request that takes longer than anybody waits for gives its connection back.
    limits = PoolLimits(
        settings.api_connections,
        wait_seconds=2,
        statement_seconds=settings.api_statement_timeout_seconds,
        lock_seconds=2,
        idle_seconds=60,
    )
    warehouse = Warehouse(url, place=settings.place, peer_url=peer, limits=limits)
    parts = Parts(
        warehouse,
        ArtifactStore(settings.artifacts_dir),
        access=access_of(settings, warehouse),
        reports=settings.reports_dir,
        dagster_url=settings.webserver_address,
        dispatcher=Dispatcher(
            warehouse,
            DagsterClient(settings.webserver_address),
            Pace(at_once=settings.jobs_at_once, attempts=settings.jobs_attempts),
        ),
        questions=[
            watch.disks(
                [settings.home_dir, settings.archive_dir, settings.artifacts_dir],
                settings.disk_warning,
                settings.disk_critical,
            )
        ],
        gateway=open_gateway(settings, warehouse),
        origins=settings.cors_origins,
        bodies=BodyLimits(settings.api_body_bytes, settings.api_body_seconds),
        folders={"home": settings.home_dir, "archive": settings.archive_dir, "artifacts": settings.artifacts_dir},
        scrape_token=settings.metrics_token.get_secret_value() if settings.metrics_token is not None else None,
        logging=logging,
    )
    return create_app(parts)
