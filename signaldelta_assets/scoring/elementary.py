"""exp2, exp, expm1 and log with the same bits on every processor, and fit to stand inside a loop over lanes.

numpy's and libm's choose other code on other instruction sets and differ in the last bit. These use IEEE + - * / and
exponent bits alone; they have no table and no branch, so that a loop of them becomes vectors.
"""

from __future__ import annotations

import math

import numpy as np

from ..versioning.compiling import inlined

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
# Taylor coefficients 1 / n! of e^r; for abs(r) <= ln(2) / 2 the rest after r^13 is below 2^-57.
_T3, _T4, _T5, _T6, _T7 = 1 / 6, 1 / 24, 1 / 120, 1 / 720, 1 / 5040
_T8, _T9, _T10, _T11, _T12, _T13 = 1 / 40320, 1 / 362880, 1 / 3628800, 1 / 39916800, 1 / 479001600, 1 / 6227020800


@inlined
def _curve(r: float) -> float:
    """Return e^r - 1 - r for abs(r) <= ln(2) / 2."""
    upper = _T8 + r * (_T9 + r * (_T10 + r * (_T11 + r * (_T12 + r * _T13))))
    return r * r * (0.5 + r * (_T3 + r * (_T4 + r * (_T5 + r * (_T6 + r * (_T7 + r * upper))))))


@inlined
def _raised(r: float, rest: float) -> float:
    """Return e^(r + rest) for abs(r) <= ln(2) / 2 and a rest below its last bit."""
    whole = 1.0 + r
    return whole + ((r - (whole - 1.0)) + (rest + _curve(r)))


@inlined
def _two_to(rounded: float) -> float:
    """Return 2^n for an integer n in [-1022, 1023], given as n + 1.5 * 2^52."""
    return np.int64((np.float64(rounded).view(np.int64) + 1023) << 52).view(np.float64)


@inlined
def exp2(x: float) -> float:
    """Return 2^x to within 1 ulp, exact for integers; 0 below -1022 (no subnormals), infinity from 1023 on."""
    inside = min(max(x, -1022.0), 1023.0)
    rounded = inside + _ROUND
    f = inside - (rounded - _ROUND)
    value = _raised(f * _LN2, f * _LN2_REST) * _two_to(rounded)
    value = 0.0 if x < -1022.0 else value
    return math.inf if x >= 1023.0 else value


@inlined
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


@inlined
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


@inlined
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
