"""Signal events: written in revisions, read as of a moment. Table `iald_signals`, and the counts of what gave none."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

import orjson
import pyarrow as pa
from psycopg import sql

from signaldelta_assets.contracts import CollectionMode, FrontierEntry, SignalEvent
from signaldelta_assets.errors import RecordError
from signaldelta_assets.versioning import canonical_json

from ..pools import Warehouse
from .reading import STRINGS, TIME, Window, fetch_table, sort_table
from .revisions import RevisionedTable, WriteCounts, all_as_of, by_key, latest_as_of, write_revisions

_TABLE = RevisionedTable(
    "iald_signals",
    "event_key",
    "signal_id",
    ("event_id", "revision", "event_key", "signal_id", "family", "entity_id", "event_time", "observed_time",
     "partition_date", "strength_norm", "direction", "reliability", "chain_affinity", "frontier", "raw_record_ids",
     "attributes", "active", "definitions_hash", "extractor_version", "content_hash"),
)  # fmt: skip

EVENT_COLUMNS: dict[str, pa.DataType] = {
    "event_id": pa.string(),
    "revision": pa.int32(),
    "event_key": pa.string(),
    "signal_id": pa.string(),
    "family": pa.string(),
    "entity_id": pa.string(),
    "event_time": TIME,
    "observed_time": TIME,
    "strength_norm": pa.float64(),
    "direction": pa.int8(),
    "reliability": pa.float64(),
    "chain_affinity": pa.string(),
    "frontier": pa.string(),
    "raw_record_ids": STRINGS,
    "attributes": pa.string(),
    "extractor_version": pa.string(),
    "content_hash": pa.string(),
}


def write_events(
    warehouse: Warehouse,
    events: Sequence[SignalEvent],
    window: Window,
    signal_ids: Sequence[str],
    definitions_hash: str,
) -> WriteCounts:
    """Bring the events of `signal_ids` in `window` (days of event_time) to `events`; return what was done.

    `definitions_hash`: of the signals' own definition, which the events carry; events of another are left alone.
    New keys are added, other content under a known key is the next revision, active events of the window that
    `events` no longer holds are withdrawn by a revision, and the rest is left. One transaction; concurrent writers
    of a signal wait for each other. Raises `RecordError` for an event outside signals, window or definitions.
    """
    for event in events:
        _check(event, window, signal_ids, definitions_hash)
    inside = sql.SQL("partition_date >= {} AND partition_date < {}").format(
        sql.Literal(window.start), sql.Literal(window.end)
    )
    with warehouse.write_pool("signals").connection() as connection:
        return write_revisions(
            connection,
            _TABLE,
            by_key(events, lambda event: event.event_key),
            signal_ids,
            inside,
            definitions_hash,
            _row,
            lambda row: replace(event_from_row(row), active=False),
        )


def _check(event: SignalEvent, window: Window, signal_ids: Sequence[str], definitions_hash: str) -> None:
    if event.signal_id not in signal_ids:
        raise RecordError(event.event_key, "signal_id", f"one of {sorted(signal_ids)}", event.signal_id)
    if event.event_time.date() not in window:
        raise RecordError(event.event_key, "event_time", f"a day from {window.start} to before {window.end}",
                          event.event_time)  # fmt: skip
    if event.definitions_hash != definitions_hash:
        raise RecordError(event.event_key, "definitions_hash", definitions_hash, event.definitions_hash)
    if not event.active:
        raise RecordError(event.event_key, "active", "an event that is produced now", event.active)


def _row(event: SignalEvent, revision: int) -> tuple[Any, ...]:
    return (
        event.event_id,
        revision,
        event.event_key,
        event.signal_id,
        event.family,
        event.entity_id,
        event.event_time,
        event.observed_time,
        event.event_time.date(),
        event.strength_norm,
        event.direction,
        event.reliability,
        canonical_json(dict(event.chain_affinity)).decode(),
        canonical_json([entry.to_document() for entry in event.frontier]).decode(),
        list(event.raw_record_ids),
        canonical_json(dict(event.attributes)).decode(),
        event.active,
        event.definitions_hash,
        event.extractor_version,
        event.content_hash,
    )


def event_from_row(row: Mapping[str, Any]) -> SignalEvent:
    """Rebuild the event of a stored row (JSON columns parsed)."""
    return SignalEvent(
        signal_id=row["signal_id"],
        entity_id=row["entity_id"],
        key=tuple(orjson.loads(row["event_key"])[2]),
        event_time=row["event_time"],
        strength_norm=row["strength_norm"],
        direction=row["direction"],
        reliability=row["reliability"],
        family=row["family"],
        chain_affinity=row["chain_affinity"],
        frontier=tuple(_frontier_entry(entry) for entry in row["frontier"]),
        raw_record_ids=tuple(row["raw_record_ids"]),
        definitions_hash=row["definitions_hash"],
        extractor_version=row["extractor_version"],
        attributes=row["attributes"],
        active=row["active"],
    )


def _frontier_entry(entry: Mapping[str, Any]) -> FrontierEntry:
    event_time = entry["event_time"]
    return FrontierEntry(
        entry["source_type"],
        entry["form"] or "",
        CollectionMode(entry["collection_mode"]),
        None if event_time is None else datetime.fromisoformat(event_time),
        datetime.fromisoformat(entry["observed_time"]),
    )


def read_events(
    warehouse: Warehouse,
    *,
    rules: Collection[str],
    window: Window,
    as_of: datetime | None = None,
    signal_ids: Sequence[str] | None = None,
    entity_ids: Sequence[str] | None = None,
    all_revisions: bool = False,
    columns: Sequence[str] = tuple(EVENT_COLUMNS),
) -> pa.Table:
    """Return the events of `window` as they were known at `as_of` (by ingest time), by entity, time and id.

    Those made under `rules`: the hashes of the signals' definitions (`documents.rule_hashes`).
    The newest revision of each key, active ones only; `columns` of `EVENT_COLUMNS`, among them those of the order.
    `frontier`, `attributes` and `chain_affinity` are JSON text. With `all_revisions` every revision of each key that
    has one in the window, in or out of it, withdrawn ones too, and the column `active`: which of them counts is for
    the latency model to say.
    """
    condition: sql.Composable = sql.SQL("")
    if signal_ids is not None:
        condition += sql.SQL(" AND signal_id = ANY(%(signals)s)")
    if entity_ids is not None:
        condition += sql.SQL(" AND entity_id = ANY(%(entities)s)")
    source = (all_as_of if all_revisions else latest_as_of)(_TABLE, condition)
    kinds = {name: EVENT_COLUMNS[name] for name in columns} | ({"active": pa.bool_()} if all_revisions else {})
    params = {
        "definitions": sorted(rules),
        "as_of": as_of,
        "start": window.start_time,
        "end": window.end_time,
        "signals": list(signal_ids or ()),
        "entities": list(entity_ids or ()),
    }
    order = ("entity_id", "event_time", "event_id", *(("revision",) if all_revisions else ()))
    return sort_table(fetch_table(warehouse, kinds, source, params), order)


def write_counts(warehouse: Warehouse, stage: str, producer: str, window: Window, counts: Mapping[str, int]) -> None:
    """Record why records of `window` gave no signal or label (`stage`), in place of what was said of days inside it.

    The counts of a wider window that contains it stay: they are of its other days too. Who sums must leave out
    windows that another of the same producer contains.
    """
    with warehouse.write_pool("signals").connection() as connection:
        key = (stage, producer, window.start, window.end)
        connection.execute(
            "DELETE FROM extraction_counts WHERE (stage, producer) = (%s, %s) "
            "AND partition_start >= %s AND partition_end <= %s",
            key,
        )
        with connection.cursor() as cursor:
            cursor.executemany(
                "INSERT INTO extraction_counts (stage, producer, partition_start, partition_end, reason, rows) "
                "VALUES (%s, %s, %s, %s, %s, %s)",
                [(*key, reason, rows) for reason, rows in sorted(counts.items())],
            )


def events_by_year(warehouse: Warehouse, signal_id: str, definitions_hash: str) -> dict[int, int]:
    """Return how many active events of the signal there are by year of event_time (UTC), in the latest revisions."""
    query = """SELECT extract(year FROM event_time AT TIME ZONE 'UTC')::int AS year, count(*) AS events
        FROM (SELECT DISTINCT ON (event_key) event_time, active FROM iald_signals
              WHERE signal_id = %(signal)s AND definitions_hash = %(definitions)s
              ORDER BY event_key, revision DESC) AS latest
        WHERE active GROUP BY 1 ORDER BY 1"""
    with warehouse.read_pool().connection() as connection:
        rows = connection.execute(query, {"signal": signal_id, "definitions": definitions_hash}).fetchall()
    return {int(row["year"]): int(row["events"]) for row in rows}
