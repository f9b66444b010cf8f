"""The explained score: the grid of one entity and one point, and what each family and event contributes to it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import pyarrow as pa

from ..contracts import Contributor, FamilyDelta, FamilyShapley, ScoreSample
from . import kernel
from .errors import ScoringInputError
from .events import Evidence, gather
from .grid import VERDICTS, compact_grid, run
from .layout import FIGURES, Floats, Integers
from .model import UNKNOWN, ScoringModel
from .moments import Moment, moment

# 2^20 subsets take about a second; a model of more families could hold such an entity, no model of ours does.
MOST_SHAPLEY_FAMILIES = 20


def score(
    events: pa.Table | pd.DataFrame,
    model: ScoringModel,
    at: Moment,
    *,
    top_k: int = 5,
    ignore_unknown_signals: bool = False,
) -> ScoreSample:
    """Return the score of one entity at `at`, with its explanation (scoring.md).

    `events` holds that entity's events, later ones included: they have no effect. `family_deltas` has the families
    with evidence; `top_contributors` the `top_k` available events that move M most, ties by event_id. The figures have
    the bits of `score_grid`: it is the grid of one entity and one point. Raises `ScoringInputError`.
    """
    evidence = _of_one(events, model, ignore_unknown_signals=ignore_unknown_signals)
    moments = np.array([moment(at, "at")], np.int64)
    result = run(evidence, model, moments, threads=1)
    family_deltas, event_deltas, _ = _explain(evidence, model, moments, np.empty((3, 0)))
    contributors = [
        Contributor(str(event_id), float(delta))
        for event_id, delta in zip(evidence.event_ids.to_pylist(), event_deltas, strict=True)
        if not np.isnan(delta)
    ]
    contributors.sort(key=lambda item: (-abs(item.delta_magnitude), item.event_id))
    return ScoreSample(
        **{name: float(column[0]) for name, column in zip(FIGURES, result.figures, strict=True)},
        chain_probabilities={
            name: float(column[0]) for name, column in zip((*model.chain_types, UNKNOWN), result.chains, strict=True)
        },
        n_events=int(result.counts[0]),
        verdict=VERDICTS[result.verdicts[0]],
        family_deltas={
            name: FamilyDelta(*map(float, deltas))
            for name, deltas in zip(model.families, family_deltas, strict=True)
            if not np.isnan(deltas[0])
        },
        top_contributors=tuple(contributors[:top_k]),
    )


def family_shapley(
    events: pa.Table | pd.DataFrame,
    model: ScoringModel,
    at: Moment,
    *,
    ignore_unknown_signals: bool = False,
) -> dict[str, FamilyShapley]:
    """Return the exact Shapley value of every family with evidence in the score of one entity at `at`.

    Every subset of those families is scored, by the kernel that scores them all. Values sum to M, to M C, and to the
    legacy score less 50. Raises `ScoringInputError`, also for more than `MOST_SHAPLEY_FAMILIES` families.
    """
    evidence = _of_one(events, model, ignore_unknown_signals=ignore_unknown_signals)
    families = len(np.unique(model.parameters.family[evidence.group_signal]))
    if families > MOST_SHAPLEY_FAMILIES:
        raise ScoringInputError("events", "signal_id", f"signals of at most {MOST_SHAPLEY_FAMILIES} families", families)
    subsets = np.empty((3, 1 << families))
    _, _, present = _explain(evidence, model, np.array([moment(at, "at")], np.int64), subsets)
    values = np.empty((len(subsets), len(present)))
    for worth, out in zip(subsets, values, strict=True):
        kernel.shapley(len(present), worth, out)
    names = list(model.families)
    return {names[place]: FamilyShapley(*map(float, own)) for place, own in zip(present, values.T, strict=True)}


def _of_one(events: pa.Table | pd.DataFrame, model: ScoringModel, *, ignore_unknown_signals: bool) -> Evidence:
    evidence = gather(events, model, ignore_unknown_signals=ignore_unknown_signals, entity_optional=True)
    if len(evidence.entities) == 0:
        # No event or no entity_id: the grid of one entity needs some name for it.
        evidence = gather(events, model, ["-"], ignore_unknown_signals=ignore_unknown_signals, entity_optional=True)
    if len(evidence.entities) > 1:
        raise ScoringInputError("events", "entity_id", "one entity", evidence.entities.to_pylist()[:5])
    return evidence


def _explain(
    evidence: Evidence, model: ScoringModel, moments: Integers, subsets: Floats
) -> tuple[Floats, Floats, Integers]:
    """Return what each family adds (F, 3) and each event (N,), and the families with evidence; fill `subsets`."""
    family_deltas = np.empty((len(model.families), 3))
    event_deltas = np.empty(len(evidence.event_ids))
    present = np.empty(len(model.families), np.int64)
    held = kernel.explain(
        moments, evidence.group_start, evidence.group_signal, evidence.times, evidence.state, model.parameters,
        family_deltas, event_deltas, present, subsets,
    )  # fmt: skip
    return family_deltas, event_deltas, present[:held]


def warm_up() -> None:
    """Compile everything, or load it from numba's cache (NUMBA_CACHE_DIR): call it before locking a process down."""
    model = ScoringModel.from_dict(
        {
            "schema": "signaldelta.scoring_model/1",
            "families": {"F": {"budget": 1.0, "stage": 1}},
            "correlation": {},
            "tiers": {"1": 1.0},
            "evidence_floor": 1e-9,
            "signals": {
                "S": {"family": "F", "tier": 1, "weight": 1.0, "half_life_hours": 1.0, "chain_affinity": {"C": 1.0}}
            },
            "magnitude": {"k": 1.0, "theta": 1.0},
            "confidence": {
                "a": 1.0, "b": 1.0, "c": 1.0,
                "diversity_half_point": 1.0, "ordering_floor": 0.0, "ordering_tolerance_hours": 1.0,
            },
            "chains": {"types": ["C"], "min_families": {"C": 1}, "temperature": 1.0, "unknown_logit": 0.0},
            "legacy": {"gamma": 1.0, "cuts": [20, 40, 60, 80]},
        }
    )  # fmt: skip
    then = datetime(2000, 1, 1, tzinfo=UTC)
    event = {
        "entity_id": "E", "event_id": "1", "signal_id": "S", "available_time": then,
        "strength_norm": 1.0, "reliability": 1.0, "direction": 1.0,
    }  # fmt: skip
    only = pa.Table.from_pylist([event])
    score(only, model, then)
    compact_grid(only, model, then, then, timedelta(hours=1))
    family_shapley(only, model, then)
