"""Requests without a query: what each parameter of a route is then, is known before anybody asks.

FastAPI looks at every parameter of a route by itself, whether it was given or not, and that takes longer than most of
what is read. Most requests give none: a second way of solving a route's dependencies knows of no query at all, and the
defaults of the functions hold, as they do wherever a function is called.
"""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Coroutine
from typing import Any

import fastapi.routing
from fastapi import Request
from fastapi.dependencies.models import Dependant
from fastapi.responses import Response
from fastapi.routing import APIRoute

Handler = Callable[[Request], Coroutine[Any, Any, Response]]

# Where FastAPI keeps, while it makes the handler of an included route, what that route has become: its name is theirs
# alone to change. Without it every route takes the longer way.
_including: Any = getattr(fastapi.routing, "_effective_route_context_var", None)


def without_query(dependant: Dependant) -> Dependant | None:
    """Return what `dependant` is where nothing is asked; None where that is not what its functions' defaults say."""
    if dependant.call is None:
        return None
    declared = inspect.signature(dependant.call).parameters
    for field in dependant.query_params:
        given = declared.get(field.name)
        if given is None or field.field_info.is_required() or field.field_info.default_factory is not None:
            return None
        if given.default is not field.field_info.default:
            return None
    inner = [without_query(one) for one in dependant.dependencies]
    known = [one for one in inner if one is not None]
    return dataclasses.replace(dependant, query_params=[], dependencies=known) if len(known) == len(inner) else None


class UnaskedRoute(APIRoute):
    """A route that has a shorter way for requests without a query, where one leads to the same."""

    def get_route_handler(self) -> Handler:
        """Return what answers a request."""
        whole = super().get_route_handler()
        included = None if _including is None else _including.get()
        route: Any = included if included is not None and included.original_route is self else self
        if _including is None or not has_query(route.dependant):
            return whole
        full, unasked = route.dependant, without_query(route.dependant)
        if unasked is None:
            return whole
        route.dependant = unasked
        try:
            shorter = super().get_route_handler()
        finally:
            route.dependant = full

        async def handle(request: Request) -> Response:
            return await (whole if request.scope["query_string"] else shorter)(request)

        return handle


def has_query(dependant: Dependant) -> bool:
    """Whether a parameter of the query is read by `dependant` or by what it depends on."""
    return bool(dependant.query_params) or any(map(has_query, dependant.dependencies))
