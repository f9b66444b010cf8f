"""Dagster's event log on PostgreSQL, for runs over ranges of days: what a run plans is written in one statement.

A range of a year over fifty assets plans eighteen thousand partitions. Dagster's own storage writes batches of
materializations at once, but every planned partition with two connections and two transactions of its own.
"""

from __future__ import annotations

from collections.abc import Sequence

from dagster import AssetKey, DagsterEventType
from dagster._core.events.log import EventLogEntry
from dagster._core.storage.event_log.schema import SqlEventLogStorageTable
from dagster_postgres import PostgresEventLogStorage

from .storages import Kept


class BatchingEventLogStorage(Kept, PostgresEventLogStorage):
    """PostgresEventLogStorage with a connection that stays; the planned materializations of a batch go together."""

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
