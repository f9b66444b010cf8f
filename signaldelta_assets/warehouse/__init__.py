"""PostgreSQL and the artifact store: table registry, pools by write home, COPY, migrations, content-addressed files.

All SQL that writes lives here, one module per store. What rows mean is decided in the rooms that make them.
"""

from .artifacts import ArtifactStore, HashingFile, IntegrityError
from .migrations import WrongSchemaVersionError, current_revision, head_revision, migrate
from .pools import Warehouse
from .postgres import embedded_server, sqlalchemy_url, stop_embedded
from .tables import SCHEMA, WRITE_HOMES, metadata

__all__ = [
    "SCHEMA",
    "WRITE_HOMES",
    "ArtifactStore",
    "HashingFile",
    "IntegrityError",
    "Warehouse",
    "WrongSchemaVersionError",
    "current_revision",
    "embedded_server",
    "head_revision",
    "metadata",
    "migrate",
    "sqlalchemy_url",
    "stop_embedded",
]
