"""Every figure as a function of a sample and cluster weights: estimate and bootstrap replicate by one code.

Weights come in blocks of many replicates (lanes), so that one pass over the ranked points serves them all. Sums run
in a fixed order, products and quotients are single IEEE operations: the bits depend on nothing but the input.
"""

from __future__ import annotations

from enum import Enum

import numpy as np

from signaldelta_assets.versioning.compiling import inlined, jit

from .inputs import Floats, Ints
from .protocol import EvaluationProtocol
from .ranking import Flags, Weights, areas
from .sample import RANK_SUMS, SUMS, Sample

LANES = 128  # replicates per block: two cache lines of weights, measured as the fastest
QUARTILES = (("q25", 0.25), ("median", 0.5), ("q75", 0.75))
CURVE_STEPS = 48  # points of the Kaplan-Meier curve beside its start

Figures = dict[str, Floats]  # by name: lanes, or lanes x places


@jit
def _weighted_sums(weights: Weights, held: Ints, sums: Floats) -> Floats:
    """Return lanes x columns; each sum runs over the clusters in order."""
    out = np.zeros((sums.shape[1], weights.shape[1]))
    weight = np.empty(weights.shape[1])
    for cluster in held:
        for lane in range(len(weight)):
            weight[lane] = weights[cluster, lane]
        for column in range(sums.shape[1]):
            value = sums[cluster, column]
            if value != 0.0:
                _add_product(out[column], weight, value)
    return out.T.copy()


@inlined
def _add_product(out: Floats, weight: Floats, value: float) -> None:
    for lane in range(len(weight)):
        out[lane] += weight[lane] * value


@jit
def _by_lane(weights: Weights, cluster: Ints) -> Weights:
    """Return lanes x rows: the weight of each row's cluster."""
    out = np.empty((weights.shape[1], len(cluster)), dtype=np.uint8)
    for row in range(len(cluster)):
        for lane in range(weights.shape[1]):
            out[lane, row] = weights[cluster[row], lane]
    return out


@jit
def _quantile(weights: Weights, values: Floats, total: float, share: float) -> float:
    """The linearly interpolated quantile of ascending `values`, each repeated as often as its weight says."""
    position = (total - 1.0) * share
    low = np.floor(position)
    seen, at_low = 0.0, np.nan
    for row in range(len(values)):
        seen += float(weights[row])
        if at_low != at_low and seen > low:
            at_low = values[row]
        if seen > low + 1.0 or (seen > low and position == low):
            between: float = at_low + (values[row] - at_low) * (position - low)
            return between
    return at_low


@jit
def _lead_quartiles(weights: Weights, lead: Floats, shares: Floats) -> Floats:
    """Return lanes x shares from lanes x rows of weights."""
    out = np.full((len(weights), len(shares)), np.nan)
    for lane in range(len(weights)):
        total = 0.0
        for row in range(len(lead)):
            total += float(weights[lane, row])
        if total > 0.0:
            for place in range(len(shares)):
                out[lane, place] = _quantile(weights[lane], lead, total, shares[place])
    return out


@jit
def _kaplan_meier(weights: Weights, wait: Floats, seen: Flags, times: Floats, shares: Floats) -> tuple[Floats, Floats]:
    """Survival at `times`, and the first waits at which it is at most 1 - share (NaN: never)."""
    lanes = len(weights)
    curve = np.full((lanes, len(times)), np.nan)
    quartiles = np.full((lanes, len(shares)), np.nan)
    for lane in range(lanes):
        risk = 0.0
        for row in range(len(wait)):
            risk += float(weights[lane, row])
        if risk == 0.0:
            continue
        survival, place, row = 1.0, 0, 0
        while row < len(wait):
            now, died, gone = wait[row], 0.0, 0.0
            while place < len(times) and times[place] < now:
                curve[lane, place] = survival
                place += 1
            while row < len(wait) and wait[row] == now:
                weight = float(weights[lane, row])
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
    EXPECTED = "expected"  # a mean over null draws: how its figures move with the weights; no lead times


def curve_times(protocol: EvaluationProtocol) -> Floats:
    """Return the hours at which the Kaplan-Meier curve is given: 0 to H in equal steps."""
    return np.arange(CURVE_STEPS + 1) * protocol.horizon_hours / CURVE_STEPS


def figures(
    sample: Sample,
    weights: Weights,
    protocol: EvaluationProtocol,
    kind: Kind = Kind.ALL,
    area: Floats | None = None,
) -> Figures:
    """Return every figure under each weighting of the clusters (a lane); NaN where a figure does not exist.

    Names are those of `Evaluation`; ``lead_time_hours`` and ``kaplan_meier.quartiles`` are lanes x (q25, median,
    q75), ``kaplan_meier.survival`` lanes x curve_times, ``reliability.*`` lanes x bins. `kind` leaves some out.
    `area`: what `ranking.areas` says of this sample's outcome under these weights, where it is known already.
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
        if sample.ranking is not None and kind is not Kind.EXPECTED:
            if area is None:
                ranked = sample.ranking
                area = areas(weights, ranked)[sample.outcome]
            out["auc"] = np.where(two_classes, area[0] / (hits * misses), np.nan)
            out["average_precision"] = np.where(two_classes, area[1] / hits, np.nan)
        if kind is not Kind.RANKING:
            share = hits / scored
            uncertainty = share * (1.0 - share)
            out["brier"] = column["squared_error"] / scored
            out["log_loss"] = column["log_error"] / scored
            out["brier_skill"] = np.where(two_classes, 1.0 - out["brier"] / uncertainty, np.nan)
        if kind is Kind.EXPECTED:
            rank = {name: total[:, len(SUMS) + place] for place, name in enumerate(RANK_SUMS)}
            auc = rank["hit_ranks"] / hits - rank["miss_ranks"] / misses
            out["auc"] = np.where(two_classes, auc, np.nan)
            precision = (rank["hit_precision"] - rank["point_precision"]) / hits
            out["average_precision"] = np.where(two_classes, precision, np.nan)
        if kind is Kind.ALL:
            _reliability(out, total[:, len(SUMS) :], share, scored, uncertainty)
    if kind is Kind.EXPECTED:
        return out
    shares = np.array([share for _, share in QUARTILES])
    out["lead_time_hours"] = _lead_quartiles(_by_lane(weights, sample.lead_cluster), sample.lead, shares)
    out["kaplan_meier.survival"], out["kaplan_meier.quartiles"] = _kaplan_meier(
        _by_lane(weights, sample.wait_cluster), sample.wait, sample.wait_seen, curve_times(protocol), shares
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
    """Return the weights that give the estimate: every cluster once, in a single lane."""
    return np.ones((clusters, 1), dtype=np.uint8)
