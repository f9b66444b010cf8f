"""Compiled arithmetic with the same bits on every CPU: the compiler wrapper, logarithm and exponential.

numpy's and libm's exp and log choose other code on other instruction sets and differ in the last bit, which would
change the bytes of a report. These two use IEEE + - * / and exponent bits alone; numba contracts and reassociates
nothing without ``fastmath``. Both follow fdlibm (Sun Microsystems 1993, freely distributable), error under 1 ulp.
"""

from __future__ import annotations

import math

from signaldelta_assets.versioning.compiling import jit

__all__ = ["exp", "jit", "log"]


@jit
def log(x: float) -> float:
    """Return the natural logarithm of a positive, finite, normal `x` (fdlibm e_log.c)."""
    mantissa, exponent = math.frexp(x)  # exact: x = mantissa * 2**exponent, mantissa in [0.5, 1)
    if mantissa < 0.7071067811865476:
        mantissa *= 2.0
        exponent -= 1
    f = mantissa - 1.0
    s = f / (2.0 + f)
    z = s * s
    w = z * z
    even = w * (3.999999999940941908e-01 + w * (2.222219843214978396e-01 + w * 1.531383769920937332e-01))
    odd = 6.666666666666735130e-01 + w * (
        2.857142874366239149e-01 + w * (1.818357216161805012e-01 + w * 1.479819860511658591e-01)
    )
    r = z * odd + even
    half = 0.5 * f * f
    return exponent * 6.93147180369123816490e-01 - (
        (half - (s * (half + r) + exponent * 1.90821492927058770002e-10)) - f
    )


@jit
def exp(x: float) -> float:
    """Return e**x for finite `x`; 0 below -745, infinity above 709.78 (fdlibm e_exp.c)."""
    if x > 709.782712893383973096:
        return math.inf
    if x < -745.13321910194110842:
        return 0.0
    k = math.floor(x * 1.44269504088896338700 + 0.5)
    high = x - k * 6.93147180369123816490e-01
    low = k * 1.90821492927058770002e-10
    r = high - low
    t = r * r
    c = r - t * (
        1.66666666666666019037e-01
        + t
        * (
            -2.77777777770155933842e-03
            + t * (6.61375632143793436117e-05 + t * (-1.65339022054652515390e-06 + t * 4.13813679705723846039e-08))
        )
    )
    return math.ldexp(1.0 - ((low - (r * c) / (2.0 - c)) - high), int(k))
