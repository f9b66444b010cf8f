"""Runs an extractor over a window of days: one day or ten years in one call give the same events."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import date, timedelta

import pandas as pd

from ..catalogue import SignalDefinitions
from ..contracts import SecurityContext
from ..errors import SignalDeltaError
from .base import Extraction, SignalParams, get
from .frames import prepare


class NotActiveError(SignalDeltaError):
    """A signal or label that the definitions do not hold active."""


@dataclass(frozen=True, slots=True)
class RequiredWindow:
    """What a loader must read: the partitions of UTC dates [start, end) of these source types."""

    start: date
    end: date
    source_types: tuple[str, ...]


def required_window(signal_id: str, start: date, end: date, definitions: SignalDefinitions) -> RequiredWindow:
    """Return the partitions that `run_extractor` needs for triggers in [start, end)."""
    signal = definitions.signal(signal_id)
    lookback = timedelta(days=int(signal.params.get("lookback_days", 0)) + 1)
    return RequiredWindow(start - lookback, end, signal.source_types)


def run_extractor(
    signal_id: str,
    records: pd.DataFrame,
    context: SecurityContext,
    definitions: SignalDefinitions,
    start: date,
    end: date,
) -> Extraction:
    """Return the events of `signal_id` whose trigger's event_time has its UTC date in [start, end).

    `records`: raw_record_id, source_type, entity_id, natural_key, form, event_time, observed_time, collection_mode,
    payload; more than `required_window` asks for changes nothing. Raises `NotActiveError`, `RecordError`.
    """
    signal = definitions.signal(signal_id)
    if not signal.is_active:
        raise NotActiveError(f"{signal_id}: not active in these definitions (status {signal.status})")
    if start >= end:
        raise ValueError(f"run_extractor: start {start} must come before end {end}")
    counts: Counter[str] = Counter()
    # Records about no one entity stand under their publisher.
    known = context.with_publishers()
    frame = prepare(records, definitions.availability_basis, signal.source_types, known, start, end, counts)
    made = get(signal_id).extract(frame, context, SignalParams.of(signal_id, definitions))
    counts.update(made.counts)
    events = sorted(made.events, key=lambda event: (event.event_time, event.event_id))
    return Extraction(events, Counter({reason: n for reason, n in counts.items() if n}))
