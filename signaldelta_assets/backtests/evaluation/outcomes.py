"""What fixed forecasts are worth against other outcomes: the figures of grid points, draw by draw.

Time goes into the points that an event follows. Their ranks are bits of a map that fits a processor's cache, which
puts them in order without sorting.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from signaldelta_assets.versioning.compiling import inlined, jit

from .inputs import Floats, Ints
from .layout import Layout
from .matching import first_since
from .parallel import in_order, stretches
from .ranking import Flags

FIGURES = ("base_rate", "false_positive_rate", "auc", "average_precision", "brier", "log_loss", "brier_skill")

Edges = npt.NDArray[np.int32]  # targets x rows + 1
Bits = npt.NDArray[np.uint64]  # targets x words of as many ranks

_WORD = 64
_ONE = np.uint64(1)
_DE_BRUIJN = np.uint64(0x03F79D71B4CB0A89)
_PLACES = np.argsort([(0x03F79D71B4CB0A89 << place) % 2**64 >> 58 for place in range(_WORD)])


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


@inlined
def _lowest(bits: np.uint64) -> int:
    """Return the place of the lowest bit that is set (de Bruijn multiplication: Leiserson, Prokop, Randall 1998)."""
    place: int = _PLACES[((bits & (~bits + _ONE)) * _DE_BRUIJN) >> np.uint64(58)]
    return place


@jit
def _areas(
    hits: Bits, target: int, tied: Flags, group: npt.NDArray[np.int32], group_starts: npt.NDArray[np.int32]
) -> tuple[int, int, float]:
    """Return hits, twice the pairs in which a miss outranks one (a tie is half a pair), and the sum of precisions.

    `hits` (targets x words) has a bit for each rank, the best one first; the first target has the bits of all.
    `tied`: whether a word's ranks are in tie groups of several. A group adds its hits times the precision at its end.
    """
    found, lost, precision = 0, 0, 0.0
    own, before = -1, 0  # the tie group of the last hit, if it is not alone there, and the hits above it
    for word in range(hits.shape[1]):
        bits = hits[target, word]
        if target == 0:
            for other in range(1, len(hits)):
                bits |= hits[other, word]
        if own >= 0 and bits != 0 and group[_WORD * word] != own:
            precision += (found - before) * (found / group_starts[own + 1])
            own = -1
        if not tied[word]:
            while bits != 0:
                rank = _WORD * word + _lowest(bits)
                bits &= bits - _ONE
                found += 1
                lost += 2 * rank + 1
                precision += found / (rank + 1)
        while bits != 0:
            rank = _WORD * word + _lowest(bits)
            bits &= bits - _ONE
            if group[rank] != own:
                if own >= 0:
                    precision += (found - before) * (found / group_starts[own + 1])
                own, before = group[rank], found
            found += 1
            lost += group_starts[own] + group_starts[own + 1]
    if own >= 0:
        precision += (found - before) * (found / group_starts[own + 1])
    # Above each hit are the points before its group and half of those in it, less the hits among them.
    return found, lost - found * found, precision


@jit
def _follow(
    starts: Ints,
    counted: Ints,
    at: Ints,
    step: int,
    horizon: int,
    event_starts: Ints,
    event_at: Ints,
    part: Ints,
    level: Flags,
    change: Floats,
    above_before: npt.NDArray[np.int32],
    rank_of: npt.NDArray[np.int32],
    counts: Ints,
    changes: Floats,
    edges: Edges,
    hits: Bits,
) -> None:
    """Add up by target the rows that an event of it follows, each once, in row order.

    `counts` (targets x 2): all of them, and those above the threshold. `changes` (targets x 2): of `change`, where the
    level is judged. `edges` gains 1 where rows followed by an event begin, and loses 1 where they end. `hits` gets the
    bits of the ranks of rows before events of this very `part`; the first target leaves to the others what is theirs.
    """
    for entity in range(len(counted)):
        stop = counted[entity]
        # All events come last, when what they need is in the cache.
        for target in range(len(level) - 1, -1, -1):
            row = starts[entity]
            square, loss = changes[target]
            for event in range(event_starts[entity], event_starts[entity + 1]):
                if target > 0 and part[event] != target:
                    continue
                low = first_since(at, row, stop, event_at[event] - horizon, step)
                high = first_since(at, low, stop, event_at[event], step)
                row = high
                if low == high:
                    continue
                edges[target, low] += 1
                edges[target, high] -= 1
                counts[target, 0] += high - low
                counts[target, 1] += above_before[high] - above_before[low]
                if level[target]:
                    for inside in range(low, high):
                        square += change[inside, 0]
                        loss += change[inside, 1]
                if part[event] == target:
                    for inside in range(low, high):
                        rank = rank_of[inside]
                        if rank >= 0:
                            hits[target, rank // _WORD] |= _ONE << np.uint64(rank % _WORD)
            changes[target, 0], changes[target, 1] = square, loss


@jit
def _judge(
    starts: Ints,
    counted: Ints,
    at: Ints,
    step: int,
    horizon: int,
    event_starts: Ints,
    event_at: Ints,
    part: Ints,
    level: Flags,
    change: Floats,
    above_before: npt.NDArray[np.int32],
    rank_of: npt.NDArray[np.int32],
    tied: Flags,
    group: npt.NDArray[np.int32],
    group_starts: npt.NDArray[np.int32],
    totals: Floats,
    scored_hits: Floats,
    edges: Edges,
    hits: Bits,
    out: Floats,
) -> None:
    """Fill `out` (targets x FIGURES). Target 0 has all events; `part` names another one that has the event, or is 0.

    `totals`: uncensored points, those above the threshold, scored points, sum of p squared, sum of the log-loss of no
    event. `scored_hits`: by target, the data's own. `change` (rows x 2): what a hit
    adds to the sums of p squared and of the log-loss. `above_before`: points above the threshold before each row.
    `hits` (targets x words) is all 0, and is again afterwards.
    """
    counts, changes = np.zeros((len(level), 2), np.int64), np.zeros((len(level), 2))
    _follow(
        starts, counted, at, step, horizon, event_starts, event_at, part, level, change, above_before, rank_of,
        counts, changes, edges, hits,
    )  # fmt: skip
    points, scored = totals[0], totals[2]
    for target in range(len(level)):
        positives, raised = counts[target]
        square, loss = changes[target]
        found, lost, precision = _areas(hits, target, tied, group, group_starts)
        own, negatives = out[target], points - positives
        own[:] = np.nan
        if points > 0.0:
            own[0] = positives / points
        if negatives > 0.0:
            own[1] = (totals[1] - raised) / negatives
        true, false = float(found), scored - found
        if true > 0.0 and false > 0.0:
            own[2] = (true * false - 0.5 * lost) / (true * false)
            own[3] = precision / true
        if level[target] and scored > 0.0:
            share = scored_hits[target] / scored
            # At the data's base rate: the draw says what a hit costs, the data how many there are.
            times = scored_hits[target] / true if true > 0.0 else np.nan
            own[4] = (totals[3] + square * times) / scored
            own[5] = (totals[4] + loss * times) / scored
            if 0.0 < share < 1.0:
                own[6] = 1.0 - own[4] / (share * (1.0 - share))
    hits[:] = 0


@jit
def _ties(group: npt.NDArray[np.int32]) -> tuple[npt.NDArray[np.int32], Flags]:
    """Return where the tie groups begin, and the end; and which words of ranks touch a group of several."""
    starts = np.empty(len(group) + 1, np.int32)
    tied = np.zeros((len(group) + _WORD - 1) // _WORD, np.bool_)
    count = 0
    for rank in range(len(group)):
        if rank == 0 or group[rank] != group[rank - 1]:
            starts[count] = rank
            count += 1
        else:
            tied[(rank - 1) // _WORD] = True
            tied[rank // _WORD] = True
    starts[count] = len(group)
    return starts[: count + 1].copy(), tied


@jit
def _changes(low: int, high: int, probability: Floats, event: Floats, none: Floats, change: Floats) -> None:
    """Fill `change` of rows low:high: by how much p squared and the log-loss differ where an event follows."""
    for row in range(low, high):
        p = probability[row]
        change[row, 0] = 1.0 - 2.0 * p if p == p else 0.0
        change[row, 1] = event[row] - none[row]


class Forecasts:
    """The forecasts of a layout, ready to be judged against many outcomes.

    `targets`: the first has all events, the others those of one type each. Brier score and log-loss tell skill from
    chance at one base rate only: a draw gives what its hits cost on average, and `scored_hits`, the data's own number
    by target, how many there are.
    """

    def __init__(self, layout: Layout, targets: Sequence[Target], scored_hits: Floats) -> None:
        self._layout = layout
        self._level = np.array([target.level for target in targets])
        self._scored_hits = scored_hits
        self._part_of = np.zeros(len(layout.protocol.event_types), dtype=np.int64)
        for place, target in enumerate(targets):
            if (target.kind is None) != (place == 0):
                raise ValueError(f"targets: expected all events first, then single types, found {targets}")
            if target.kind is not None:
                self._part_of[target.kind] = place
        panel, order = layout.panel, layout.order
        self._rank_of = np.full(len(panel.at), -1, dtype=np.int32)
        self._rank_of[order] = np.arange(len(order), dtype=np.int32)
        self._group_starts, self._tied = _ties(layout.group)
        self._change = np.empty((len(panel.at), 2))

        def fill(rows: tuple[int, int]) -> None:
            _changes(*rows, layout.probability, layout.loss_if_event, layout.loss_if_none, self._change)

        list(in_order(fill, stretches(len(panel.at), 4)))
        self._above_before = np.zeros(len(panel.at) + 1, dtype=np.int32)
        np.cumsum(layout.above, out=self._above_before[1:])
        above, square, error = _sums(
            panel.grid_starts, layout.counted, layout.probability, layout.loss_if_none, layout.above
        )
        self._totals = np.array([layout.points, above, len(order), square, error], dtype=np.float64)

    def scratch(self) -> tuple[Edges, Bits]:
        """Return what `judge` writes on, one for each thread: edges, all 0 at first, and what is clean between calls.

        Edges (targets x rows + 1) are added to; `expected_outcomes` reads them.
        """
        targets, rows = len(self._level), len(self._layout.panel.at)
        return np.zeros((targets, rows + 1), np.int32), np.zeros((targets, len(self._tied)), np.uint64)

    def judge(self, event_starts: Ints, event_at: Ints, kind: Ints, edges: Edges, hits: Bits) -> Floats:
        """Return targets x FIGURES for events in the order (entity, time); NaN: does not exist.

        `event_starts` by entity; `kind`: the type of each event (its place in the protocol).
        """
        layout, panel = self._layout, self._layout.panel
        out = np.empty((len(self._level), len(FIGURES)))
        _judge(
            panel.grid_starts, layout.counted, panel.at, layout.protocol.step, layout.protocol.horizon,
            event_starts, event_at, self._part_of[kind], self._level,
            self._change, self._above_before, self._rank_of, self._tied, layout.group,
            self._group_starts, self._totals, self._scored_hits, edges, hits, out,
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
