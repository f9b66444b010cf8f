"""Small rows for the store tests: raw records, signal events and labels, all of them valid."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from signaldelta_assets.contracts import (
    CollectionMode,
    Contributor,
    FamilyDelta,
    FrontierEntry,
    LabeledEvent,
    RawRecord,
    ScoreSample,
    SignalEvent,
    TimePrecision,
)
from signaldelta_assets.versioning import sha256_hex
from signaldelta_assets.warehouse import Warehouse

# The hash of the rule under which these were made, and definitions that hold it.
DEFINITIONS = sha256_hex(b"definitions")
DEFINITIONS_DOCUMENT = {
    "signals": {"S001": {"rule_hash": DEFINITIONS}},
    "labels": {"MNA_ANNOUNCEMENT": {"rule_hash": DEFINITIONS}},
}
START = datetime(2024, 3, 1, 14, tzinfo=UTC)
BODY = sha256_hex(b"body")


def raw_record(number: int, *, source_type: str = "ownership", entity_id: str = "0000000001", **more: Any) -> RawRecord:
    at = START + timedelta(hours=number)
    given: dict[str, Any] = {
        "form": "4",
        "event_time": at,
        "observed_time": at + timedelta(days=400),
        "collection_mode": CollectionMode.BACKFILL,
        "payload": {"n": number, "text": 'quotes " and, commas\nand lines', "none": None, "share": 0.1},
    }
    return RawRecord(
        source_type=source_type,
        entity_id=entity_id,
        natural_key=f"key-{number}",
        collector="test",
        collector_version="1",
        collector_run_id="RUN",
        schema_version="1",
        body_hash=BODY,
        source_url="https://example.test/doc",
        **(given | more),
    )


def put_raw(warehouse: Warehouse, records: list[RawRecord]) -> None:
    """Write raw records the plain way: the store of the collection room is not under test here."""
    with warehouse.write_pool("collection").connection() as connection:
        connection.execute(
            "INSERT INTO collector_runs (collector_run_id, collector, collector_version, collection_mode, window_start,"
            " window_end, status) VALUES ('RUN','test','1','backfill','2024-01-01','2024-12-31','complete')"
            " ON CONFLICT DO NOTHING"
        )
        connection.execute(
            "INSERT INTO raw_documents (body_hash, size_bytes, source_url, http_status, observed_time)"
            " VALUES (%s, 4, 'https://example.test/doc', 200, now()) ON CONFLICT DO NOTHING",
            (BODY,),
        )
        with connection.cursor() as cursor:
            cursor.executemany(
                "INSERT INTO raw_records (raw_record_id, source_type, entity_id, natural_key, form, event_time,"
                " observed_time, partition_date, collection_mode, collector, collector_version, collector_run_id,"
                " schema_version, payload_hash, payload, body_hash, source_url)"
                " VALUES (%s,%s,%s,%s,%s,%s,%s,%s,%s,%s,%s,%s,%s,%s,%s,%s,%s)",
                [
                    (r.raw_record_id, r.source_type, r.entity_id, r.natural_key, r.form, r.event_time, r.observed_time,
                     r.partition_date, str(r.collection_mode), r.collector, r.collector_version, r.collector_run_id,
                     r.schema_version, r.payload_hash, r.payload_text.decode(), r.body_hash, r.source_url)
                    for r in records
                ],
            )  # fmt: skip


def signal_event(number: int, **more: Any) -> SignalEvent:
    at = more.pop("event_time", START + timedelta(hours=number))
    given: dict[str, Any] = {
        "signal_id": "S001",
        "entity_id": "0000000001",
        "strength_norm": 0.5,
        "direction": 1,
        "reliability": 0.9,
        "family": "F01",
        "frontier": (FrontierEntry("ownership", "4", CollectionMode.BACKFILL, at, at + timedelta(days=400)),),
        "raw_record_ids": (f"RAW{number:023d}",),
        "definitions_hash": DEFINITIONS,
    }
    return SignalEvent(
        key=(f"accession-{number}",),
        event_time=at,
        chain_affinity={"CT-01": 0.5},
        extractor_version="1",
        attributes={"usd": 1.5, "note": "a, b"},
        **(given | more),
    )


def labeled_event(number: int, **more: Any) -> LabeledEvent:
    at = more.pop("event_time", START + timedelta(hours=number))
    given: dict[str, Any] = {
        "event_type": "MNA_ANNOUNCEMENT",
        "entity_id": "0000000001",
        "raw_record_ids": (f"LAB{number:023d}",),
        "confidence": 0.95,
        "definitions_hash": DEFINITIONS,
    }
    return LabeledEvent(
        subtype="target",
        key=(f"deal-{number}",),
        event_time=at,
        time_precision=TimePrecision.SECOND,
        known_at=at,
        observed_time=at + timedelta(days=400),
        source_url="https://example.test/label",
        classifier_version="1",
        **(given | more),
    )


def score_sample(magnitude: float) -> ScoreSample:
    return ScoreSample(
        evidence=1.0,
        effective_families=1.0,
        magnitude=magnitude,
        lean=0.5,
        confidence=0.5,
        quality=0.9,
        diversity=0.5,
        ordering=0.6,
        chain_probabilities={"CT-01": 0.25, "UNKNOWN": 0.75},
        n_events=1,
        legacy_score=55.0,
        verdict="HOLD",
        family_deltas={"F01": FamilyDelta(magnitude, 0.5, 0.5)},
        top_contributors=(Contributor("E1", magnitude),),
    )
