"""Raw records of one entity: which there are and when they were seen, and the content of those that are shown."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from psycopg import Connection

from .statement import Row, rows


def raw_readings(connection: Connection[Row], entity_id: str, source_type: str, known_as_of: datetime) -> list[Row]:
    """Return what decides which records of an entity and source type stand, without their content, in no order."""
    return rows(
        connection,
        """SELECT raw_record_id, source_type, natural_key, form, event_time, observed_time, ingest_time,
             collection_mode, collector_version FROM raw_records
           WHERE source_type = %(source)s AND entity_id = %(entity)s AND ingest_time <= %(known)s""",
        {"entity": entity_id, "source": source_type, "known": known_as_of},
    )


def raw_payloads(connection: Connection[Row], raw_record_ids: Sequence[str]) -> dict[str, Row]:
    """Return payload and source_url of records by raw_record_id."""
    found = rows(
        connection,
        # A join, not `= ANY`: each id then asks the partition that may hold it.
        """SELECT raw_record_id, payload, source_url FROM unnest(%(ids)s::text[]) AS asked (id)
           JOIN raw_records ON raw_record_id = asked.id""",
        {"ids": list(raw_record_ids)},
    )
    return {row["raw_record_id"]: row for row in found}
