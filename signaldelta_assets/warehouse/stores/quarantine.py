"""Refusals and whether they still stand: open until a run reads the same thing without refusing it.

Refused rows are frozen; what became of them is appended to `quarantine_resolutions`, and its last word counts.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from psycopg import Connection

from ..pools import Warehouse

GROUP = "collection"

# The last word on a refusal `q`, as `s`; no row where nothing was ever said.
_LAST_WORD = """
LEFT JOIN LATERAL (
  SELECT state, reason, collector_run_id AS run_id, ingest_time AS at FROM quarantine_resolutions r
  WHERE r.quarantine_id = q.quarantine_id {until} ORDER BY r.ingest_time DESC LIMIT 1
) s ON true
"""
LAST_WORD = _LAST_WORD.format(until="")
IS_OPEN = "s.state IS DISTINCT FROM 'resolved'"


@dataclass(frozen=True, slots=True)
class OpenRefusal:
    """A refusal that stands. `first_day` to `last_day` are the days it is about.

    They are its partition where that is known (`dated`), else the window of the run that refused it.
    """

    quarantine_id: str
    source_type: str
    record: str
    source_url: str
    body_hash: str | None
    dated: bool
    first_day: date
    last_day: date


def open_refusals(warehouse: Warehouse, collector: str) -> list[OpenRefusal]:
    """Return the refusals of a collector that stand, oldest first."""
    with warehouse.read_pool().connection() as connection:
        rows = connection.execute(
            f"""
            SELECT q.quarantine_id, q.source_type, q.record, q.source_url, q.body_hash,
                   q.partition_date IS NOT NULL AS dated, coalesce(q.partition_date, run.window_start) AS first_day,
                   coalesce(q.partition_date, run.window_end) AS last_day
            FROM quarantined_records q JOIN collector_runs run USING (collector_run_id) {LAST_WORD}
            WHERE q.collector = %s AND {IS_OPEN} ORDER BY q.ingest_time, q.quarantine_id
            """,
            (collector,),
        ).fetchall()
    return [OpenRefusal(**row) for row in rows]


def resolve(warehouse: Warehouse, run_id: str, resolved: Mapping[str, str]) -> int:
    """Note that a run read without refusal what had been refused: quarantine_id to reason. Return how many."""
    if not resolved:
        return 0
    with warehouse.write_pool(GROUP).connection() as connection, connection.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO quarantine_resolutions (quarantine_id, collector_run_id, state, reason)"
            " VALUES (%s, %s, 'resolved', %s) ON CONFLICT DO NOTHING",
            [(refusal, run_id, reason) for refusal, reason in sorted(resolved.items())],
        )
        return cursor.rowcount


def reopen(connection: Connection[Any], run_id: str, refused: Collection[str]) -> None:
    """Note, in the caller's transaction, which of these refusals had been resolved and are refused again."""
    connection.execute(
        f"""
        INSERT INTO quarantine_resolutions (quarantine_id, collector_run_id, state, reason)
        SELECT q.quarantine_id, %s, 'reopened', 'refused again' FROM quarantined_records q {LAST_WORD}
        WHERE q.quarantine_id = ANY(%s) AND s.state = 'resolved' ORDER BY 1
        ON CONFLICT DO NOTHING
        """,
        (run_id, sorted(refused)),
    )


def held_since(warehouse: Warehouse, collector: str) -> frozenset[str]:
    """Return the open refusals of single documents of which a record was written after the refusal.

    A run that was killed wrote the record and could no longer say that the refusal is answered.
    """
    refused: dict[str, list[dict[str, Any]]] = {}
    written: dict[tuple[str, str], datetime] = {}
    with warehouse.read_pool().connection() as connection:
        for row in connection.execute(
            f"""
            SELECT q.quarantine_id, q.source_type, q.record, greatest(q.ingest_time, s.at) AS since
            FROM quarantined_records q {LAST_WORD} WHERE q.collector = %s AND {IS_OPEN}
            """,
            (collector,),
        ).fetchall():
            refused.setdefault(row["source_type"], []).append(row)
        # All keys in one scan of the index: one scan for each of them takes seconds where a few hundred stand.
        for source, rows in refused.items():
            found = connection.execute(
                "SELECT natural_key, max(ingest_time) AS at FROM raw_records"
                " WHERE source_type = %s AND natural_key = ANY(%s) AND collector = %s GROUP BY 1",
                (source, sorted({row["record"] for row in rows}), collector),
            ).fetchall()
            written |= {(source, row["natural_key"]): row["at"] for row in found}
    return frozenset(
        row["quarantine_id"]
        for source, rows in refused.items()
        for row in rows
        if (at := written.get((source, row["record"]))) is not None and at > row["since"]
    )


def page(
    connection: Connection[dict[str, Any]],
    collector: str | None,
    *,
    open_only: bool,
    after: tuple[datetime, str] | None = None,
    limit: int = 100,
    known_as_of: datetime | None = None,
) -> list[dict[str, Any]]:
    """Return refusals, newest first: the quarantine row with `open`, `resolved_at`, `resolved_by_run`, `reason`.

    known_as_of: as they stood then; None for now.
    """
    until = "" if known_as_of is None else "AND r.ingest_time <= %(known)s"
    return connection.execute(
        f"""
        SELECT q.quarantine_id, q.collector_run_id, q.collector, q.source_type, q.record, q.field, q.expected, q.found,
               q.body_hash, q.source_url, q.partition_date, q.ingest_time, {IS_OPEN} AS open,
               CASE WHEN s.state = 'resolved' THEN s.at END AS resolved_at,
               CASE WHEN s.state = 'resolved' THEN s.run_id END AS resolved_by_run,
               s.reason
        FROM quarantined_records q {_LAST_WORD.format(until=until)}
        WHERE (%(collector)s::text IS NULL OR q.collector = %(collector)s)
          AND (%(known)s::timestamptz IS NULL OR q.ingest_time <= %(known)s)
          AND (NOT %(open_only)s OR {IS_OPEN})
          AND (%(at)s::timestamptz IS NULL OR (q.ingest_time, q.quarantine_id) < (%(at)s, %(id)s))
        ORDER BY q.ingest_time DESC, q.quarantine_id DESC LIMIT %(limit)s
        """,
        {
            "collector": collector,
            "open_only": open_only,
            "known": known_as_of,
            "at": after[0] if after else None,
            "id": after[1] if after else None,
            "limit": limit,
        },
    ).fetchall()


def open_by_reason(connection: Connection[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """Return by collector why records stand refused: source_type, field, expected, records, example; most first."""
    rows = connection.execute(
        f"""
        SELECT q.collector, q.source_type, q.field, q.expected, count(*) AS records, min(q.record) AS example
        FROM quarantined_records q {LAST_WORD} WHERE {IS_OPEN}
        GROUP BY 1, 2, 3, 4 ORDER BY 1, 5 DESC, 2, 3, 4
        """
    ).fetchall()
    found: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        found.setdefault(row.pop("collector"), []).append(row)
    return found
