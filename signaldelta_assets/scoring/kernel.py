"""The kernel: its entry points, through which live scores, grids and explanations all come.

Bits must not depend on the processor (scoring.md, "Consequences"). So no libm and no numpy ufunc is called in compiled
code: the elementary functions are the project's own, and sums run in one written order.

Work goes in lanes: up to BLOCK moments of one entity (in an explanation: subsets of families, or events left out)
are rows of contiguous arrays, and every loop over them does one simple thing to few arrays, so that the compiler makes
vectors of it. Lanes never meet: one alone has the bits it has among others.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from ..versioning.compiling import jit
from .decay import write_signals
from .elementary import exp2
from .figures import budgeted, combine, spend_budgets, write_chains, write_figures, write_independence, write_magnitude
from .layout import (
    ANCHOR,
    BLOCK,
    CONFIDENCE,
    EFFECTIVE,
    EVIDENCE,
    FAMILY_ROWS,
    FB,
    FIGURES,
    LEGACY,
    MAGNITUDE,
    OWN,
    STATE_COLUMNS,
    SUM_ROWS,
    WEIGHT,
    Floats,
    Integers,
    Parameters,
    Singles,
)


@jit
def _store(lanes: Floats, n: int, column: Floats | Singles, row: int) -> None:
    for k in range(n):
        column[row + k] = lanes[k]


@jit
def grid(
    entity_low: int, entity_high: int, entity_groups: Integers, group_start: Integers, group_signal: Integers,
    times: Integers, state: Floats, moments: Integers, model: Parameters, figures: Floats | Singles,
    chains: Floats | Singles, alert_score: Floats, counts: Integers, verdicts: NDArray[np.int8], deltas: Floats,
) -> None:  # fmt: skip
    """Score the entities in [low, high) at every moment (ascending), into rows of entity * T + step.

    `figures` (9, rows), `chains` (C + 1, rows), either rounded to float32 where that is what they are; `alert_score`,
    `counts` and `verdicts` (rows,). `deltas` (F, 3, rows) gets what each family adds to M, L and C, zeros where it has
    no evidence. With no rows, `alert_score` and `deltas` are left out. Entities are independent: any split of them over
    threads gives the same bits.
    """
    n_families = model.budget.size
    lanes = min(BLOCK, moments.size)
    widest = 0
    for entity in range(entity_low, entity_high):
        widest = max(widest, entity_groups[entity + 1] - entity_groups[entity])
    families = np.empty(n_families, np.int64)
    family_rows = np.empty((n_families, FAMILY_ROWS, lanes))
    sums = np.empty((SUM_ROWS, lanes))
    at = np.empty(lanes)
    slot = np.empty(widest, np.int64)
    cursor = np.empty(widest, np.int64)
    own = np.empty((widest, lanes))
    said = np.empty((STATE_COLUMNS, lanes))
    place = np.empty(model.family.size, np.int64)
    out = np.empty((len(FIGURES), lanes))
    without = np.empty((len(FIGURES), lanes))
    shares = np.empty((chains.shape[0], lanes))
    for entity in range(entity_low, entity_high):
        low = entity_groups[entity]
        high = entity_groups[entity + 1]
        for g in range(low, high):
            cursor[g - low] = group_start[g] - 1
        for begin in range(0, moments.size, BLOCK):
            n = min(BLOCK, moments.size - begin)
            row = entity * moments.size + begin
            found = write_signals(
                moments, begin, n, low, high, group_start, group_signal, times, state, model, at, cursor, families,
                family_rows, slot, own, said, sums, counts[row : row + n],
            )  # fmt: skip
            spend_budgets(found, families, family_rows, n, model)
            combine(found, -1, families, family_rows, n, model, sums)
            write_figures(sums, n, model, out)
            write_chains(high - low, low, group_signal, slot, family_rows, own, n, model, place, sums, shares)
            for c in range(len(FIGURES)):
                _store(out[c], n, figures[c], row)
            for c in range(chains.shape[0]):
                _store(shares[c], n, chains[c], row)
            if alert_score.size:
                for k in range(n):
                    alert_score[row + k] = out[MAGNITUDE, k] * out[CONFIDENCE, k]
            legacy = out[LEGACY]
            for k in range(n):
                verdicts[row + k] = 0
            for cut in model.cuts:
                for k in range(n):
                    verdicts[row + k] += legacy[k] >= cut
            if deltas.shape[2]:
                for f in range(n_families):
                    for c in range(3):
                        deltas[f, c, row : row + n] = 0.0
                for removed in range(found):
                    combine(found, removed, families, family_rows, n, model, sums)
                    write_figures(sums, n, model, without)
                    for c in range(3):
                        whole, rest = out[MAGNITUDE + c], without[MAGNITUDE + c]
                        for k in range(n):
                            rest[k] = whole[k] - rest[k]
                        _store(rest, n, deltas[families[removed], c], row)


@jit
def explain(
    moments: Integers, group_start: Integers, group_signal: Integers, times: Integers, state: Floats,
    model: Parameters, family_deltas: Floats, event_deltas: Floats, present: Integers, subsets: Floats,
) -> int:  # fmt: skip
    """Section 15 for one entity at the one moment: exact recomputation without each family, and without each event.

    `family_deltas` (F, 3): M, L, C by family, NaN where the family has no evidence. `event_deltas` (N,): M by event,
    NaN where it is not yet available. Events of equal weight in one signal have equal bits, so ties are ties.
    Returns the number m of families with evidence, which `present` (F,) lists. `subsets` (3, at least 2^m, or 0) gets
    M, M C and the legacy score of each subset of those, bit i of its number for family i of `present`.
    """
    n_families = model.budget.size
    n_groups = group_signal.size
    families = np.empty(n_families, np.int64)
    family_rows = np.empty((n_families, FAMILY_ROWS, 1))
    sums = np.empty((SUM_ROWS, BLOCK))
    figures = np.empty((len(FIGURES), BLOCK))
    at = np.empty(1)
    slot = np.empty(n_groups, np.int64)
    cursor = np.empty(n_groups, np.int64)
    own = np.empty((n_groups, 1))
    said = np.empty((STATE_COLUMNS, 1))
    counts = np.empty(1, np.int64)
    for g in range(n_groups):
        cursor[g] = group_start[g] - 1
    found = write_signals(
        moments, 0, 1, 0, n_groups, group_start, group_signal, times, state, model, at, cursor, families, family_rows,
        slot, own, said, sums, counts,
    )  # fmt: skip
    spend_budgets(found, families, family_rows, 1, model)
    combine(found, -1, families, family_rows, 1, model, sums)
    write_figures(sums, 1, model, figures)
    whole = figures[:, 0].copy()
    family_deltas[:] = math.nan
    event_deltas[:] = math.nan
    held = 0
    for i in range(found):
        if family_rows[i, FB, 0] > 0.0:
            present[held] = families[i]
            held += 1
            combine(found, i, families, family_rows, 1, model, sums)
            write_figures(sums, 1, model, figures)
            for c in range(3):
                family_deltas[families[i], c] = whole[MAGNITUDE + c] - figures[MAGNITUDE + c, 0]

    lanes = np.empty((found, FAMILY_ROWS, BLOCK))
    for i in range(found):
        for c in range(FAMILY_ROWS):
            lanes[i, c] = family_rows[i, c, 0]
    for g in range(n_groups):
        last = cursor[g]
        exists = own[g, 0] > 0.0
        i = slot[g]
        budget = model.budget[families[i]]
        for begin in range(group_start[g], last + 1, BLOCK):
            n = min(BLOCK, last + 1 - begin)
            if not exists:
                event_deltas[begin : begin + n] = 0.0
                continue
            age = float(moments[0]) - float(times[group_start[g]])
            scale = exp2(state[last, ANCHOR] - age * model.decay_rate[group_signal[g]])
            for k in range(n):
                alone = state[begin + k, OWN] * exp2(state[begin + k, ANCHOR] - state[last, ANCHOR])
                less = (state[last, WEIGHT] - alone) * scale
                less = less if less >= model.evidence_floor else 0.0
                weight = 0.0
                for other in range(n_groups):
                    if slot[other] == i:
                        weight += less if other == g else own[other, 0]
                lanes[i, FB, k] = budgeted(weight, budget)
            combine(found, -1, families, lanes, n, model, sums)
            write_independence(sums, n, figures[EVIDENCE], figures[EFFECTIVE])
            write_magnitude(figures[EVIDENCE], n, model, figures[MAGNITUDE])
            for k in range(n):
                event_deltas[begin + k] = whole[MAGNITUDE] - figures[MAGNITUDE, k]
        lanes[i, FB] = family_rows[i, FB, 0]

    if subsets.shape[1]:
        for begin in range(0, 1 << held, BLOCK):
            n = min(BLOCK, (1 << held) - begin)
            member = 0
            for i in range(found):
                if family_rows[i, FB, 0] > 0.0:
                    for c in range(FAMILY_ROWS):
                        for k in range(n):
                            lanes[i, c, k] = family_rows[i, c, 0] if ((begin + k) >> member) & 1 else 0.0
                    member += 1
            combine(found, -1, families, lanes, n, model, sums)
            write_figures(sums, n, model, figures)
            for k in range(n):
                subsets[0, begin + k] = figures[MAGNITUDE, k]
                subsets[1, begin + k] = figures[MAGNITUDE, k] * figures[CONFIDENCE, k]
                subsets[2, begin + k] = figures[LEGACY, k]
    return held


@jit
def shapley(members: int, worth: Floats, out: Floats) -> None:
    """Shapley's values (1953): write into `out` (members,) what each adds on average over all orders of arrival.

    `worth` (2^members,) is the worth of each subset, bit i of its number for member i.
    """
    # A subset of s others precedes a member in s! (m - s - 1)! of the m! orders: 1 / (m * binomial(m - 1, s)).
    share = np.empty(members)
    binomial = 1.0
    for s in range(members):
        share[s] = 1.0 / (members * binomial)
        binomial = binomial * (members - 1 - s) / (s + 1)
    for i in range(members):
        out[i] = 0.0
    for subset in range(1 << members):
        size = 0
        for i in range(members):
            size += (subset >> i) & 1
        for i in range(members):
            if not (subset >> i) & 1:
                out[i] += share[size] * (worth[subset | (1 << i)] - worth[subset])
