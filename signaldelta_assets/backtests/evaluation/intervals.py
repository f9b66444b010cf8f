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

from signaldelta_assets.scoring.elementary import exp, log
from signaldelta_assets.versioning.compiling import jit

from .figures import LANES, Figures, Kind, figures, unit_weights
from .inputs import Floats, Ints
from .layout import periods
from .parallel import in_order
from .protocol import EvaluationProtocol
from .ranking import Weights, areas
from .sample import SUMS, Sample

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
def _weights(first: Ints, lanes: int, clusters: int, run: int, periods: int) -> Weights:
    """Return clusters x lanes: how often each cluster is drawn by runs that begin at `first` (lane after lane)."""
    weights = np.zeros((clusters, lanes), dtype=np.uint8)
    draws = len(first) // lanes
    for lane in range(lanes):
        for draw in range(lane * draws, (lane + 1) * draws):
            base = first[draw] // periods * periods
            for step in range(run):
                cluster = base + (first[draw] - base + step) % periods
                if weights[cluster, lane] == 255:
                    # Chance alone does so once in 1e500 replicates: a weight is about Poisson of mean 1.
                    raise OverflowError("a cluster is drawn more than 255 times in one replicate")
                weights[cluster, lane] += 1
    return weights


def _runs(entities: int, protocol: EvaluationProtocol) -> Iterator[tuple[Ints, int]]:
    """Yield where the runs of neighbouring clusters begin, a block of replicates at a time, and their number."""
    rng = generator(protocol.seed, BOOTSTRAP_STREAM)
    clusters = entities * periods(protocol)
    draws = -(-clusters // _run(protocol))
    for start in range(0, protocol.replicates, LANES):
        lanes = min(LANES, protocol.replicates - start)
        yield rng.integers(0, clusters, size=lanes * draws), lanes


def _run(protocol: EvaluationProtocol) -> int:
    return min(protocol.blocks, periods(protocol))


def estimates(sample: Sample, protocol: EvaluationProtocol, kind: Kind = Kind.ALL) -> dict[str, Floats]:
    """Return every figure of the sample as it is, by name; NaN where it does not exist."""
    found = figures(sample, unit_weights(len(sample.sums)), protocol, kind)
    return {name: values[0] for name, values in found.items()}


def replicates(
    samples: Mapping[str, tuple[Sample, Kind]], entities: int, protocol: EvaluationProtocol
) -> dict[str, Figures]:
    """Return the replicates of every figure of every sample: replicates (x places), paired across samples.

    `samples` maps a name to the sample and the kind of figures it can give. The clusters that are drawn depend on the
    protocol and the number of entities alone, so that two evaluations of the same entities are paired too.
    """
    rankings = {id(sample.ranking): sample.ranking for sample, _ in samples.values() if sample.ranking is not None}

    length = periods(protocol)

    def block(runs: tuple[Ints, int]) -> dict[str, Figures]:
        weights = _weights(*runs, entities * length, _run(protocol), length)
        # One pass over the ranks serves every sample that has an outcome there.
        area = {key: areas(weights, ranked) for key, ranked in rankings.items()}
        out = {}
        for name, (sample, kind) in samples.items():
            own = None if sample.ranking is None else area[id(sample.ranking)][sample.outcome]
            out[name] = figures(sample, weights, protocol, kind, own)
        return out

    blocks = list(in_order(block, _runs(entities, protocol)))
    return {
        name: {figure: np.concatenate([found[name][figure] for found in blocks]) for figure in blocks[0][name]}
        for name in samples
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
