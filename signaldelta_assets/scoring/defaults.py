"""The first default model: the priors of the design, from a `signal_definitions` document (signals.md)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .errors import ScoringModelError
from .model import SCHEMA, ScoringModel

DEFINITIONS_SCHEMA = "signaldelta.signal_definitions/1"
ACTIVE = "v2.0"


def default_model(definitions: Mapping[str, Any], **overrides: Any) -> dict[str, Any]:
    """Return the default scoring model document for `definitions`: its active signals, and the design's priors.

    Families, correlations, tiers, half-lives and affinities are the definitions'; the rest is scoring.md, "The first
    default model". `overrides` are merged in by key, objects within objects, so `magnitude={"theta": 2.0}` moves theta
    alone. The document is valid: `ScoringModelError` names the field where definitions or overrides are not.
    """
    if definitions.get("schema") != DEFINITIONS_SCHEMA:
        raise ScoringModelError("definitions.schema", repr(DEFINITIONS_SCHEMA), repr(definitions.get("schema")))
    try:
        chains = definitions["chains"]
        document: dict[str, Any] = {
            "schema": SCHEMA,
            "families": {
                name: {"budget": family["budget"], "stage": family["stage"]}
                for name, family in definitions["families"].items()
            },
            "correlation": dict(definitions["correlations"]),
            "tiers": {"1": 1.0, "2": 0.7, "3": 0.4},
            "evidence_floor": 1e-9,
            "signals": {
                name: {
                    "family": signal["family"],
                    "tier": signal["tier"],
                    "weight": 1.0,
                    "half_life_hours": signal["half_life_hours"],
                    "chain_affinity": dict(signal["chain_affinity"]),
                }
                for name, signal in definitions["signals"].items()
                if signal["status"] == ACTIVE
            },
            "magnitude": {"k": 2.0, "theta": 1.5},
            "confidence": {
                "a": 0.5,
                "b": 0.3,
                "c": 0.2,
                "diversity_half_point": 1.0,
                "ordering_floor": 0.25,
                "ordering_tolerance_hours": 1.0,
            },
            "chains": {
                "types": sorted(chains),
                "min_families": {name: chains[name]["min_families"] for name in chains},
                "temperature": 0.5,
                "unknown_logit": 0.6,
            },
            "legacy": {"gamma": 0.5, "cuts": [20.0, 40.0, 60.0, 80.0]},
        }
    except KeyError as missing:
        raise ScoringModelError(f"definitions: {missing.args[0]}", "a value", "nothing") from missing
    return ScoringModel.from_dict(_merged(document, overrides)).document


def check_affinities(model: ScoringModel, definitions: Mapping[str, Any]) -> None:
    """Raise `ScoringModelError` unless every signal of `model` has the affinities of `definitions`, or is named in
    `affinity_overrides` (signals.md section 2); a signal that the definitions do not have is refused as well.
    """
    for name, signal in model.signals.items():
        defined = definitions["signals"].get(name)
        if defined is None:
            raise ScoringModelError(f"signals.{name}", "a signal of the definitions", "nothing there")
        own, theirs = _positive(signal.chain_affinity), _positive(defined["chain_affinity"])
        if own != theirs and name not in model.affinity_overrides:
            path = f"signals.{name}.chain_affinity"
            raise ScoringModelError(path, f"{theirs} as defined, or the signal in affinity_overrides", repr(own))


def _positive(affinity: Mapping[str, float]) -> dict[str, float]:
    return {chain: float(value) for chain, value in sorted(affinity.items()) if value}


def _merged(document: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(document)
    for key, value in changes.items():
        known = merged.get(key)
        if isinstance(known, Mapping) and isinstance(value, Mapping):
            value = _merged(known, value)
        merged[key] = value
    return merged
