"""PostgreSQL and the artifact store: table registry, pools by write home, COPY, migrations, content-addressed files.

All SQL that writes lives here, one module per store. What rows mean is decided in the rooms that make them.
"""

from .artifacts import ArtifactStore, HashingFile, IntegrityError, StoreFullError
from .migrations import (
    MigrationError,
    WrongSchemaVersionError,
    current_revision,
    head_revision,
    migrate,
    migrate_homes,
    require_head,
    seed,
)
from .misrouted import WrongHomeError
from .opening import database_url, home_urls, open_warehouse, peer_database_url, ready_urls, watched_urls
from .pools import HomeLostError, PoolLimits, PoolUse, Warehouse
from .postgres import embedded_server, sqlalchemy_url, stop_embedded
from .tables import GROUPS, SCHEMA, WRITE_HOMES, Place, metadata, other_place

__all__ = [
    "GROUPS",
    "SCHEMA",
    "WRITE_HOMES",
    "ArtifactStore",
    "HashingFile",
    "HomeLostError",
    "IntegrityError",
    "MigrationError",
    "Place",
    "PoolLimits",
    "PoolUse",
    "StoreFullError",
    "Warehouse",
    "WrongHomeError",
    "WrongSchemaVersionError",
    "current_revision",
    "database_url",
    "embedded_server",
    "head_revision",
    "home_urls",
    "metadata",
    "migrate",
    "migrate_homes",
    "open_warehouse",
    "other_place",
    "peer_database_url",
    "ready_urls",
    "require_head",
    "seed",
    "sqlalchemy_url",
    "stop_embedded",
    "watched_urls",
]
