"""RawRecord: what a collector hands over, one fact of one upstream document. Extractors read nothing else."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, datetime
from enum import StrEnum
from typing import Any

from ..errors import RecordError
from ..versioning import content_ulid, sha256_hex
from .values import require_canonical, require_text, require_utc

# What an index entry of PostgreSQL can hold is 2,704 bytes, over three such texts.
_LONGEST_KEY = 500


class CollectionMode(StrEnum):
    """Whether we were watching when it was published (`live`) or came for it later (`backfill`)."""

    LIVE = "live"
    BACKFILL = "backfill"


@dataclass(frozen=True, slots=True)
class RawRecord:
    """One record of one source type (signals.md 4.0), with its three times and its provenance.

    Identity is (source_type, entity_id, natural_key, payload): `raw_record_id` is derived from it, so that
    collecting the same document again gives the same record. Other content under the same natural key is a
    record of its own, never an update. `ingest_time` is set by the database when the row is written.

    `payload` is JSON; decimals that an upstream sends as text stay text. `payload_text` is its canonical form.
    """

    source_type: str
    entity_id: str
    natural_key: str
    form: str | None
    event_time: datetime | None
    observed_time: datetime
    collection_mode: CollectionMode
    collector: str
    collector_version: str
    collector_run_id: str
    schema_version: str
    payload: dict[str, Any]
    body_hash: str
    source_url: str
    # The day the record belongs to where it has no event_time (a filing date, say): it only picks a partition.
    fallback_date: date | None = None
    payload_text: bytes = field(init=False, repr=False, compare=False)
    payload_hash: str = field(init=False)
    raw_record_id: str = field(init=False)

    def __post_init__(self) -> None:
        name = f"{self.source_type}:{self.entity_id}:{self.natural_key}"
        for text_field in ("source_type", "entity_id", "natural_key", "collector", "collector_version",
                           "collector_run_id", "schema_version", "source_url"):  # fmt: skip
            require_text(name, text_field, getattr(self, text_field))
        if len(self.natural_key) > _LONGEST_KEY:
            raise RecordError(name[:100], "natural_key", f"at most {_LONGEST_KEY} characters", self.natural_key)
        if len(self.body_hash) != 64:
            raise RecordError(name, "body_hash", "a SHA-256 in hexadecimal", self.body_hash)
        event_time = require_utc(name, "event_time", self.event_time, nullable=True)
        observed_time = require_utc(name, "observed_time", self.observed_time)
        text = require_canonical(name, "payload", self.payload)
        digest = sha256_hex(text)
        key = require_canonical(name, "natural_key", [self.source_type, self.entity_id, self.natural_key, digest])
        put = object.__setattr__
        put(self, "event_time", event_time)
        put(self, "observed_time", observed_time)
        put(self, "collection_mode", CollectionMode(self.collection_mode))
        put(self, "payload_text", text)
        put(self, "payload_hash", digest)
        put(self, "raw_record_id", content_ulid(event_time, key))

    @property
    def partition_date(self) -> date:
        """The UTC day whose partition holds the record: of the event, else the fallback, else of observation."""
        if self.event_time is not None:
            return self.event_time.date()
        return self.fallback_date or self.observed_time.date()
