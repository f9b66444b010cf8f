"""From settings to databases: which PostgreSQL each home is, and the warehouse of this place."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from .migrations import migrate, require_head
from .pools import PoolLimits, Warehouse
from .postgres import embedded_server, embedded_url
from .tables import Place, other_place


class DatabaseSettings(Protocol):
    """What is asked of the settings (`signaldelta_assets.settings`)."""

    @property
    def place(self) -> Place:
        """Which home this is."""

    @property
    def database_url(self) -> str | None:
        """Its PostgreSQL, None for the embedded one."""

    @property
    def peer_database_url(self) -> str | None:
        """The other home's."""

    @property
    def connections(self) -> int:
        """Connections of a process that works."""

    @property
    def statement_timeout_seconds(self) -> float:
        """How long a statement of such a process may take."""

    @property
    def postgres_dir(self) -> Path:
        """Data directory of the embedded one."""

    @property
    def peer_postgres_dir(self) -> Path:
        """Data directory of the other home's embedded one."""


def database_url(settings: DatabaseSettings) -> str:
    """Return the URL of this place's PostgreSQL, starting the embedded one where none is named."""
    return settings.database_url or embedded_server(settings.postgres_dir)


def peer_database_url(settings: DatabaseSettings) -> str | None:
    """Return the URL of the other home, None where there is none; starts it where both are embedded."""
    if settings.place == "one":
        return None
    if settings.peer_database_url is None and settings.database_url is None:
        return embedded_server(settings.peer_postgres_dir)
    return settings.peer_database_url


def home_urls(settings: DatabaseSettings) -> dict[Place, str]:
    """Return the URL of every home that the settings name, by place."""
    found: dict[Place, str] = {settings.place: database_url(settings)}
    peer = peer_database_url(settings)
    return found if peer is None else found | {other_place(settings.place): peer}


def watched_urls(settings: DatabaseSettings) -> dict[Place, str]:
    """Return what `home_urls` does and start nothing: an embedded server that has stopped is to be told of."""
    both = settings.place != "one"
    found: dict[Place, str] = {settings.place: settings.database_url or embedded_url(settings.postgres_dir)}
    if both and settings.peer_database_url is not None:
        found[other_place(settings.place)] = settings.peer_database_url
    elif both and settings.database_url is None:
        found[other_place(settings.place)] = embedded_url(settings.peer_postgres_dir)
    return found


def ready_urls(settings: DatabaseSettings) -> tuple[str, str | None]:
    """Return the URLs of this place's database, which has this code's schema, and of the other home if there is one.

    A database that is both homes is migrated on the way. One of two is not: both change together, when an operator
    says so (`migrate_homes`). Raises `WrongSchemaVersionError` where the versions do not fit.
    """
    url, peer = database_url(settings), peer_database_url(settings)
    if settings.place == "one":
        migrate(url)
    else:
        require_head(url, place=settings.place, peer_url=peer)
    return url, peer


def open_warehouse(settings: DatabaseSettings, limits: PoolLimits | None = None) -> Warehouse:
    """Return the warehouse of this place, its database ready (`ready_urls`)."""
    url, peer = ready_urls(settings)
    if limits is None:
        limits = PoolLimits(settings.connections, statement_seconds=settings.statement_timeout_seconds)
    return Warehouse(url, place=settings.place, peer_url=peer, limits=limits)
