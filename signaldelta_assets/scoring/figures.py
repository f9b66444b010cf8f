"""Sections 9 to 14: from what exists of each signal to the figures and the chain types, lane by lane."""

from __future__ import annotations

import math

from ..versioning.compiling import inlined, jit
from .elementary import exp, expm1, log
from .layout import (
    BELOW_ONE,
    CONCORDANCE,
    CONFIDENCE,
    CROSS,
    DIVERSITY,
    EFFECTIVE,
    EVIDENCE,
    FA,
    FB,
    FBETA,
    FD,
    FQ,
    FW,
    LEAN,
    LEANING,
    LEGACY,
    MAGNITUDE,
    MORE,
    ORDERING,
    PAIRS,
    QUALITIES,
    QUALITY,
    SQUARES,
    TOTAL,
    WORK,
    Floats,
    Integers,
    Parameters,
)


@inlined
def weighted_log(x: float, exponent: float) -> float:
    """Return exponent * ln(x) for x in [0, 1], so that e to it is x^exponent with 0^0 = 1 and 0^positive = 0."""
    value = -math.inf if x <= 0.0 else exponent * log(x)
    return 0.0 if exponent == 0.0 else value


@inlined
def budgeted(weight: float, budget: float) -> float:
    """Section 13."""
    return -budget * expm1(-weight / budget)


@jit
def spend_budgets(found: int, families: Integers, family_rows: Floats, n: int, model: Parameters) -> None:
    """Section 13: write B and beta; D and Q become beta D and beta Q, A the mean age in units of the tolerance."""
    for i in range(found):
        budget = model.budget[families[i]]
        weight = family_rows[i, FW]
        spent = family_rows[i, FB]
        beta = family_rows[i, FBETA]
        for k in range(n):
            spent[k] = budgeted(weight[k], budget)
        for k in range(n):
            beta[k] = spent[k] / weight[k] if weight[k] > 0.0 else 0.0
        row = family_rows[i, FD]
        for k in range(n):
            row[k] = beta[k] * row[k]
        row = family_rows[i, FQ]
        for k in range(n):
            row[k] = beta[k] * row[k]
        row = family_rows[i, FA]
        for k in range(n):
            row[k] = row[k] / weight[k] / model.ordering_tolerance if weight[k] > 0.0 else 0.0


@jit
def combine(
    found: int, skip: int, families: Integers, family_rows: Floats, n: int, model: Parameters, sums: Floats
) -> None:
    """Write the sums over families and over pairs of them into `sums`; the family in slot `skip` stays out."""
    for c in range(WORK):
        row = sums[c]
        for k in range(n):
            row[k] = 0.0
    total, squares, cross = sums[TOTAL], sums[SQUARES], sums[CROSS]
    concordance, pairs = sums[CONCORDANCE], sums[PAIRS]
    both, lead = sums[WORK], sums[MORE]
    for i in range(found):
        if i == skip:
            continue
        spent, age = family_rows[i, FB], family_rows[i, FA]
        for k in range(n):
            total[k] += spent[k]
        for k in range(n):
            squares[k] += spent[k] * spent[k]
        leaning, row = sums[LEANING], family_rows[i, FD]
        for k in range(n):
            leaning[k] += row[k]
        qualities, row = sums[QUALITIES], family_rows[i, FQ]
        for k in range(n):
            qualities[k] += row[k]
        for j in range(i + 1, found):
            rho = model.correlation[families[i], families[j]]
            precedence = model.precedence[families[i], families[j]]
            if j == skip or (rho == 0.0 and precedence == 0.0):
                continue
            other, other_age = family_rows[j, FB], family_rows[j, FA]
            for k in range(n):
                both[k] = spent[k] * other[k]
            if rho != 0.0:
                for k in range(n):
                    cross[k] += rho * both[k]
            if precedence != 0.0:
                for k in range(n):
                    pairs[k] += both[k]
                for k in range(n):
                    lead[k] = precedence * min(max(age[k] - other_age[k], -1.0), 1.0)
                for k in range(n):
                    concordance[k] += both[k] * lead[k]


@jit
def write_independence(sums: Floats, n: int, evidence: Floats, effective: Floats) -> None:
    """Section 14: write E and N; zeros where there is no evidence."""
    total, squares, cross, joint = sums[TOTAL], sums[SQUARES], sums[CROSS], sums[WORK]
    for k in range(n):
        # Perfectly opposed families (correlation -1) would divide by zero; the floor keeps every figure finite.
        joint[k] = max(squares[k] + 2.0 * cross[k], 1e-12 * squares[k])
    for k in range(n):
        evidence[k] = total[k] * math.sqrt(squares[k] / joint[k]) if total[k] > 0.0 else 0.0
    for k in range(n):
        effective[k] = total[k] * total[k] / joint[k] if total[k] > 0.0 else 0.0


@jit
def write_magnitude(evidence: Floats, n: int, model: Parameters, magnitude: Floats) -> None:
    """Section 9, written as (1 - e^-kE) / (1 + e^-k(E - theta)): the same number, without cancellation."""
    for k in range(n):
        raised = -expm1(-model.k * evidence[k]) / (1.0 + exp(-model.k * (evidence[k] - model.theta)))
        magnitude[k] = min(raised, BELOW_ONE)


@jit
def write_figures(sums: Floats, n: int, model: Parameters, out: Floats) -> None:
    """Sections 9 to 11 and 14 from the sums over families: write `FIGURES` into `out` (9, lanes)."""
    total, work, more = sums[TOTAL], sums[WORK], sums[MORE]
    write_independence(sums, n, out[EVIDENCE], out[EFFECTIVE])
    write_magnitude(out[EVIDENCE], n, model, out[MAGNITUDE])
    lean, leaning = out[LEAN], sums[LEANING]
    # Rounding may carry a mean of ones an ulp beyond one.
    for k in range(n):
        lean[k] = min(max(leaning[k] / total[k], -1.0), 1.0) if total[k] > 0.0 else 0.0
    quality, qualities = out[QUALITY], sums[QUALITIES]
    for k in range(n):
        quality[k] = min(qualities[k] / total[k], 1.0) if total[k] > 0.0 else 0.0
    diversity, effective = out[DIVERSITY], out[EFFECTIVE]
    for k in range(n):
        diversity[k] = effective[k] / (effective[k] + model.diversity_half_point)
    concordance, pairs = sums[CONCORDANCE], sums[PAIRS]
    for k in range(n):
        work[k] = concordance[k] / pairs[k] if pairs[k] > 0.0 else 0.0
    ordering, least = out[ORDERING], model.ordering_floor
    for k in range(n):
        ordered = min(least + (1.0 - least) * (1.0 + work[k]) / 2.0, 1.0)
        ordering[k] = ordered if total[k] > 0.0 else 0.0
    # ln C, of which C and C^gamma are powers.
    for k in range(n):
        work[k] = weighted_log(quality[k], model.quality_exponent)
    for k in range(n):
        work[k] += weighted_log(diversity[k], model.diversity_exponent)
    for k in range(n):
        work[k] += weighted_log(ordering[k], model.ordering_exponent)
    confidence = out[CONFIDENCE]
    for k in range(n):
        confidence[k] = exp(work[k]) if total[k] > 0.0 else 0.0
    for k in range(n):
        more[k] = exp(model.gamma * work[k]) if model.gamma > 0.0 else 1.0
    legacy, magnitude = out[LEGACY], out[MAGNITUDE]
    for k in range(n):
        legacy[k] = lean[k] * magnitude[k]
    for k in range(n):
        legacy[k] = 50.0 * (1.0 + legacy[k] * more[k])


@jit
def _alive(own: Floats, groups: int, low: int, n: int) -> int:
    """Return the end of the run of lanes from `low` on in which the same signals exist."""
    end = n
    for g in range(groups):
        row = own[g]
        exists = row[low] > 0.0
        changes = 0
        for k in range(low, end):
            changes += (row[k] > 0.0) != exists
        if changes:
            end = low + 1
            while (row[end] > 0.0) == exists:
                end += 1
    return end


@jit
def write_chains(
    groups: int, group_low: int, group_signal: Integers, slot: Integers, family_rows: Floats, own: Floats, n: int,
    model: Parameters, place: Integers, sums: Floats, out: Floats,
) -> None:  # fmt: skip
    """Section 12: write p by chain type, then UNKNOWN's, into `out` (C + 1, lanes). Without evidence UNKNOWN is 1.

    `own` becomes each group's share of its family's budget. `place` (S,) is scratch: each signal's group.
    """
    unknown = model.min_families.size
    for s in range(place.size):
        place[s] = -1
    for g in range(groups):
        place[group_signal[group_low + g]] = g
        mine, beta = own[g], family_rows[slot[g], FBETA]
        for k in range(n):
            mine[k] = beta[k] * mine[k]
    top = sums[WORK]
    total = sums[MORE]
    for k in range(n):
        top[k] = model.unknown_logit
    for c in range(unknown):
        z = out[c]
        for k in range(n):
            z[k] = 0.0
        for a in range(model.chain_start[c], model.chain_start[c + 1]):
            g = place[model.chain_signal[a]]
            if g >= 0:
                mine, affinity = own[g], model.affinity[a]
                for k in range(n):
                    z[k] += mine[k] * affinity
    low = 0
    while low < n:
        end = _alive(own, groups, low, n)
        for c in range(unknown):
            supporting = 0
            last = -1
            for a in range(model.chain_start[c], model.chain_start[c + 1]):
                s = model.chain_signal[a]
                if place[s] >= 0 and own[place[s], low] > 0.0 and model.family[s] != last:
                    last = model.family[s]
                    supporting += 1
            if supporting < model.min_families[c]:
                z = out[c]
                for k in range(low, end):
                    z[k] = -math.inf
        low = end
    for c in range(unknown):
        z = out[c]
        for k in range(n):
            top[k] = max(top[k], z[k])
    z = out[unknown]
    for k in range(n):
        z[k] = model.unknown_logit
    for k in range(n):
        total[k] = 0.0
    for c in range(unknown + 1):
        z = out[c]
        for k in range(n):
            z[k] = exp((z[k] - top[k]) / model.temperature)
        for k in range(n):
            total[k] += z[k]
    for c in range(unknown + 1):
        z = out[c]
        for k in range(n):
            z[k] = z[k] / total[k]
