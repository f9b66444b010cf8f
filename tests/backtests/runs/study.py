"""A small study over the synthetic world: models, protocol and spec, stored and ready to run."""

from __future__ import annotations

import copy
from typing import Any

from signaldelta_assets.backtests import BacktestSpec
from signaldelta_assets.warehouse.stores import documents
from tests.snapshots.world import START, World

HOUR = 3600
MODEL: dict[str, Any] = {
    "schema": "signaldelta.scoring_model/1",
    "families": {"F01": {"budget": 1.5, "stage": 1}, "F06": {"budget": 1.5, "stage": 3}},
    "correlation": {"F01|F06": 0.1},
    "tiers": {"1": 1.0},
    "evidence_floor": 1e-9,
    "signals": {
        "S001": {"family": "F01", "tier": 1, "weight": 1.0, "half_life_hours": 24.0, "chain_affinity": {"CT-01": 0.8}},
        "S033": {"family": "F06", "tier": 1, "weight": 1.0, "half_life_hours": 24.0, "chain_affinity": {"CT-01": 0.8}},
    },
    "magnitude": {"k": 2.0, "theta": 0.8},
    "confidence": {
        "a": 0.5, "b": 0.3, "c": 0.2,
        "diversity_half_point": 1.0, "ordering_floor": 0.25, "ordering_tolerance_hours": 1.0,
    },
    "chains": {"types": ["CT-01"], "min_families": {"CT-01": 1}, "temperature": 0.5, "unknown_logit": 0.6},
    "legacy": {"gamma": 0.5, "cuts": [20, 40, 60, 80]},
}  # fmt: skip
LATENCY: dict[str, Any] = {
    "schema": "signaldelta.latency_model/1",
    "default": {"rule": "observed", "processing_seconds": 60},
    "sources": {
        "form_8k": {"rule": "edgar_dissemination", "processing_seconds": 60},
        "ownership": {"rule": "edgar_dissemination", "processing_seconds": 60},
    },
}
PROTOCOL: dict[str, Any] = {
    "schema": "signaldelta.evaluation_protocol/1",
    "grid": {
        "start": int(START.timestamp()) + 7 * 24 * HOUR,
        "end": int(START.timestamp()) + 175 * 24 * HOUR,
        "step_seconds": 6 * HOUR,
    },
    "horizon_hours": 48,
    "alert": {"threshold": 0.15, "rearm_below": 0.1, "refractory_hours": 12},
    "event_types": ["MNA_ANNOUNCEMENT"],
    "embargo_hours": 24,
    "folds": 3,
    "calibration": {"method": "platt", "minimum_of_each_class": 5},
    "bootstrap": {"replicates": 20, "cluster_hours": 168, "seed": 11, "level": 0.9},
    "nulls": {"draws": 10, "seed": 12},
    "minimum_dataset": {
        "entities": 2, "event_types": 1, "events": 20, "events_of_commonest_type": 20, "months": 3,
        "events_per_type": 20,
    },
}  # fmt: skip


def make_spec(
    world: World,
    *,
    model: dict[str, Any] = MODEL,
    latency: dict[str, Any] = LATENCY,
    protocol: dict[str, Any] = PROTOCOL,
    family: str = "planted lead",
) -> BacktestSpec:
    """Store the documents, freeze the world, and return the spec."""
    return BacktestSpec(
        snapshot_hash=world.freeze().snapshot_hash,
        scoring_model_hash=documents.put_document(world.warehouse, "scoring_model", "study", model),
        latency_model_hash=documents.put_document(world.warehouse, "latency_model", "study", latency),
        protocol_hash=documents.put_document(world.warehouse, "evaluation_protocol", "study", protocol),
        hypothesis_family=family,
    )


def changed(document: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    """A copy of `document` with the field at a dotted path set."""
    document = copy.deepcopy(document)
    *parents, last = path.split(".")
    inner = document
    for name in parents:
        inner = inner[name]
    inner[last] = value
    return document
