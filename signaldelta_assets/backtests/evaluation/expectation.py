"""A null's expectation by cluster: what is resampled beside a figure, so that the difference has an interval.

A bootstrap replicate has more or fewer of an entity's events than the data, and so would its null have. The mean over
a null's draws is therefore taken by entity, and given to the clusters in which the entity's own events (or alerts)
are: each stands beside its own expectation. Spread evenly over the year instead, the count of events would vary on one
side of the difference alone; intervals of Brier score and log-loss were four times too wide then (tests/study).

AUC and average precision are no ratios of sums. Their expectation moves by its first-order change (influence function)
in the weights of hits and of points; only this movement is linear, never the figure or the null's value.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from signaldelta_assets.versioning.compiling import jit

from .inputs import Floats
from .layout import Layout
from .sample import RANK_SUMS, SUMS, Sample, held_clusters
from .season import smooth

# Sums of what a claim is made by, and the column that says how many of them a cluster holds.
CLAIMS_BY_EVENT = {"events": "events", "events_matched": "events"}
CLAIMS_BY_ALERT = {"alerts": "alerts", "alerts_matched": "alerts"}
_OUTCOMES = {
    "positives": "positives",
    "negatives_above": "positives",
    "scored_positives": "scored_positives",
    "squared_error": "scored_positives",
    "log_error": "scored_positives",
    "hit_ranks": "scored_positives",
    "hit_precision": "scored_positives",
}
COLUMNS = (*SUMS, *RANK_SUMS)


@jit
def _rank_sums(
    order: npt.NDArray[np.int32],
    group: npt.NDArray[np.int32],
    cluster: npt.NDArray[np.int32],
    share: Floats,
    sums: Floats,
) -> None:
    """Add hit_ranks, miss_ranks, hit_precision and point_precision (see sample.RANK_SUMS) to `sums`, by cluster.

    `cluster` by rank. `share`: by grid row, the share of draws in which it is a hit. Let H and N be the hits and points
    down to the end of a tie group, h its own hits. AUC = 1 - the mean over misses of the share of hits above them (half
    of a tie). Average precision = sum of h H / N over the groups, divided by all hits.
    """
    if len(order) == 0:
        return
    groups = group[-1] + 1
    # One random read of the grid; from here on everything is gone through in the order of ranks.
    shares, points, hits = np.empty(len(order)), np.zeros(groups, np.int32), np.zeros(groups)
    for rank in range(len(order)):
        shares[rank] = share[order[rank]]
        points[group[rank]] += 1
        hits[group[rank]] += shares[rank]
    total, all_hits = float(len(order)), 0.0
    for own in range(groups):
        all_hits += hits[own]
    if not 0.0 < all_hits < total:
        return
    misses = total - all_hits
    by_hit, by_point = np.empty(groups), np.empty(groups)
    seen, found = 0.0, 0.0
    for own in range(groups):
        seen, found = seen + points[own], found + hits[own]
        by_hit[own] = found / seen  # the precision, to begin with
    of_hit, of_point = 0.0, 0.0
    for own in range(groups - 1, -1, -1):
        precision = by_hit[own]
        of_hit += hits[own] / seen
        of_point += hits[own] * precision / seen
        by_hit[own], by_point[own] = precision + of_hit, of_point
        seen -= points[own]
    rank, found = 0, 0.0
    for own in range(groups):
        h, n = hits[own], points[own]
        above = (found + 0.5 * h) / all_hits
        below = (misses - (rank - found) - 0.5 * (n - h)) / misses
        found += h
        for _ in range(n):
            y, row = shares[rank], sums[cluster[rank]]
            row[0] += y * below
            row[1] += (1.0 - y) * above
            row[2] += y * by_hit[own]
            row[3] += by_point[own]
            rank += 1


def rank_sums(layout: Layout, share: Floats) -> Floats:
    """Return clusters x RANK_SUMS of an outcome given as a share in [0, 1] per grid row."""
    sums = np.zeros((layout.clusters, len(RANK_SUMS)))
    _rank_sums(layout.order, layout.group, layout.order_cluster, share, sums)
    return sums


def at_home(layout: Layout, mean: Floats, actual: Floats, without: Floats | None, by: dict[str, str]) -> Floats:
    """Return `mean` (clusters x COLUMNS) with the columns named in `by` moved to the clusters of the data's own.

    What moves is what `mean` has beyond `without` (the sums in which no outcome is true; None: 0), per one of the
    column that `by` names: the entity's rate of it, and how far the period's rate is from the mean one, go to every
    one of these in `actual`. The period counts because the clock (season.py) is made of the events themselves: where
    a replicate has more of them, its null has them too.
    """
    out, periods = mean.copy(), layout.periods
    for name, weight in by.items():
        place, counted = COLUMNS.index(name), COLUMNS.index(weight)
        base = np.zeros(len(mean)) if without is None else without[:, place]
        moving, each = (column.reshape(-1, periods) for column in (mean[:, place] - base, mean[:, counted]))
        rate = _ratio(moving.sum(axis=1), each.sum(axis=1), 0.0)[:, None] + np.zeros(periods)
        if layout.protocol.null_season != "none":
            overall = _ratio(moving.sum(), each.sum(), 0.0)
            rate = rate + _ratio(smooth(moving.sum(axis=0)), smooth(each.sum(axis=0)), overall) - overall
        out[:, place] = base + actual[:, counted] * rate.ravel()
    return out


def _ratio(part: Any, whole: Any, otherwise: Any) -> Floats:
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio: Floats = np.where(whole > 0.0, part / whole, otherwise)
    return ratio


def outcomes_at_home(layout: Layout, mean: Floats, actual: Floats, without: Floats) -> Floats:
    """Return `mean` with every sum that an outcome moves given to the clusters of the entity's own outcomes."""
    return at_home(layout, mean, actual, without, _OUTCOMES)


def expectation(sums: Floats) -> Sample:
    """Return the sample of a null's mean over its draws: sums and their ratios, no ranks and no lead times."""
    none, nothing = np.zeros(0, dtype=np.int64), np.zeros(0)
    return Sample(sums, held_clusters(sums), None, 0, none, nothing, none, nothing, np.zeros(0, dtype=np.bool_))
