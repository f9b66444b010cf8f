"""The kernel: every compiled function of the score, and nothing that is not compiled.

They share one file on purpose: numba's disk cache notices a change of the file a function stands in, not of the
files it calls into, and a stale kernel would be a different kernel under the same name.

Bits must not depend on the processor (scoring.md, "Consequences"). So no libm and no numpy ufunc is called here:
the elementary functions below use IEEE + - * /, the correctly rounded square root and exponent bits alone, sums run
in one written order, and fastmath stays off, without which LLVM neither reassociates nor contracts to FMA.

Work goes in lanes: up to BLOCK moments of one entity (in an explanation: subsets of families, or events left out)
are rows of contiguous arrays, and every loop over them does one simple thing to few arrays, so that the compiler makes
vectors of it. Lanes never meet: one alone has the bits it has among others.

Times are int64 microseconds since the Unix epoch; ages are float64 microseconds.
"""

from __future__ import annotations

import math
from collections.abc import Callable
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


def _lane(function: _Function) -> _Function:
    # Inside a loop over lanes a call would keep the compiler from making vectors of it.
    return _jit(function, inlined=True)


class Parameters(NamedTuple):
    """A scoring model as arrays. S signals in order of (family, signal id), F families, C chain types."""

    family: Integers  # (S,) index of the signal's family
    decay_rate: Floats  # (S,) half-lives in a microsecond
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
_EVIDENCE, _EFFECTIVE, _MAGNITUDE, _LEAN, _CONFIDENCE, _QUALITY, _DIVERSITY, _ORDERING, _LEGACY = range(9)
# What a family or an event contributes is said of these three figures.
EXPLAINED = ("magnitude", "lean", "confidence")

# Columns of the state after each event.
_ANCHOR, _WEIGHT, _SIGNED, _RELIABLE, _AGED, _OWN = range(6)
STATE_COLUMNS = 6
_LAST = _OWN  # by lane, what its own weight was matters no more, but when it came does

# Lanes at a time: the rows of one entity's families then stay in the second-level cache.
BLOCK = 256

# Rows of a family (F, 6, lanes): W, D, Q, A, which `_budget` turns into B's companions: beta D, beta Q, mean age.
_FW, _FD, _FQ, _FA, _FB, _FBETA = range(6)
_FAMILY_ROWS = 6
# Rows of the sums over families (9, lanes), and two to work in.
_TOTAL, _SQUARES, _CROSS, _LEANING, _QUALITIES, _CONCORDANCE, _PAIRS, _WORK, _MORE = range(9)
_SUM_ROWS = 9

# --- elementary functions -------------------------------------------------------------------------------------

_LN2 = 0.6931471805599453
_LN2_REST = 2.3190468138462996e-17  # ln 2 - _LN2
# ln 2 in two parts (fdlibm, e_exp.c); the first has 32 significant bits, so that its product with an integer
# below 2^21 is exact.
_LN2_HIGH = 6.93147180369123816490e-01
_LN2_LOW = 1.90821492927058770002e-10
_LOG2E = 1.4426950408889634
# Adding 1.5 * 2^52 to a double below 2^51 rounds it to the nearest integer, ties to even, and leaves that integer in
# the low bits: no conversion instruction, which older processors have for one number at a time only.
_ROUND = 6755399441055744.0
_ROUND_BITS = 0x4338000000000000
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
# Taylor coefficients 1 / n! of e^r; for abs(r) <= ln(2) / 2 the rest after r^13 is below 2^-57.
_T3, _T4, _T5, _T6, _T7 = 1 / 6, 1 / 24, 1 / 120, 1 / 720, 1 / 5040
_T8, _T9, _T10, _T11, _T12, _T13 = 1 / 40320, 1 / 362880, 1 / 3628800, 1 / 39916800, 1 / 479001600, 1 / 6227020800


@_lane
def _curve(r: float) -> float:
    """Return e^r - 1 - r for abs(r) <= ln(2) / 2."""
    upper = _T8 + r * (_T9 + r * (_T10 + r * (_T11 + r * (_T12 + r * _T13))))
    return r * r * (0.5 + r * (_T3 + r * (_T4 + r * (_T5 + r * (_T6 + r * (_T7 + r * upper))))))


@_lane
def _raised(r: float, rest: float) -> float:
    """Return e^(r + rest) for abs(r) <= ln(2) / 2 and a rest below its last bit."""
    whole = 1.0 + r
    return whole + ((r - (whole - 1.0)) + (rest + _curve(r)))


@_lane
def _two_to(rounded: float) -> float:
    """Return 2^n for an integer n in [-1022, 1023], given as n + 1.5 * 2^52."""
    return np.int64((np.float64(rounded).view(np.int64) + 1023) << 52).view(np.float64)


@_lane
def exp2(x: float) -> float:
    """Return 2^x to within 1 ulp, exact for integers; 0 below -1022 (no subnormals), infinity from 1023 on."""
    inside = min(max(x, -1022.0), 1023.0)
    rounded = inside + _ROUND
    f = inside - (rounded - _ROUND)
    value = _raised(f * _LN2, f * _LN2_REST) * _two_to(rounded)
    value = 0.0 if x < -1022.0 else value
    return math.inf if x >= 1023.0 else value


@_lane
def expm1(x: float) -> float:
    """Return e^x - 1 for x <= 0, to within a few ulp also near 0."""
    inside = max(x, -40.0)
    rounded = inside * _LOG2E + _ROUND
    n = rounded - _ROUND
    high = inside - n * _LN2_HIGH
    low = n * _LN2_LOW
    r = high - low
    scale = _two_to(rounded)
    value = (scale - 1.0) + scale * (r + (((high - r) - low) + _curve(r)))
    return -1.0 if x < -40.0 else value


@_lane
def exp(x: float) -> float:
    """Return e^x to within 1 ulp; 0 below -700, infinity above 700."""
    inside = min(max(x, -700.0), 700.0)
    rounded = inside * _LOG2E + _ROUND
    n = rounded - _ROUND
    high = inside - n * _LN2_HIGH
    low = n * _LN2_LOW
    r = high - low
    value = _raised(r, (high - r) - low) * _two_to(rounded)
    value = 0.0 if x < -700.0 else value
    return math.inf if x > 700.0 else value


@_lane
def log(x: float) -> float:
    """Return the natural logarithm of a positive normal x to within 1 ulp (the reduction of fdlibm's e_log.c)."""
    bits = np.float64(x).view(np.int64)
    mantissa = np.int64((bits & _MANTISSA) | _ONE_BITS).view(np.float64)
    above = mantissa > _SQRT2
    m = mantissa * 0.5 if above else mantissa
    exponent = np.int64(((bits >> 52) - 1023) + _ROUND_BITS).view(np.float64) - _ROUND
    n = exponent + 1.0 if above else exponent
    f = m - 1.0
    s = f / (2.0 + f)
    z = s * s
    tail = z * (_L1 + z * (_L2 + z * (_L3 + z * (_L4 + z * (_L5 + z * (_L6 + z * _L7))))))
    half = 0.5 * f * f
    return n * _LN2_HIGH - ((half - (s * (half + tail) + n * _LN2_LOW)) - f)


@_lane
def _weighted_log(x: float, exponent: float) -> float:
    """Return exponent * ln(x) for x in [0, 1], so that e to it is x^exponent with 0^0 = 1 and 0^positive = 0."""
    value = -math.inf if x <= 0.0 else exponent * log(x)
    return 0.0 if exponent == 0.0 else value


# --- sections 7 and 8: decay and evidence per signal ------------------------------------------------------------


@_jit
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
            state[i, _ANCHOR] = anchored
            state[i, _WEIGHT] = weight
            state[i, _SIGNED] = signed
            state[i, _RELIABLE] = reliable
            state[i, _AGED] = aged
            state[i, _OWN] = own


@_jit
def _fill(row: Floats, low: int, high: int, value: float) -> None:
    for k in range(low, high):
        row[k] = value


@_jit
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
    anchored, weight = said[_ANCHOR], said[_WEIGHT]
    for k in range(n):
        scale[k] = exp2(anchored[k] - (at[k] - first) * rate)
    # A signal below the floor does not exist: it adds zeros, which change no bit.
    for k in range(n):
        scale[k] = scale[k] if weight[k] * scale[k] >= floor else 0.0
    total = family[_FW]
    for k in range(n):
        own[k] = weight[k] * scale[k]
        total[k] += own[k]
    signed, total = said[_SIGNED], family[_FD]
    for k in range(n):
        total[k] += signed[k] * scale[k]
    reliable, total = said[_RELIABLE], family[_FQ]
    for k in range(n):
        total[k] += reliable[k] * scale[k]
    aged, last = said[_AGED], said[_LAST]
    for k in range(n):
        aged[k] += weight[k] * (at[k] - last[k])
    total = family[_FA]
    for k in range(n):
        total[k] += aged[k] * scale[k]


@_jit
def _signals(
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
            for c in range(_FB):
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
                for c in range(_LAST):
                    _fill(said[c], k, until, state[i, c])
                _fill(said[_LAST], k, until, float(times[i]))
                available = i - start + 1
                for lane in range(k, until):
                    counts[lane] += available
            k = until
        cursor[g - group_low] = i
        if i < start:
            _fill(own[g - group_low], 0, n, 0.0)
        else:
            _decay(
                at, n, float(times[start]), model.decay_rate[signal], model.evidence_floor, said, sums[_WORK],
                family_rows[found - 1], own[g - group_low],
            )  # fmt: skip
    return found


# --- sections 9 to 14: from signals to figures --------------------------------------------------------------------


@_lane
def _budgeted(weight: float, budget: float) -> float:
    """Section 13."""
    return -budget * expm1(-weight / budget)


@_jit
def _budget(found: int, families: Integers, family_rows: Floats, n: int, model: Parameters) -> None:
    """Section 13: write B and beta; D and Q become beta D and beta Q, A the mean age in units of the tolerance."""
    for i in range(found):
        budget = model.budget[families[i]]
        weight = family_rows[i, _FW]
        spent = family_rows[i, _FB]
        beta = family_rows[i, _FBETA]
        for k in range(n):
            spent[k] = _budgeted(weight[k], budget)
        for k in range(n):
            beta[k] = spent[k] / weight[k] if weight[k] > 0.0 else 0.0
        row = family_rows[i, _FD]
        for k in range(n):
            row[k] = beta[k] * row[k]
        row = family_rows[i, _FQ]
        for k in range(n):
            row[k] = beta[k] * row[k]
        row = family_rows[i, _FA]
        for k in range(n):
            row[k] = row[k] / weight[k] / model.ordering_tolerance if weight[k] > 0.0 else 0.0


@_jit
def _combine(
    found: int, skip: int, families: Integers, family_rows: Floats, n: int, model: Parameters, sums: Floats
) -> None:
    """Write the sums over families and over pairs of them into `sums`; the family in slot `skip` stays out."""
    for c in range(_WORK):
        row = sums[c]
        for k in range(n):
            row[k] = 0.0
    total, squares, cross = sums[_TOTAL], sums[_SQUARES], sums[_CROSS]
    concordance, pairs = sums[_CONCORDANCE], sums[_PAIRS]
    both, lead = sums[_WORK], sums[_MORE]
    for i in range(found):
        if i == skip:
            continue
        spent, age = family_rows[i, _FB], family_rows[i, _FA]
        for k in range(n):
            total[k] += spent[k]
        for k in range(n):
            squares[k] += spent[k] * spent[k]
        leaning, row = sums[_LEANING], family_rows[i, _FD]
        for k in range(n):
            leaning[k] += row[k]
        qualities, row = sums[_QUALITIES], family_rows[i, _FQ]
        for k in range(n):
            qualities[k] += row[k]
        for j in range(i + 1, found):
            rho = model.correlation[families[i], families[j]]
            precedence = model.precedence[families[i], families[j]]
            if j == skip or (rho == 0.0 and precedence == 0.0):
                continue
            other, other_age = family_rows[j, _FB], family_rows[j, _FA]
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


@_jit
def _independence(sums: Floats, n: int, evidence: Floats, effective: Floats) -> None:
    """Section 14: write E and N; zeros where there is no evidence."""
    total, squares, cross, joint = sums[_TOTAL], sums[_SQUARES], sums[_CROSS], sums[_WORK]
    for k in range(n):
        # Perfectly opposed families (correlation -1) would divide by zero; the floor keeps every figure finite.
        joint[k] = max(squares[k] + 2.0 * cross[k], 1e-12 * squares[k])
    for k in range(n):
        evidence[k] = total[k] * math.sqrt(squares[k] / joint[k]) if total[k] > 0.0 else 0.0
    for k in range(n):
        effective[k] = total[k] * total[k] / joint[k] if total[k] > 0.0 else 0.0


@_jit
def _magnitude(evidence: Floats, n: int, model: Parameters, magnitude: Floats) -> None:
    """Section 9, written as (1 - e^-kE) / (1 + e^-k(E - theta)): the same number, without cancellation."""
    for k in range(n):
        raised = -expm1(-model.k * evidence[k]) / (1.0 + exp(-model.k * (evidence[k] - model.theta)))
        magnitude[k] = min(raised, _BELOW_ONE)


@_jit
def _figures(sums: Floats, n: int, model: Parameters, out: Floats) -> None:
    """Sections 9 to 11 and 14 from the sums over families: write `FIGURES` into `out` (9, lanes)."""
    total, work, more = sums[_TOTAL], sums[_WORK], sums[_MORE]
    _independence(sums, n, out[_EVIDENCE], out[_EFFECTIVE])
    _magnitude(out[_EVIDENCE], n, model, out[_MAGNITUDE])
    lean, leaning = out[_LEAN], sums[_LEANING]
    # Rounding may carry a mean of ones an ulp beyond one.
    for k in range(n):
        lean[k] = min(max(leaning[k] / total[k], -1.0), 1.0) if total[k] > 0.0 else 0.0
    quality, qualities = out[_QUALITY], sums[_QUALITIES]
    for k in range(n):
        quality[k] = min(qualities[k] / total[k], 1.0) if total[k] > 0.0 else 0.0
    diversity, effective = out[_DIVERSITY], out[_EFFECTIVE]
    for k in range(n):
        diversity[k] = effective[k] / (effective[k] + model.diversity_half_point)
    concordance, pairs = sums[_CONCORDANCE], sums[_PAIRS]
    for k in range(n):
        work[k] = concordance[k] / pairs[k] if pairs[k] > 0.0 else 0.0
    ordering, least = out[_ORDERING], model.ordering_floor
    for k in range(n):
        ordered = min(least + (1.0 - least) * (1.0 + work[k]) / 2.0, 1.0)
        ordering[k] = ordered if total[k] > 0.0 else 0.0
    # ln C, of which C and C^gamma are powers.
    for k in range(n):
        work[k] = _weighted_log(quality[k], model.quality_exponent)
    for k in range(n):
        work[k] += _weighted_log(diversity[k], model.diversity_exponent)
    for k in range(n):
        work[k] += _weighted_log(ordering[k], model.ordering_exponent)
    confidence = out[_CONFIDENCE]
    for k in range(n):
        confidence[k] = exp(work[k]) if total[k] > 0.0 else 0.0
    for k in range(n):
        more[k] = exp(model.gamma * work[k]) if model.gamma > 0.0 else 1.0
    legacy, magnitude = out[_LEGACY], out[_MAGNITUDE]
    for k in range(n):
        legacy[k] = lean[k] * magnitude[k]
    for k in range(n):
        legacy[k] = 50.0 * (1.0 + legacy[k] * more[k])


@_jit
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


@_jit
def _chains(
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
        mine, beta = own[g], family_rows[slot[g], _FBETA]
        for k in range(n):
            mine[k] = beta[k] * mine[k]
    top = sums[_WORK]
    total = sums[_MORE]
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


@_jit
def _store(lanes: Floats, n: int, column: Floats, row: int) -> None:
    for k in range(n):
        column[row + k] = lanes[k]


# --- entry points --------------------------------------------------------------------------------------------------


@_jit
def grid(
    entity_low: int, entity_high: int, entity_groups: Integers, group_start: Integers, group_signal: Integers,
    times: Integers, state: Floats, moments: Integers, model: Parameters, figures: Floats, chains: Floats,
    counts: Integers, verdicts: NDArray[np.int8], deltas: Floats,
) -> None:  # fmt: skip
    """Score the entities in [low, high) at every moment (ascending), into rows of entity * T + step.

    `figures` (9, rows), `chains` (C + 1, rows), `counts` and `verdicts` (rows,). `deltas` (F, 3, rows) gets what each
    family adds to M, L and C, zeros where it has no evidence; with no rows it is left out. Entities are independent:
    any split of them over threads gives the same bits.
    """
    n_families = model.budget.size
    lanes = min(BLOCK, moments.size)
    widest = 0
    for entity in range(entity_low, entity_high):
        widest = max(widest, entity_groups[entity + 1] - entity_groups[entity])
    families = np.empty(n_families, np.int64)
    family_rows = np.empty((n_families, _FAMILY_ROWS, lanes))
    sums = np.empty((_SUM_ROWS, lanes))
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
            found = _signals(
                moments, begin, n, low, high, group_start, group_signal, times, state, model, at, cursor, families,
                family_rows, slot, own, said, sums, counts[row : row + n],
            )  # fmt: skip
            _budget(found, families, family_rows, n, model)
            _combine(found, -1, families, family_rows, n, model, sums)
            _figures(sums, n, model, out)
            _chains(high - low, low, group_signal, slot, family_rows, own, n, model, place, sums, shares)
            for c in range(len(FIGURES)):
                _store(out[c], n, figures[c], row)
            for c in range(chains.shape[0]):
                _store(shares[c], n, chains[c], row)
            legacy = out[_LEGACY]
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
                    _combine(found, removed, families, family_rows, n, model, sums)
                    _figures(sums, n, model, without)
                    for c in range(3):
                        whole, rest = out[_MAGNITUDE + c], without[_MAGNITUDE + c]
                        for k in range(n):
                            rest[k] = whole[k] - rest[k]
                        _store(rest, n, deltas[families[removed], c], row)


@_jit
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
    family_rows = np.empty((n_families, _FAMILY_ROWS, 1))
    sums = np.empty((_SUM_ROWS, BLOCK))
    figures = np.empty((len(FIGURES), BLOCK))
    at = np.empty(1)
    slot = np.empty(n_groups, np.int64)
    cursor = np.empty(n_groups, np.int64)
    own = np.empty((n_groups, 1))
    said = np.empty((STATE_COLUMNS, 1))
    counts = np.empty(1, np.int64)
    for g in range(n_groups):
        cursor[g] = group_start[g] - 1
    found = _signals(
        moments, 0, 1, 0, n_groups, group_start, group_signal, times, state, model, at, cursor, families, family_rows,
        slot, own, said, sums, counts,
    )  # fmt: skip
    _budget(found, families, family_rows, 1, model)
    _combine(found, -1, families, family_rows, 1, model, sums)
    _figures(sums, 1, model, figures)
    whole = figures[:, 0].copy()
    family_deltas[:] = math.nan
    event_deltas[:] = math.nan
    held = 0
    for i in range(found):
        if family_rows[i, _FB, 0] > 0.0:
            present[held] = families[i]
            held += 1
            _combine(found, i, families, family_rows, 1, model, sums)
            _figures(sums, 1, model, figures)
            for c in range(3):
                family_deltas[families[i], c] = whole[_MAGNITUDE + c] - figures[_MAGNITUDE + c, 0]

    lanes = np.empty((found, _FAMILY_ROWS, BLOCK))
    for i in range(found):
        for c in range(_FAMILY_ROWS):
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
            scale = exp2(state[last, _ANCHOR] - age * model.decay_rate[group_signal[g]])
            for k in range(n):
                alone = state[begin + k, _OWN] * exp2(state[begin + k, _ANCHOR] - state[last, _ANCHOR])
                less = (state[last, _WEIGHT] - alone) * scale
                less = less if less >= model.evidence_floor else 0.0
                weight = 0.0
                for other in range(n_groups):
                    if slot[other] == i:
                        weight += less if other == g else own[other, 0]
                lanes[i, _FB, k] = _budgeted(weight, budget)
            _combine(found, -1, families, lanes, n, model, sums)
            _independence(sums, n, figures[_EVIDENCE], figures[_EFFECTIVE])
            _magnitude(figures[_EVIDENCE], n, model, figures[_MAGNITUDE])
            for k in range(n):
                event_deltas[begin + k] = whole[_MAGNITUDE] - figures[_MAGNITUDE, k]
        lanes[i, _FB] = family_rows[i, _FB, 0]

    if subsets.shape[1]:
        for begin in range(0, 1 << held, BLOCK):
            n = min(BLOCK, (1 << held) - begin)
            member = 0
            for i in range(found):
                if family_rows[i, _FB, 0] > 0.0:
                    for c in range(_FAMILY_ROWS):
                        for k in range(n):
                            lanes[i, c, k] = family_rows[i, c, 0] if ((begin + k) >> member) & 1 else 0.0
                    member += 1
            _combine(found, -1, families, lanes, n, model, sums)
            _figures(sums, n, model, figures)
            for k in range(n):
                subsets[0, begin + k] = figures[_MAGNITUDE, k]
                subsets[1, begin + k] = figures[_MAGNITUDE, k] * figures[_CONFIDENCE, k]
                subsets[2, begin + k] = figures[_LEGACY, k]
    return held


@_jit
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
