"""Why an entity scored as it did at a moment of a run: pure, tables in, a document out.

The score is computed again by the one kernel and must be the one that the run stored. Families stand with what the
score loses without them and with their Shapley values; events with their times and the raw records they rest on.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from signaldelta_assets.contracts import FamilyShapley, ScoreSample
from signaldelta_assets.errors import SignalDeltaError
from signaldelta_assets.scoring import ScoringModel, family_shapley, score
from signaldelta_assets.scoring.layout import FIGURES
from signaldelta_assets.timeline import LatencyModel

from .evaluation import EvaluationProtocol
from .evidence import available_events, circular_evidence
from .grid import EVENT_COLUMNS, as_stored

SCHEMA = "signaldelta.explanation/1"
_MICROSECOND = timedelta(microseconds=1)


class ExplanationError(SignalDeltaError):
    """A question that the run has no answer to: an entity or a moment that it did not score."""


class StoredScoreError(SignalDeltaError):
    """A stored figure that is not the one its inputs give: the file was changed, or the kernel is another one."""


@dataclass(frozen=True, slots=True)
class Stored:
    """What a run read and left, as far as one entity needs it.

    `events`, `frontier`, `labels`: parts of the snapshot (schemas: `snapshots.PARTS`). `scores`: the entity's rows of
    the stored grid; `alerts`: the run's, with what they matched. `definitions`: the document of the snapshot.
    """

    events: pa.Table
    frontier: pa.Table
    labels: pa.Table
    scores: pa.Table
    alerts: pa.Table
    model: ScoringModel
    latency: LatencyModel
    protocol: EvaluationProtocol
    definitions: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Family:
    """One family with evidence: (M, L, C) minus the same without it, and its exact shares of M and of M C."""

    family: str
    name: str | None
    magnitude: float
    lean: float
    confidence: float
    shapley: FamilyShapley


@dataclass(frozen=True, slots=True)
class Contribution:
    """One event behind the score: M minus M without it. `circular`: it cannot count as a forecast of the targets."""

    event_id: str
    revision: int
    signal_id: str
    signal: str | None
    family: str
    event_time: datetime
    available_time: datetime
    strength_norm: float
    reliability: float
    direction: int
    delta_magnitude: float
    circular: bool
    raw_record_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Label:
    """A labeled event that an alert matched."""

    label_id: str
    event_type: str
    subtype: str
    event_time: datetime
    known_at: datetime
    raw_record_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Alert:
    """An alert of the entity; `labels` are the events it matched (several at one moment are one match)."""

    alert_at: datetime
    alert_score: float
    censored: bool
    matched_event_time: datetime | None
    matched_event_type: str | None
    labels: tuple[Label, ...]


@dataclass(frozen=True, slots=True)
class Explanation:
    """The score of `entity_id` at `at`, and why. `alert`: the one fired then; `previous`: the one before.

    `on_grid`: `at` is a point of the run's grid, and the figures are those stored there.
    """

    entity_id: str
    at: datetime
    on_grid: bool
    sample: ScoreSample
    alert_score: float
    threshold: float
    families: tuple[Family, ...]
    contributions: tuple[Contribution, ...]
    alert: Alert | None
    previous: Alert | None

    @property
    def raw_record_ids(self) -> tuple[str, ...]:
        """Every raw record that is named here, sorted."""
        alerts = [alert for alert in (self.alert, self.previous) if alert is not None]
        holders: Iterable[Contribution | Label] = (*self.contributions, *(x for alert in alerts for x in alert.labels))
        return tuple(sorted({name for holder in holders for name in holder.raw_record_ids}))

    def to_document(self) -> dict[str, Any]:
        """Return everything for canonical JSON; moments as ISO 8601, UTC."""
        sample = asdict(self.sample)
        kept = (*FIGURES, "n_events", "verdict", "chain_probabilities")
        return {
            "schema": SCHEMA,
            "entity_id": self.entity_id,
            "at": self.at.isoformat(),
            "on_grid": self.on_grid,
            "score": {name: sample[name] for name in kept},
            "alert": {
                "score": self.alert_score,
                "threshold": self.threshold,
                "fired": _plain(self.alert),
                "previous": _plain(self.previous),
            },
            "families": _plain(self.families),
            "contributions": _plain(self.contributions),
        }


def explain(stored: Stored, entity_id: str, at: datetime, *, top: int = 10) -> Explanation:
    """Explain the score of `entity_id` at `at` (with a zone); `top` events at most.

    Raises `ExplanationError` for an entity or a moment that the run did not score, and `StoredScoreError` where the
    stored grid or the stored alert has other figures than the kernel.
    """
    if at.tzinfo is None:
        raise ExplanationError(f"time: expected a zone, such as {at.isoformat()}Z, found {at.isoformat()}")
    if not stored.scores.num_rows:
        raise ExplanationError(f"entity {entity_id!r}: not among the entities that the run scored")
    at, protocol = at.astimezone(UTC), stored.protocol
    start, end = _moment(protocol.start), _moment(protocol.end)
    if protocol.within == "coverage":
        # Asked about from its first stored point to the last one's step alone.
        asked: list[Any] = stored.scores["at"].to_pylist()
        start, end = min(asked), min(end, max(asked) + (protocol.step - 1) * _MICROSECOND)
    if not start <= at <= end:
        found = f"expected a moment of the run's grid, {start.isoformat()} to {end.isoformat()}, found {at.isoformat()}"
        raise ExplanationError(f"time: {found}")
    own = _own_events(stored, entity_id)
    sample = score(own.select(EVENT_COLUMNS), stored.model, at, top_k=top)
    on_grid = not (at - start) % (protocol.step * _MICROSECOND)
    if on_grid:
        compare_stored(sample, stored.scores, entity_id, at)
    alert_score = sample.magnitude * sample.confidence
    alerts = _alerts(stored, entity_id)
    fired = next((alert for alert in alerts if alert.alert_at == at), None)
    if fired is not None and fired.alert_score != alert_score:
        raise StoredScoreError(_differs("alert_score", entity_id, at, alert_score, fired.alert_score))
    return Explanation(
        entity_id=entity_id,
        at=at,
        on_grid=on_grid,
        sample=sample,
        alert_score=alert_score,
        threshold=protocol.threshold,
        families=_families(stored, own, sample, at),
        contributions=_contributions(stored, own, sample),
        alert=fired,
        previous=next((alert for alert in reversed(alerts) if alert.alert_at < at), None),
    )


def compare_stored(sample: ScoreSample, scores: pa.Table, entity_id: str, at: datetime) -> None:
    """Raise `StoredScoreError` unless the stored row of this point has the figures of `sample`, rounded to float32."""
    rows = scores.filter(pc.equal(scores["at"], pa.scalar(at, scores["at"].type))).to_pylist()
    if len(rows) != 1:
        raise StoredScoreError(f"stored grid of {entity_id} at {at.isoformat()}: expected one row, found {len(rows)}")
    (row,) = rows
    for name, value in as_stored(sample).items():
        if row[name] != value:
            raise StoredScoreError(_differs(name, entity_id, at, value, row[name]))


def _differs(field: str, entity_id: str, at: datetime, expected: object, found: object) -> str:
    place = f"score of {entity_id} at {at.isoformat()}: field {field!r}"
    return f"{place}: expected {expected!r} from the snapshot and the model, found {found!r} in what the run stored"


def _own_events(stored: Stored, entity_id: str) -> pa.Table:
    """The entity's events with available_time."""
    events = stored.events.filter(pc.equal(stored.events["entity_id"], pa.scalar(entity_id)))
    place = pc.is_in(stored.frontier["event_id"], value_set=events["event_id"].combine_chunks())
    return available_events(events, stored.frontier.filter(place), stored.latency)


def _families(stored: Stored, own: pa.Table, sample: ScoreSample, at: datetime) -> tuple[Family, ...]:
    values = family_shapley(own.select(EVENT_COLUMNS), stored.model, at)
    names = stored.definitions.get("families", {})
    found = [
        Family(family, names.get(family, {}).get("name"), delta.magnitude, delta.lean, delta.confidence, values[family])
        for family, delta in sample.family_deltas.items()
    ]
    return tuple(sorted(found, key=lambda item: (-abs(item.shapley.magnitude), item.family)))


def _contributions(stored: Stored, own: pa.Table, sample: ScoreSample) -> tuple[Contribution, ...]:
    types = stored.protocol.event_types
    circular = circular_evidence(own, stored.labels, types, stored.protocol, stored.definitions).mask
    place = {name: row for row, name in enumerate(own["event_id"].to_pylist())}
    chosen = [place[found.event_id] for found in sample.top_contributors]
    signals = stored.definitions.get("signals", {})
    names = ("event_id", "revision", "signal_id", "event_time", "available_time", "strength_norm", "reliability",
             "direction")  # fmt: skip
    out = []
    rows = own.take(pa.array(chosen, pa.int64())).to_pylist()
    for found, row, position in zip(sample.top_contributors, rows, chosen, strict=True):
        out.append(
            Contribution(
                **{name: row[name] for name in names},
                signal=signals.get(row["signal_id"], {}).get("name"),
                # The model's family is the one that was scored.
                family=stored.model.signals[row["signal_id"]].family,
                delta_magnitude=found.delta_magnitude,
                circular=bool(circular[position]),
                raw_record_ids=tuple(row["raw_record_ids"]),
            )
        )
    return tuple(out)


def _alerts(stored: Stored, entity_id: str) -> list[Alert]:
    """The entity's alerts in time order."""
    alerts = stored.alerts.filter(pc.equal(stored.alerts["entity_id"], pa.scalar(entity_id))).to_pylist()
    labels = stored.labels.filter(pc.equal(stored.labels["entity_id"], pa.scalar(entity_id))).to_pylist()
    out = []
    for row in sorted(alerts, key=lambda alert: alert["alert_at"]):
        matched = [
            Label(**{name: label[name] for name in ("label_id", "event_type", "subtype", "event_time", "known_at")},
                  raw_record_ids=tuple(label["raw_record_ids"]))
            for label in labels
            if label["event_time"] == row["matched_event_time"] and label["event_type"] in stored.protocol.event_types
        ]  # fmt: skip
        names = ("alert_at", "alert_score", "censored", "matched_event_time", "matched_event_type")
        out.append(Alert(**{name: row[name] for name in names}, labels=tuple(matched)))
    return out


def _moment(microseconds: int) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + microseconds * _MICROSECOND


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat()
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    if hasattr(value, "__dataclass_fields__"):
        return {name: _plain(getattr(value, name)) for name in value.__dataclass_fields__}
    return value
