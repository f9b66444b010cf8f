"""Dagster's storages on PostgreSQL with a connection that stays: its own open another one for every statement.

A run over a few days is more than a thousand statements, and opening took longer than most of what was asked. Each
storage of a process keeps one connection; whatever is asked beside it at the same time opens one for that moment, so
that processes do not add up to more than a server takes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self

from dagster._serdes import ConfigurableClassData
from dagster_postgres import PostgresRunStorage, PostgresScheduleStorage
from dagster_postgres.utils import create_pg_engine, pg_url_from_config

if TYPE_CHECKING:
    from sqlalchemy import Engine


class Kept:
    """Comes before one of Dagster's storages on PostgreSQL among the bases of a class."""

    _engine: Engine
    postgres_url: str

    def __init__(
        self, postgres_url: str, should_autocreate_tables: bool = True, inst_data: ConfigurableClassData | None = None
    ) -> None:
        """Open the storage as Dagster does, its tables made where they are missing; then keep a connection."""
        super().__init__(postgres_url, should_autocreate_tables, inst_data=inst_data)  # type: ignore[call-arg]
        # Asked first whether it still answers: a server may have been started anew.
        self._engine = create_pg_engine(
            postgres_url, isolation_level="AUTOCOMMIT", pool_size=1, max_overflow=-1, pool_pre_ping=True
        )

    @classmethod
    def from_config_value(cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, Any]) -> Self:
        """Return this storage, of which the inherited one would make its own kind."""
        return cls(
            pg_url_from_config(config_value), config_value.get("should_autocreate_tables", True), inst_data=inst_data
        )

    def dispose(self) -> None:
        """Close what is open."""
        super().dispose()  # type: ignore[misc]
        self._engine.dispose()


class KeptRunStorage(Kept, PostgresRunStorage):
    """PostgresRunStorage with a connection that stays."""


class KeptScheduleStorage(Kept, PostgresScheduleStorage):
    """PostgresScheduleStorage with a connection that stays."""
