"""SignalEvent: one firing of one signal for one entity, with all it was computed from (signals.md 4.0)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from ..errors import RecordError
from ..versioning import canonical_json, content_ulid, hash_document
from .raw import CollectionMode
from .values import require_range, require_text, require_utc


@dataclass(frozen=True, slots=True, order=True)
class FrontierEntry:
    """The latest input of one (source type, form, mode) among everything an event was computed from.

    The run's latency model is applied to each entry, and the event is available at the latest result.
    """

    source_type: str
    form: str
    collection_mode: CollectionMode
    event_time: datetime | None = field(compare=False)
    observed_time: datetime = field(compare=False)

    def to_document(self) -> dict[str, Any]:
        """Return the entry as JSON; an empty `form` stands for none."""
        return {
            "source_type": self.source_type,
            "form": self.form or None,
            "collection_mode": str(self.collection_mode),
            "event_time": None if self.event_time is None else self.event_time.isoformat(),
            "observed_time": self.observed_time.isoformat(),
        }


@dataclass(frozen=True, slots=True)
class SignalEvent:
    """A signal event; `strength_norm` and `reliability` in [0, 1], rounded half-even to 6 decimals.

    `key` is the signal's own key (signals.md 4.1-4.6, column key). `definitions_hash` names the signal's own
    definition (the rule_hash of its entry), not the whole catalogue: a change elsewhere leaves the event as it is.
    `event_key` = (signal, entity, key, definitions hash) and `event_id` = ULID of event_time and event_key: the
    kernel orders ties by it.
    `available_time` is not here: the run's latency model derives it from `frontier`.
    """

    signal_id: str
    entity_id: str
    key: tuple[str, ...]
    event_time: datetime
    strength_norm: float
    direction: int
    reliability: float
    family: str
    chain_affinity: Mapping[str, float]
    frontier: tuple[FrontierEntry, ...]
    raw_record_ids: tuple[str, ...]
    definitions_hash: str
    extractor_version: str
    attributes: Mapping[str, Any] = field(default_factory=dict)
    # False withdraws an event that a later observation of its inputs no longer supports.
    active: bool = True
    event_key: str = field(init=False)
    event_id: str = field(init=False)
    content_hash: str = field(init=False)

    def __post_init__(self) -> None:
        name = f"{self.signal_id}:{self.entity_id}:{'/'.join(self.key)}"
        require_text(name, "signal_id", self.signal_id)
        require_text(name, "entity_id", self.entity_id)
        put = object.__setattr__
        put(self, "event_time", require_utc(name, "event_time", self.event_time))
        put(self, "strength_norm", round(float(self.strength_norm), 6))
        put(self, "reliability", round(float(self.reliability), 6))
        require_range(name, "strength_norm", self.strength_norm, 0.0, 1.0)
        require_range(name, "reliability", self.reliability, 0.0, 1.0)
        if self.direction not in (-1, 0, 1):
            raise RecordError(name, "direction", "-1, 0 or 1", self.direction)
        if not self.frontier:
            raise RecordError(name, "frontier", "at least one input", self.frontier)
        if not self.raw_record_ids:
            raise RecordError(name, "raw_record_ids", "at least one raw record", self.raw_record_ids)
        put(self, "frontier", merge_frontier(self.frontier))
        put(self, "raw_record_ids", tuple(sorted(set(self.raw_record_ids))))
        key = canonical_json([self.signal_id, self.entity_id, list(self.key), self.definitions_hash])
        put(self, "event_key", key.decode())
        put(self, "event_id", content_ulid(self.event_time, key))
        put(self, "content_hash", hash_document(self._content()))

    def _content(self) -> dict[str, Any]:
        # Observed times are left out: collecting the same documents on another day changes no content.
        return {
            "event_key": self.event_key,
            "event_time": self.event_time.isoformat(),
            "strength_norm": self.strength_norm,
            "direction": self.direction,
            "reliability": self.reliability,
            "raw_record_ids": list(self.raw_record_ids),
            "attributes": dict(self.attributes),
            "extractor_version": self.extractor_version,
            "active": self.active,
        }

    @property
    def observed_time(self) -> datetime:
        """The latest time at which we fetched any of the inputs."""
        return max(entry.observed_time for entry in self.frontier)


def merge_frontier(entries: Sequence[FrontierEntry]) -> tuple[FrontierEntry, ...]:
    """Return one entry per (source type, form, mode, whether the event time is known): the latest times of each.

    Inputs without event time stay apart: they fall back to observation, and would drag the others with them, which
    for a filing accepted after hours is earlier than its dissemination.
    """
    merged: dict[tuple[str, str, CollectionMode, bool], FrontierEntry] = {}
    for entry in entries:
        slot = (entry.source_type, entry.form, entry.collection_mode, entry.event_time is None)
        known = merged.get(slot)
        if known is None:
            merged[slot] = entry
            continue
        event_time = None
        if known.event_time is not None and entry.event_time is not None:
            event_time = max(known.event_time, entry.event_time)
        observed_time = max(known.observed_time, entry.observed_time)
        merged[slot] = FrontierEntry(*slot[:3], event_time=event_time, observed_time=observed_time)
    return tuple(merged[slot] for slot in sorted(merged))
