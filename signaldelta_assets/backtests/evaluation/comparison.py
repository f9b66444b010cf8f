"""Two evaluations side by side, with intervals for the differences from paired bootstrap replicates.

For circularity: the same protocol over a grid scored from all evidence, and over one scored without the evidence
that shares a raw record or a source family with the label. Overlap of two intervals is no test; this is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from .intervals import Interval, interval
from .report import Evaluation
from .sections import LEAD, SCALARS


@dataclass(frozen=True)
class Pair:
    """One figure of both evaluations; `difference` = second - first. `reason` says why one of them is missing."""

    first: float | None
    second: float | None
    first_interval: Interval | None
    second_interval: Interval | None
    difference: float | None
    difference_interval: Interval | None
    reason: str | None


def side_by_side(first: Evaluation, second: Evaluation, level: float = 0.95) -> Mapping[str, Pair]:
    """Return every figure of both evaluations by name (lead time as its median), with the paired difference.

    Replicates are paired where protocol and entities are the same: then both saw the same resampled clusters. Two
    evaluations of different protocols are not comparable, and their differences stay None.
    """
    return {name: _pair(name, first, second, level) for name in (*SCALARS, f"{LEAD}.median")}


def _pair(name: str, first: Evaluation, second: Evaluation, level: float) -> Pair:
    values = [_value(name, evaluation) for evaluation in (first, second)]
    intervals = [evaluation.intervals.get(name) for evaluation in (first, second)]
    difference = spread = reason = None
    if first.protocol_hash != second.protocol_hash:
        reason = "not comparable: different protocols"
    elif values[0] is None or values[1] is None:
        bare = name.partition(".")[0]
        reason = "; ".join(
            f"{side}: {evaluation.reasons[bare]}"
            for side, evaluation, value in zip(("first", "second"), (first, second), values, strict=True)
            if value is None
        )
    else:
        difference = values[1] - values[0]
        if first.entities_hash != second.entities_hash:
            reason = "no interval: different entities, replicates are not paired"
        elif name not in first.replicates or name not in second.replicates:
            reason = "no interval: the protocol asks for no replicates"
        else:
            spread = interval(second.replicates[name] - first.replicates[name], level)
    return Pair(values[0], values[1], intervals[0], intervals[1], difference, spread, reason)


def _value(name: str, evaluation: Evaluation) -> float | None:
    bare, _, part = name.partition(".")
    value = getattr(evaluation, bare)
    if part:
        return None if value is None else float(value[part])
    return None if value is None else float(value)
