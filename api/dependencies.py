"""What routes are given: the warehouse, the store, what they read with (`reading`), and the parameters they share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from fastapi import Depends, Query, Request

from signaldelta_assets.warehouse import ArtifactStore

from .moments import Moment
from .reading import Asking, Reading, SettledOf, View, Viewing, WarehouseOf, glancing, lent_connection


async def get_store(request: Request) -> ArtifactStore:
    """The artifact store the app was made with."""
    store: ArtifactStore = request.app.state.store
    return store


async def get_reports(request: Request) -> Path | None:
    """The folder of written reports, None where the app was made without."""
    reports: Path | None = request.app.state.reports
    return reports


__all__ = [
    "AsOf",
    "Asking",
    "End",
    "EntityId",
    "Hash",
    "KnownAsOf",
    "Moment",
    "Order",
    "Reading",
    "ReportsOf",
    "SettledOf",
    "Start",
    "StoreOf",
    "View",
    "Viewing",
    "WarehouseOf",
    "glancing",
    "lent_connection",
    "reads",
]

StoreOf = Annotated[ArtifactStore, Depends(get_store)]
ReportsOf = Annotated[Path | None, Depends(get_reports)]


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
