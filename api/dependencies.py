"""What routes are given: the warehouse, the store, a reading connection, and the parameters they share."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal

from fastapi import Depends, Query, Request
from psycopg import Connection

from signaldelta_assets.warehouse import ArtifactStore, Warehouse

from .moments import Moment


def get_warehouse(request: Request) -> Warehouse:
    """The warehouse the app was made with."""
    warehouse: Warehouse = request.app.state.warehouse
    return warehouse


def get_store(request: Request) -> ArtifactStore:
    """The artifact store the app was made with."""
    store: ArtifactStore = request.app.state.store
    return store


def get_reports(request: Request) -> Path | None:
    """The folder of written reports, None where the app was made without."""
    reports: Path | None = request.app.state.reports
    return reports


WarehouseOf = Annotated[Warehouse, Depends(get_warehouse)]
StoreOf = Annotated[ArtifactStore, Depends(get_store)]
ReportsOf = Annotated[Path | None, Depends(get_reports)]


def get_connection(warehouse: WarehouseOf) -> Iterator[Connection[dict[str, Any]]]:
    """A connection in a read-only transaction with one consistent view, for one request."""
    with warehouse.read_pool().connection() as connection:
        yield connection


# Scope "function": given back before the answer is sent, so that a slow download holds no transaction open.
Reading = Annotated[Connection[dict[str, Any]], Depends(get_connection, scope="function")]


_EXAMPLE = "2024-06-03T14:30:00Z"
AsOf = Annotated[
    Moment | None,
    Query(description="What could have been known at this moment (with a zone). Default: now.", examples=[_EXAMPLE]),
]
KnownAsOf = Annotated[
    Moment | None,
    Query(
        description="What this database held at this moment (ingest time). Default: now. With `as_of` it answers "
        "'as we had it'.",
        examples=[_EXAMPLE],
    ),
]
Start = Annotated[Moment | None, Query(description="From this moment on (inclusive).", examples=[_EXAMPLE])]
End = Annotated[Moment | None, Query(description="Before this moment (exclusive).", examples=["2025-01-01T00:00:00Z"])]
EntityId = Annotated[
    str | None,
    Query(
        max_length=200,
        description="Issuer CIK with 10 digits, or chain and contract address.",
        examples=["0000320193"],
    ),
]
Hash = Annotated[str | None, Query(pattern="^[0-9a-f]{64}$", description="A SHA-256.", examples=["3f" * 32])]
Order = Annotated[Literal["asc", "desc"], Query(description="By time; ties by id.", examples=["desc"])]


def reads(*tables: str, cached: bool = True) -> dict[str, Any]:
    """Return the route declaration that says which tables a route reads, and that its answers have no ETag."""
    return {"x-signaldelta": {"reads": list(tables)} | ({} if cached else {"cached": False})}


@dataclass(frozen=True, slots=True)
class View:
    """A reading connection, and the moment up to which all rows were visible before it opened."""

    connection: Connection[dict[str, Any]]
    settled: datetime


def get_view(warehouse: WarehouseOf) -> Iterator[View]:
    """A view for a question with clocks."""
    settled = warehouse.settled()
    with warehouse.read_pool().connection() as connection:
        yield View(connection, settled)


Viewing = Annotated[View, Depends(get_view, scope="function")]
