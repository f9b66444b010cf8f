"""The kernel: every compiled function of the score, and nothing that is not compiled.

They share one file on purpose: numba's disk cache notices a change of the file a function stands in, not of the
files it calls into, and a stale kernel would be a different kernel under the same name.

Bits must not depend on the processor (scoring.md, "Consequences"). So no libm and no numpy ufunc is called here:
the elementary functions below use IEEE + - * /, the correctly rounded square root and exponent bits alone, sums run
in one written order, and fastmath stays off, without which LLVM neither reassociates nor contracts to FMA.

Times are int64 microseconds since the Unix epoch; ages are float64 microseconds.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from decimal import Decimal, localcontext
from typing import Any, NamedTuple, TypeVar, cast

import numba
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

_Function = TypeVar("_Function", bound=Callable[..., Any])


def _jit(function: _Function, *, inlined: bool = False) -> _Function:
    compiled = numba.njit(cache=True, nogil=True, fastmath=False, error_model="numpy", forceinline=inlined)(function)
    return cast(_Function, compiled)


def _part(function: _Function) -> _Function:
    # A call hands every array over in seven pieces; inlined by LLVM, the parts cost nothing.
    return _jit(function, inlined=True)


class Parameters(NamedTuple):
    """A scoring model as arrays. S signals in order of (family, signal id), F families, C chain types."""

    family: Integers  # (S,) index of the signal's family
    half_life: Floats  # (S,) microseconds
    coefficient: Floats  # (S,) weight * tier weight
    chain_start: Integers  # (C + 1,) offsets of each chain's positive affinities in the next two
    chain_signal: Integers  # index of the signal, ascending within a chain
    affinity: Floats
    budget: Floats  # (F,)
    precedence: Floats  # (F, F) sign(stage_g - stage_f)
    correlation: Floats  # (F, F)
    min_families: Integers  # (C,)
    cuts: Floats  # (4,)
    evidence_floor: float
    k: float
    theta: float
    quality_exponent: float
    diversity_exponent: float
    ordering_exponent: float
    diversity_half_point: float
    ordering_floor: float
    ordering_tolerance: float  # microseconds
    temperature: float
    unknown_logit: float
    gamma: float


FIGURES = (
    "evidence", "effective_families", "magnitude", "lean", "confidence", "quality", "diversity", "ordering",
    "legacy_score",
)  # fmt: skip
# Columns of the state after each event; the first five and the scale at t are the rows of `now`.
_ANCHOR, _WEIGHT, _SIGNED, _RELIABLE, _AGED, _OWN = range(6)
STATE_COLUMNS = 6
_SCALE = 5
_FIRST, _LAST, _CURSOR = range(3)

# --- elementary functions -------------------------------------------------------------------------------------


def _power_table() -> tuple[Floats, Floats]:
    # 2^(j/32) as the sum of two doubles, from decimal arithmetic: the same digits on every machine.
    with localcontext() as context:
        context.prec = 60
        exact = [Decimal(2) ** (Decimal(j) / 32) for j in range(32)]
        high = [float(value) for value in exact]
        low = [float(value - Decimal(head)) for value, head in zip(exact, high, strict=True)]
    return np.array(high), np.array(low)


_POWER_HIGH, _POWER_LOW = _power_table()
_LN2 = 0.6931471805599453
# ln 2 in two parts (fdlibm, e_exp.c); the first has 32 significant bits, so that its product with an integer
# below 2^21 is exact.
_LN2_HIGH = 6.93147180369123816490e-01
_LN2_LOW = 1.90821492927058770002e-10
_LOG2E_32 = 46.16624130844683
# Adding and taking away 1.5 * 2^52 rounds a double below 2^51 to the nearest integer, ties to even.
_ROUND = 6755399441055744.0
_MANTISSA = (1 << 52) - 1
_ONE_BITS = 1023 << 52
_SQRT2 = 1.4142135623730951
# Minimax coefficients of fdlibm's e_log.c, error below 2^-58.45.
_L1 = 6.666666666666735130e-01
_L2 = 3.999999999940941908e-01
_L3 = 2.857142874366239149e-01
_L4 = 2.222219843214978396e-01
_L5 = 1.818357216161805012e-01
_L6 = 1.531383769920937332e-01
_L7 = 1.479819860511658591e-01
_BELOW_ONE = 1.0 - 2.0**-53


@_jit
def _expm1_short(r: float) -> float:
    """Return e^r - 1 for abs(r) <= ln(2)/64: the Taylor sum to r^6, truncated below 2^-57 of e^r."""
    return r + r * r * (0.5 + r * (1 / 6 + r * (1 / 24 + r * (1 / 120 + r * (1 / 720)))))


@_jit
def _two_to(n: np.int64) -> float:
    """Return 2^n for an integer n in [-1022, 1023], from its exponent bits."""
    return np.int64((n + 1023) << 52).view(np.float64)


@_jit
def exp2(x: float) -> float:
    """Return 2^x to within 1 ulp, exact for integers; 0 below -1022 (no subnormals), infinity from 1023 on."""
    if x < -1022.0:
        return 0.0
    if x >= 1023.0:
        return math.inf
    nearest = (x * 32.0 + _ROUND) - _ROUND
    p = _expm1_short((x - nearest * 0.03125) * _LN2)
    k = np.int64(nearest)
    j = k & 31
    return float((_POWER_HIGH[j] + (_POWER_LOW[j] + _POWER_HIGH[j] * p)) * _two_to(k >> 5))


@_jit
def expm1(x: float) -> float:
    """Return e^x - 1 for x <= 0, to within a few ulp also near 0."""
    if x < -40.0:
        return -1.0
    nearest = (x * _LOG2E_32 + _ROUND) - _ROUND
    p = _expm1_short((x - nearest * (_LN2_HIGH * 0.03125)) - nearest * (_LN2_LOW * 0.03125))
    k = np.int64(nearest)
    j = k & 31
    scale = _two_to(k >> 5)
    return float((_POWER_HIGH[j] * scale - 1.0) + scale * (_POWER_LOW[j] + _POWER_HIGH[j] * p))


@_jit
def exp(x: float) -> float:
    """Return e^x to within a few ulp; 0 below -700, infinity above 700."""
    if x < -700.0:
        return 0.0
    if x > 700.0:
        return math.inf
    nearest = (x * _LOG2E_32 + _ROUND) - _ROUND
    p = _expm1_short((x - nearest * (_LN2_HIGH * 0.03125)) - nearest * (_LN2_LOW * 0.03125))
    k = np.int64(nearest)
    j = k & 31
    return float((_POWER_HIGH[j] + (_POWER_LOW[j] + _POWER_HIGH[j] * p)) * _two_to(k >> 5))


@_jit
def log(x: float) -> float:
    """Return the natural logarithm of a positive normal x to within 1 ulp (the reduction of fdlibm's e_log.c)."""
    bits = np.float64(x).view(np.int64)
    n = (bits >> 52) - 1023
    m = np.int64((bits & _MANTISSA) | _ONE_BITS).view(np.float64)
    if m > _SQRT2:
        m = m * 0.5
        n = n + 1
    f = m - 1.0
    s = f / (2.0 + f)
    z = s * s
    tail = z * (_L1 + z * (_L2 + z * (_L3 + z * (_L4 + z * (_L5 + z * (_L6 + z * _L7))))))
    half = 0.5 * f * f
    return n * _LN2_HIGH - ((half - (s * (half + tail) + n * _LN2_LOW)) - f)


@_jit
def _weighted_log(x: float, exponent: float) -> float:
    """Return exponent * ln(x) for x in [0, 1], so that e to it is x^exponent with 0^0 = 1 and 0^positive = 0."""
    if exponent == 0.0:
        return 0.0
    if x <= 0.0:
        return -math.inf
    return exponent * log(x)


# --- sections 7 and 8: decay and evidence per signal ------------------------------------------------------------


@_jit
def anchor(
    times: Integers, weights: Floats, direction: Floats, reliability: Floats, group_start: Integers,
    group_signal: Integers, half_life: Floats, state: Floats,
) -> None:  # fmt: skip
    """Fill `state` (N, 6) with the anchored prefix sums after each event.

    A group is one signal of one entity, its events in total order. With T0 the group's first event and
    y = (a - T0) / half-life, the sums after event i are kept as multiples of 2^n, n = floor(y_i): moving an anchor
    multiplies by a power of two and is exact, so the sums are those of the closed form and never overflow.
    Neither a later event nor the grid has any part in them.

    The aged sum is kept relative to event i, where all its terms are positive: nothing cancels.
    """
    for g in range(group_signal.size):
        h = half_life[group_signal[g]]
        first = group_start[g]
        anchored = 0.0
        weight = signed = reliable = aged = 0.0
        for i in range(first, group_start[g + 1]):
            y = float(times[i] - times[first]) / h
            n = math.floor(y)
            move = exp2(anchored - n)
            if i > first:
                aged = (aged + weight * float(times[i] - times[i - 1])) * move
            own = weights[i] * exp2(y - n)
            weight = weight * move + own
            signed = signed * move + own * direction[i]
            reliable = reliable * move + own * reliability[i]
            anchored = n
            state[i, _ANCHOR] = anchored
            state[i, _WEIGHT] = weight
            state[i, _SIGNED] = signed
            state[i, _RELIABLE] = reliable
            state[i, _AGED] = aged
            state[i, _OWN] = own


@_part
def _begin(low: int, high: int, group_start: Integers, now: Floats, place: Integers) -> None:
    """Set `now` (6, groups) and `place` (3, groups) to where no event is available yet.

    They hold, by group, what its last available event says (the state, then the scale at t) and where that event is:
    time of the group's first event, time of the last available one, its row.
    """
    for g in range(low, high):
        j = g - low
        now[_ANCHOR, j] = -math.inf
        for c in range(_WEIGHT, _SCALE + 1):
            now[c, j] = 0.0
        place[_FIRST, j] = place[_LAST, j] = 0
        place[_CURSOR, j] = group_start[g] - 1


@_part
def _advance(
    t: int, low: int, high: int, group_start: Integers, times: Integers, state: Floats, now: Floats, place: Integers
) -> int:
    """Let the events up to and including t become available; return how many did."""
    passed = 0
    for g in range(low, high):
        j = g - low
        i = place[_CURSOR, j]
        end = group_start[g + 1]
        if i + 1 < end and times[i + 1] <= t:
            start = i
            while i + 1 < end and times[i + 1] <= t:
                i += 1
            passed += i - start
            place[_FIRST, j] = times[group_start[g]]
            place[_LAST, j] = times[i]
            place[_CURSOR, j] = i
            for c in range(_AGED + 1):
                now[c, j] = state[i, c]
    return passed


@_part
def _signals(
    t: int, signals: Integers, model: Parameters, now: Floats, place: Integers, live: Integers, sums: Floats
) -> int:
    """Write the signals that exist at t: their place into `live`, (W, D, Q, A) by place into `sums` (4, groups)."""
    # Plain loops over whole rows: the compiler makes vectors of them.
    for j in range(signals.size):
        now[_SCALE, j] = now[_ANCHOR, j] - float(t - place[_FIRST, j]) / model.half_life[signals[j]]
    for j in range(signals.size):
        now[_SCALE, j] = exp2(now[_SCALE, j])
    for j in range(signals.size):
        scale = now[_SCALE, j]
        sums[0, j] = now[_WEIGHT, j] * scale
        sums[1, j] = now[_SIGNED, j] * scale
        sums[2, j] = now[_RELIABLE, j] * scale
        sums[3, j] = (now[_AGED, j] + now[_WEIGHT, j] * float(t - place[_LAST, j])) * scale
    count = 0
    for j in range(signals.size):
        if sums[0, j] >= model.evidence_floor:
            live[count] = j
            count += 1
    return count


# --- sections 9 to 14: from signals to figures --------------------------------------------------------------------


@_part
def _families(
    count: int, live: Integers, signals: Integers, sums: Floats, model: Parameters, families: Integers,
    family_sums: Floats, budgets: Floats, shares: Floats,
) -> int:  # fmt: skip
    """Write the families of the existing signals, their (W, D, Q, A) and budgeted B; return how many.

    `shares` (S,) gets beta W by signal of the model, 0 where it does not exist. Signals come in order of family, so
    that each family is one run.
    """
    found = 0
    for k in range(count):
        j = live[k]
        f = model.family[signals[j]]
        if found == 0 or families[found - 1] != f:
            families[found] = f
            for c in range(4):
                family_sums[found, c] = 0.0
            found += 1
        for c in range(4):
            family_sums[found - 1, c] += sums[c, j]
    for i in range(found):
        budgets[i] = _budgeted(family_sums[i, 0], model.budget[families[i]])
    shares[:] = 0.0
    i = 0
    for k in range(count):
        j = live[k]
        while families[i] != model.family[signals[j]]:
            i += 1
        shares[signals[j]] = budgets[i] / family_sums[i, 0] * sums[0, j]
    return found


@_part
def _budgeted(weight: float, budget: float) -> float:
    """Section 13."""
    return -budget * expm1(-weight / budget)


@_part
def _independence(found: int, families: Integers, budgets: Floats, model: Parameters) -> tuple[float, float, float]:
    """Section 14: return (sum B, E, N). Zeros where there is no evidence."""
    total = 0.0
    squares = 0.0
    cross = 0.0
    for i in range(found):
        total += budgets[i]
        squares += budgets[i] * budgets[i]
        row = 0.0
        for j in range(i + 1, found):
            row += model.correlation[families[i], families[j]] * budgets[j]
        cross += budgets[i] * row
    if total <= 0.0:
        return 0.0, 0.0, 0.0
    # Perfectly opposed families (correlation -1) would divide by zero; the floor keeps every figure finite.
    joint = max(squares + 2.0 * cross, 1e-12 * squares)
    return total, total * math.sqrt(squares / joint), total * total / joint


@_part
def _magnitude(evidence: float, model: Parameters) -> float:
    """Section 9, written as (1 - e^-kE) / (1 + e^-k(E - theta)): the same number, without cancellation."""
    if evidence <= 0.0:
        return 0.0
    raised = -expm1(-model.k * evidence) / (1.0 + exp(-model.k * (evidence - model.theta)))
    return min(raised, _BELOW_ONE)


@_part
def _order(found: int, families: Integers, family_sums: Floats, budgets: Floats, model: Parameters) -> float:
    """Section 11, temporal order T. Column 4 of `family_sums` becomes the mean age in units of the tolerance."""
    for i in range(found):
        family_sums[i, 4] = family_sums[i, 3] / family_sums[i, 0] / model.ordering_tolerance
    concordance = 0.0
    pairs = 0.0
    for i in range(found):
        signed = 0.0
        ordered = 0.0
        for j in range(i + 1, found):
            lead = min(max(family_sums[i, 4] - family_sums[j, 4], -1.0), 1.0)
            precedence = model.precedence[families[i], families[j]]
            signed += budgets[j] * (precedence * lead)
            ordered += budgets[j] * abs(precedence)
        concordance += budgets[i] * signed
        pairs += budgets[i] * ordered
    tau = concordance / pairs if pairs > 0.0 else 0.0
    return min(model.ordering_floor + (1.0 - model.ordering_floor) * (1.0 + tau) / 2.0, 1.0)


@_part
def _figures(
    found: int, families: Integers, family_sums: Floats, budgets: Floats, model: Parameters
) -> tuple[float, float, float, float, float, float, float, float, float]:
    """Return `FIGURES` for the families given."""
    total, evidence, effective = _independence(found, families, budgets, model)
    if total <= 0.0:
        return 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 50.0
    magnitude = _magnitude(evidence, model)
    lean = 0.0
    quality = 0.0
    for i in range(found):
        beta = budgets[i] / family_sums[i, 0]
        lean += beta * family_sums[i, 1]
        quality += beta * family_sums[i, 2]
    # Rounding may carry a mean of ones an ulp beyond one.
    lean = min(max(lean / total, -1.0), 1.0)
    quality = min(quality / total, 1.0)
    diversity = effective / (effective + model.diversity_half_point)
    ordering = _order(found, families, family_sums, budgets, model)
    logarithm = (
        _weighted_log(quality, model.quality_exponent)
        + _weighted_log(diversity, model.diversity_exponent)
        + _weighted_log(ordering, model.ordering_exponent)
    )
    confidence = exp(logarithm)
    legacy = 50.0 * (1.0 + lean * magnitude * exp(_weighted_log(confidence, model.gamma)))
    return evidence, effective, magnitude, lean, confidence, quality, diversity, ordering, legacy


@_part
def _chains(shares: Floats, model: Parameters, out: Floats) -> None:
    """Section 12: write p by chain type, then UNKNOWN's, into `out` (C + 1,). Without evidence UNKNOWN is 1."""
    unknown = model.min_families.size
    top = model.unknown_logit
    for c in range(unknown):
        z = 0.0
        supporting = 0
        last = -1
        for k in range(model.chain_start[c], model.chain_start[c + 1]):
            s = model.chain_signal[k]
            z += shares[s] * model.affinity[k]
            if shares[s] > 0.0 and model.family[s] != last:
                last = model.family[s]
                supporting += 1
        out[c] = z if supporting >= model.min_families[c] else -math.inf
        top = max(top, out[c])
    out[unknown] = model.unknown_logit
    total = 0.0
    for c in range(unknown + 1):
        out[c] = exp((out[c] - top) / model.temperature)
    for c in range(unknown + 1):
        total += out[c]
    for c in range(unknown + 1):
        out[c] /= total


# --- entry points --------------------------------------------------------------------------------------------------


@_jit
def grid(
    entity_low: int, entity_high: int, entity_groups: Integers, group_start: Integers, group_signal: Integers,
    times: Integers, state: Floats, moments: Integers, model: Parameters, figures: Floats, chains: Floats,
    counts: Integers, verdicts: NDArray[np.int8],
) -> None:  # fmt: skip
    """Score the entities in [low, high) at every moment (ascending), into rows of entity * T + step.

    `figures` (9, rows), `chains` (C + 1, rows), `counts` and `verdicts` (rows,). Entities are independent: any
    split of them over threads gives the same bits.
    """
    n_families = model.budget.size
    families = np.empty(n_families, np.int64)
    family_sums = np.empty((n_families, 5))
    budgets = np.empty(n_families)
    shares = np.empty(model.family.size)
    probabilities = np.empty(chains.shape[0])
    for entity in range(entity_low, entity_high):
        low = entity_groups[entity]
        high = entity_groups[entity + 1]
        signals = group_signal[low:high]
        now = np.empty((_SCALE + 1, high - low))
        place = np.empty((_CURSOR + 1, high - low), np.int64)
        live = np.empty(high - low, np.int64)
        sums = np.empty((4, high - low))
        available = 0
        _begin(low, high, group_start, now, place)
        for step in range(moments.size):
            t = moments[step]
            row = entity * moments.size + step
            available += _advance(t, low, high, group_start, times, state, now, place)
            count = _signals(t, signals, model, now, place, live, sums)
            found = _families(count, live, signals, sums, model, families, family_sums, budgets, shares)
            values = _figures(found, families, family_sums, budgets, model)
            for c in range(9):
                figures[c, row] = values[c]
            verdict = 0
            for cut in model.cuts:
                verdict += values[8] >= cut
            counts[row] = available
            verdicts[row] = verdict
            _chains(shares, model, probabilities)
            for c in range(probabilities.size):
                chains[c, row] = probabilities[c]


@_jit
def explain(
    t: int, group_start: Integers, group_signal: Integers, times: Integers, state: Floats, model: Parameters,
    family_deltas: Floats, event_deltas: Floats,
) -> None:  # fmt: skip
    """Section 15 for one entity at t: exact recomputation without each family, and without each event.

    `family_deltas` (F, 3): M, L, C by family, NaN where the family has no evidence. `event_deltas` (N,): M by event,
    NaN where it is not yet available. Events of equal weight in one signal have equal bits, so ties are ties.
    """
    n_families = model.budget.size
    n_groups = group_signal.size
    families = np.empty(n_families, np.int64)
    family_sums = np.empty((n_families, 5))
    budgets = np.empty(n_families)
    shares = np.empty(model.family.size)
    now = np.empty((_SCALE + 1, n_groups))
    place = np.empty((_CURSOR + 1, n_groups), np.int64)
    live = np.empty(n_groups, np.int64)
    sums = np.empty((4, n_groups))
    family_deltas[:] = math.nan
    event_deltas[:] = math.nan
    _begin(0, n_groups, group_start, now, place)
    _advance(t, 0, n_groups, group_start, times, state, now, place)
    count = _signals(t, group_signal, model, now, place, live, sums)
    found = _families(count, live, group_signal, sums, model, families, family_sums, budgets, shares)
    whole = _figures(found, families, family_sums, budgets, model)

    rest = np.empty(n_families, np.int64)
    rest_sums = np.empty((n_families, 5))
    rest_budgets = np.empty(n_families)
    for removed in range(found):
        kept = 0
        for i in range(found):
            if i != removed:
                rest[kept] = families[i]
                rest_sums[kept] = family_sums[i]
                rest_budgets[kept] = budgets[i]
                kept += 1
        values = _figures(kept, rest, rest_sums, rest_budgets, model)
        for c in range(3):
            family_deltas[families[removed], c] = whole[2 + c] - values[2 + c]

    for g in range(n_groups):
        for e in range(group_start[g], place[_CURSOR, g] + 1):
            event_deltas[e] = 0.0
    i = 0
    for k in range(count):
        g = live[k]
        family = model.family[group_signal[g]]
        while families[i] != family:
            i += 1
        budget = budgets[i]
        for e in range(group_start[g], place[_CURSOR, g] + 1):
            own = state[e, _OWN] * exp2(state[e, _ANCHOR] - now[_ANCHOR, g])
            without = (now[_WEIGHT, g] - own) * now[_SCALE, g]
            if without < model.evidence_floor:
                without = 0.0
            weight = 0.0
            for other in live[:count]:
                if model.family[group_signal[other]] == family:
                    weight += without if other == g else sums[0, other]
            budgets[i] = _budgeted(weight, model.budget[family])
            event_deltas[e] = whole[2] - _magnitude(_independence(found, families, budgets, model)[1], model)
        budgets[i] = budget
