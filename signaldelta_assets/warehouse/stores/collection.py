"""What collectors write and look up: runs, archived bodies, validators, request slots, records, quarantine, clocks.

Everything a batch brings goes in one transaction, and every insert leaves known rows alone: the same documents again
add nothing, and a process killed anywhere leaves whole batches behind.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, datetime
from operator import attrgetter
from typing import Any

import psycopg
from psycopg import Connection
from psycopg.types.json import Jsonb

from signaldelta_assets.contracts import QuarantinedRecord, RawRecord
from signaldelta_assets.versioning import canonical_json, content_ulid

from .. import partitions
from ..bulk import copy_new
from ..pools import Warehouse
from ..tables import SCHEMA
from . import quarantine

GROUP = "collection"


@dataclass(frozen=True, slots=True)
class ArchivedDocument:
    """A body received: its archive name, and where and when it was received. Keyed by hash: first receipt stays."""

    body_hash: str
    size_bytes: int
    media_type: str | None
    source_url: str
    http_status: int
    observed_time: datetime


@dataclass(frozen=True, slots=True)
class Validator:
    """What is known of a URL: its last body, when that was first received, and what to ask with next time."""

    url: str
    etag: str | None
    last_modified: str | None
    body_hash: str
    media_type: str | None
    observed_time: datetime
    checked_at: datetime


@dataclass(frozen=True, slots=True)
class Absence:
    """A URL whose document the upstream does not have: when it first said so, and when last."""

    url: str
    first_absent_at: datetime
    checked_at: datetime


@dataclass(frozen=True, slots=True)
class ClockRow:
    """The clock decided for one submissions document."""

    body_hash: str
    decider_version: str
    entity_id: str
    clock: str
    grounds: Mapping[str, Any]
    source_url: str


@dataclass(slots=True)
class BatchRows:
    """Everything one batch writes."""

    documents: Sequence[ArchivedDocument] = ()
    validators: Sequence[Validator] = ()
    records: Sequence[RawRecord] = ()
    # With the day of the partition the refused record would have been in, None where that is not known.
    quarantined: Sequence[tuple[QuarantinedRecord, date | None]] = ()
    clocks: Sequence[ClockRow] = ()
    absences: Sequence[Absence] = ()


@dataclass(slots=True)
class Written:
    """How many rows of a batch were new, and how many records were known before."""

    documents: int = 0
    records: int = 0
    known: int = 0
    quarantined: int = 0
    clocks: int = 0
    sources: dict[str, int] = field(default_factory=dict)


# --- request slots ----------------------------------------------------------------------------------------------


def reserve_slots(warehouse: Warehouse, name: str, count: int, spacing_seconds: float) -> tuple[float, float]:
    """Take `count` consecutive request slots of an upstream; return (seconds until the first, spacing).

    One statement over one locked row: processes queue for it, and slots are never handed out twice.
    """
    with warehouse.write_pool(GROUP).connection() as connection:
        row = connection.execute(
            """
            INSERT INTO rate_limits AS r (name, next_slot)
            VALUES (%(name)s, clock_timestamp() + %(count)s * make_interval(secs => %(spacing)s))
            ON CONFLICT (name) DO UPDATE
              SET next_slot = greatest(r.next_slot, clock_timestamp()) + %(count)s * make_interval(secs => %(spacing)s)
            RETURNING extract(epoch FROM next_slot - %(count)s * make_interval(secs => %(spacing)s)
                                         - clock_timestamp())::float8 AS wait
            """,
            {"name": name, "count": count, "spacing": spacing_seconds},
        ).fetchone()
    assert row is not None
    return max(float(row["wait"]), 0.0), spacing_seconds


def hold_slots(warehouse: Warehouse, name: str, seconds: float) -> None:
    """Give out no slot of an upstream for `seconds`: it asked every process to wait."""
    with warehouse.write_pool(GROUP).connection() as connection:
        connection.execute(
            """
            INSERT INTO rate_limits AS r (name, next_slot)
            VALUES (%(name)s, clock_timestamp() + make_interval(secs => %(seconds)s))
            ON CONFLICT (name) DO UPDATE
              SET next_slot = greatest(r.next_slot, clock_timestamp() + make_interval(secs => %(seconds)s))
            """,
            {"name": name, "seconds": seconds},
        )


# --- look-ups ---------------------------------------------------------------------------------------------------


def find_known(warehouse: Warehouse, urls: Sequence[str]) -> tuple[dict[str, Validator], dict[str, Absence]]:
    """Return by URL what was last received, and since when there has been no document; others are left out."""
    if not urls:
        return {}, {}
    # One statement: a document is looked up before every request.
    with warehouse.read_pool().connection() as connection:
        rows = connection.execute(
            "SELECT asked.url, v.etag, v.last_modified, v.body_hash, d.media_type, d.observed_time, v.checked_at,"
            " a.first_absent_at, a.checked_at AS absent_at FROM unnest(%s::text[]) AS asked (url)"
            " LEFT JOIN (http_validators v JOIN raw_documents d USING (body_hash)) ON v.url = asked.url"
            " LEFT JOIN http_absences a ON a.url = asked.url WHERE v.url IS NOT NULL OR a.url IS NOT NULL",
            (list(urls),),
        ).fetchall()
    validator = ("url", "etag", "last_modified", "body_hash", "media_type", "observed_time", "checked_at")
    return (
        {row["url"]: Validator(*(row[name] for name in validator)) for row in rows if row["body_hash"] is not None},
        {
            row["url"]: Absence(row["url"], row["first_absent_at"], row["absent_at"])
            for row in rows
            if row["first_absent_at"] is not None
        },
    )


def known_keys(warehouse: Warehouse, source_type: str, collector_version: str, keys: Iterable[str]) -> frozenset[str]:
    """Return those natural keys that a collector of this version has records of."""
    with warehouse.read_pool().connection() as connection:
        rows = connection.execute(
            "SELECT DISTINCT natural_key FROM raw_records"
            " WHERE source_type = %s AND collector_version = %s AND natural_key = ANY(%s)",
            (source_type, collector_version, list(keys)),
        ).fetchall()
    return frozenset(row["natural_key"] for row in rows)


def filing_index_rows(
    warehouse: Warehouse, entity_ids: Sequence[str], forms: Sequence[str], first: date, last: date
) -> list[dict[str, Any]]:
    """Return the filing-index records of these entities and forms in a range of partition dates, as dicts.

    Keys: entity_id, accession, form, event_time, partition_date, filing_date, primary_document, size. One row per
    entity and accession, the one written last; ordered by partition date, then accession.
    """
    with warehouse.read_pool().connection() as connection:
        return connection.execute(
            """
            SELECT * FROM (
              SELECT DISTINCT ON (entity_id, natural_key)
                     entity_id, natural_key AS accession, form, event_time, partition_date,
                     (payload->>'filing_date')::date AS filing_date,
                     payload->>'primary_document' AS primary_document
              FROM raw_records
              WHERE source_type = 'filing_index' AND entity_id = ANY(%s) AND form = ANY(%s)
                AND partition_date BETWEEN %s AND %s
              ORDER BY entity_id, natural_key, ingest_time DESC, raw_record_id
            ) latest
            ORDER BY partition_date, accession, entity_id
            """,
            (list(entity_ids), list(forms), first, last),
        ).fetchall()


def reporting_filings(warehouse: Warehouse, entity_ids: Sequence[str], first: date, last: date) -> list[dict[str, Any]]:
    """Return the filing-index records that may carry XBRL facts in a range of partition dates, as dicts.

    Keys: entity_id, accession, form, event_time, partition_date. Those that the index marks, and the periodic reports,
    which it does not always mark. One row per entity and accession, the one written last; by entity and accession.
    """
    with warehouse.read_pool().connection() as connection:
        return connection.execute(
            """
            SELECT DISTINCT ON (entity_id, natural_key)
                   entity_id, natural_key AS accession, form, event_time, partition_date
            FROM raw_records
            WHERE source_type = 'filing_index' AND entity_id = ANY(%s) AND partition_date BETWEEN %s AND %s
              AND ((payload->>'is_xbrl')::boolean OR form ~ '^(10-[KQ]|20-F|40-F)')
            ORDER BY entity_id, natural_key, ingest_time DESC, raw_record_id
            """,
            (list(entity_ids), first, last),
        ).fetchall()


def indexed_filings(warehouse: Warehouse, entity_id: str, accessions: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Return the filing-index records of an entity by accession, whatever their form and day: the one written last.

    Keys of each: accession, form, event_time, partition_date.
    """
    with warehouse.read_pool().connection() as connection:
        rows = connection.execute(
            """
            SELECT DISTINCT ON (natural_key) natural_key AS accession, form, event_time, partition_date
            FROM raw_records
            WHERE source_type = 'filing_index' AND entity_id = %s AND natural_key = ANY(%s)
            ORDER BY natural_key, ingest_time DESC, raw_record_id
            """,
            (entity_id, list(accessions)),
        ).fetchall()
    return {row["accession"]: row for row in rows}


def indexed_entities(warehouse: Warehouse, entity_ids: Sequence[str]) -> frozenset[str]:
    """Return those entities that have a filing-index record, whatever its day."""
    with warehouse.read_pool().connection() as connection:
        rows = connection.execute(
            "SELECT entity_id FROM unnest(%s::text[]) AS asked (entity_id) WHERE EXISTS"
            " (SELECT FROM raw_records r WHERE r.source_type = 'filing_index' AND r.entity_id = asked.entity_id)",
            (list(entity_ids),),
        ).fetchall()
    return frozenset(row["entity_id"] for row in rows)


def indexed_accessions(warehouse: Warehouse, accessions: Iterable[str]) -> frozenset[str]:
    """Return those accessions that some filing-index record has, whatever its day."""
    with warehouse.read_pool().connection() as connection:
        rows = connection.execute(
            "SELECT DISTINCT natural_key FROM raw_records WHERE source_type = 'filing_index' AND natural_key = ANY(%s)",
            (list(accessions),),
        ).fetchall()
    return frozenset(row["natural_key"] for row in rows)


# --- runs -------------------------------------------------------------------------------------------------------


def _lock_key(run_id: str) -> str:
    return f"collector_run:{run_id}"


# Writes the heartbeat of a run, with the seconds since it last got on with its work.
Beat = Callable[[float], None]


@contextmanager
def running(warehouse: Warehouse, run: Mapping[str, Any], source_types: Sequence[str], schedule: str) -> Iterator[Beat]:
    """Open a run row and hold its lock; rows of dead runs of that collector become `failed`. Yield its heartbeat.

    A live run holds an advisory lock on a connection of its own, which the server drops with the process. So a run
    that is going on elsewhere is told from one that was killed. The heartbeat goes over that same connection: once
    the lock is lost there is none either.
    """

    def beat(idle_seconds: float) -> None:
        # No group's write: the row is bookkeeping of a run, and a beat must wait for nobody who settles the others.
        guard.execute(
            f"UPDATE {SCHEMA}.collector_runs SET heartbeat_at = clock_timestamp(),"
            " progress_at = clock_timestamp() - make_interval(secs => %s)"
            " WHERE collector_run_id = %s AND status = 'running'",
            (idle_seconds, run["collector_run_id"]),
        )

    with psycopg.connect(warehouse.url, autocommit=True, application_name="signaldelta-run") as guard:
        guard.execute("SELECT pg_advisory_lock(hashtextextended(%s, 0))", (_lock_key(run["collector_run_id"]),))
        with warehouse.write_pool(GROUP).connection() as connection:
            dead = connection.execute(
                """
                UPDATE collector_runs
                SET status = 'failed', finished_at = clock_timestamp(), error = 'superseded: its process ended'
                WHERE collector = %s AND status = 'running'
                  AND pg_try_advisory_xact_lock(hashtextextended('collector_run:' || collector_run_id, 0))
                """,
                (run["collector"],),
            ).rowcount
            connection.execute(
                """
                INSERT INTO collector_runs (collector_run_id, collector, collector_version, collection_mode,
                                            window_start, window_end, status, dagster_run_id,
                                            heartbeat_at, progress_at)
                VALUES (%(collector_run_id)s, %(collector)s, %(collector_version)s, %(collection_mode)s,
                        %(window_start)s, %(window_end)s, 'running', %(dagster_run_id)s,
                        clock_timestamp(), clock_timestamp())
                """,
                run,
            )
            connection.execute(
                """
                INSERT INTO collector_status (collector, source_types, schedule, last_run_id)
                VALUES (%s, %s, %s, %s)
                ON CONFLICT (collector) DO UPDATE
                  SET source_types = excluded.source_types, schedule = excluded.schedule,
                      last_run_id = excluded.last_run_id, updated_at = clock_timestamp()
                """,
                (run["collector"], list(source_types), schedule, run["collector_run_id"]),
            )
            if dead:
                connection.execute(_FAILED, {"error": "superseded: its process ended", "collector": run["collector"]})
        yield beat


_FAILED = (
    "UPDATE collector_status SET last_error_at = clock_timestamp(), last_error = %(error)s,"
    " consecutive_failures = consecutive_failures + 1, updated_at = clock_timestamp() WHERE collector = %(collector)s"
)


def refuse_run(warehouse: Warehouse, collector: str, source_types: Sequence[str], schedule: str, error: str) -> None:
    """Note that a collector could not even begin: a missing setting is a failure that must be seen."""
    with warehouse.write_pool(GROUP).connection() as connection:
        connection.execute(
            "INSERT INTO collector_status (collector, source_types, schedule) VALUES (%s, %s, %s)"
            " ON CONFLICT (collector) DO NOTHING",
            (collector, list(source_types), schedule),
        )
        connection.execute(_FAILED, {"error": error, "collector": collector})


def finish_run(
    warehouse: Warehouse, run_id: str, collector: str, *, counts: Mapping[str, int], error: str | None
) -> None:
    """Close a run row and update the collector's status, in one transaction."""
    with warehouse.write_pool(GROUP).connection() as connection:
        connection.execute(
            """
            UPDATE collector_runs
            SET status = %(status)s, finished_at = clock_timestamp(), error = %(error)s, counts = %(counts)s,
                documents_read = %(read)s, records_written = %(written)s, records_known = %(known)s,
                records_quarantined = %(quarantined)s
            WHERE collector_run_id = %(run)s
            """,
            {
                "status": "complete" if error is None else "failed",
                "error": error,
                "counts": Jsonb(dict(counts)),
                "read": counts.get("documents_read", 0),
                "written": counts.get("records_written", 0),
                "known": counts.get("records_known", 0),
                "quarantined": counts.get("records_quarantined", 0),
                "run": run_id,
            },
        )
        if error is None:
            connection.execute(
                "UPDATE collector_status SET last_success_at = clock_timestamp(), consecutive_failures = 0,"
                " updated_at = clock_timestamp() WHERE collector = %s",
                (collector,),
            )
        else:
            connection.execute(_FAILED, {"error": error, "collector": collector})


# --- batches ----------------------------------------------------------------------------------------------------

_DOCUMENT = ("body_hash", "size_bytes", "media_type", "source_url", "http_status", "observed_time")
_RECORD = (
    "raw_record_id", "source_type", "entity_id", "natural_key", "form", "event_time", "observed_time",
    "partition_date", "collection_mode", "collector", "collector_version", "collector_run_id", "schema_version",
    "payload_hash", "payload", "body_hash", "source_url",
)  # fmt: skip
_QUARANTINE = (
    "quarantine_id", "collector_run_id", "collector", "source_type", "record", "field", "expected", "found",
    "body_hash", "source_url", "partition_date",
)  # fmt: skip
_CLOCK = ("body_hash", "decider_version", "entity_id", "clock", "grounds", "source_url")


def quarantine_id(collector: str, refused: QuarantinedRecord, day: date | None) -> str:
    """Return the content-derived id of a refusal: the same refusal again is the same row."""
    parts = [
        collector, refused.source_type, refused.record, refused.field, refused.expected, refused.found,
        refused.body_hash, refused.source_url, None if day is None else day.isoformat(),
    ]  # fmt: skip
    return content_ulid(None, canonical_json(parts))


def write_batch(warehouse: Warehouse, run_id: str, collector: str, rows: BatchRows) -> Written:
    """Write one batch in one transaction; return what was new."""
    written = Written()
    years = {record.event_time.year for record in rows.records if record.event_time is not None}
    partitions.ensure(warehouse, "raw_records", (date(year, 1, 1) for year in years))
    with warehouse.write_pool(GROUP).connection() as connection:
        _, written.documents = copy_new(
            connection,
            "raw_documents",
            _DOCUMENT,
            ([getattr(document, name) for name in _DOCUMENT] for document in rows.documents),
        )
        _put_validators(connection, rows.validators)
        _put_absences(connection, rows.absences)
        offered, written.records = copy_new(
            connection, "raw_records", _RECORD, map(_record_row, rows.records), key="raw_record_id"
        )
        written.known = offered - written.records
        offered, written.quarantined = copy_new(
            connection,
            "quarantined_records",
            _QUARANTINE,
            (
                (
                    quarantine_id(collector, refused, day), run_id, collector, refused.source_type, refused.record,
                    refused.field, refused.expected, refused.found, refused.body_hash, refused.source_url, day,
                )
                for refused, day in rows.quarantined
            ),
        )  # fmt: skip
        if offered > written.quarantined:
            refusals = {quarantine_id(collector, refused, day) for refused, day in rows.quarantined}
            quarantine.reopen(connection, run_id, refusals)
        _, written.clocks = copy_new(
            connection,
            "clock_decisions",
            _CLOCK,
            (
                (c.body_hash, c.decider_version, c.entity_id, c.clock, Jsonb(dict(c.grounds)), c.source_url)
                for c in rows.clocks
            ),
        )
        if written.records:
            events = [record.event_time for record in rows.records if record.event_time is not None]
            connection.execute(
                "UPDATE collector_status SET last_record_at = clock_timestamp(),"
                " last_event_time = greatest(last_event_time, %s), updated_at = clock_timestamp()"
                " WHERE collector = %s",
                (max(events, default=None), collector),
            )
    return written


def _put_validators(connection: Connection[Any], validators: Sequence[Validator]) -> None:
    with connection.cursor() as cursor:
        cursor.executemany(
            """
            INSERT INTO http_validators (url, etag, last_modified, body_hash, checked_at)
            VALUES (%s, %s, %s, %s, %s)
            ON CONFLICT (url) DO UPDATE SET etag = excluded.etag, last_modified = excluded.last_modified,
              body_hash = excluded.body_hash, checked_at = excluded.checked_at
            """,
            # One order for all processes, so that two of them cannot wait for each other.
            [(v.url, v.etag, v.last_modified, v.body_hash, v.checked_at) for v in sorted(validators, key=_by_url)],
        )
        if validators:
            # What was received is not absent any more.
            cursor.execute("DELETE FROM http_absences WHERE url = ANY(%s)", ([v.url for v in validators],))


def _put_absences(connection: Connection[Any], absences: Sequence[Absence]) -> None:
    with connection.cursor() as cursor:
        cursor.executemany(
            """
            INSERT INTO http_absences (url, first_absent_at, checked_at) VALUES (%s, %s, %s)
            ON CONFLICT (url) DO UPDATE SET checked_at = excluded.checked_at
            """,
            [(a.url, a.first_absent_at, a.checked_at) for a in sorted(absences, key=_by_url)],
        )


def _by_url(row: Validator | Absence) -> str:
    return row.url


def _record_row(record: RawRecord) -> tuple[Any, ...]:
    # Two of the columns are not what the record's fields of that name hold.
    *before, mode, collector, version, run, schema, digest, _, body, url = _record_fields(record)
    return (*before, str(mode), collector, version, run, schema, digest, record.payload_text.decode(), body, url)


_record_fields = attrgetter(*_RECORD)
