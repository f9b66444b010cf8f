"""What a route reads with: a connection lent for as long as its function runs, in the thread that runs it.

Lent as a dependency a connection would be waiting for a thread while the threads wait for connections: with as many
callers as a process has threads nothing would move until the first of them gives up. Here whoever has a connection has
a thread already. And a request goes to a thread once, not once to open, once to ask, once to give back.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, get_args

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response
from psycopg import Connection

from signaldelta_assets.warehouse import Warehouse

from .together import Together
from .unasked import Handler, UnaskedRoute


# Coroutines, although they wait for nothing: FastAPI sends a plain function to a thread.
async def get_warehouse(request: Request) -> Warehouse:
    """The warehouse the app was made with."""
    warehouse: Warehouse = request.app.state.warehouse
    return warehouse


WarehouseOf = Annotated[Warehouse, Depends(get_warehouse)]


@dataclass(frozen=True, slots=True)
class View:
    """A reading connection, and the moment up to which all rows were visible before it began to read."""

    connection: Connection[dict[str, Any]]
    settled: datetime


@dataclass(frozen=True, slots=True)
class Lent:
    """Marks a parameter that the route's own thread is lent, and how."""

    lend: Callable[[Warehouse], AbstractContextManager[Any]]


@contextmanager
def lent_connection(warehouse: Warehouse) -> Iterator[Connection[dict[str, Any]]]:
    """What `Reading` lends."""
    with warehouse.read_pool().connection() as connection:
        yield connection


@contextmanager
def _view(warehouse: Warehouse) -> Iterator[View]:
    settled = warehouse.settled()
    with warehouse.read_pool().connection() as connection:
        yield View(connection, settled)


@contextmanager
def glancing(warehouse: Warehouse) -> Iterator[View]:
    """A view for rows that are only ever added: each statement by itself, all of them as of `settled`."""
    settled = warehouse.settled()
    with warehouse.statements() as connection:
        yield View(connection, settled)


@contextmanager
def _statements(warehouse: Warehouse) -> Iterator[Connection[dict[str, Any]]]:
    with warehouse.statements() as connection:
        yield connection


def settling(warehouse: Warehouse) -> Together[None, datetime]:
    """Return where questions for the settled moment wait together: it is the same for all who ask at once."""
    return Together("settling", lambda asked: [warehouse.settled()] * len(asked))


async def _settled(request: Request) -> datetime:
    waiting: Together[None, datetime] = request.app.state.settling
    return await waiting.ask(None)


# A connection in a read-only transaction with one consistent view, for one request.
Reading = Annotated[Connection[dict[str, Any]], Lent(lent_connection)]
# The same for a question with clocks.
Viewing = Annotated[View, Lent(_view)]
# The two apart, for rows that are only ever added: each statement by itself, and the moment shared by all who ask at
# once. What many ask for at a time is read so.
Asking = Annotated[Connection[dict[str, Any]], Lent(_statements)]
SettledOf = Annotated[datetime, Depends(_settled)]


def _lent(annotation: Any) -> Lent | None:
    return next((one for one in get_args(annotation)[1:] if isinstance(one, Lent)), None)


def lending(endpoint: Callable[..., Any]) -> Callable[..., Any]:
    """Return `endpoint` with what it is lent borrowed around it, and no longer among its parameters."""
    signature = inspect.signature(endpoint, eval_str=True)
    wanted = {name: lent for name, one in signature.parameters.items() if (lent := _lent(one.annotation))}
    if not wanted:
        return endpoint
    if inspect.iscoroutinefunction(endpoint) or inspect.isasyncgenfunction(endpoint):
        raise TypeError(f"{endpoint.__name__}: a connection blocks, and a coroutine must not: make it a plain function")
    named = next((name for name, one in signature.parameters.items() if one.annotation is Request), None)
    asked = named or "lending_request"

    @functools.wraps(endpoint)
    def run(**values: Any) -> Any:
        request: Request = values[asked] if named else values.pop(asked)
        warehouse: Warehouse = request.app.state.warehouse
        with ExitStack() as stack:
            for name, lent in wanted.items():
                values[name] = stack.enter_context(lent.lend(warehouse))
            return endpoint(**values)

    kept = [one.replace(kind=one.KEYWORD_ONLY) for name, one in signature.parameters.items() if name not in wanted]
    if named is None:
        kept.append(inspect.Parameter(asked, inspect.Parameter.KEYWORD_ONLY, annotation=Request))
    run.__signature__ = signature.replace(parameters=kept)  # type: ignore[attr-defined]
    return run


class _Route(UnaskedRoute):
    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        super().__init__(path, lending(endpoint), **options)

    def get_route_handler(self) -> Handler:
        """Return what answers a request."""
        handler = super().get_route_handler()

        async def checked(request: Request) -> Response:
            if request.scope["query_string"]:
                await request.app.state.parameters.check(self, request)
            return await handler(request)

        return checked


class Router(APIRouter):
    """A router whose routes may have parameters `Reading`, `Viewing` and `Asking`; another refuses them.

    Its routes refuse query parameters that they do not have (`parameters`).
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(route_class=_Route, **options)
