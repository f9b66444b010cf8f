"""Securities, documents and the state of the platform."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import Any

from psycopg import Connection

from signaldelta_assets.warehouse.stores import health, quarantine

from .statement import Row, asked, keyset, one, rows

_DOCUMENT = "document_hash, kind, name, document, ingest_time"
# Counted exactly: these answer within the page; the large ones are estimated by the planner's statistics.
_COUNTED = ("securities", "labeled_event_datasets", "backtest_snapshots", "backtest_runs")
_ESTIMATED = ("raw_records", "quarantined_records", "iald_signals", "labeled_events", "score_samples")


# What the sources said by then of identifiers `i`; what they said before and after is kept beside it.
_STANDS = "i.ingest_time <= %(known)s AND (i.superseded_at IS NULL OR i.superseded_at > %(known)s)"
_STOOD = _STANDS.replace("i.", "d.")
_OF_DAY = (
    """(%(day)s::date IS NULL OR (coalesce(i.valid_from <= %(day)s, NOT EXISTS (
  SELECT FROM security_identifiers d WHERE (d.entity_id, d.kind, d.value) = (i.entity_id, i.kind, i.value)
    AND d.valid_from IS NOT NULL AND """
    + _STOOD
    + """)) AND coalesce(%(day)s < i.valid_to, true)))"""
)


def securities_page(
    connection: Connection[Row], filters: Mapping[str, Any], known_as_of: datetime, after: str | None, limit: int
) -> list[Row]:
    """Return securities seen by `known_as_of`, by entity_id. `q`: part of a present or former name or ticker.

    With `day` a ticker is asked for as of that day: of an entity that says since when it has the ticker, only its
    dates count.
    """
    conditions = {
        "asset_class": "asset_class = %(asset_class)s",
        "cik": "cik = %(cik)s",
        "ticker": "EXISTS (SELECT FROM security_identifiers i WHERE i.entity_id = s.entity_id AND i.kind = 'ticker'"
        f" AND i.value = upper(%(ticker)s) AND {_STANDS} AND {_OF_DAY})",
        "q": "(name ILIKE %(like)s OR primary_ticker ILIKE %(like)s OR EXISTS (SELECT FROM security_identifiers i"
        f" WHERE i.entity_id = s.entity_id AND i.value ILIKE %(like)s AND {_STANDS} AND {_OF_DAY}))",
    }
    text = str(filters.get("q") or "")
    like = "%" + text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_") + "%"
    return rows(
        connection,
        f"""SELECT * FROM securities s WHERE entity_id > %(after)s AND first_seen_at <= %(known)s
            {asked(conditions, filters)} ORDER BY entity_id LIMIT %(limit)s""",
        {
            **filters,
            "like": like,
            "day": filters.get("day"),
            "known": known_as_of,
            "after": after or "",
            "limit": limit,
        },
    )


def security(connection: Connection[Row], entity_id: str) -> Row | None:
    """Return one security, or None."""
    return one(connection, "SELECT * FROM securities WHERE entity_id = %(id)s", {"id": entity_id})


def identifiers(
    connection: Connection[Row], entity_ids: Sequence[str], known_as_of: datetime, day: date | None = None
) -> dict[str, list[Row]]:
    """Return by entity its dated identifiers as they were known: all of them, or those that held on `day`.

    An end that was still to come on `day` is not told.
    """
    found: dict[str, list[Row]] = {}
    for row in rows(
        connection,
        f"""SELECT entity_id, kind, value, source, valid_from,
              CASE WHEN %(day)s::date IS NULL OR valid_to <= %(day)s THEN valid_to END AS valid_to, share_class,
              is_primary
            FROM security_identifiers i WHERE entity_id = ANY(%(ids)s) AND {_STANDS} AND {_OF_DAY}
            ORDER BY entity_id, kind, valid_from NULLS FIRST, value, source, share_class""",
        {"ids": list(entity_ids), "day": day, "known": known_as_of},
    ):
        found.setdefault(row.pop("entity_id"), []).append(row)
    return found


def as_of_day(row: Row, found: Sequence[Row], day: date) -> Row:
    """Return a security as it was on `day`, by its identifiers of that day; what has no dates stays as it is now."""

    def dated(kind: str) -> str | None:
        held = [one for one in found if one["kind"] == kind and one["valid_from"] is not None]
        primary = [one for one in held if kind == "name" or one["is_primary"]]
        return primary[-1]["value"] if primary else None

    return row | {
        "name": dated("name") or row["name"],
        "primary_ticker": dated("ticker") or row["primary_ticker"],
        **{
            name: row[name] if row[name] is not None and row[name] <= day else None
            for name in ("listed_on", "delisted_on")
        },
    }


def document(connection: Connection[Row], document_hash: str, kind: str | None = None) -> Row | None:
    """Return the document of that hash (and kind), or None; `canonical` is its canonical JSON as bytes."""
    return one(
        connection,
        f"""SELECT {_DOCUMENT}, canonical FROM documents WHERE document_hash = %(hash)s
            AND (%(kind)s::text IS NULL OR kind = %(kind)s)""",
        {"hash": document_hash, "kind": kind},
    )


def newest_document(
    connection: Connection[Row], kind: str, known_as_of: datetime, name: str | None = None
) -> Row | None:
    """Return the newest document of a kind (and name) written by `known_as_of`, or None."""
    return one(
        connection,
        f"""SELECT {_DOCUMENT} FROM documents WHERE kind = %(kind)s AND ingest_time <= %(known)s
            AND (%(name)s::text IS NULL OR name = %(name)s) ORDER BY ingest_time DESC, document_hash LIMIT 1""",
        {"kind": kind, "known": known_as_of, "name": name},
    )


def documents_page(
    connection: Connection[Row], kind: str | None, known_as_of: datetime, after: tuple[Any, ...] | None, limit: int
) -> list[Row]:
    """Return documents stored by `known_as_of`, without their content, newest first."""
    condition, order, key = keyset(("ingest_time", "document_hash"), after, True)
    return rows(
        connection,
        f"""SELECT document_hash, kind, name, ingest_time FROM documents
            WHERE (%(kind)s::text IS NULL OR kind = %(kind)s) AND ingest_time <= %(known)s {condition}
            ORDER BY {order} LIMIT %(limit)s""",
        {**key, "kind": kind, "known": known_as_of, "limit": limit},
    )


def collectors(connection: Connection[Row]) -> list[Row]:
    """Return how every collector is now (`warehouse.stores.health`)."""
    return health.collector_health(connection)


def refusals_page(
    connection: Connection[Row],
    collector: str,
    open_only: bool,
    known_as_of: datetime,
    after: tuple[Any, ...] | None,
    limit: int,
) -> list[Row]:
    """Return the refused records of a collector as they stood at `known_as_of`, newest first."""
    key = None if after is None else (after[0], after[1])
    return quarantine.page(connection, collector, open_only=open_only, after=key, limit=limit, known_as_of=known_as_of)


def collector_runs_page(
    connection: Connection[Row], collector: str, known_as_of: datetime, after: tuple[Any, ...] | None, limit: int
) -> list[Row]:
    """Return the runs of a collector that had ended by `known_as_of`, newest first."""
    condition, order, key = keyset(("finished_at", "collector_run_id"), after, True)
    return rows(
        connection,
        f"""SELECT collector_run_id, collection_mode, window_start, window_end, started_at, finished_at, heartbeat_at,
              progress_at, documents_read, records_written, records_known, records_quarantined, error
            FROM collector_runs WHERE collector = %(collector)s AND finished_at <= %(known)s {condition}
            ORDER BY {order} LIMIT %(limit)s""",
        {**key, "collector": collector, "known": known_as_of, "limit": limit},
    )


def counts(connection: Connection[Row]) -> tuple[dict[str, int], dict[str, int]]:
    """Return (exact counts of the small tables, the planner's estimates for the large ones)."""
    exact = ", ".join(f"(SELECT count(*) FROM {table}) AS {table}" for table in _COUNTED)
    counted = one(connection, f"SELECT {exact}", {})
    assert counted is not None
    estimated = rows(
        connection,
        """SELECT relname, GREATEST(reltuples, 0)::bigint AS n FROM pg_class
           WHERE oid = ANY(SELECT to_regclass(t) FROM unnest(%(tables)s::text[]) t)""",
        {"tables": list(_ESTIMATED)},
    )
    return dict(counted), {row["relname"]: row["n"] for row in sorted(estimated, key=lambda row: row["relname"])}
