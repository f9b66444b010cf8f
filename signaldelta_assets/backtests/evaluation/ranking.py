"""Ranked points under many weightings at once: AUC and average precision of several outcomes in one pass.

Points stand from the highest probability to the lowest. Their weights are whole numbers and are added as such;
each lane (one weighting) does the same single IEEE operations in the same order as it would alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from signaldelta_assets.versioning.compiling import inlined, jit

from .inputs import Floats, Ints

OUTCOMES = 16  # of one ranking: the bits of Ranking.hits

Clusters = npt.NDArray[np.int32]
Flags = npt.NDArray[np.bool_]
Marks = npt.NDArray[np.uint16]
Weights = npt.NDArray[np.uint8]  # clusters x lanes


@dataclass(frozen=True)
class Ranking:
    """Scored points from the highest probability down, for up to OUTCOMES outcomes.

    `cluster` and `hits` (bit k: outcome k is true) by point; `ends`: where the segments of points end, a segment
    being a tie group that holds a hit, or all points between two such groups.
    """

    cluster: Clusters
    hits: Marks
    ends: Ints
    outcomes: int


def rank(cluster: Clusters, group: Clusters, hits: Marks, outcomes: int) -> Ranking:
    """Return the ranking of points with their cluster, tie group (ascending) and outcomes, all in rank order."""
    if outcomes > OUTCOMES:
        raise ValueError(f"outcomes: expected at most {OUTCOMES}, found {outcomes}")
    return Ranking(cluster, hits, _segment_ends(group, hits), outcomes)


@jit
def _segment_ends(group: Clusters, hits: Marks) -> Ints:
    """Cut around every tie group that holds a hit, and at the end."""
    ends = np.empty(len(group), dtype=np.int64)
    count, row = 0, 0
    while row < len(group):
        first, held = row, False
        while row < len(group) and group[row] == group[first]:
            held = held or hits[row] != 0
            row += 1
        if held and first > 0 and (count == 0 or ends[count - 1] != first):
            ends[count] = first
            count += 1
        if held or row == len(group):
            ends[count] = row
            count += 1
    return ends[:count].copy()


@inlined
def _add(waiting: npt.NDArray[np.uint8], weights: Weights) -> None:
    for lane in range(len(waiting)):
        waiting[lane] += weights[lane]


@inlined
def _settle(points: npt.NDArray[np.int32], waiting: npt.NDArray[np.uint8]) -> None:
    for lane in range(len(points)):
        points[lane] += waiting[lane]
        waiting[lane] = 0


@inlined
def _single(weights: Weights, points: npt.NDArray[np.int32], hits: Floats, lost: Floats, precision: Floats) -> None:
    """A hit that is tied with nothing; `points` has it already."""
    for lane in range(len(points)):
        new, down_to = float(weights[lane]), float(points[lane])
        now = hits[lane] + new
        lost[lane] += new * (down_to - now)
        precision[lane] += new * now / max(down_to, 1.0)
        hits[lane] = now


@inlined
def _tied(
    new: Floats,
    before: npt.NDArray[np.int32],
    points: npt.NDArray[np.int32],
    hits: Floats,
    lost: Floats,
    precision: Floats,
) -> None:
    """A tie group with hits `new`: a hit outranks every miss below its group, and half of those inside."""
    for lane in range(len(points)):
        above = float(before[lane]) - hits[lane]
        now = hits[lane] + new[lane]
        inside = (float(points[lane]) - now) - above
        lost[lane] += new[lane] * (above + 0.5 * inside)
        precision[lane] += new[lane] * now / max(float(points[lane]), 1.0)
        hits[lane] = now


def areas(weights: Weights, ranking: Ranking) -> Floats:
    """Return (outcomes, 2, lanes): AUC times positives x negatives, and average precision times positives."""
    heaviest = int(weights.max(initial=1))
    return _areas(weights, ranking.cluster, ranking.hits, ranking.ends, ranking.outcomes, 255 // heaviest)


@jit
def _areas(weights: Weights, cluster: Clusters, marks: Marks, ends: Ints, outcomes: int, room: int) -> Floats:
    """Weights are first added up in bytes, for which memory and processor have four times the room of `points`.

    `room`: how many points a byte holds for sure.
    """
    lanes = weights.shape[1]
    points, before, waiting = np.zeros(lanes, np.int32), np.zeros(lanes, np.int32), np.zeros(lanes, np.uint8)
    hits, new = np.zeros((outcomes, lanes)), np.zeros(lanes)
    out = np.zeros((outcomes, 2, lanes))
    row, left = 0, room
    for end in ends:
        if left == 0:
            _settle(points, waiting)
            left = room
        if end == row + 1 and marks[row] != 0:
            own = weights[cluster[row]]
            _add(waiting, own)
            _settle(points, waiting)
            left = room
            for k in range(outcomes):
                if marks[row] >> k & 1:
                    _single(own, points, hits[k], out[k, 0], out[k, 1])
            row = end
            continue
        held = 0
        for place in range(row, end):
            held |= marks[place]
        if held:
            _settle(points, waiting)
            left = room
            before[:] = points
        for place in range(row, end):
            if left == 0:
                _settle(points, waiting)
                left = room
            _add(waiting, weights[cluster[place]])
            left -= 1
        if held:
            _settle(points, waiting)
            left = room
            for k in range(outcomes):
                if held >> k & 1:
                    new[:] = 0.0
                    for place in range(row, end):
                        if marks[place] >> k & 1:
                            for lane in range(lanes):
                                new[lane] += float(weights[cluster[place], lane])
                    _tied(new, before, points, hits[k], out[k, 0], out[k, 1])
        row = end
    _settle(points, waiting)
    for k in range(outcomes):
        for lane in range(lanes):
            out[k, 0, lane] = hits[k, lane] * (float(points[lane]) - hits[k, lane]) - out[k, 0, lane]
    return out
