"""What fixed forecasts are worth against other outcomes: the figures of grid points, draw by draw.

Time goes into the points that an event follows, and into one pass over the ranks, in which all targets are counted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from signaldelta_assets.versioning.compiling import jit

from .inputs import Floats, Ints
from .layout import Layout
from .matching import first_since
from .ranking import Flags, Marks

FIGURES = ("base_rate", "false_positive_rate", "auc", "average_precision", "brier", "log_loss", "brier_skill")

Edges = npt.NDArray[np.int32]
Scratch = tuple[Marks, Marks, npt.NDArray[np.int32]]


@dataclass(frozen=True)
class Target:
    """The events a study asks about: those of one type (its place in the protocol) or all of them (None).

    `level`: whether the level of the probability is judged besides its ranking.
    """

    kind: int | None
    level: bool

    def events(self, starts: Ints, at: Ints, kind: Ints) -> tuple[Ints, Ints]:
        """Return (starts by entity, times) of the target's own among events in the order (entity, time)."""
        if self.kind is None:
            return starts, at
        own = kind == self.kind
        before = np.zeros(len(own) + 1, dtype=np.int64)
        np.cumsum(own, out=before[1:])
        return before[starts], at[own]


@jit
def _sums(starts: Ints, counted: Ints, probability: Floats, loss: Floats, above: Flags) -> tuple[int, float, float]:
    """Return points above the threshold, sum of p squared and of the log-loss of no event; in row order."""
    high, square, error = 0, 0.0, 0.0
    for entity in range(len(counted)):
        for row in range(starts[entity], counted[entity]):
            high += 1 if above[row] else 0
            p = probability[row]
            if p == p:
                square += p * p
                error += loss[row]
    return high, square, error


@jit
def _areas(
    ranks: npt.NDArray[np.int32], group: npt.NDArray[np.int32], group_starts: npt.NDArray[np.int32]
) -> tuple[int, float]:
    """Return twice the pairs in which a miss outranks a hit (a tie is half a pair), and the sum of precisions."""
    lost, precision, hit = 0, 0.0, 0
    while hit < len(ranks):
        own, before = group[ranks[hit]], hit
        first, end = group_starts[own], group_starts[own + 1]
        hit += 1
        while hit < len(ranks) and ranks[hit] < end:
            hit += 1
        new = hit - before
        lost += new * (2 * (first - before) + (end - first) - new)
        precision += new * (hit / end)
    return lost, precision


@jit
def _judge(
    starts: Ints,
    counted: Ints,
    at: Ints,
    step: int,
    horizon: int,
    event_starts: Ints,
    event_at: Ints,
    level: Flags,
    probability: Floats,
    gain: Floats,
    above_before: npt.NDArray[np.int32],
    rank_of: npt.NDArray[np.int32],
    group: npt.NDArray[np.int32],
    group_starts: npt.NDArray[np.int32],
    totals: Floats,
    scored_hits: Floats,
    edges: Edges,
    marks: Marks,
    hits: Marks,
    ranks: npt.NDArray[np.int32],
    out: Floats,
) -> None:
    """Fill `out` (targets x FIGURES). Target 0 has all events, hence every row that any target has.

    `event_starts`: targets x (entities + 1) places in `event_at`. `totals`: uncensored points, those above the
    threshold, scored points, sum of p squared, sum of the log-loss of no event. `scored_hits`: by target, the data's
    own. `edges` (targets x rows + 1) gains 1 where rows followed by an event begin, and loses 1 where they end.
    `above_before`: points above the threshold before each row. `marks` (by row) and `hits` (by rank) are all 0, and
    are again afterwards; `ranks` (2 x ranks + 1) is written on.
    """
    targets = len(level)
    positives, raised = np.zeros(targets, np.int64), np.zeros(targets, np.int64)
    squares, losses = np.zeros(targets), np.zeros(targets)
    for entity in range(len(counted)):
        for target in range(targets - 1, -1, -1):
            row, stop = starts[entity], counted[entity]
            square, loss = squares[target], losses[target]
            for event in range(event_starts[target, entity], event_starts[target, entity + 1]):
                low = first_since(at, row, stop, event_at[event] - horizon, step)
                high = first_since(at, low, stop, event_at[event], step)
                row = high
                if low == high:
                    continue
                edges[target, low] += 1
                edges[target, high] -= 1
                positives[target] += high - low
                raised[target] += above_before[high] - above_before[low]
                if level[target]:
                    for inside in range(low, high):
                        if probability[inside] == probability[inside]:
                            square += 1.0 - 2.0 * probability[inside]
                            loss += gain[inside]
                if target > 0:
                    for inside in range(low, high):
                        marks[inside] |= 1 << target
                else:
                    for inside in range(low, high):
                        if rank_of[inside] >= 0:
                            hits[rank_of[inside]] = marks[inside] | 1
                        marks[inside] = 0
            squares[target], losses[target] = square, loss
    # The ranks of the hits, best first; without branches, for no processor could foresee them.
    count = 0
    for rank in range(len(hits)):
        ranks[0, count] = rank
        count += hits[rank] & 1
    found, lost = np.zeros(targets, np.int64), np.zeros(targets, np.int64)
    precision = np.zeros(targets)
    for target in range(targets):
        kept = 0
        for hit in range(count):
            rank = ranks[0, hit]
            ranks[1, kept] = rank
            kept += hits[rank] >> target & 1
        found[target] = kept
        lost[target], precision[target] = _areas(ranks[1, :kept], group, group_starts)
    for hit in range(count):
        hits[ranks[0, hit]] = 0
    points, scored = totals[0], totals[2]
    for target in range(targets):
        own, negatives = out[target], points - positives[target]
        own[:] = np.nan
        if points > 0.0:
            own[0] = positives[target] / points
        if negatives > 0.0:
            own[1] = (totals[1] - raised[target]) / negatives
        true, false = float(found[target]), scored - found[target]
        if true > 0.0 and false > 0.0:
            own[2] = (true * false - 0.5 * lost[target]) / (true * false)
            own[3] = precision[target] / true
        if level[target] and scored > 0.0:
            share = scored_hits[target] / scored
            # At the data's base rate: the draw says what a hit costs, the data how many there are.
            times = scored_hits[target] / true if true > 0.0 else np.nan
            own[4] = (totals[3] + squares[target] * times) / scored
            own[5] = (totals[4] + losses[target] * times) / scored
            if 0.0 < share < 1.0:
                own[6] = 1.0 - own[4] / (share * (1.0 - share))


class Forecasts:
    """The forecasts of a layout, ready to be judged against many outcomes."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        panel, order = layout.panel, layout.order
        self._rank_of = np.full(len(panel.at), -1, dtype=np.int32)
        self._rank_of[order] = np.arange(len(order), dtype=np.int32)
        begins = np.flatnonzero(np.diff(layout.group, prepend=np.int32(-1)))
        self._group_starts = np.append(begins, len(order)).astype(np.int32)
        self._gain = layout.loss_if_event - layout.loss_if_none
        self._above_before = np.zeros(len(panel.at) + 1, dtype=np.int32)
        np.cumsum(layout.above, out=self._above_before[1:])
        above, square, error = _sums(
            panel.grid_starts, layout.counted, layout.probability, layout.loss_if_none, layout.above
        )
        self._totals = np.array([layout.points, above, len(order), square, error], dtype=np.float64)

    def scratch(self) -> Scratch:
        """Return what `judge` writes on: one for each thread."""
        rows, ranks = len(self._layout.panel.at), len(self._layout.order)
        return np.zeros(rows, np.uint16), np.zeros(ranks, np.uint16), np.empty((2, ranks + 1), np.int32)

    def judge(
        self,
        events: Sequence[tuple[Ints, Ints]],
        targets: Sequence[Target],
        scored_hits: Floats,
        edges: Edges,
        scratch: Scratch,
    ) -> Floats:
        """Return targets x FIGURES for the `events` (starts by entity, times) of each target; NaN: does not exist.

        Brier score and log-loss tell skill from chance at one base rate only: a draw gives what its hits cost on
        average, and `scored_hits`, the data's own number by target, how many there are. The first target has all
        events; there are at most OUTCOMES. `edges` (targets x rows + 1) is added to; `expected_outcomes` reads it.
        """
        layout, panel = self._layout, self._layout.panel
        before = np.cumsum([0, *(len(moments) for _, moments in events)])[:-1]
        out = np.empty((len(targets), len(FIGURES)))
        _judge(
            panel.grid_starts, layout.counted, panel.at, layout.protocol.step, layout.protocol.horizon,
            np.array([starts + base for (starts, _), base in zip(events, before, strict=True)]),
            np.concatenate([moments for _, moments in events]),
            np.array([target.level for target in targets]),
            layout.probability, self._gain, self._above_before, self._rank_of, layout.group, self._group_starts,
            self._totals, scored_hits, edges, *scratch, out,
        )  # fmt: skip
        return out


@jit
def _shares(edges: Edges, draws: int) -> Floats:
    out = np.empty(len(edges) - 1)
    count = 0
    for row in range(len(out)):
        count += edges[row]
        out[row] = count / draws
    return out


def expected_outcomes(edges: Sequence[Edges], draws: int, target: int) -> Floats:
    """Return by row the share of the draws in which an event of the target follows."""
    total = edges[0][target].copy()
    for part in edges[1:]:
        total += part[target]
    return _shares(total, draws)
