"""The pure engine: frozen tables, two models and a protocol in; grid, alerts, evaluation and samples out.

No I/O, no clock, no randomness but from the protocol's stored seeds. Everything it returns is named by its bytes, so
no id and no moment of the run ever enters here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from signaldelta_assets.contracts import ScoreSample
from signaldelta_assets.scoring import ScoringModel, family_shapley, score
from signaldelta_assets.timeline import LatencyModel
from signaldelta_assets.versioning import sha256_hex

from .audit import leak_audit
from .evaluation import Evaluation, EvaluationProtocol, Pair, alerts_from_grid, evaluate, minimum_warning, side_by_side
from .evidence import EngineError, asked_about, available_events, circular_evidence, covered_at_all
from .grid import EVENT_COLUMNS, EntityEvents, Keep, RunGrid, make_grid, without
from .precision import by_time_precision, with_time_errors

EVALUATION_SCHEMA = "signaldelta.backtest_evaluation/1"
SAMPLES_SCHEMA = "signaldelta.backtest_samples/1"
# What is read of a snapshot, by kind; no columns are all.
READS: Mapping[str, tuple[str, ...]] = {
    "signal_events": ("event_id", "signal_id", "family", "entity_id", "strength_norm", "direction", "reliability",
                      "raw_record_ids"),
    "signal_frontier": (),
    "labeled_events": (),
    "coverage": (),
}  # fmt: skip
# Explanations are exact recomputations; the rest can be made from the snapshot at any time.
ALERT_SAMPLES = 200
GRID_SAMPLES = 50

Progress = Callable[[int, int, str], None]
_TIME: pa.DataType = pa.timestamp("us", tz="UTC")


@dataclass(frozen=True, slots=True)
class RunResult:
    """What a run is: tables `scores` (as in `RunGrid`), `alerts`, `matches`, `events`; evaluation; samples."""

    status: str
    tables: Mapping[str, pa.Table]
    evaluation: Mapping[str, Any]
    samples: Mapping[str, Any]


def _silent(done: int, total: int, text: str) -> None:
    return None


def _nothing(block: pa.Table) -> None:
    return None


def compute(
    tables: Mapping[str, pa.Table],
    model: ScoringModel,
    latency: LatencyModel,
    protocol: EvaluationProtocol,
    definitions: Mapping[str, Any],
    progress: Progress = _silent,
    keep: Keep = _nothing,
) -> RunResult:
    """Return the run of a snapshot's tables (schemas: `snapshots.PARTS`; needed: `READS`) under models and protocol.

    `keep` is given the rows of `scores` block by block while the next ones are scored.

    status "complete", or "insufficient" where the dataset is below the protocol's minimum: then the evaluation has
    its counts and no metrics. Raises `EngineError` and the rooms' own errors for input that is missing or wrong.
    """
    types = protocol.event_types
    steps = 4 + (len(types) if len(types) > 1 else 0)
    labels = with_time_errors(tables["labeled_events"])
    coverage = tables["coverage"]
    entities, stretches = asked_about(coverage, labels, types, protocol, definitions)
    if not entities:
        raise EngineError(f"coverage: expected an entity covered for {types} during the protocol's grid, found none")
    unseen = covered_at_all(coverage, protocol).difference(entities)
    progress(0, steps, "deriving available times")
    everything = available_events(tables["signal_events"], tables["signal_frontier"], latency)
    events = EntityEvents.of(everything, entities, stretches)
    left_out = everything.num_rows - events.table.num_rows
    del everything

    warning = minimum_warning(labels, protocol)
    # Said before the scores are computed, which may take hours: there will be no figure of them.
    progress(1, steps, f"scoring {len(entities)} entities" + (f"; no metrics, {warning}" if warning else ""))
    grid = make_grid(events, model, protocol, keep=keep)
    question = grid.question()
    alerts = alerts_from_grid(question, protocol)
    whole = evaluate(question, labels, protocol)

    progress(2, steps, "scoring again with inputs cut short")
    audit = leak_audit(events, model, protocol, grid, alerts)
    progress(3, steps, "evaluating without circular evidence")
    study = _Study(events, labels, model, protocol, definitions, grid)
    document: dict[str, Any] = {
        "schema": EVALUATION_SCHEMA,
        "protocol_hash": protocol.hash,
        "entities": len(entities),
        "left_out": {
            "signal events of entities without coverage": left_out,
            "entities covered by no source of the target labels": len(unseen),
        },
        "leak_audit": audit,
        "overall": _twice(study, whole, types, protocol),
        "by_event_type": {},
    }
    if whole.status == "evaluated" and len(types) > 1:
        for place, name in enumerate(types):
            progress(4 + place, steps, f"evaluating {name} alone")
            own = only(protocol, name)
            seen, days = asked_about(coverage, labels, [name], protocol, definitions)
            evidence = events.some(seen, days)
            alone = replace(study, events=evidence, grid=grid.of(evidence, protocol))
            figures = _twice(alone, evaluate(alone.grid.question(), labels, own), [name], own)
            document["by_event_type"][name] = {**figures, "entities": len(seen)}
    samples = _samples(events, model, grid, alerts, protocol)
    progress(steps, steps, "computed")
    status = "complete" if whole.status == "evaluated" else "insufficient"
    matches = _matches(whole, labels, protocol)
    target_events = _target_events(labels, matches, protocol)
    apart = by_time_precision(labels, target_events, protocol) if whole.status == "evaluated" else None
    if apart is not None:
        document["by_time_precision"] = apart
    return RunResult(
        status,
        {
            "scores": grid.scores,
            "alerts": _alerts(alerts, matches, protocol),
            "matches": matches,
            "events": target_events,
        },
        {**document, "status": status},
        samples,
    )


def _moment(microseconds: int) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=microseconds)


def only(protocol: EvaluationProtocol, event_type: str) -> EvaluationProtocol:
    """Return the protocol with one target type, which needs events_per_type events and nothing else."""
    document = protocol.document
    floor = protocol.minimum.events_per_type
    document["event_types"] = [event_type]
    if "targets" in document:
        document["targets"] = {name: kept for name, kept in document["targets"].items() if name == event_type}
    document["minimum_dataset"] = {
        "entities": 0,
        "event_types": 1,
        "events": floor,
        "events_of_commonest_type": floor,
        "months": 0,
        "events_per_type": floor,
    }
    return EvaluationProtocol.from_dict(document)


@dataclass(frozen=True, slots=True)
class _Study:
    """What every evaluation of a run shares: the evidence with its times, the truth, the model, the whole grid."""

    events: EntityEvents
    labels: pa.Table
    model: ScoringModel
    protocol: EvaluationProtocol
    definitions: Mapping[str, Any]
    grid: RunGrid


def _twice(
    study: _Study, whole: Evaluation, event_types: Sequence[str], protocol: EvaluationProtocol
) -> dict[str, Any]:
    """`whole`, from all evidence, beside the same question without the evidence that is circular for its types."""
    if whole.status != "evaluated":
        return {"all_evidence": whole.to_document(), "without_circular_evidence": None, "difference": None,
                "circular_evidence": None}  # fmt: skip
    circular = circular_evidence(study.events.table, study.labels, event_types, protocol, study.definitions)
    # Without circular evidence there is nothing to score again: the second figure is the first.
    rest = whole
    if circular.mask.any():
        grid = without(study.events, circular.mask, study.model, protocol, study.grid)
        rest = evaluate(grid.question(), study.labels, protocol)
    pairs = side_by_side(whole, rest, protocol.level)
    return {
        "all_evidence": whole.to_document(),
        "without_circular_evidence": rest.to_document(),
        "difference": {name: _difference(pair) for name, pair in pairs.items()},
        "circular_evidence": circular.to_document(),
    }


def _difference(pair: Pair) -> dict[str, Any]:
    """Second figure minus first, with the interval of the paired replicates."""
    spread = pair.difference_interval
    return {
        "value": pair.difference,
        "interval": None if spread is None else {"lo": spread.lo, "hi": spread.hi},
        "reason": pair.reason,
    }


def _matches(whole: Evaluation, labels: pa.Table, protocol: EvaluationProtocol) -> pa.Table:
    """entity_id, alert_at, event_time, event_type of every match; of events at one moment the first type by name."""
    types: dict[tuple[Any, Any], str] = {}
    rows: Any = zip(*(labels[name].to_pylist() for name in ("entity_id", "event_time", "event_type")), strict=True)
    for entity, at, name in rows:
        if name in protocol.event_types:
            types[entity, at] = min(name, types.get((entity, at), name))
    found = whole.matches.to_pylist()
    schema = pa.schema(
        [("entity_id", pa.string()), ("alert_at", _TIME), ("event_time", _TIME), ("event_type", pa.string())]
    )
    return pa.Table.from_pylist(
        [{**row, "event_type": types[row["entity_id"], row["event_time"]]} for row in found], schema=schema
    )


def _alerts(alerts: pa.Table, matches: pa.Table, protocol: EvaluationProtocol) -> pa.Table:
    """The alerts with the event each one matched, and whether the grid ends before its horizon does."""
    matched = {(row["entity_id"], row["alert_at"]): row for row in matches.to_pylist()}
    found = [matched.get(key) for key in zip(alerts["entity_id"].to_pylist(), alerts["at"].to_pylist(), strict=True)]
    latest = pa.scalar(protocol.end - protocol.horizon, pa.int64()).cast(_TIME)
    columns: dict[str, Any] = {
        "entity_id": alerts["entity_id"],
        "alert_at": alerts["at"],
        "alert_score": alerts["alert_score"],
        "matched_event_time": pa.array([row and row["event_time"] for row in found], _TIME),
        "matched_event_type": pa.array([row and row["event_type"] for row in found], pa.string()),
        "censored": pc.greater(alerts["at"], latest),
    }
    return pa.table(columns)


def _target_events(labels: pa.Table, matches: pa.Table, protocol: EvaluationProtocol) -> pa.Table:
    """The target events up to the grid's end, with the alert each one had, and whether the grid starts too late.

    Without them nobody could see what was missed. entity_id, event_time, event_type, matched_alert_at, censored.
    """
    order = {name: place for place, name in enumerate(protocol.event_types)}
    names = ("entity_id", "event_time", "event_type", "subtype")
    rows = [
        (entity, at, order[kind])
        for entity, at, kind, subtype in zip(*(labels[name].to_pylist() for name in names), strict=True)
        if kind in order and subtype in protocol.targets.get(kind, (subtype,)) and at <= _moment(protocol.end)
    ]
    rows.sort()
    # Of events of one entity at one moment the alerts take the first types first, as matching does.
    alerts: dict[tuple[str, datetime], list[datetime]] = {}
    for row in matches.to_pylist():
        alerts.setdefault((row["entity_id"], row["event_time"]), []).append(row["alert_at"])
    waiting = [alerts.get((entity, at), []) for entity, at, _ in rows]
    matched = [own.pop(0) if own else None for own in waiting]
    earliest = _moment(protocol.start + protocol.horizon)
    return pa.table(
        {
            "entity_id": pa.array([entity for entity, _, _ in rows], pa.string()),
            "event_time": pa.array([at for _, at, _ in rows], _TIME),
            "event_type": pa.array([protocol.event_types[kind] for _, _, kind in rows], pa.string()),
            "matched_alert_at": pa.array(matched, _TIME),
            "censored": pa.array([at < earliest for _, at, _ in rows], pa.bool_()),
        }
    )


def _samples(
    events: EntityEvents, model: ScoringModel, grid: RunGrid, alerts: pa.Table, protocol: EvaluationProtocol
) -> dict[str, Any]:
    """Scores with their explanations at alerts and at other points of the grid, picked without regard to the scores.

    Each is computed by the single score and compared with the grid.
    """
    of_alerts = _pick(alerts["entity_id"].to_pylist(), alerts["at"].to_pylist(), ALERT_SAMPLES)
    drawn = np.random.Generator(np.random.PCG64(protocol.seed)).choice(
        grid.alert_score.size, min(GRID_SAMPLES, grid.alert_score.size), replace=False
    )
    of_grid = [grid.at(row) for row in np.sort(drawn).tolist()]
    place = {name: index for index, name in enumerate(grid.names)}
    out = []
    for why, chosen in (("alert", of_alerts), ("sample", of_grid)):
        for entity, at in chosen:
            own = events.between(place[entity], place[entity] + 1).select(EVENT_COLUMNS)
            sample = score(own, model, at)
            grid.check(sample, place[entity], at)
            explained = _explained(sample, own)
            if why == "alert":
                explained["family_shapley"] = {
                    name: asdict(value) for name, value in family_shapley(own, model, at).items()
                }
            out.append({"why": why, "entity_id": entity, "at": at.isoformat(), "score": explained})
    return {"schema": SAMPLES_SCHEMA, "samples": out}


def _explained(sample: ScoreSample, events: pa.Table) -> dict[str, Any]:
    """The sample as a document; each top contributor with its signal, which its event_id alone does not tell."""
    document = asdict(sample)
    signals = dict(zip(events["event_id"].to_pylist(), events["signal_id"].to_pylist(), strict=True))
    for contributor in document["top_contributors"]:
        contributor["signal_id"] = signals[contributor["event_id"]]
    return document


def _pick(entities: list[Any], moments: list[Any], count: int) -> list[tuple[str, datetime]]:
    points = list(zip(entities, moments, strict=True))
    chosen = sorted(points, key=lambda point: sha256_hex(f"{point[0]} {point[1].isoformat()}".encode()))[:count]
    return sorted(chosen)
