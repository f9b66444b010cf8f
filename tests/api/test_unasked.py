"""Requests without a query: the shorter way leads where the longer one does, and is not taken where it would not."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import pytest
from fastapi import Depends, FastAPI, Header, Query
from fastapi.routing import iter_route_contexts
from fastapi.testclient import TestClient

from api.app import Parts, create_app
from api.unasked import UnaskedRoute, has_query, without_query
from signaldelta_assets.warehouse import ArtifactStore, Warehouse


def _limits(order: str = "desc", limit: Annotated[int, Query(ge=1)] = 100) -> tuple[str, int]:
    return order, limit


def _app(*endpoints: Any) -> FastAPI:
    app = FastAPI()
    app.router.route_class = UnaskedRoute
    for endpoint in endpoints:
        app.get(f"/{endpoint.__name__}/{{name}}")(endpoint)
    return app


def answered(
    name: str,
    limits: Annotated[tuple[str, int], Depends(_limits)],
    at: Annotated[str | None, Query(alias="as_of", max_length=5)] = None,
    many: Annotated[list[str] | None, Query()] = None,
    x_told: Annotated[int, Header()] = 7,
) -> list[Any]:
    return [name, *limits, at, many, x_told]


def required(name: str, wanted: str) -> list[str]:
    return [name, wanted]


def older(name: str, limit: int = Query(5)) -> list[Any]:
    return [name, limit]


def made(name: str, some: Annotated[list[int], Query(default_factory=lambda: [3])]) -> list[Any]:
    return [name, *some]


def inner(name: str, found: Annotated[list[str], Depends(required)]) -> list[str]:
    return [name, *found]


class TestShorterWay:
    def test_defaults_hold_and_all_else_is_looked_at(self) -> None:
        client = TestClient(_app(answered))
        assert client.get("/answered/a").json() == ["a", "desc", 100, None, None, 7]
        assert client.get("/answered/a", headers={"X-Told": "8"}).json()[-1] == 8
        assert client.get("/answered/a", headers={"X-Told": "x"}).status_code == 422
        asked = {"as_of": "now", "limit": 3, "many": ["p", "q"]}
        assert client.get("/answered/a", params=asked).json() == ["a", "desc", 3, "now", ["p", "q"], 7]
        assert client.get("/answered/a?limit=0").status_code == 422

    @pytest.mark.parametrize("endpoint", [required, older, made, inner])
    def test_it_is_not_taken_where_the_functions_do_not_say_what_holds(self, endpoint: Any) -> None:
        app = _app(endpoint)
        [context] = [one for one in iter_route_contexts(app.routes) if one.endpoint is endpoint]
        assert without_query(context.dependant) is None
        expected: dict[Any, Any] = {older: ["a", 5], made: ["a", 3]}
        got = TestClient(app).get(f"/{endpoint.__name__}/a")
        assert got.json() == expected[endpoint] if endpoint in expected else got.status_code == 422

    def test_no_query_is_looked_for_where_there_is_none(self, monkeypatch: pytest.MonkeyPatch) -> None:
        import fastapi.dependencies.utils as solving

        looked: list[str] = []
        real = solving._get_multidict_value

        def noting(field: Any, *arguments: Any, **more: Any) -> Any:
            looked.append(field.name)
            return real(field, *arguments, **more)

        client = TestClient(_app(answered))
        monkeypatch.setattr(solving, "_get_multidict_value", noting)
        client.get("/answered/a?limit=3")
        assert {"limit", "order", "at", "many"} <= set(looked)
        looked.clear()
        client.get("/answered/a")
        assert "x_told" in looked and not {"limit", "order", "at", "many"} & set(looked)

    def test_every_route_of_ours_that_can_has_it(self, tmp_path: Path) -> None:
        app = create_app(Parts(Warehouse("postgresql://nobody@localhost/nowhere"), ArtifactStore(tmp_path)))
        asked, longer = set(), set()
        for one in iter_route_contexts(app.routes):
            dependant = getattr(one, "dependant", None)
            if dependant is not None and has_query(dependant):
                (asked if without_query(dependant) else longer).add(one.path)
        # Whom to follow, and what to compare, has to be said.
        assert longer == {"/api/v2/signals/scores/events"} and len(asked) > 30
