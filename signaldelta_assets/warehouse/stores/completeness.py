"""What EDGAR announced, and what of it is here: the rows that completeness is reckoned from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from typing import Any

from ..pools import Warehouse
from . import quarantine

# The acceptance of a filing lies on these many UTC days around its filing date: six before at most, one after.
DAYS_BEFORE, DAYS_AFTER = 6, 1
_ACCESSION = r"\d{10}-\d{2}-\d{6}"


def index_entries(
    warehouse: Warehouse,
    entity_ids: Sequence[str],
    forms: Sequence[str],
    first: date,
    last: date,
    accessions: Iterable[str] | None = None,
) -> list[dict[str, Any]]:
    """Return what EDGAR's daily indexes of these days (`accessions`: of any day) list of these entities and forms.

    Keys: accession, form, entity_id, filed, partition_date (the index's day). By filing date, accession and entity.
    """
    chosen = None if accessions is None else [f"{accession}|{form}" for accession in accessions for form in forms]
    with warehouse.read_pool().connection() as connection:
        return connection.execute(
            """
            SELECT DISTINCT ON (filed, accession, entity_id)
                   payload->>'accession' AS accession, form, entity_id, (payload->>'filed')::date AS filed,
                   partition_date
            FROM raw_records
            WHERE source_type = 'index_entry' AND entity_id = ANY(%(entities)s) AND form = ANY(%(forms)s)
              AND CASE WHEN %(keys)s::text[] IS NULL THEN partition_date BETWEEN %(first)s AND %(last)s
                       ELSE natural_key = ANY(%(keys)s) END
            ORDER BY filed, accession, entity_id, partition_date DESC, form
            """,
            {"entities": list(entity_ids), "forms": list(forms), "keys": chosen, "first": first, "last": last},
        ).fetchall()


def asked_urls(
    warehouse: Warehouse, urls: Sequence[str], since: Mapping[str, datetime] | None = None
) -> dict[str, bool]:
    """Return those URLs that an upstream has answered, each with whether it had a document.

    `since`: by URL the moment from which on an answer counts, where what is there was still growing before.
    """
    with warehouse.read_pool().connection() as connection:
        rows = connection.execute(
            "SELECT url, false AS there, checked_at FROM http_absences WHERE url = ANY(%(urls)s)"
            " UNION ALL SELECT url, true, checked_at FROM http_validators WHERE url = ANY(%(urls)s) ORDER BY there",
            {"urls": list(urls)},
        ).fetchall()
    return {row["url"]: row["there"] for row in rows if since is None or row["checked_at"] >= since[row["url"]]}


def announced_by_index(warehouse: Warehouse, first: date, last: date) -> list[dict[str, Any]]:
    """Return what the daily indexes of these days list: accession, form, entity_id, filed, partition_date."""
    with warehouse.read_pool().connection() as connection:
        return connection.execute(
            """
            SELECT payload->>'accession' AS accession, form, entity_id, (payload->>'filed')::date AS filed,
                   partition_date
            FROM raw_records WHERE source_type = 'index_entry' AND partition_date BETWEEN %s AND %s
            ORDER BY partition_date, natural_key, entity_id
            """,
            (first, last),
        ).fetchall()


def announced_by_lists(warehouse: Warehouse, first: date, last: date) -> list[dict[str, Any]]:
    """Return what the submissions lists have as filed on these days: accession, form, entity_id, filed, indexed.

    `indexed`: a daily index of any day lists it, under whatever entity.
    """
    with warehouse.read_pool().connection() as connection:
        return connection.execute(
            """
            WITH listed AS (
              SELECT DISTINCT ON (entity_id, natural_key) natural_key AS accession, form, entity_id,
                     (payload->>'filing_date')::date AS filed
              FROM raw_records
              WHERE source_type = 'filing_index'
                AND partition_date BETWEEN %(first)s::date - %(before)s AND %(last)s::date + %(after)s
                AND (payload->>'filing_date')::date BETWEEN %(first)s AND %(last)s
              ORDER BY entity_id, natural_key, ingest_time DESC, raw_record_id
            ), indexed AS (
              SELECT DISTINCT split_part(natural_key, '|', 1) AS accession
              FROM raw_records WHERE source_type = 'index_entry' AND partition_date >= %(first)s
            )
            SELECT listed.*, indexed.accession IS NOT NULL AS indexed
            FROM listed LEFT JOIN indexed USING (accession) ORDER BY filed, accession, entity_id
            """,
            {"first": first, "last": last, "before": DAYS_BEFORE, "after": DAYS_AFTER},
        ).fetchall()


def listed_filings(
    warehouse: Warehouse, entity_ids: Iterable[str], accessions: Iterable[str]
) -> frozenset[tuple[str, str]]:
    """Return those (entity, accession) that the submissions list of that entity has, whatever the day."""
    with warehouse.read_pool().connection() as connection:
        rows = connection.execute(
            "SELECT DISTINCT entity_id, natural_key FROM raw_records"
            " WHERE source_type = 'filing_index' AND entity_id = ANY(%s) AND natural_key = ANY(%s)",
            (sorted(set(entity_ids)), sorted(set(accessions))),
        ).fetchall()
    return frozenset((row["entity_id"], row["natural_key"]) for row in rows)


def held_documents(
    warehouse: Warehouse, source_types: Sequence[str], accessions: Iterable[str]
) -> dict[str, frozenset[str]]:
    """Return by source type those accessions of which there is a record, read by whatever version of its collector."""
    found: dict[str, set[str]] = {source: set() for source in source_types}
    with warehouse.read_pool().connection() as connection:
        rows = connection.execute(
            "SELECT DISTINCT source_type, natural_key FROM raw_records"
            " WHERE source_type = ANY(%s) AND natural_key = ANY(%s)",
            (list(source_types), sorted(set(accessions))),
        ).fetchall()
    for row in rows:
        found[row["source_type"]].add(row["natural_key"])
    return {source: frozenset(keys) for source, keys in found.items()}


def refused_filings(warehouse: Warehouse) -> dict[str, dict[str, str]]:
    """Return by collector the accessions that stand refused, each with the field and what was expected there."""
    with warehouse.read_pool().connection() as connection:
        rows = connection.execute(
            f"""
            SELECT q.collector, substring(q.record FROM '{_ACCESSION}') AS accession,
                   min(q.field || ': expected ' || q.expected) AS reason
            FROM quarantined_records q {quarantine.LAST_WORD}
            WHERE {quarantine.IS_OPEN} AND q.record ~ '{_ACCESSION}' GROUP BY 1, 2
            """
        ).fetchall()
    found: dict[str, dict[str, str]] = {}
    for row in rows:
        found.setdefault(row["collector"], {})[row["accession"]] = row["reason"]
    return found
