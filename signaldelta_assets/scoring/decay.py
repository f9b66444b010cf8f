"""Sections 7 and 8: anchored sums after each event, and from them what exists of each signal at many moments."""

from __future__ import annotations

import math

from ..versioning.compiling import jit
from .elementary import exp2
from .layout import (
    AGED,
    ANCHOR,
    FA,
    FB,
    FD,
    FQ,
    FW,
    LAST,
    OWN,
    RELIABLE,
    SIGNED,
    STATE_COLUMNS,
    WEIGHT,
    WORK,
    Floats,
    Integers,
    Parameters,
)


@jit
def anchor(
    times: Integers, weights: Floats, direction: Floats, reliability: Floats, group_start: Integers,
    group_signal: Integers, decay_rate: Floats, state: Floats,
) -> None:  # fmt: skip
    """Fill `state` (N, 6) with the anchored prefix sums after each event.

    A group is one signal of one entity, its events in total order. With T0 the group's first event and
    y = (a - T0) / half-life, the sums after event i are kept as multiples of 2^n, n = floor(y_i): moving an anchor
    multiplies by a power of two and is exact, so the sums are those of the closed form and never overflow.
    Neither a later event nor the grid has any part in them.

    The aged sum is kept relative to event i, where all its terms are positive: nothing cancels.
    """
    for g in range(group_signal.size):
        rate = decay_rate[group_signal[g]]
        first = group_start[g]
        anchored = 0.0
        weight = signed = reliable = aged = 0.0
        for i in range(first, group_start[g + 1]):
            y = float(times[i] - times[first]) * rate
            n = math.floor(y)
            move = exp2(anchored - n)
            if i > first:
                aged = (aged + weight * float(times[i] - times[i - 1])) * move
            own = weights[i] * exp2(y - n)
            weight = weight * move + own
            signed = signed * move + own * direction[i]
            reliable = reliable * move + own * reliability[i]
            anchored = n
            state[i, ANCHOR] = anchored
            state[i, WEIGHT] = weight
            state[i, SIGNED] = signed
            state[i, RELIABLE] = reliable
            state[i, AGED] = aged
            state[i, OWN] = own


@jit
def _fill(row: Floats, low: int, high: int, value: float) -> None:
    for k in range(low, high):
        row[k] = value


@jit
def _decay(
    at: Floats,
    n: int,
    first: float,
    rate: float,
    floor: float,
    said: Floats,
    scale: Floats,
    family: Floats,
    own: Floats,
) -> None:
    """Add one signal's (W, D, Q, A) to its family's rows, and write its W into `own`.

    `said` (6, lanes) is the state of its last available event at each lane, with that event's time in place of the
    last column; `scale` is scratch.
    """
    anchored, weight = said[ANCHOR], said[WEIGHT]
    for k in range(n):
        scale[k] = exp2(anchored[k] - (at[k] - first) * rate)
    # A signal below the floor does not exist: it adds zeros, which change no bit.
    for k in range(n):
        scale[k] = scale[k] if weight[k] * scale[k] >= floor else 0.0
    total = family[FW]
    for k in range(n):
        own[k] = weight[k] * scale[k]
        total[k] += own[k]
    signed, total = said[SIGNED], family[FD]
    for k in range(n):
        total[k] += signed[k] * scale[k]
    reliable, total = said[RELIABLE], family[FQ]
    for k in range(n):
        total[k] += reliable[k] * scale[k]
    aged, last = said[AGED], said[LAST]
    for k in range(n):
        aged[k] += weight[k] * (at[k] - last[k])
    total = family[FA]
    for k in range(n):
        total[k] += aged[k] * scale[k]


@jit
def write_signals(
    moments: Integers, begin: int, n: int, group_low: int, group_high: int, group_start: Integers,
    group_signal: Integers, times: Integers, state: Floats, model: Parameters, at: Floats, cursor: Integers,
    families: Integers, family_rows: Floats, slot: Integers, own: Floats, said: Floats, sums: Floats,
    counts: Integers,
) -> int:  # fmt: skip
    """Write what exists at the moments [begin, begin + n) of one entity, one lane each; return how many families.

    `families` gets the families of the entity's groups, `family_rows` their (W, D, Q, A), `slot` each group's place
    among them, `own` (groups, lanes) each group's W, `counts` (n,) the events available. `cursor` holds each group's
    last available event and moves on, so that blocks must come in ascending order. `said` and `sums` are scratch.
    """
    found = 0
    for k in range(n):
        at[k] = float(moments[begin + k])
    for k in range(n):
        counts[k] = 0
    for g in range(group_low, group_high):
        signal = group_signal[g]
        if found == 0 or families[found - 1] != model.family[signal]:
            families[found] = model.family[signal]
            for c in range(FB):
                _fill(family_rows[found, c], 0, n, 0.0)
            found += 1
        slot[g - group_low] = found - 1
        start = group_start[g]
        end = group_start[g + 1]
        i = cursor[g - group_low]
        k = 0
        while k < n:
            while i + 1 < end and times[i + 1] <= moments[begin + k]:
                i += 1
            # The state holds until the next event becomes available: [k, until).
            until = n
            if i + 1 < end and times[i + 1] <= moments[begin + n - 1]:
                below = k
                while until - below > 1:
                    middle = (below + until) // 2
                    if moments[begin + middle] < times[i + 1]:
                        below = middle
                    else:
                        until = middle
            if i < start:
                for c in range(STATE_COLUMNS):
                    _fill(said[c], k, until, 0.0)
            else:
                for c in range(LAST):
                    _fill(said[c], k, until, state[i, c])
                _fill(said[LAST], k, until, float(times[i]))
                available = i - start + 1
                for lane in range(k, until):
                    counts[lane] += available
            k = until
        cursor[g - group_low] = i
        if i < start:
            _fill(own[g - group_low], 0, n, 0.0)
        else:
            _decay(
                at, n, float(times[start]), model.decay_rate[signal], model.evidence_floor, said, sums[WORK],
                family_rows[found - 1], own[g - group_low],
            )  # fmt: skip
    return found
