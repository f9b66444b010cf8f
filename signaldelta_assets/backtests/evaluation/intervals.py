"""The cluster bootstrap: weights from the stored seed, replicates of every figure, and intervals from them.

Resampled are clusters of one entity and `cluster_hours`, never points: neighbouring hours of one entity carry
nearly the same score and the same outcome, and the naive standard error of AUC was 9.6 times too small in a
simulation (backtests.md). Clusters are drawn in runs of `blocks` neighbours, wrapped around within the entity
(circular block bootstrap, Politis and Romano 1992), because outcomes reach over the border of a cluster.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np

from .figures import WIDTH, Figures, Kind, Weights, figures, unit_weights
from .inputs import Floats, Ints
from .protocol import EvaluationProtocol
from .sample import SUMS, Sample, periods
from .stable import exp, jit, log

BOOTSTRAP_STREAM = 0  # spawn keys: one independent stream per use of a seed
_LEAST_DEFINED = 0.5  # of the replicates: below it an interval would be one of the luckier half


class Interval(NamedTuple):
    """A two-sided interval at the protocol's level."""

    lo: float
    hi: float


def generator(seed: int, stream: int) -> np.random.Generator:
    """Return the PCG64 generator of one stream of a stored seed."""
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed, spawn_key=(stream,))))


@jit
def _add_runs(weights: Weights, lane: int, first: Ints, length: int, periods: int) -> None:
    for draw in range(len(first)):
        base = first[draw] // periods * periods
        for step in range(length):
            weights[base + (first[draw] - base + step) % periods, lane] += 1


def weight_blocks(entities: int, protocol: EvaluationProtocol) -> Iterator[Weights]:
    """Yield the bootstrap weights, clusters x WIDTH replicates at a time; the last block may hold spare lanes.

    They depend on the protocol and the number of entities alone, so that two evaluations of the same entities are
    paired replicate by replicate.
    """
    rng = generator(protocol.seed, BOOTSTRAP_STREAM)
    length = periods(protocol)
    clusters, run = entities * length, min(protocol.blocks, length)
    for start in range(0, protocol.replicates, WIDTH):
        weights = np.zeros((clusters, WIDTH), dtype=np.uint16)
        for lane in range(min(WIDTH, protocol.replicates - start)):
            first = rng.integers(0, clusters, size=-(-clusters // run))
            _add_runs(weights, lane, first, run, length)
        yield weights


def estimates(sample: Sample, protocol: EvaluationProtocol, kind: Kind = Kind.ALL) -> dict[str, Floats]:
    """Return every figure of the sample as it is, by name; NaN where it does not exist."""
    found = figures(sample, unit_weights(len(sample.sums)), protocol, kind)
    return {name: values[0] for name, values in found.items()}


def replicates(
    samples: Mapping[str, tuple[Sample, Kind]], entities: int, protocol: EvaluationProtocol
) -> dict[str, Figures]:
    """Return the replicates of every figure of every sample: replicates (x places), paired across samples.

    `samples` maps a name to the sample and the kind of figures it can give.
    """
    collected: dict[str, dict[str, list[Floats]]] = {name: {} for name in samples}
    done = 0
    for weights in weight_blocks(entities, protocol):
        lanes = min(WIDTH, protocol.replicates - done)
        done += lanes
        for name, (sample, kind) in samples.items():
            for figure, values in figures(sample, weights, protocol, kind).items():
                collected[name].setdefault(figure, []).append(values[:lanes])
    return {
        name: {figure: np.concatenate(parts) for figure, parts in found.items()} for name, found in collected.items()
    }


def interval(values: Floats, level: float) -> Interval | None:
    """Return the percentile interval of one figure's replicates, or None where half of them do not exist."""
    defined = values[~np.isnan(values)]
    if len(defined) == 0 or len(defined) < _LEAST_DEFINED * len(values):
        return None
    lo, hi = np.quantile(defined, [(1.0 - level) / 2.0, (1.0 + level) / 2.0])
    return Interval(float(lo), float(hi))


CLUSTER_BOOTSTRAP = "cluster bootstrap, percentile"
BINOMIAL = "binomial, by cluster"
_SHARES = {
    "precision": ("alerts_matched", "alerts"),
    "recall": ("events_matched", "events"),
    "false_positive_rate": ("negatives_above", "negatives"),
    "base_rate": ("positives", "points"),
}


def extreme_share(name: str, sample: Sample, protocol: EvaluationProtocol) -> Interval | None:
    """Return the Clopper-Pearson interval of a share that is exactly 0 or 1, where resampling shows no spread.

    Trials are the independent pieces: runs of clusters that hold at least one unit. None if `name` is no share
    or its value is neither 0 nor 1.
    """
    if name not in _SHARES:
        return None
    column = {key: sample.sums[:, place] for place, key in enumerate(SUMS)}
    column["negatives"] = column["points"] - column["positives"]
    part, whole = (column[key] for key in _SHARES[name])
    none, every = not part.any(), bool((part == whole).all())
    if not whole.any() or not (none or every):
        return None
    pieces = max(int((whole > 0).sum()) // protocol.blocks, 1)
    room = 1.0 - exp(log((1.0 - protocol.level) / 2.0) / pieces)
    return Interval(0.0, room) if none else Interval(1.0 - room, 1.0)
