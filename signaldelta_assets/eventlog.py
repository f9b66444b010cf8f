"""Dagster's event log on PostgreSQL, for runs over ranges of days: what a run plans is written in one statement.

A range of a year over fifty assets plans eighteen thousand partitions. Dagster's own storage writes batches of
materializations at once, but every planned partition with two connections and two transactions of its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dagster import AssetKey, DagsterEventType
from dagster._core.events.log import EventLogEntry
from dagster._core.storage.event_log.schema import SqlEventLogStorageTable
from dagster._serdes import ConfigurableClassData
from dagster_postgres import PostgresEventLogStorage
from dagster_postgres.utils import pg_url_from_config


class BatchingEventLogStorage(PostgresEventLogStorage):
    """PostgresEventLogStorage; planned materializations of a batch go into the log together."""

    @classmethod
    def from_config_value(
        cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, Any]
    ) -> BatchingEventLogStorage:
        """Return this storage, of which the inherited one would make its own kind."""
        return cls(
            pg_url_from_config(config_value), config_value.get("should_autocreate_tables", True), inst_data=inst_data
        )

    def store_event_batch(self, events: Sequence[EventLogEntry]) -> None:
        """Store the events: the rows that one by one they would be."""
        kind = DagsterEventType.ASSET_MATERIALIZATION_PLANNED
        planned = [event for event in events if event.dagster_event_type == kind]
        others = [event for event in events if event.dagster_event_type != kind]
        if planned:
            # The table of assets keeps the last event of each.
            last = {event.get_dagster_event().asset_key: place for place, event in enumerate(planned)}
            with self.index_transaction() as connection:
                statement = self.prepare_insert_event_batch(planned).returning(SqlEventLogStorageTable.c.id)
                ids = [int(row[0]) for row in connection.execute(statement)]
                for place in last.values():
                    self._store_asset_event(connection, planned[place], ids[place])
        # The inherited one would note in the table of assets the last event of the batch, of whichever asset it is.
        of_assets: dict[AssetKey | None, list[EventLogEntry]] = {}
        for event in others:
            of_assets.setdefault(event.get_dagster_event().asset_key, []).append(event)
        for own in of_assets.values():
            super().store_event_batch(own)
