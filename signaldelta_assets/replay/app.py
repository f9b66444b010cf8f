"""The ASGI application: upstream hosts as path prefixes, the control endpoints, the SEC's rule on user agents.

`https://www.sec.gov/x` is `http://127.0.0.1:PORT/www.sec.gov/x` here; a collector changes its base address, no more.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from typing import Any

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from .archive import Archive
from .edgar_routes import EdgarRoutes
from .ethereum_routes import EthereumRoutes
from .faults import Desk, FaultLayer, FaultRule
from .model_routes import ModelRoutes
from .polygon_routes import PolygonRoutes

# "Declare your traffic by updating your user agent to include company specific information" with a contact address
# (sec.gov, Accessing EDGAR Data).
_CONTACT = re.compile(r"[^\s@]+@[^\s@]+\.[^\s@]+")
_UNDECLARED = """<!DOCTYPE html>
<html><head><title>SEC.gov | Your Request Originates from an Undeclared Automated Tool</title></head>
<body><h1>Your Request Originates from an Undeclared Automated Tool</h1>
<p>Please declare your traffic by updating your user agent to include company specific information.</p></body></html>
"""


class DeclaredAgents:
    """Answer 403 on sec.gov hosts to a user agent without contact address, as the SEC does."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and re.match(r"/(?:www|data)\.sec\.gov/", scope["path"]):
            agent = Request(scope).headers.get("user-agent", "")
            if not _CONTACT.search(agent):
                await Response(_UNDECLARED, 403, media_type="text/html")(scope, receive, send)
                return
        await self._app(scope, receive, send)


class ControlRoutes:
    """What is here, which faults act, what was asked."""

    def __init__(self, archive: Archive, desk: Desk) -> None:
        self._archive, self._desk = archive, desk

    def routes(self) -> list[Route]:
        """Return the routes under `/__replay__/`."""
        return [
            Route("/__replay__/health", self.health),
            Route("/__replay__/universe", self.universe),
            Route("/__replay__/faults", self.list_faults),
            Route("/__replay__/faults", self.add_faults, methods=["POST"]),
            Route("/__replay__/faults", self.clear_faults, methods=["DELETE"]),
            Route("/__replay__/log", self.log),
            Route("/__replay__/log", self.clear_log, methods=["DELETE"]),
        ]

    async def health(self, request: Request) -> Response:
        return JSONResponse({"status": "ok", "archive": self._archive.name})

    async def universe(self, request: Request) -> Response:
        return JSONResponse(self._archive.universe())

    async def list_faults(self, request: Request) -> Response:
        return JSONResponse([rule.to_dict() for rule in self._desk.rules])

    async def add_faults(self, request: Request) -> Response:
        try:
            given = json.loads(await request.body())
            rules = [FaultRule(**fields) for fields in (given if isinstance(given, list) else [given])]
        except (ValueError, TypeError) as error:
            return JSONResponse({"error": str(error)}, 400)
        self._desk.rules += rules
        return JSONResponse([rule.to_dict() for rule in self._desk.rules], 201)

    async def clear_faults(self, request: Request) -> Response:
        self._desk.rules.clear()
        return Response(status_code=204)

    async def log(self, request: Request) -> Response:
        pattern = re.compile(request.query_params.get("path", ""))
        entries = [entry for entry in self._desk.log if pattern.search(entry["path"])]
        body: dict[str, Any] = {
            "requests": len(entries),
            "by_host": Counter(entry["path"].split("/")[1] for entry in entries),
            "by_status": Counter(str(entry["status"]) for entry in entries),
            "entries": entries,
        }
        return JSONResponse(body)

    async def clear_log(self, request: Request) -> Response:
        self._desk.log.clear()
        return Response(status_code=204)


def create_app(archive: Archive, *, max_log_range: int = 10_000, max_logs: int = 10_000) -> Starlette:
    """Return the application for `archive`. `max_log_range` (blocks) and `max_logs` are the chain provider's limits.

    Nothing of the archive is read before it is asked for. Handlers read files in the event loop: one reader, no locks.
    """
    desk = Desk()
    routes = [
        *ControlRoutes(archive, desk).routes(),
        *EdgarRoutes(archive.edgar).routes(),
        *PolygonRoutes(archive.market).routes(),
        *EthereumRoutes(archive.chain, max_log_range, max_logs).routes(),
        *ModelRoutes().routes(),
    ]
    return Starlette(
        routes=routes,
        middleware=[
            Middleware(FaultLayer, desk=desk),
            Middleware(DeclaredAgents),
            Middleware(GZipMiddleware, minimum_size=1024, compresslevel=1),
        ],
    )
