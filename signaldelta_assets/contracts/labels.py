"""LabeledEvent: one material event of the ground truth, with its authoritative time and provenance (signals.md 5)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from ..errors import RecordError
from ..versioning import canonical_json, content_ulid, hash_document
from .values import require_range, require_text, require_utc


class TimePrecision(StrEnum):
    """How exactly the event's time is known. Day precision stands at 00:00 New York of that day.

    An interpolated time lies between two known ones; its error in seconds is `attributes.time_error_seconds`.
    """

    SECOND = "second"
    DAY = "day"
    INTERPOLATED = "interpolated"


@dataclass(frozen=True, slots=True)
class LabeledEvent:
    """A labeled event. `event_time` is never null: a label without authoritative time is rejected before this.

    `known_at` is when the rule could first have been decided; labels may use later records, signals never.
    `observed_time` is when we had fetched the last record it rests on. `definitions_hash` names the type's own rule
    (the rule_hash of its entry), not the whole catalogue.
    """

    event_type: str
    subtype: str
    entity_id: str
    key: tuple[str, ...]
    event_time: datetime
    time_precision: TimePrecision
    known_at: datetime
    observed_time: datetime
    confidence: float
    raw_record_ids: tuple[str, ...]
    source_url: str
    classifier_version: str
    definitions_hash: str
    attributes: Mapping[str, Any] = field(default_factory=dict)
    active: bool = True
    label_key: str = field(init=False)
    label_id: str = field(init=False)
    content_hash: str = field(init=False)

    def __post_init__(self) -> None:
        name = f"{self.event_type}:{self.entity_id}:{'/'.join(self.key)}"
        for text_field in ("event_type", "subtype", "entity_id", "source_url", "classifier_version"):
            require_text(name, text_field, getattr(self, text_field))
        put = object.__setattr__
        for time_field in ("event_time", "known_at", "observed_time"):
            put(self, time_field, require_utc(name, time_field, getattr(self, time_field)))
        put(self, "time_precision", TimePrecision(self.time_precision))
        require_range(name, "confidence", self.confidence, 0.0, 1.0)
        if not self.raw_record_ids:
            raise RecordError(name, "raw_record_ids", "at least one raw record", self.raw_record_ids)
        if self.time_precision is TimePrecision.INTERPOLATED:
            error = self.attributes.get("time_error_seconds")
            if not isinstance(error, int | float) or isinstance(error, bool) or not 0 <= error < math.inf:
                expected = "the error of the interpolated time, in seconds"
                raise RecordError(name, "attributes.time_error_seconds", expected, error)
        put(self, "raw_record_ids", tuple(sorted(set(self.raw_record_ids))))
        key = canonical_json([self.event_type, self.entity_id, list(self.key), self.definitions_hash])
        put(self, "label_key", key.decode())
        put(self, "label_id", content_ulid(self.event_time, key))
        put(self, "content_hash", hash_document(self._content()))

    def _content(self) -> dict[str, Any]:
        return {
            "label_key": self.label_key,
            "subtype": self.subtype,
            "event_time": self.event_time.isoformat(),
            "time_precision": str(self.time_precision),
            "known_at": self.known_at.isoformat(),
            "confidence": self.confidence,
            "raw_record_ids": list(self.raw_record_ids),
            "source_url": self.source_url,
            "classifier_version": self.classifier_version,
            "attributes": dict(self.attributes),
            "active": self.active,
        }
