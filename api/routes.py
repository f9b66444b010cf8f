"""The list of routes with what each asks of its caller; a route that says nothing is an error, not a public route."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from fastapi import FastAPI
from fastapi.routing import iter_route_contexts
from starlette.routing import compile_path

from .auth import Requirement, requirements_of

# Served by FastAPI itself, so that no dependency can say it.
_PUBLIC = {"/openapi.json": "Describes the interface and holds no data: made once, from the code."}
_USER_LIMIT = "user, key, address"


# Answered before any route, where origins are allowed (`api.walls.cors`).
PREFLIGHT_WHY = "A preflight can hold no credential; it is told which methods and headers may be sent, nothing else."


class UndeclaredRouteError(Exception):
    """A route that does not say what it asks of its caller."""


@dataclass(frozen=True, slots=True)
class RouteAccess:
    """One route and method: who may, what counts, what else is needed, and why where nobody is asked."""

    method: str
    path: str
    auth: str
    limit: str
    entitlement: str
    why: str


def route_table(app: FastAPI) -> list[RouteAccess]:
    """Return what every route of `app` asks, by path. Raises `UndeclaredRouteError` for those that do not say."""
    found, undeclared = [], []
    for context in iter_route_contexts(app.routes):
        path = context.path or ""
        asked = requirements_of(getattr(context, "dependant", None))
        if not asked and path in _PUBLIC:
            asked = [Requirement(public=_PUBLIC[path])]
        for method in sorted(set(context.methods or {"*"}) - {"HEAD"}):
            if not asked or len({one.public is None for one in asked}) != 1:
                undeclared.append(f"{method} {path}")
                continue
            found.append(_row(method, path, asked))
    if undeclared:
        raise UndeclaredRouteError(
            f"{', '.join(undeclared)}: expected one of require_tier, require_feature, require_admin, or public, among"
            " the dependencies"
        )
    return sorted(found, key=lambda row: (row.path, row.method))


def _row(method: str, path: str, asked: list[Requirement]) -> RouteAccess:
    if asked[0].public is not None:
        return RouteAccess(method, path, "public", "none", "", asked[0].public)
    needs = [f"tier {one.tier}" for one in asked if one.tier] + [one.feature for one in asked if one.feature]
    auth = "administrator" if any(one.admin for one in asked) else "user"
    return RouteAccess(method, path, auth, _USER_LIMIT, ", ".join(needs), "")


PREFLIGHT = RouteAccess("OPTIONS", "*", "public", "none", "", PREFLIGHT_WHY)


def asks_finder(app: FastAPI) -> Callable[[Any], bool]:
    """Return what tells whether a matched route asks who its caller is."""
    asking = {
        id(context.original_route)
        for context in iter_route_contexts(app.routes)
        if any(one.public is None for one in requirements_of(getattr(context, "dependant", None)))
    }
    return lambda route: id(route) in asking


def methods_finder(app: FastAPI) -> Callable[[str], list[str]]:
    """Return what tells the methods of a path, by all routes that match it: each route knows its own alone.

    A path that stands in the table as it is has those methods, whatever would take its last part for a name.
    """
    found: dict[str, set[str]] = {}
    for context in iter_route_contexts(app.routes):
        found.setdefault(context.path or "", set()).update(context.methods or ())
    patterns = [(compile_path(path)[0], methods) for path, methods in found.items()]

    def methods_of(path: str) -> list[str]:
        if path in found:
            return sorted(found[path])
        return sorted({one for pattern, methods in patterns if pattern.match(path) for one in methods})

    return methods_of


def path_finder(app: FastAPI) -> Callable[[Any], str | None]:
    """Return what tells a matched route's whole path: the route itself knows its own part of it alone."""
    # The routes live as long as the app, so that their identity is a name.
    paths = {id(context.original_route): context.path for context in iter_route_contexts(app.routes)}
    return lambda route: paths.get(id(route))


def routes_page(app: FastAPI) -> str:
    """Return docs/routes.md."""
    rows = [
        f"| {row.method} | `{row.path}` | {row.auth} | {row.limit} | {row.entitlement} | {row.why} |"
        for row in [PREFLIGHT, *route_table(app)]
    ]
    return "\n".join([_HEAD, *rows, ""])


_HEAD = """# Routes

Made from the routes themselves by `make routes`; a test compares, and the API does not start with a route that says
nothing of its caller. What the columns mean: [auth](auth.md).

| method | route | who | limits | entitlement | why public |
|---|---|---|---|---|---|"""
