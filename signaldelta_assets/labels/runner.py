"""Runs a classifier over a window of days: one day or ten years in one call give the same labels."""

from __future__ import annotations

from collections import Counter
from datetime import date, timedelta

import pandas as pd

from ..catalogue import SignalDefinitions
from ..contracts import SecurityContext
from ..extractors import NotActiveError, RequiredWindow
from .base import Labeling, LabelParams, get_classifier
from .frames import gather


def required_label_window(event_type: str, start: date, end: date, definitions: SignalDefinitions) -> RequiredWindow:
    """Return the partitions that `run_classifier` needs for labels in [start, end): labels may use later records."""
    rule = definitions.label(event_type)
    before = timedelta(days=int(rule.params.get("lookback_days", 0)) + 1)
    after = timedelta(days=int(rule.params.get("lookahead_days", 0)) + 1)
    return RequiredWindow(start - before, end + after, rule.source_types)


def run_classifier(
    event_type: str,
    records: pd.DataFrame,
    context: SecurityContext,
    definitions: SignalDefinitions,
    start: date,
    end: date,
) -> Labeling:
    """Return the labels of `event_type` whose event_time has its UTC date in [start, end), and the rejected.

    `records` as in `extractors.run_extractor`, with `source_url` where it is known. Rejections are counted for the
    records of the window. Raises `NotActiveError`, `RecordError`.
    """
    rule = definitions.label(event_type)
    if not rule.implemented:
        raise NotActiveError(f"{event_type}: its rule is not built in these definitions")
    if start >= end:
        raise ValueError(f"run_classifier: start {start} must come before end {end}")
    counts: Counter[str] = Counter()
    # Records about no one entity stand under their publisher; the rule finds whom they concern.
    known = context.with_publishers()
    evidence = gather(records, definitions.availability_basis, rule.source_types, known, start, end, counts)
    made = get_classifier(event_type).classify(evidence, context, LabelParams.of(event_type, definitions))
    counts.update(made.counts)
    labels = sorted(
        (label for label in made.events if start <= label.event_time.date() < end),
        key=lambda label: (label.event_time, label.label_id),
    )
    return Labeling(labels, Counter({reason: n for reason, n in counts.items() if n}))
