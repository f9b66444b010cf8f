"""Multiplicity over the trials of one hypothesis family: Holm and Benjamini-Hochberg (backtests.md)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .inputs import Floats


def holm(p_values: Sequence[float]) -> Floats:
    """Return Holm's adjusted p-values in the order given: the chance of any false claim is held (Holm 1979).

    A trial is claimed at level alpha where its adjusted value is at most alpha. Raises ValueError for a value
    outside [0, 1].
    """
    values = _checked(p_values)
    order = np.argsort(values, kind="stable")
    steps = values[order] * np.arange(len(values), 0, -1)
    adjusted = np.empty(len(values))
    adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1.0)
    return adjusted


def benjamini_hochberg(p_values: Sequence[float]) -> Floats:
    """Return Benjamini and Hochberg's adjusted p-values in the order given: the share of false claims is held (1995).

    Raises ValueError for a value outside [0, 1].
    """
    # Half a second to import, and needed by a report alone.
    from scipy.stats import false_discovery_control

    values = _checked(p_values)
    return np.asarray(false_discovery_control(values, method="bh"), dtype=np.float64) if len(values) else values


def _checked(p_values: Sequence[float]) -> Floats:
    values = np.asarray(p_values, dtype=np.float64)
    if values.ndim != 1 or not ((values >= 0.0) & (values <= 1.0)).all():
        raise ValueError(f"p_values: expected a sequence of numbers in [0, 1], found {p_values!r}")
    return values
