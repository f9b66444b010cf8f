"""Small evaluation documents for verdicts, and the material of a run that the engine really computed."""

from __future__ import annotations

import copy
import json
from typing import Any

from signaldelta_assets.backtests.engine import compute
from signaldelta_assets.backtests.evaluation import EvaluationProtocol
from signaldelta_assets.backtests.warmup import _DEFINITIONS, _MODEL, _protocol, _tables
from signaldelta_assets.reports import Material, Trial
from signaldelta_assets.scoring import ScoringModel
from signaldelta_assets.timeline import LatencyModel
from signaldelta_assets.versioning import canonical_json, sha256_hex

LATENCY: dict[str, Any] = {
    "schema": "signaldelta.latency_model/1",
    "default": {"rule": "lag", "lag_seconds": 60, "processing_seconds": 0},
}
RUN = sha256_hex(b"run")
PROTOCOL: dict[str, Any] = {"bootstrap": {"level": 0.95}, "horizon_hours": 504}


def null(value: float, lo: float, hi: float, p: float | None, difference: float = 0.1) -> dict[str, Any]:
    """A null of a figure: `lo` and `hi` bound the difference."""
    return {
        "value": value, "lo": value - 0.05, "hi": value + 0.05, "draws": 200, "p_value": p, "difference": difference,
        "difference_interval": {"lo": lo, "hi": hi},
    }  # fmt: skip


def section(figure: str = "precision", value: float | None = 0.3, **nulls: dict[str, Any]) -> dict[str, Any]:
    """One variant of an evaluation with one figure and its nulls by name."""
    return {
        figure: value,
        "primary_figure": figure,
        "smallest_effect": None,
        "n_alerts": 412,
        "n_events": 1,
        "n_scored_points": 1000,
        "lead_time_hours": None,
        "intervals": {} if value is None else {figure: {"lo": value - 0.05, "hi": value + 0.05}},
        "nulls": {name: {figure: beside} for name, beside in nulls.items()},
        "reasons": {figure: "no uncensored alert"} if value is None else {},
        "dataset": {},
    }


def evaluation(
    strict: dict[str, Any], whole: dict[str, Any] | None = None, smallest: float | None = None, circular: int = 0
) -> dict[str, Any]:
    """A run's evaluation document with both variants; the same one where `whole` is not given."""
    whole = copy.deepcopy(strict if whole is None else whole)
    whole["smallest_effect"] = smallest
    evidence = {"families": ["F05"], "events_by_family": circular, "events_by_record": 0}
    overall = {"all_evidence": whole, "without_circular_evidence": strict, "circular_evidence": evidence}
    return {"status": "complete", "overall": overall}


def trial(p: float | None, holm: float | None = None, number: int = 1) -> Trial:
    """This run's trial."""
    raw = 1.0 if p is None else p
    adjusted = raw if holm is None else holm
    return Trial(number, RUN, p, adjusted, min(adjusted, raw * 1.5))


def material(
    entity: str | None = None,
    family: str = "planted lead",
    threshold: float | None = None,
    **floors: int,
) -> Material:
    """The material of a small run: 3 entities, 2 types, 200 hours. `floors` change the minimum dataset."""
    tables = _tables()
    # Labels from records of their own: only the family named for X is circular, and the other one is left.
    place = tables["labeled_events"].schema.get_field_index("raw_record_ids")
    own = [[f"label {number}"] for number in range(tables["labeled_events"].num_rows)]
    tables["labeled_events"] = tables["labeled_events"].set_column(
        place, tables["labeled_events"].schema.field(place), [own]
    )
    if entity is not None:
        for kind in ("signal_events", "labeled_events", "coverage"):
            names = [entity if name == "E0" else name for name in tables[kind]["entity_id"].to_pylist()]
            place = tables[kind].schema.get_field_index("entity_id")
            field = tables[kind].schema.field(place)
            tables[kind] = tables[kind].set_column(place, field, [names])
    protocol = _protocol("platt")
    protocol["minimum_dataset"] |= floors
    if threshold is not None:
        protocol["alert"]["threshold"] = threshold
    run = compute(
        tables,
        ScoringModel.from_dict(_MODEL),
        LatencyModel.from_dict(LATENCY),
        EvaluationProtocol.from_dict(protocol),
        _DEFINITIONS,
    )
    samples = json.loads(canonical_json(run.samples))
    return Material(
        run_hash=RUN,
        hypothesis_family=family,
        trial_number=2,
        manifest=_manifest(run.status),
        manifest_hash=sha256_hex(b"manifest"),
        evaluation=json.loads(canonical_json(run.evaluation)),
        protocol=protocol,
        model=_MODEL,
        definitions=_DEFINITIONS | {"families": {"F1": {"name": "first & <foremost>"}}},
        samples=samples,
        alerts=run.tables["alerts"],
        events=run.tables["events"],
        trials=(Trial(1, sha256_hex(b"other"), 0.03, 0.06, 0.04), Trial(2, RUN, 0.04, 0.06, 0.04)),
    )


def _manifest(status: str) -> dict[str, Any]:
    def name(text: str) -> str:
        return sha256_hex(text.encode())

    named = {kind: {"id": f"id of {kind}", "hash": name(kind)}
             for kind in ("snapshot", "dataset", "scoring_model", "latency_model", "evaluation_protocol")}  # fmt: skip
    return {
        **named,
        "run_id": "01HZFNS0V0QJ5Y8T1J3M8Z6K4D",
        "status": status,
        "spec_hash": name("spec"),
        "signal_definitions_hash": name("definitions"),
        "environment_hash": name("environment"),
        "evaluation_hash": name("evaluation"),
        "inputs": [{"kind": "signal_events", "partition": "2024-07", "rows": 24, "file_hash": name("a"),
                    "content_hash": name("b")}],
        "outputs": [{"name": "alerts", "media_type": "x", "rows": 3, "size_bytes": 10, "file_hash": name("c"),
                     "content_hash": name("d")}],
    }  # fmt: skip


def with_p_value(p: float | None) -> dict[str, Any]:
    """An evaluation whose judged figure has this p-value beside its one null."""
    return evaluation(section(shifted_events=null(0.11, 0.05, 0.2, p)))
