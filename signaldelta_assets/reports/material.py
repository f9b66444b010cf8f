"""What a report is made from: the documents and tables of one stored run, and the trials of its question."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

Document = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Trial:
    """One trial of a hypothesis family: the p-value of its primary figure, and what several trials leave of it.

    `p_value` is None where the trial gave none (too little data, no null): it is then counted as 1.
    """

    number: int
    run_hash: str
    p_value: float | None
    holm: float
    benjamini_hochberg: float


@dataclass(frozen=True, slots=True)
class Material:
    """Everything a report says, and nothing of when or where it is made.

    `evaluation`, `samples`, `manifest`: documents of the run; `protocol`, `model`, `definitions`: what it was asked
    with. `alerts`: entity_id, alert_at, alert_score, matched_event_time, matched_event_type, censored; `events`:
    entity_id, event_time, event_type, matched_alert_at, censored. `trials`: those of the family up to this one.
    """

    run_hash: str
    hypothesis_family: str
    trial_number: int
    manifest: Document
    manifest_hash: str
    evaluation: Document
    protocol: Document
    model: Document
    definitions: Document
    samples: Document
    alerts: pa.Table
    events: pa.Table
    trials: tuple[Trial, ...]

    @property
    def trial(self) -> Trial | None:
        """This run's own trial."""
        return next((trial for trial in self.trials if trial.run_hash == self.run_hash), None)
