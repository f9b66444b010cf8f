"""Synthetic worlds for snapshots and runs, made from seeds: entities, raw records, signal events and labels."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np

from signaldelta_assets.contracts import CollectionMode, FrontierEntry, LabeledEvent, SignalEvent
from signaldelta_assets.snapshots import Snapshot, freeze_snapshot
from signaldelta_assets.versioning import hash_document
from signaldelta_assets.warehouse import ArtifactStore, Warehouse
from signaldelta_assets.warehouse.stores import documents, labels, signals
from signaldelta_assets.warehouse.stores.reading import Window
from tests.warehouse.examples import labeled_event, put_raw, raw_record, signal_event

DEFINITIONS: dict[str, Any] = {
    "schema": "signaldelta.signal_definitions/1",
    "families": {"F01": {"name": "a", "stage": 1, "budget": 1.5}, "F06": {"name": "b", "stage": 3, "budget": 1.5}},
    "signals": {"S001": {"rule_hash": "1" * 64}, "S033": {"rule_hash": "3" * 64}},
    "labels": {
        "MNA_ANNOUNCEMENT": {"family_left_out": "F06", "source_types": ["form_8k"], "rule_hash": "a" * 64},
        "EARNINGS_SURPRISE": {"family_left_out": "F05", "source_types": ["earnings_actual"], "rule_hash": "b" * 64},
    },
}
DEFINITIONS_HASH = hash_document(DEFINITIONS)
WINDOW = Window(date(2024, 1, 1), date(2024, 7, 1))
START = datetime(2024, 1, 1, tzinfo=UTC)
SIGNALS = {"S001": "F01", "S033": "F06"}
RULES = {name: str(entry["rule_hash"]) for name, entry in DEFINITIONS["signals"].items()}
LABEL_RULE = str(DEFINITIONS["labels"]["MNA_ANNOUNCEMENT"]["rule_hash"])


@dataclass(frozen=True)
class World:
    """A database with its store, and what was written."""

    warehouse: Warehouse
    store: ArtifactStore
    events: list[SignalEvent]
    labels: list[LabeledEvent]

    def write_events(self, events: list[SignalEvent]) -> None:
        for name, rule in RULES.items():
            own = [event for event in events if event.signal_id == name]
            signals.write_events(self.warehouse, own, WINDOW, [name], rule)

    def write_labels(self, events: list[LabeledEvent]) -> None:
        labels.write_labels(self.warehouse, events, WINDOW, ["MNA_ANNOUNCEMENT"], LABEL_RULE)

    def freeze(
        self, as_of: datetime | None = None, window: Window = WINDOW, reach: timedelta = timedelta(0)
    ) -> Snapshot:
        dataset = labels.freeze_dataset(self.warehouse, as_of=as_of, window=window, definitions_hash=DEFINITIONS_HASH)
        return freeze_snapshot(
            self.warehouse,
            self.store,
            as_of=as_of,
            window=window,
            definitions_hash=DEFINITIONS_HASH,
            dataset=dataset,
            reach=reach,
        )


def build_world(warehouse: Warehouse, store: ArtifactStore, *, entities: int = 4, per_entity: int = 12) -> World:
    """Fill an empty database: each entity has labels, a warning signal 30 h before most of them, and noise."""
    random = np.random.Generator(np.random.PCG64(7))
    events: list[SignalEvent] = []
    truth: list[LabeledEvent] = []
    records = []
    number = 0
    for place in range(entities):
        entity = f"{place + 1:010d}"
        for hour in np.sort(random.integers(200, 4300, per_entity)).tolist():
            number += 1
            at = START + timedelta(hours=hour, seconds=number)
            raw = raw_record(number, source_type="form_8k", entity_id=entity, event_time=at, form="8-K")
            records.append(raw)
            truth.append(labeled_event(number, entity_id=entity, event_time=at, raw_record_ids=(raw.raw_record_id,),
                                       definitions_hash=LABEL_RULE))  # fmt: skip
            # The filing that carries the label fires a signal of its own: circular by construction.
            events.append(_event(number, "S033", entity, at, raw.raw_record_id, "form_8k", "8-K", 0.9))
            if random.random() < 0.8:
                early = at - timedelta(hours=30)
                hint = raw_record(10_000 + number, source_type="ownership", entity_id=entity, event_time=early)
                records.append(hint)
                events.append(_event(10_000 + number, "S001", entity, early, hint.raw_record_id, "ownership", "4", 1.0))
        for hour in random.integers(0, 4300, per_entity).tolist():
            number += 1
            at = START + timedelta(hours=hour, seconds=number)
            noise = raw_record(20_000 + number, source_type="ownership", entity_id=entity, event_time=at)
            records.append(noise)
            events.append(_event(20_000 + number, "S001", entity, at, noise.raw_record_id, "ownership", "4", 0.3))
    put_raw(warehouse, records)
    documents.put_document(warehouse, "signal_definitions", "active", DEFINITIONS)
    with warehouse.write_pool("reference").connection() as connection:
        connection.execute(
            "INSERT INTO securities (entity_id, asset_class, cik, name) VALUES ('0000000001','equity','0000000001','A')"
        )
    world = World(warehouse, store, events, truth)
    world.write_events(events)
    world.write_labels(truth)
    return world


def _event(
    number: int, signal_id: str, entity: str, at: datetime, raw_id: str, source: str, form: str, strength: float
) -> SignalEvent:
    frontier = (FrontierEntry(source, form, CollectionMode.BACKFILL, at, at + timedelta(days=400)),)
    event = signal_event(
        number,
        event_time=at,
        signal_id=signal_id,
        family=SIGNALS[signal_id],
        entity_id=entity,
        raw_record_ids=(raw_id,),
        frontier=frontier,
        definitions_hash=RULES[signal_id],
    )
    return replace(event, strength_norm=strength)
