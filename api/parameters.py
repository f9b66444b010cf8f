"""Query parameters that a route does not have, or that are there twice: refused, for either is another question.

A misspelt filter would be an answer without it, and one that is repeated an answer to the last alone.

What a route has is gathered once, when the app is made. A request without a query costs nothing, another one look at
each of its names. Public routes are for machines that watch, balance and scrape, and these add to an address what they
like.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

from fastapi import FastAPI, Request
from fastapi.dependencies.models import Dependant
from fastapi.routing import iter_route_contexts
from starlette.types import Scope

from .auth import requirements_of
from .problems import FieldError, ProblemError

# Of so many the answer tells; an honest mistake is one or two.
_TOLD, _NAME = 10, 100


class Parameters:
    """The query parameters of every route of an app.

    let_in: asked before anything is told, as before a body is read; raises where the caller is not let in.
    """

    def __init__(self, app: FastAPI, let_in: Callable[[Scope], Awaitable[None]]) -> None:
        # The routes live as long as the app, so that their identity is a name.
        self._names = {
            id(context.original_route): tuple(sorted(set(_names(dependant))))
            for context in iter_route_contexts(app.routes)
            if (dependant := getattr(context, "dependant", None)) is not None
            and any(one.public is None for one in requirements_of(dependant))
        }
        self._sets = {route: frozenset(names) for route, names in self._names.items()}
        self._let_in = let_in

    async def check(self, route: Any, request: Request) -> None:
        """Raise the 422 that names what `route` does not have and what it has, or what is there more than once."""
        given, has = request.query_params, self._sets.get(id(route))
        if has is None:
            return
        wrong = {name: self._expected(route) for name in given if name not in has}
        # None of ours takes several.
        if not wrong and len(given.multi_items()) > len(given):
            times = Counter(name for name, _ in given.multi_items())
            wrong = {name: "one value" for name, number in times.items() if number > 1}
        if not wrong:
            return
        await self._let_in(request.scope)
        # What it was set to is not repeated: it may be a credential in the wrong place.
        errors = [
            FieldError(field=f"query.{name[:_NAME]}", expected=words) for name, words in list(wrong.items())[:_TOLD]
        ]
        fields = ", ".join(error.field for error in errors)
        raise ProblemError(422, "invalid-request", f"{fields}: expected {errors[0].expected}", errors)

    def _expected(self, route: Any) -> str:
        has = ", ".join(self._names[id(route)])
        return f"one of the parameters {has}" if has else "no parameter: there are none here"


def _names(dependant: Dependant) -> Iterator[str]:
    for field in dependant.query_params:
        yield field.alias
    for inner in dependant.dependencies:
        yield from _names(inner)
