"""What collectors look up about the feed of current filings: entries announced, roles held, how far it was read."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime
from typing import Any

from ..pools import Warehouse

# The count of a run's report that says when it began to read the feed, in seconds since the epoch.
READ_AT = "feed_read_at"


def announced_filings(
    warehouse: Warehouse, entity_ids: Sequence[str], forms: Sequence[str], first: date, last: date
) -> list[dict[str, Any]]:
    """Return the filings of these entities and forms that the current feed announced for a range of partition dates.

    Keys: accession, form, entity_id, event_time, filing_date. One row per accession, of the lowest entity id; ordered
    by accession.
    """
    with warehouse.read_pool().connection() as connection:
        return connection.execute(
            """
            SELECT DISTINCT ON (payload->>'accession')
                   payload->>'accession' AS accession, form, entity_id, event_time,
                   (payload->>'filing_date')::date AS filing_date
            FROM raw_records
            WHERE source_type = 'current_entry' AND entity_id = ANY(%s) AND form = ANY(%s)
              AND partition_date BETWEEN %s AND %s
            ORDER BY payload->>'accession', entity_id, ingest_time DESC, raw_record_id
            """,
            (list(entity_ids), list(forms), first, last),
        ).fetchall()


def held_keys(warehouse: Warehouse, source_type: str, keys: Iterable[str]) -> frozenset[str]:
    """Return those natural keys of which there is a record, by whatever collector and version."""
    with warehouse.read_pool().connection() as connection:
        rows = connection.execute(
            "SELECT DISTINCT natural_key FROM raw_records WHERE source_type = %s AND natural_key = ANY(%s)",
            (source_type, list(keys)),
        ).fetchall()
    return frozenset(row["natural_key"] for row in rows)


def last_read(warehouse: Warehouse, collector: str, version: str, first: date) -> datetime | None:
    """Return when the feed was last read through for the days from `first` on, None where it never was.

    Counted are complete runs of this version whose window covers every day from `first` to the day they read on.
    """
    with warehouse.read_pool().connection() as connection:
        row = connection.execute(
            """
            SELECT max((counts->>%(name)s)::bigint) AS at FROM collector_runs
            WHERE collector = %(collector)s AND collector_version = %(version)s AND status = 'complete'
              AND counts ? %(name)s AND window_start <= %(first)s
              AND window_end >= (to_timestamp((counts->>%(name)s)::bigint) AT TIME ZONE 'UTC')::date
            """,
            {"name": READ_AT, "collector": collector, "version": version, "first": first},
        ).fetchone()
    return None if row is None or row["at"] is None else datetime.fromtimestamp(row["at"], UTC)
