"""Signals, labels and scores: every question carries both of its clocks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import orjson
from psycopg import Connection

from .statement import Row, asked, keyset, one, rows

_SIGNAL = """event_id, revision, event_key, signal_id, family, entity_id, event_time, observed_time, ingest_time,
    strength_norm, direction, reliability, chain_affinity, frontier, raw_record_ids, attributes, active,
    definitions_hash, extractor_version, content_hash"""
_LABEL = """label_id, revision, label_key, event_type, subtype, entity_id, event_time, time_precision, known_at,
    observed_time, ingest_time, confidence, raw_record_ids, source_url, classifier_version, definitions_hash,
    attributes, active, content_hash"""
_EVENT_FILTERS = {
    "entity_id": "entity_id = %(entity_id)s",
    "signal_id": "signal_id = %(signal_id)s",
    "family": "family = %(family)s",
    "event_type": "event_type = %(event_type)s",
    "rules": "definitions_hash = ANY(%(rules)s)",
    "start": "event_time >= %(start)s",
    "end": "event_time < %(end)s",
}
_SCORE_FILTERS = {
    "scoring_model": "scoring_model_hash = %(scoring_model)s",
    "latency_model": "latency_model_hash = %(latency_model)s",
    "definitions": "definitions_hash = %(definitions)s",
    "start": "at >= %(start)s",
    "end": "at < %(end)s",
}
# Rows of these tables carry the hash of their own rule; the definitions document `d` holds those that are its own.
Ruled = Literal["iald_signals", "labeled_events"]
_RULES: dict[Ruled, str] = {
    "iald_signals": "SELECT value ->> 'rule_hash' FROM jsonb_each(d.document -> 'signals')",
    "labeled_events": "SELECT value ->> 'rule_hash' FROM jsonb_each(d.document -> 'labels')",
}
# What a score is shown with; its JSON as the database writes it, which nobody needs to take apart and put together.
SCORE_JSON = ("chain_probabilities", "family_deltas", "top_contributors")
_SCORE = (
    "entity_id, at, scoring_model_hash, latency_model_hash, definitions_hash, input_hash, ingest_time, evidence,"
    " effective_families, magnitude, lean, confidence, quality, diversity, ordering, n_events, legacy_score, verdict"
)
SCORE_COLUMNS = f"{_SCORE}, {', '.join(f'{name}::text AS {name}' for name in SCORE_JSON)}"
# The same as one text of JSON: a page of it is put together without looking at any of its values.
SCORE_SHOWN = f"(SELECT row_to_json(shown)::text FROM (SELECT {_SCORE}, {', '.join(SCORE_JSON)}) shown) AS shown"
SCORE_KEY = ("at", "scoring_model_hash", "latency_model_hash", "definitions_hash")


def key_of_shown(shown: str) -> Row:
    """Return the key (`SCORE_KEY`) of a row that is `SCORE_SHOWN`."""
    document = orjson.loads(shown)
    return {name: document[name] for name in SCORE_KEY} | {"at": datetime.fromisoformat(document["at"])}


def newest_definitions(connection: Connection[Row], table: Ruled, known_as_of: datetime) -> str | None:
    """Return the hash of the newest stored definitions of which `table` has rows, made under one of their rules."""
    row = one(
        connection,
        # LIMIT inside keeps the planner from joining: the scan ends at the first row found.
        f"""SELECT document_hash FROM documents d WHERE kind = 'signal_definitions' AND ingest_time <= %(known)s
            AND (SELECT true FROM {table} t
                 WHERE t.definitions_hash = ANY(ARRAY({_RULES[table]})) AND t.ingest_time <= %(known)s LIMIT 1)
            ORDER BY ingest_time DESC, document_hash LIMIT 1""",
        {"known": known_as_of},
    )
    return None if row is None else str(row["document_hash"])


def rules_of(connection: Connection[Row], table: Ruled, definitions_hash: str) -> list[str]:
    """Return the hashes that rows of `table` made under stored definitions carry, one per active rule.

    A hash that names no definitions is taken for that of one rule.
    """
    found = rows(
        connection,
        f"""SELECT ARRAY({_RULES[table]}) AS rules FROM documents d
            WHERE kind = 'signal_definitions' AND document_hash = %(hash)s""",
        {"hash": definitions_hash},
    )
    return list(found[0]["rules"]) if found else [definitions_hash]


def definitions_of_rule(connection: Connection[Row], table: Ruled, rule_hash: str, known_as_of: datetime) -> str | None:
    """Return the hash of the newest stored definitions that hold a rule."""
    row = one(
        connection,
        f"""SELECT document_hash FROM documents d WHERE kind = 'signal_definitions' AND ingest_time <= %(known)s
            AND %(rule)s = ANY(ARRAY({_RULES[table]})) ORDER BY ingest_time DESC, document_hash LIMIT 1""",
        {"known": known_as_of, "rule": rule_hash},
    )
    return None if row is None else str(row["document_hash"])


def signal_rows(
    connection: Connection[Row],
    filters: Mapping[str, Any],
    as_of: datetime,
    known_as_of: datetime,
    after: tuple[Any, ...] | None,
    descending: bool,
    limit: int,
) -> list[Row]:
    """Return rows of iald_signals in keyset order, every revision that may have been available at `as_of`."""
    condition, order, key = keyset(("event_time", "event_id", "revision"), after, descending)
    return rows(
        connection,
        f"""SELECT {_SIGNAL} FROM iald_signals WHERE event_time <= %(as_of)s AND ingest_time <= %(known)s
            {asked(_EVENT_FILTERS, filters)} {condition} ORDER BY {order} LIMIT %(limit)s""",
        {**filters, **key, "as_of": as_of, "known": known_as_of, "limit": limit},
    )


def signal_revisions(
    connection: Connection[Row], found: list[Row], as_of: datetime, known_as_of: datetime
) -> list[Row]:
    """Return all revisions of the events in `found` that may have been available at `as_of`."""
    return rows(
        connection,
        # event_key begins with the entity, but only entity_id leads an index.
        """SELECT event_id, revision, event_key, event_time, frontier, active FROM iald_signals
           WHERE entity_id = ANY(%(entities)s) AND event_key = ANY(%(keys)s)
             AND event_time <= %(as_of)s AND ingest_time <= %(known)s""",
        {
            "entities": sorted({row["entity_id"] for row in found}),
            "keys": sorted({row["event_key"] for row in found}),
            "as_of": as_of,
            "known": known_as_of,
        },
    )


def signal_event_revisions(connection: Connection[Row], event_id: str, known_as_of: datetime) -> list[Row]:
    """Return every revision under the event's key, oldest first; none where the event is not known."""
    return rows(
        connection,
        f"""SELECT {_SIGNAL} FROM iald_signals WHERE ingest_time <= %(known)s AND (entity_id, event_key) IN
              (SELECT entity_id, event_key FROM iald_signals WHERE event_id = %(event_id)s AND ingest_time <= %(known)s)
            ORDER BY revision""",
        {"event_id": event_id, "known": known_as_of},
    )


# The latest revision that was known at `as_of`, of rows ingested by `known`.
_KNOWN_LABELS = """labeled_events AS l WHERE known_at <= %(as_of)s AND ingest_time <= %(known)s AND active
    AND NOT EXISTS (SELECT FROM labeled_events later WHERE later.label_key = l.label_key
        AND later.entity_id = l.entity_id AND later.revision > l.revision
        AND later.known_at <= %(as_of)s AND later.ingest_time <= %(known)s)"""


def labels_page(
    connection: Connection[Row],
    filters: Mapping[str, Any],
    as_of: datetime,
    known_as_of: datetime,
    after: tuple[Any, ...] | None,
    descending: bool,
    limit: int,
) -> list[Row]:
    """Return labels known at `as_of`, by (event_time, label_id), each in its latest revision known then."""
    condition, order, key = keyset(("event_time", "label_id"), after, descending, "l.")
    return rows(
        connection,
        f"""SELECT {_LABEL} FROM {_KNOWN_LABELS} {asked(_EVENT_FILTERS, filters)} {condition}
            ORDER BY {order} LIMIT %(limit)s""",
        {**filters, **key, "as_of": as_of, "known": known_as_of, "limit": limit},
    )


def label(connection: Connection[Row], label_id: str, as_of: datetime, known_as_of: datetime) -> Row | None:
    """Return one label as it was known at `as_of`, or None."""
    return one(
        connection,
        f"SELECT {_LABEL} FROM {_KNOWN_LABELS} AND label_id = %(label_id)s",
        {"label_id": label_id, "as_of": as_of, "known": known_as_of},
    )


# Scores are made every hour, so the latest is nearly always in the last partitions, which are asked alone first: a
# question without an earlier bound looks into every partition there is.
_RECENT = timedelta(days=45)
_LATEST = """SELECT {columns} FROM score_samples s
    WHERE s.entity_id = {entity} AND {between} AND ingest_time <= %(known)s {filters}
    ORDER BY at DESC, ingest_time DESC, scoring_model_hash, latency_model_hash, definitions_hash LIMIT 1"""
_BEGINNING = datetime(1, 3, 1, tzinfo=UTC)
_BETWEEN = ("at <= %(as_of)s AND at > %(recent)s", "at <= %(recent)s")


def latest_scores_page(
    connection: Connection[Row],
    filters: Mapping[str, Any],
    as_of: datetime,
    known_as_of: datetime,
    after: str | None,
    limit: int,
    columns: str = "*",
) -> tuple[list[Row], str | None]:
    """Return (the latest score of each of the next `limit` entities, last entity if more may follow).

    Entities are found by jumping along the indexes, so the cost grows with entities, not with samples.
    """
    walked = rows(
        connection,
        """WITH RECURSIVE next_entity AS (
              (SELECT entity_id, 1 AS n FROM score_samples WHERE entity_id > %(after)s ORDER BY entity_id LIMIT 1)
              UNION ALL
              SELECT (SELECT entity_id FROM score_samples s WHERE s.entity_id > e.entity_id ORDER BY entity_id LIMIT 1),
                     e.n + 1
              FROM next_entity e WHERE e.entity_id IS NOT NULL AND e.n < %(limit)s)
            SELECT entity_id FROM next_entity WHERE entity_id IS NOT NULL ORDER BY entity_id""",
        {"after": after or "", "limit": limit},
    )
    names = [row["entity_id"] for row in walked]
    found = latest_scores_of(connection, names, filters, as_of, known_as_of, columns)
    return found, names[-1] if len(names) == limit else None


def latest_scores_of(
    connection: Connection[Row],
    entity_ids: Sequence[str],
    filters: Mapping[str, Any],
    as_of: datetime,
    known_as_of: datetime,
    columns: str = "*",
) -> list[Row]:
    """Return the latest score at or before `as_of` of each of the entities that has one, in their order."""
    found: dict[str, Row] = {}
    for between in _BETWEEN:
        left = [name for name in entity_ids if name not in found]
        if left:
            latest = _LATEST.format(
                columns=columns, entity="e.entity_id", between=between, filters=asked(_SCORE_FILTERS, filters)
            )
            for row in rows(
                connection,
                f"SELECT latest.* FROM unnest(%(names)s::text[]) AS e (entity_id) CROSS JOIN LATERAL ({latest}) latest",
                {
                    **filters,
                    "names": left,
                    "as_of": as_of,
                    "known": known_as_of,
                    "recent": max(as_of, _BEGINNING) - _RECENT,
                },
            ):
                found[row["entity_id"]] = row
    return [found[name] for name in entity_ids if name in found]


def latest_score(
    connection: Connection[Row],
    entity_id: str,
    filters: Mapping[str, Any],
    as_of: datetime,
    known_as_of: datetime,
    columns: str = "*",
) -> Row | None:
    """Return the entity's latest score at or before `as_of`, never a later one."""
    values = {
        **filters,
        "entity_id": entity_id,
        "as_of": as_of,
        "known": known_as_of,
        "recent": max(as_of, _BEGINNING) - _RECENT,
    }
    for between in _BETWEEN:
        latest = _LATEST.format(
            columns=columns,
            entity="%(entity_id)s",
            between=between,
            filters=asked(_SCORE_FILTERS, filters),
        )
        found = one(connection, latest, values)
        if found is not None:
            return found
    return None


def score_history_page(
    connection: Connection[Row],
    entity_id: str,
    filters: Mapping[str, Any],
    as_of: datetime,
    known_as_of: datetime,
    after: tuple[Any, ...] | None,
    descending: bool,
    limit: int,
    columns: str = "*",
) -> list[Row]:
    """Return the entity's scores at or before `as_of`, by (at, model hashes)."""
    condition, order, key = keyset(SCORE_KEY, after, descending)
    if after is not None:
        # The comparison of rows leaves no partition out, this one does.
        condition += f" AND at {'<=' if descending else '>='} %(after_at)s"
    values = {**filters, **key, "entity_id": entity_id, "as_of": as_of, "known": known_as_of, "limit": limit}

    def page(given: Mapping[str, Any]) -> list[Row]:
        return rows(
            connection,
            f"""SELECT {columns} FROM score_samples
                WHERE entity_id = %(entity_id)s AND at <= %(as_of)s AND ingest_time <= %(known)s
                {asked(_SCORE_FILTERS, given)} {condition} ORDER BY {order} LIMIT %(limit)s""",
            given,
        )

    if descending and values.get("start") is None:
        # A page is mostly of the last weeks before it: those first, then every partition there is.
        newest = min(moment for moment in (as_of, values.get("end"), key.get("after_at")) if moment is not None)
        found = page({**values, "start": max(newest, _BEGINNING) - _RECENT})
        if len(found) == limit:
            return found
    return page(values)


def scores_page(
    connection: Connection[Row],
    filters: Mapping[str, Any],
    as_of: datetime,
    known_as_of: datetime,
    after: tuple[Any, ...] | None,
    limit: int,
) -> list[Row]:
    """Return scores at or before `as_of`, of the entity of the filters or of all, by (entity, at, model hashes)."""
    condition, order, key = keyset(("entity_id", *SCORE_KEY), after, False)
    if after is not None and filters.get("entity_id") is not None:
        # As above: the comparison of rows leaves no partition out.
        condition += " AND at >= %(after_at)s"
    return rows(
        connection,
        f"""SELECT {SCORE_COLUMNS} FROM score_samples WHERE at <= %(as_of)s AND ingest_time <= %(known)s
            {asked({"entity_id": "entity_id = %(entity_id)s", **_SCORE_FILTERS}, filters)} {condition}
            ORDER BY {order} LIMIT %(limit)s""",
        {**filters, **key, "as_of": as_of, "known": known_as_of, "limit": limit},
    )
