"""Stand-in for `scoring.family_shapley`: to be deleted, and the import in `explanation` moved, once that is there."""

from __future__ import annotations

from datetime import datetime
from itertools import combinations
from math import factorial

import pyarrow as pa
import pyarrow.compute as pc

from signaldelta_assets.scoring import ScoringModel, score


def family_shapley(events: pa.Table, model: ScoringModel, at: datetime) -> dict[str, float]:
    """Return the exact Shapley value of every family with evidence at `at`, in units of M: together they are M.

    events: one entity's, columns of the kernel. By the definition, over all 2^n sets of the n families.
    """
    families = sorted(score(events, model, at).family_deltas)
    of_event = pa.array([model.signals[str(name)].family for name in events["signal_id"].to_pylist()], pa.string())
    worth = {}
    for size in range(len(families) + 1):
        for chosen in combinations(families, size):
            own = events.filter(pc.is_in(of_event, value_set=pa.array(chosen, pa.string())))
            worth[chosen] = score(own, model, at, top_k=0).magnitude
    values = {}
    for family in families:
        total = 0.0
        for chosen, magnitude in worth.items():
            if family not in chosen:
                weight = factorial(len(chosen)) * factorial(len(families) - len(chosen) - 1) / factorial(len(families))
                total += weight * (worth[tuple(sorted((*chosen, family)))] - magnitude)
        values[family] = total
    return values
