"""Every route says what it asks of its caller: one that does not is never served, and the page of them is true."""

from __future__ import annotations

from pathlib import Path

import pytest
from fastapi import APIRouter, FastAPI
from fastapi.routing import iter_route_contexts
from pydantic import ValidationError

import api.app
from api import Parts, create_app
from api.auth import public, require_tier
from api.routes import UndeclaredRouteError, route_table, routes_page
from signaldelta_assets.settings import Settings
from signaldelta_assets.warehouse import ArtifactStore, Warehouse
from tests.paths import ROOT


def nothing() -> dict[str, str]:
    return {}


def made() -> FastAPI:
    return create_app(Parts(Warehouse("postgresql://nobody@127.0.0.1:9/none"), ArtifactStore(Path("artifacts"))))


def test_every_route_declares_who_may_which_limit_and_what_else() -> None:
    app = made()
    rows = {(row.method, row.path): row for row in route_table(app)}
    served = {
        (method, context.path)
        for context in iter_route_contexts(app.routes)
        for method in (context.methods or ())
        if method != "HEAD"
    }
    assert set(rows) == served and len(rows) > 40
    for row in rows.values():
        assert (row.auth == "public") == bool(row.why), row
        assert row.auth == "public" or (row.limit and row.entitlement), row
    public = {"/health", "/docs", "/metrics", "/openapi.json"}
    assert {row.path for row in rows.values() if row.auth == "public"} == public


def test_a_route_that_says_nothing_is_not_served(monkeypatch: pytest.MonkeyPatch) -> None:
    silent = APIRouter()
    silent.add_api_route("/silent", nothing)
    monkeypatch.setattr(api.app, "V2", (*api.app.V2, silent))
    with pytest.raises(UndeclaredRouteError, match="GET /api/v2/silent: expected one of require_tier"):
        made()


def test_a_route_is_not_public_and_protected_at_once() -> None:
    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None)
    app.add_api_route("/both", nothing, dependencies=[require_tier("free"), public("no")])
    with pytest.raises(UndeclaredRouteError):
        route_table(app)


def test_the_page_of_routes_is_made_from_them() -> None:
    assert (ROOT / "docs/routes.md").read_text() == routes_page(made())


def test_the_openapi_document_says_which_routes_need_a_credential() -> None:
    paths = made().openapi()["paths"]
    assert paths["/health"]["get"]["security"] == []
    assert paths["/status"]["get"]["security"] == [{"token": []}, {"key": []}]


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.8", "::", "api.example"])
def test_an_open_api_beyond_this_machine_is_refused(host: str) -> None:
    with pytest.raises(ValidationError, match="an API beyond this machine asks who is there"):
        Settings(auth="open", api_host=host)
    assert Settings(api_host=host).auth == "required"
    assert Settings(auth="open").api_host == "127.0.0.1"
