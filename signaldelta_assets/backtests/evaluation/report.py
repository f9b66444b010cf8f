"""What an evaluation says: figures by name, each with its interval, its nulls, or the reason why it is missing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from signaldelta_assets.versioning import hash_document

from .calibration import Fold
from .curves import PrecisionRecall
from .inputs import Floats
from .intervals import Interval

SCHEMA = "signaldelta.evaluation/1"


@dataclass(frozen=True)
class Quartiles(Mapping[str, float]):
    """Median and quartiles in hours; read by attribute or by name."""

    median: float
    q25: float
    q75: float

    def __getitem__(self, name: str) -> float:
        if name not in ("median", "q25", "q75"):
            raise KeyError(name)
        return float(getattr(self, name))

    def __iter__(self) -> Iterator[str]:
        return iter(("median", "q25", "q75"))

    def __len__(self) -> int:
        return 3


@dataclass(frozen=True)
class NullFigure:
    """What a figure is under a null: mean over the draws, their band at the protocol's level, and the difference.

    `p_value` is one-sided, (1 + draws at least as good as the figure) / (1 + draws). `difference` = figure - value;
    its interval comes from the same bootstrap replicates as the figure's.
    """

    value: float
    lo: float
    hi: float
    draws: int
    p_value: float | None
    difference: float | None
    difference_interval: Interval | None


@dataclass(frozen=True)
class KaplanMeier:
    """Hours back from an event to its alert, misses censored: survival[i] is the share of waits beyond hours[i].

    A quartile is None where fewer events than that were ever forecast.
    """

    hours: tuple[float, ...]
    survival: tuple[float, ...]
    intervals: tuple[Interval | None, ...]
    median: float | None
    q25: float | None
    q75: float | None


@dataclass(frozen=True)
class ReliabilityBin:
    """One bin [lower, upper) of forecasts, the last one closed: points, their mean forecast and observed share."""

    lower: float
    upper: float
    points: int
    forecast: float | None
    observed: float | None
    observed_interval: Interval | None


@dataclass(frozen=True)
class Murphy:
    """Brier = reliability - resolution + uncertainty + within_bins (Murphy 1973; the rest is hidden by binning)."""

    reliability: float
    resolution: float
    uncertainty: float
    within_bins: float


@dataclass(frozen=True)
class Section:
    """One event type as if it were the only target, or one month (UTC) of alerts, events and points."""

    name: str
    status: str
    n_alerts: int
    n_events: int
    n_points: int
    figures: Mapping[str, float | None]
    lead_time_hours: Quartiles | None
    intervals: Mapping[str, Interval | None]
    interval_methods: Mapping[str, str]
    nulls: Mapping[str, Mapping[str, NullFigure]]
    reasons: Mapping[str, str]

    @property
    def base_rate(self) -> float | None:
        """Share of this section's uncensored points that an event follows within H."""
        return self.figures["base_rate"]


@dataclass(frozen=True)
class Evaluation:
    """The result of one evaluation. A figure that does not exist is None, and `reasons` says why under its name.

    n_alerts and n_events are the uncensored ones. `status` is "evaluated" or "insufficient" (below the minimum
    dataset: counts and a warning, no metrics). `dataset`: found and needed counts. `left_out`: input rows outside
    the question, by reason. `matches`: entity_id, alert_at, event_time of every match, censored ones included.
    `entities_hash` names the sorted entities: where it and the protocol are the same, replicates are paired.
    `replicates` are the bootstrap's, kept for paired comparison; they are not part of the document.
    """

    protocol_hash: str
    entities_hash: str
    status: str
    precision: float | None
    recall: float | None
    false_positive_rate: float | None
    lead_time_hours: Quartiles | None
    auc: float | None
    average_precision: float | None
    brier: float | None
    log_loss: float | None
    brier_skill: float | None
    base_rate: float | None
    n_alerts: int
    n_events: int
    n_points: int
    n_scored_points: int
    n_entities: int
    censored_alerts: int
    censored_events: int
    matches: pa.Table
    intervals: Mapping[str, Interval | None]
    interval_methods: Mapping[str, str]
    nulls: Mapping[str, Mapping[str, NullFigure]]
    kaplan_meier: KaplanMeier | None
    reliability: tuple[ReliabilityBin, ...]
    murphy: Murphy | None
    precision_recall: PrecisionRecall | None
    calibration: tuple[Fold, ...]
    by_event_type: Mapping[str, Section]
    by_month: Mapping[str, Section]
    dataset: Mapping[str, Mapping[str, int]]
    left_out: Mapping[str, int]
    reasons: Mapping[str, str]
    warnings: tuple[str, ...]
    primary_figure: str
    smallest_effect: float | None
    replicates: Mapping[str, Floats] = field(repr=False, compare=False)

    def to_document(self) -> dict[str, Any]:
        """Return everything but the replicates as a document for canonical JSON; moments as ISO 8601, UTC.

        Numbers are given in full: every step to them has the same bits on every CPU, so nothing is rounded.
        """
        skipped = ("replicates",)
        document = {name: _plain(value) for name, value in vars(self).items() if name not in skipped}
        return {"schema": SCHEMA, **document}

    @property
    def hash(self) -> str:
        """The SHA-256 name of the document."""
        return hash_document(self.to_document())


def _plain(value: Any) -> Any:
    if isinstance(value, Interval):
        return {"hi": value.hi, "lo": value.lo}
    if isinstance(value, pa.Table):
        return [{name: _plain(item) for name, item in row.items()} for row in value.to_pylist()]
    if isinstance(value, Mapping):
        return {str(name): _plain(item) for name, item in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    if hasattr(value, "isoformat"):
        return value.isoformat()
    if hasattr(value, "__dataclass_fields__"):
        return {name: _plain(getattr(value, name)) for name in value.__dataclass_fields__}
    return value
