"""The two faces of the kernel: `score` for one entity and moment with its explanation, `score_grid` for many."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

import numba
import numpy as np
import pandas as pd
import pyarrow as pa

from ..contracts import Contributor, FamilyDelta, ScoreSample
from . import kernel
from .errors import ScoringInputError
from .events import Evidence, gather
from .model import UNKNOWN, ScoringModel
from .moments import Moment, Moments, Step, irregular_grid, moment, regular_grid

VERDICTS = ("STRONG_SELL", "SELL", "HOLD", "BUY", "STRONG_BUY")


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
    evidence = gather(events, model, ignore_unknown_signals=ignore_unknown_signals, entity_optional=True)
    if len(evidence.entities) == 0:
        # No event or no entity_id: the grid of one entity needs some name for it.
        evidence = gather(events, model, ["-"], ignore_unknown_signals=ignore_unknown_signals, entity_optional=True)
    if len(evidence.entities) > 1:
        raise ScoringInputError("events", "entity_id", "one entity", evidence.entities.to_pylist()[:5])
    moments = np.array([moment(at, "at")], np.int64)
    figures, chains, counts, verdicts = _run(evidence, model, moments, threads=1)
    family_deltas = np.empty((len(model.families), 3))
    event_deltas = np.empty(len(evidence.event_ids))
    kernel.explain(
        moments[0], evidence.group_start, evidence.group_signal, evidence.times, evidence.state, model.parameters,
        family_deltas, event_deltas,
    )  # fmt: skip
    contributors = [
        Contributor(str(event_id), float(delta))
        for event_id, delta in zip(evidence.event_ids.to_pylist(), event_deltas, strict=True)
        if not np.isnan(delta)
    ]
    contributors.sort(key=lambda item: (-abs(item.delta_magnitude), item.event_id))
    return ScoreSample(
        **{name: float(column[0]) for name, column in zip(kernel.FIGURES, figures, strict=True)},
        chain_probabilities={
            name: float(column[0]) for name, column in zip((*model.chain_types, UNKNOWN), chains, strict=True)
        },
        n_events=int(counts[0]),
        verdict=VERDICTS[verdicts[0]],
        family_deltas={
            name: FamilyDelta(*map(float, deltas))
            for name, deltas in zip(model.families, family_deltas, strict=True)
            if not np.isnan(deltas[0])
        },
        top_contributors=tuple(contributors[:top_k]),
    )


def score_grid(
    events: pa.Table | pd.DataFrame,
    model: ScoringModel,
    start: Moment | None = None,
    end: Moment | None = None,
    step: Step | None = None,
    *,
    at: Moments | None = None,
    entities: Sequence[str] = (),
    ignore_unknown_signals: bool = False,
    threads: int | None = None,
) -> pa.Table:
    """Score every entity of `events` and `entities` at start, start + step, ..., end inclusive, or at the moments `at`.

    Returns one row per entity and moment, sorted by both: entity_id (string), at (timestamp[us, UTC]), the figures of
    `ScoreSample` by name (float64), n_events (int64), verdict (dictionary of strings), `p_<chain type>` and `p_UNKNOWN`
    (float64). An entity without events has no evidence: M = 0, p_UNKNOWN = 1. Memory: about 200 bytes a row.

    `threads` defaults to numba's own setting (NUMBA_NUM_THREADS) and changes no bit. Raises `ScoringInputError`.
    """
    if at is not None:
        if not (start is None and end is None and step is None):
            raise ScoringInputError("grid", "at", "either at, or start, end and step", "both")
        moments = irregular_grid(at)
    elif start is None or end is None or step is None:
        raise ScoringInputError("grid", "start, end, step", "all three, or at", (start, end, step))
    else:
        moments = regular_grid(start, end, step)
    if isinstance(entities, str) or not all(isinstance(name, str) and name for name in entities):
        raise ScoringInputError("grid", "entities", "a sequence of non-empty texts", entities)
    evidence = gather(events, model, entities, ignore_unknown_signals=ignore_unknown_signals)
    if threads is not None and threads < 1:
        raise ScoringInputError("grid", "threads", "at least one", threads)
    if threads is None:
        # The setting is defined by numba's option parser, which its stubs do not see.
        threads = int(numba.config.NUMBA_NUM_THREADS)  # type: ignore[attr-defined]
    figures, chains, counts, verdicts = _run(evidence, model, moments, threads)
    rows: Any = pa.array(np.repeat(np.arange(len(evidence.entities)), moments.size))
    columns: dict[str, Any] = {
        "entity_id": evidence.entities.take(rows),
        "at": pa.array(np.tile(moments, len(evidence.entities))).cast(pa.timestamp("us", "UTC")),
        **{name: pa.array(column) for name, column in zip(kernel.FIGURES, figures, strict=True)},
        "n_events": pa.array(counts),
        "verdict": pa.DictionaryArray.from_arrays(pa.array(verdicts), pa.array(VERDICTS)),
        **{f"p_{name}": pa.array(column) for name, column in zip((*model.chain_types, UNKNOWN), chains, strict=True)},
    }
    return pa.table(columns)


def _run(
    evidence: Evidence, model: ScoringModel, moments: kernel.Integers, threads: int
) -> tuple[kernel.Floats, kernel.Floats, kernel.Integers, np.ndarray[Any, np.dtype[np.int8]]]:
    """Run the kernel over all entities and moments: (figures (9, rows), chains (C + 1, rows), counts, verdicts)."""
    n_entities = len(evidence.entities)
    rows = n_entities * moments.size
    figures = np.empty((len(kernel.FIGURES), rows))
    chains = np.empty((len(model.chain_types) + 1, rows))
    counts = np.empty(rows, np.int64)
    verdicts = np.empty(rows, np.int8)

    def block(low: int, high: int) -> None:
        kernel.grid(
            low, high, evidence.entity_groups, evidence.group_start, evidence.group_signal, evidence.times,
            evidence.state, moments, model.parameters, figures, chains, counts, verdicts,
        )  # fmt: skip

    # Python threads, not numba's: its layers abort the process on concurrent callers or after a fork, and the kernel
    # releases the interpreter lock anyway.
    if threads == 1 or n_entities == 1:
        block(0, n_entities)
    else:
        bounds = np.linspace(0, n_entities, min(4 * threads, n_entities) + 1).astype(np.int64).tolist()
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(lambda pair: block(*pair), pairwise(bounds)))
    return figures, chains, counts, verdicts


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
    score(pa.Table.from_pylist([event]), model, then)
