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
from signaldelta_assets.scoring import ScoringModel, score, score_grid
from signaldelta_assets.timeline import LatencyModel
from signaldelta_assets.versioning import content_hash, sha256_hex

from .evaluation import (
    Evaluation,
    EvaluationProtocol,
    Pair,
    alerts_from_grid,
    audit_moments,
    evaluate,
    first_difference,
    side_by_side,
)
from .evidence import EngineError, available_events, circular_evidence, covered_at_all, covered_entities

EVALUATION_SCHEMA = "signaldelta.backtest_evaluation/1"
SAMPLES_SCHEMA = "signaldelta.backtest_samples/1"
AUDIT_MOMENTS = 3
# Explanations are exact recomputations; the rest can be made from the snapshot at any time.
ALERT_SAMPLES = 200
GRID_SAMPLES = 50

Progress = Callable[[int, int, str], None]
_EVENT_COLUMNS = ["entity_id", "event_id", "signal_id", "available_time", "strength_norm", "reliability", "direction"]
_COMPARED = ("evidence", "magnitude", "lean", "confidence", "n_events", "verdict")
_TIME: pa.DataType = pa.timestamp("us", tz="UTC")


@dataclass(frozen=True, slots=True)
class RunResult:
    """What a run is: tables `scores` (float32), `alerts`, `matches`; the evaluation document; sampled explanations."""

    status: str
    tables: Mapping[str, pa.Table]
    evaluation: Mapping[str, Any]
    samples: Mapping[str, Any]


def _silent(done: int, total: int, text: str) -> None:
    return None


def compute(
    tables: Mapping[str, pa.Table],
    model: ScoringModel,
    latency: LatencyModel,
    protocol: EvaluationProtocol,
    definitions: Mapping[str, Any],
    progress: Progress = _silent,
) -> RunResult:
    """Return the run of a snapshot's tables (schemas: `snapshots.PARTS`) under two models and a protocol.

    status "complete", or "insufficient" where the dataset is below the protocol's minimum: then the evaluation has
    its counts and no metrics. Raises `EngineError` and the rooms' own errors for input that is missing or wrong.
    """
    types = protocol.event_types
    steps = 4 + (len(types) if len(types) > 1 else 0)
    labels = tables["labeled_events"]
    coverage = tables["coverage"]
    entities = covered_entities(coverage, labels, types, protocol, definitions)
    if not entities:
        raise EngineError(f"coverage: expected an entity covered for {types} during the protocol's grid, found none")
    unseen = covered_at_all(coverage, protocol).difference(entities)
    progress(0, steps, "deriving available times")
    everything = available_events(tables["signal_events"], tables["signal_frontier"], latency)
    events = _of(everything, entities)

    progress(1, steps, f"scoring {len(entities)} entities")
    grid = _grid(events, model, protocol, entities)
    alerts = alerts_from_grid(_question(grid), protocol)
    whole = evaluate(_question(grid), labels, protocol)

    progress(2, steps, "scoring again with inputs cut short")
    audit = leak_audit(events, model, protocol, entities, grid, alerts)
    progress(3, steps, "evaluating without circular evidence")
    study = _Study(events, labels, model, protocol, definitions, tuple(entities), grid)
    document: dict[str, Any] = {
        "schema": EVALUATION_SCHEMA,
        "protocol_hash": protocol.hash,
        "entities": len(entities),
        "left_out": {
            "signal events of entities without coverage": everything.num_rows - events.num_rows,
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
            seen = covered_entities(coverage, labels, [name], protocol, definitions)
            alone = replace(study, events=_of(events, seen), entities=tuple(seen), grid=_of(grid, seen))
            figures = _twice(alone, evaluate(_question(alone.grid), labels, own), [name], own)
            document["by_event_type"][name] = {**figures, "entities": len(seen)}
    samples = _samples(events, model, grid, alerts, protocol)
    progress(steps, steps, "computed")
    status = "complete" if whole.status == "evaluated" else "insufficient"
    matches = _matches(whole, labels, protocol)
    return RunResult(
        status,
        {"scores": stored_grid(grid), "alerts": _alerts(alerts, matches, protocol), "matches": matches},
        {**document, "status": status},
        samples,
    )


def _grid(events: pa.Table, model: ScoringModel, protocol: EvaluationProtocol, entities: list[str]) -> pa.Table:
    start, end = _moment(protocol.start), _moment(protocol.end)
    step = timedelta(microseconds=protocol.step)
    return score_grid(events.select(_EVENT_COLUMNS), model, start, end, step, entities=entities)


def _of(table: pa.Table, entities: Sequence[str]) -> pa.Table:
    return table.filter(pc.is_in(table["entity_id"], value_set=pa.array(entities, pa.string())))


def _moment(microseconds: int) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=microseconds)


def _question(grid: pa.Table) -> pa.Table:
    """What is evaluated: a(t) = M * C, which the protocol's method calibrates into a probability."""
    alert_score = pc.multiply(grid["magnitude"], grid["confidence"])
    return pa.Table.from_arrays(
        [grid["entity_id"], grid["at"], alert_score, alert_score],
        names=["entity_id", "at", "alert_score", "probability"],
    )


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

    events: pa.Table
    labels: pa.Table
    model: ScoringModel
    protocol: EvaluationProtocol
    definitions: Mapping[str, Any]
    entities: tuple[str, ...]
    grid: pa.Table


def _twice(
    study: _Study, whole: Evaluation, event_types: Sequence[str], protocol: EvaluationProtocol
) -> dict[str, Any]:
    """`whole`, from all evidence, beside the same question without the evidence that is circular for its types."""
    if whole.status != "evaluated":
        return {"all_evidence": whole.to_document(), "without_circular_evidence": None, "difference": None,
                "circular_evidence": None}  # fmt: skip
    circular = circular_evidence(study.events, study.labels, event_types, protocol, study.definitions)
    # Without circular evidence there is nothing to score again: the second figure is the first.
    rest = whole
    if circular.mask.any():
        events = study.events.filter(pa.array(~circular.mask))
        rest = evaluate(_question(_grid(events, study.model, protocol, list(study.entities))), study.labels, protocol)
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


def leak_audit(
    events: pa.Table,
    model: ScoringModel,
    protocol: EvaluationProtocol,
    entities: list[str],
    grid: pa.Table,
    alerts: pa.Table,
    moments: int = AUDIT_MOMENTS,
) -> dict[str, Any]:
    """Cut the input at random moments (from the protocol's seed), score again, compare the bytes up to each moment.

    `events` carry available_time; `grid` and `alerts` are those of the whole input. Raises `EngineError` at the first
    moment where anything differs: such a run has seen the future and may not exist.
    """
    report = []
    for cut in audit_moments(protocol, moments):
        moment = pa.scalar(cut, _TIME)
        known = events.filter(pc.less_equal(events["available_time"], moment))
        again = _grid(known, model, protocol, entities)
        fired = alerts_from_grid(_question(again), protocol)
        for name, whole, part in (("scores", grid, again), ("alerts", alerts, fired)):
            # Up to the moment: what lies after it has lost its evidence, and may differ.
            seen = part.filter(pc.less_equal(part["at"], moment))
            found = first_difference(whole, seen, cut)
            if found is not None:
                raise EngineError(
                    f"leak audit: {name} before {cut.isoformat()} change when the input ends there: {found}"
                )
        before = grid.filter(pc.less_equal(grid["at"], moment))
        report.append(
            {"at": cut.isoformat(), "events": known.num_rows, "points": before.num_rows,
             "content_hash": content_hash(before)}
        )  # fmt: skip
    return {"seed": protocol.seed, "equal": True, "moments": report}


def stored_grid(grid: pa.Table) -> pa.Table:
    """Return the grid as it is stored: figures as float32, verdict as text."""
    fields = []
    for field in grid.schema:
        kind = field.type
        if pa.types.is_float64(kind):
            kind = pa.float32()
        elif pa.types.is_dictionary(kind):
            kind = pa.string()
        fields.append(pa.field(field.name, kind))
    return grid.cast(pa.schema(fields))


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


def _samples(
    events: pa.Table, model: ScoringModel, grid: pa.Table, alerts: pa.Table, protocol: EvaluationProtocol
) -> dict[str, Any]:
    """Scores with their explanations at alerts and at other points of the grid, picked without regard to the scores.

    Each is computed by the single score and compared with the grid: one kernel, one answer.
    """
    of_alerts = _pick(alerts["entity_id"].to_pylist(), alerts["at"].to_pylist(), ALERT_SAMPLES)
    drawn = np.random.Generator(np.random.PCG64(protocol.seed)).choice(
        grid.num_rows, min(GRID_SAMPLES, grid.num_rows), replace=False
    )
    some = grid.select(["entity_id", "at"]).take(np.sort(drawn))
    of_grid: list[Any] = list(zip(some["entity_id"].to_pylist(), some["at"].to_pylist(), strict=True))
    # The grid is rectangular: every entity has every point, in order.
    points = (protocol.end - protocol.start) // protocol.step + 1
    place = {name: index * points for index, name in enumerate(pc.unique(grid["entity_id"]).to_pylist())}
    out = []
    for why, chosen in (("alert", of_alerts), ("sample", of_grid)):
        for entity, at in chosen:
            own = events.filter(pc.equal(events["entity_id"], pa.scalar(entity))).select(_EVENT_COLUMNS)
            sample = score(own, model, at)
            steps = (at - _moment(protocol.start)) // timedelta(microseconds=protocol.step)
            _same(sample, grid.slice(place[entity] + steps, 1).to_pylist()[0], entity, at)
            out.append({"why": why, "entity_id": entity, "at": at.isoformat(), "score": asdict(sample)})
    return {"schema": SAMPLES_SCHEMA, "samples": out}


def _pick(entities: list[Any], moments: list[Any], count: int) -> list[tuple[str, datetime]]:
    points = list(zip(entities, moments, strict=True))
    chosen = sorted(points, key=lambda point: sha256_hex(f"{point[0]} {point[1].isoformat()}".encode()))[:count]
    return sorted(chosen)


def _same(sample: ScoreSample, row: Mapping[str, Any], entity: str, at: datetime) -> None:
    found = {**row, "entity_id": entity, "at": at}
    expected = {**found, **{name: getattr(sample, name) for name in _COMPARED}}
    for name, value in expected.items():
        if row[name] != value:
            raise EngineError(
                f"score of {entity} at {at.isoformat()}: field {name!r}: expected {value!r} as by the single score, "
                f"found {row[name]!r} in the grid"
            )
