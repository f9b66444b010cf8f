"""Scales (signals.md 4.0): lin, ramp and lramp, for numbers and arrays alike."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


def lin(x: Any, a: float, b: float) -> Floats:
    """Return clip((x - a) / (b - a), 0, 1)."""
    clipped: Floats = np.clip((np.asarray(x, dtype=np.float64) - a) / (b - a), 0.0, 1.0)
    return clipped


def ramp(x: Any, a: float, b: float) -> Floats:
    """Return 0.25 + 0.75 lin(x, a, b): the weakest firing still counts a quarter."""
    return 0.25 + 0.75 * lin(x, a, b)


def lramp(x: Any, a: float, b: float) -> Floats:
    """Return the ramp of logarithms; x, a and b are positive."""
    return ramp(np.log(np.asarray(x, dtype=np.float64)), float(np.log(a)), float(np.log(b)))
