"""The catalogue as it is shown: one signal, or all of them, as plain values for commands, the API and metadata."""

from __future__ import annotations

from typing import Any

from .definitions import SignalDefinitions


def describe(definitions: SignalDefinitions, signal_id: str) -> dict[str, Any]:
    """Return what is known of one signal, JSON values throughout; `DefinitionsError` where there is none.

    signal_id, name, family, family_name, stage, tier, half_life_hours, direction, chain_affinity, status, source_type,
    active, waits_for (None where active), rule (None where none is written yet), source_types, params, tables,
    extractor, extractor_version, rule_hash (None where not active).
    """
    signal = definitions.signal(signal_id)
    entry = definitions.document["signals"][signal_id]
    family = definitions.families[signal.family]
    return {
        "signal_id": signal_id,
        "name": signal.name,
        "family": signal.family,
        "family_name": family["name"],
        "stage": family["stage"],
        "tier": signal.tier,
        "half_life_hours": signal.half_life_hours,
        "direction": signal.direction,
        "chain_affinity": dict(sorted(signal.chain_affinity.items())),
        "status": signal.status,
        "source_type": signal.source_type,
        "active": signal.is_active,
        "waits_for": None if signal.is_active else entry["waits_for"],
        "rule": definitions.document.get("rules", {}).get(signal_id),
        "source_types": list(signal.source_types),
        "params": dict(signal.params),
        "tables": list(signal.tables),
        "extractor": entry.get("extractor"),
        "extractor_version": signal.extractor_version,
        "rule_hash": signal.rule_hash if signal.is_active else None,
    }


def catalogue(
    definitions: SignalDefinitions,
    *,
    family: str | None = None,
    status: str | None = None,
    source: str | None = None,
) -> list[dict[str, Any]]:
    """Return `describe` of every signal in the order of their ids, of those of a family, status or source type.

    `source`: the feed that the signal is named after, or any that it reads.
    """
    shown = (describe(definitions, signal_id) for signal_id in sorted(definitions.document["signals"]))
    return [
        one
        for one in shown
        if (family is None or one["family"] == family)
        and (status is None or one["status"] == status)
        and (source is None or source == one["source_type"] or source in one["source_types"])
    ]
