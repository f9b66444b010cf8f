"""Everything a run will compile or import, done once on a made-up world, before the sandbox closes."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from signaldelta_assets.scoring import ScoringModel
from signaldelta_assets.scoring import warm_up as warm_up_scoring
from signaldelta_assets.snapshots.parts import PARTS
from signaldelta_assets.timeline import LatencyModel

from .engine import compute
from .evaluation import EvaluationProtocol

_HOUR = 3600
_START = 1_700_006_400
_POINTS = 200


def warm_up(calibration: str) -> None:
    """Compute a small run by every latency rule and null there is, calibrated as the run will be."""
    warm_up_scoring()
    latency = LatencyModel.from_dict(
        {
            "schema": "signaldelta.latency_model/1",
            "default": {"rule": "observed", "processing_seconds": 1},
            "sources": {
                "filing": {"rule": "edgar_dissemination", "processing_seconds": 1},
                "bar": {"rule": "lag", "lag_seconds": 1, "processing_seconds": 1},
            },
        }
    )
    model = ScoringModel.from_dict(_MODEL)
    compute(_tables(), model, latency, EvaluationProtocol.from_dict(_protocol(calibration)), _DEFINITIONS)


_DEFINITIONS: dict[str, Any] = {
    "labels": {"X": {"family_left_out": "F2", "source_types": ["filing"]}, "Y": {"source_types": ["filing"]}}
}
_MODEL: dict[str, Any] = {
    "schema": "signaldelta.scoring_model/1",
    "families": {"F1": {"budget": 1.0, "stage": 1}, "F2": {"budget": 1.0, "stage": 2}},
    "correlation": {"F1|F2": 0.1},
    "tiers": {"1": 1.0},
    "evidence_floor": 1e-9,
    "signals": {
        "S1": {"family": "F1", "tier": 1, "weight": 1.0, "half_life_hours": 10.0, "chain_affinity": {"C": 1.0}},
        "S2": {"family": "F2", "tier": 1, "weight": 1.0, "half_life_hours": 10.0, "chain_affinity": {"C": 1.0}},
    },
    "magnitude": {"k": 2.0, "theta": 0.5},
    "confidence": {
        "a": 0.5,
        "b": 0.3,
        "c": 0.2,
        "diversity_half_point": 1.0,
        "ordering_floor": 0.25,
        "ordering_tolerance_hours": 1.0,
    },
    "chains": {"types": ["C"], "min_families": {"C": 1}, "temperature": 1.0, "unknown_logit": 0.0},
    "legacy": {"gamma": 1.0, "cuts": [20, 40, 60, 80]},
}


def _protocol(method: str) -> dict[str, Any]:
    return {
        "schema": "signaldelta.evaluation_protocol/1",
        "grid": {"start": _START, "end": _START + _POINTS * _HOUR, "step_seconds": _HOUR},
        "horizon_hours": 5,
        "alert": {"threshold": 0.05, "rearm_below": 0.04, "refractory_hours": 1},
        "event_types": ["X", "Y"],
        "targets": {"X": ["a"]},
        "embargo_hours": 1,
        "folds": 3,
        "calibration": {"method": method, "minimum_of_each_class": 1},
        "bootstrap": {"replicates": 5, "cluster_hours": 24, "seed": 1, "level": 0.9},
        "nulls": {"draws": 5, "seed": 1},
        "minimum_dataset": {
            "entities": 1,
            "event_types": 1,
            "events": 1,
            "events_of_commonest_type": 1,
            "months": 1,
            "events_per_type": 1,
        },
    }


def _tables() -> dict[str, pa.Table]:
    rows: dict[str, list[dict[str, Any]]] = {kind: [] for kind in PARTS}
    sources = ("filing", "bar", "other")
    for number in range(24):
        entity = f"E{number % 3}"
        at = (_START + number * 8 * _HOUR) * 1_000_000
        name = f"{number:026d}"
        rows["signal_events"].append(
            {"event_id": name, "revision": 1, "event_key": name, "signal_id": f"S{1 + number % 2}",
             "family": f"F{1 + number % 2}", "entity_id": entity, "event_time": at, "strength_norm": 1.0,
             "direction": 1, "reliability": 1.0, "raw_record_ids": [name], "attributes": "{}", "content_hash": name}
        )  # fmt: skip
        rows["signal_frontier"].append(
            {"event_id": name, "source_type": sources[number % 3], "form": "4" if number % 2 else None,
             "collection_mode": "live" if number % 5 == 0 else "backfill", "event_time": at, "observed_time": at}
        )  # fmt: skip
        rows["labeled_events"].append(
            {"label_id": name, "revision": 1, "label_key": name, "event_type": "XY"[number % 2], "subtype": "a",
             "entity_id": entity, "event_time": at + (number % 4) * _HOUR * 1_000_000, "time_precision": "second",
             "known_at": at, "confidence": 1.0, "raw_record_ids": [name], "attributes": "{}", "content_hash": name}
        )  # fmt: skip
    day = _START // 86_400
    for entity in ("E0", "E1", "E2"):
        rows["entities"].append({"entity_id": entity, "member_from": day, "member_to": day + 9})
        rows["coverage"].append(
            {"entity_id": entity, "source_type": "filing", "first_day": day, "last_day": day + 9, "records": 1}
        )
    rows["definitions"].append({"document_hash": "", "document": "{}"})
    return {kind: pa.Table.from_pylist(rows[kind], schema=schema) for kind, schema in PARTS.items()}
