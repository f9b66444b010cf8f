"""Alembic from code: bring a database to the newest schema, and say which version one has."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import create_engine

from signaldelta_assets.errors import SignalDeltaError

from .postgres import sqlalchemy_url

# Alembic is imported where it is used: every process imports this module, few migrate.
if TYPE_CHECKING:
    from alembic.config import Config

MIGRATIONS = Path(__file__).resolve().parents[2] / "migrations"


class WrongSchemaVersionError(SignalDeltaError):
    """A database whose schema is not the one this code was written for."""


def _config(url: str) -> Config:
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    # configparser reads % as interpolation.
    config.set_main_option("sqlalchemy.url", sqlalchemy_url(url, "psycopg").replace("%", "%%"))
    return config


def migrate(url: str, revision: str = "head") -> None:
    """Apply the migrations up to `revision`, in one transaction, under a lock: safe to call from many processes."""
    from alembic import command

    command.upgrade(_config(url), revision)


def head_revision() -> str:
    """Return the newest migration of this code."""
    from alembic.script import ScriptDirectory

    head = ScriptDirectory(str(MIGRATIONS)).get_current_head()
    assert head is not None
    return head


def current_revision(url: str) -> str | None:
    """Return the migration a database stands at, None for an empty one."""
    from alembic.migration import MigrationContext

    engine = create_engine(sqlalchemy_url(url, "psycopg"))
    try:
        with engine.connect() as connection:
            return MigrationContext.configure(connection).get_current_revision()
    finally:
        engine.dispose()


def require_head(url: str) -> None:
    """Raise `WrongSchemaVersionError` unless the database stands at this code's newest migration."""
    found, expected = current_revision(url), head_revision()
    if found != expected:
        raise WrongSchemaVersionError(
            f"schema version: expected {expected}, found {found}; run `signaldelta db migrate`"
        )
