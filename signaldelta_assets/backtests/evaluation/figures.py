"""Every figure as a function of a sample and cluster weights: estimate and bootstrap replicate by one code.

Weights come in blocks of eight replicates, so that one pass over the ranked points serves eight. Sums run in a
fixed order, products and quotients are single IEEE operations: the bits depend on nothing but the input.
"""

from __future__ import annotations

from enum import Enum

import numpy as np
import numpy.typing as npt

from .inputs import Floats, Ints
from .protocol import EvaluationProtocol
from .sample import SUMS, Sample
from .stable import jit

WIDTH = 8  # replicates per block
QUARTILES = (("q25", 0.25), ("median", 0.5), ("q75", 0.75))
CURVE_STEPS = 48  # points of the Kaplan-Meier curve beside its start

Clusters = npt.NDArray[np.int32]
Flags = npt.NDArray[np.bool_]
Weights = npt.NDArray[np.uint16]  # clusters x WIDTH
Figures = dict[str, Floats]  # by name: WIDTH, or WIDTH x places


@jit
def _weighted_sums(weights: Weights, held: Ints, sums: Floats) -> Floats:
    out = np.zeros((WIDTH, sums.shape[1]))
    for cluster in held:
        for lane in range(WIDTH):
            weight = float(weights[cluster, lane])
            if weight != 0.0:
                for column in range(sums.shape[1]):
                    out[lane, column] += weight * sums[cluster, column]
    return out


@jit
def _ranked(weights: Floats, cluster: Clusters, outcome: Flags, ends: Ints) -> Floats:
    """Return (2, WIDTH): AUC and average precision, not yet divided by positives x negatives and by positives.

    `ends` cut the points into segments: a tie group with a hit, or all points between two such groups. Only the
    first kind changes a figure; in the second the points are merely counted.
    """
    out = np.zeros((2, WIDTH))
    hits, hits_before = np.zeros(WIDTH), np.zeros(WIDTH)
    points, points_before = np.zeros(WIDTH), np.zeros(WIDTH)
    # One local per lane keeps the counts in registers: four times as fast as an array.
    n0 = n1 = n2 = n3 = n4 = n5 = n6 = n7 = 0.0
    row = 0
    for end in ends:
        points_before[:] = points
        hit = False
        while row < end:
            w = weights[cluster[row]]
            n0, n1, n2, n3 = n0 + w[0], n1 + w[1], n2 + w[2], n3 + w[3]
            n4, n5, n6, n7 = n4 + w[4], n5 + w[5], n6 + w[6], n7 + w[7]
            if outcome[row]:
                hit = True
                for lane in range(WIDTH):
                    hits[lane] += w[lane]
            row += 1
        points[0], points[1], points[2], points[3] = n0, n1, n2, n3
        points[4], points[5], points[6], points[7] = n4, n5, n6, n7
        if hit:
            for lane in range(WIDTH):
                new = hits[lane] - hits_before[lane]
                # A hit outranks every miss below its tie group, and half of those inside.
                misses_above = points_before[lane] - hits_before[lane]
                misses_inside = (points[lane] - hits[lane]) - misses_above
                out[0, lane] += new * (misses_above + 0.5 * misses_inside)
                out[1, lane] += new * hits[lane] / max(points[lane], 1.0)
                hits_before[lane] = hits[lane]
    for lane in range(WIDTH):
        out[0, lane] = hits[lane] * (points[lane] - hits[lane]) - out[0, lane]
    return out


@jit
def _quantile(weights: Weights, lane: int, cluster: Ints, values: Floats, total: float, share: float) -> float:
    """The linearly interpolated quantile of ascending `values`, each repeated as often as its weight says."""
    position = (total - 1.0) * share
    low = np.floor(position)
    seen, at_low = 0.0, np.nan
    for row in range(len(values)):
        seen += float(weights[cluster[row], lane])
        if at_low != at_low and seen > low:
            at_low = values[row]
        if seen > low + 1.0 or (seen > low and position == low):
            between: float = at_low + (values[row] - at_low) * (position - low)
            return between
    return at_low


@jit
def _lead_quartiles(weights: Weights, cluster: Ints, lead: Floats, shares: Floats) -> Floats:
    out = np.full((WIDTH, len(shares)), np.nan)
    for lane in range(WIDTH):
        total = 0.0
        for row in range(len(lead)):
            total += float(weights[cluster[row], lane])
        if total > 0.0:
            for place in range(len(shares)):
                out[lane, place] = _quantile(weights, lane, cluster, lead, total, shares[place])
    return out


@jit
def _kaplan_meier(
    weights: Weights, cluster: Ints, wait: Floats, seen: Flags, times: Floats, shares: Floats
) -> tuple[Floats, Floats]:
    """Survival at `times`, and the first waits at which it is at most 1 - share (NaN: never)."""
    curve = np.full((WIDTH, len(times)), np.nan)
    quartiles = np.full((WIDTH, len(shares)), np.nan)
    for lane in range(WIDTH):
        risk = 0.0
        for row in range(len(wait)):
            risk += float(weights[cluster[row], lane])
        if risk == 0.0:
            continue
        survival, place, row = 1.0, 0, 0
        while row < len(wait):
            now, died, gone = wait[row], 0.0, 0.0
            while place < len(times) and times[place] < now:
                curve[lane, place] = survival
                place += 1
            while row < len(wait) and wait[row] == now:
                weight = float(weights[cluster[row], lane])
                gone += weight
                if seen[row]:
                    died += weight
                row += 1
            if died > 0.0:
                survival *= 1.0 - died / risk
            risk -= gone
            for share in range(len(shares)):
                # 1e-12: the product of (n - d) / n may miss a round share by an ulp.
                if np.isnan(quartiles[lane, share]) and survival <= 1.0 - shares[share] + 1e-12:
                    quartiles[lane, share] = now
        while place < len(times):
            curve[lane, place] = survival
            place += 1
    return curve, quartiles


class Kind(Enum):
    """Which figures a sample can give."""

    ALL = "all"
    RANKING = "ranking"  # all but those that judge the probability's level: Brier, log-loss, reliability
    EXPECTED = "expected"  # a mean over null draws: sums and their ratios, no ranks and no lead times


def curve_times(protocol: EvaluationProtocol) -> Floats:
    """Return the hours at which the Kaplan-Meier curve is given: 0 to H in equal steps."""
    return np.arange(CURVE_STEPS + 1) * protocol.horizon_hours / CURVE_STEPS


def figures(sample: Sample, weights: Weights, protocol: EvaluationProtocol, kind: Kind = Kind.ALL) -> Figures:
    """Return every figure under each of WIDTH weightings of the clusters; NaN where a figure does not exist.

    Names are those of `Evaluation`; ``lead_time_hours`` and ``kaplan_meier.quartiles`` are WIDTH x (q25, median,
    q75), ``kaplan_meier.survival`` WIDTH x curve_times, ``reliability.*`` WIDTH x bins. `kind` leaves some out.
    """
    total = _weighted_sums(weights, sample.held, sample.sums)
    column = {name: total[:, place] for place, name in enumerate(SUMS)}
    with np.errstate(divide="ignore", invalid="ignore"):
        negatives = column["points"] - column["positives"]
        scored, hits = column["scored"], column["scored_positives"]
        misses = scored - hits
        two_classes = (hits > 0) & (misses > 0)
        out: Figures = {
            "precision": column["alerts_matched"] / column["alerts"],
            "recall": column["events_matched"] / column["events"],
            "false_positive_rate": column["negatives_above"] / negatives,
            "base_rate": column["positives"] / column["points"],
        }
        if kind is not Kind.EXPECTED:
            area = _ranked(weights.astype(np.float64), sample.rank_cluster, sample.rank_outcome, sample.rank_ends)
            out["auc"] = np.where(two_classes, area[0] / (hits * misses), np.nan)
            out["average_precision"] = np.where(two_classes, area[1] / hits, np.nan)
        if kind is not Kind.RANKING:
            share = hits / scored
            uncertainty = share * (1.0 - share)
            out["brier"] = column["squared_error"] / scored
            out["log_loss"] = column["log_error"] / scored
            out["brier_skill"] = np.where(two_classes, 1.0 - out["brier"] / uncertainty, np.nan)
            _reliability(out, total[:, len(SUMS) :], share, scored, uncertainty)
    if kind is Kind.EXPECTED:
        return out
    shares = np.array([share for _, share in QUARTILES])
    out["lead_time_hours"] = _lead_quartiles(weights, sample.lead_cluster, sample.lead, shares)
    out["kaplan_meier.survival"], out["kaplan_meier.quartiles"] = _kaplan_meier(
        weights, sample.wait_cluster, sample.wait, sample.wait_seen, curve_times(protocol), shares
    )
    return out


def _reliability(out: Figures, bins: Floats, share: Floats, scored: Floats, uncertainty: Floats) -> None:
    """Murphy 1973: Brier of the binned forecasts = reliability - resolution + uncertainty."""
    points, forecast, events = np.split(bins, 3, axis=1)
    mean, observed = forecast / points, events / points
    held = points > 0
    out["reliability.forecast"], out["reliability.observed"] = mean, observed
    away = np.where(held, points * (mean - observed) ** 2, 0.0)
    apart = np.where(held, points * (observed - share[:, None]) ** 2, 0.0)
    # Sums over bins run along a fixed, short axis, one addition after the other.
    out["murphy.reliability"] = np.cumsum(away, axis=1)[:, -1] / scored
    out["murphy.resolution"] = np.cumsum(apart, axis=1)[:, -1] / scored
    out["murphy.uncertainty"] = np.where(scored > 0, uncertainty, np.nan)
    # What binning hides: variance of the forecasts inside a bin and their covariance with the outcome.
    out["murphy.within_bins"] = out["brier"] - (
        out["murphy.reliability"] - out["murphy.resolution"] + out["murphy.uncertainty"]
    )


def unit_weights(clusters: int) -> Weights:
    """Return the weights that give the estimate: every cluster once (the same in all WIDTH lanes)."""
    return np.ones((clusters, WIDTH), dtype=np.uint16)
