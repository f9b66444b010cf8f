"""Calibrated probabilities, fitted on the past only: a purged, embargoed walk-forward (backtests.md).

The grid's span is cut into ``folds + 1`` equal stretches of time. The first only trains. Each later one is given
the calibrator fitted on all points t of the past with t + H + embargo <= the stretch's start: the outcome of every
training point was decided, and the embargo gone by, before the first forecast is made.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.optimize import isotonic_regression

from .inputs import Floats, Ints
from .protocol import EvaluationProtocol
from .stable import exp, jit, log

Calibrator = Callable[[Floats], Floats]


@dataclass(frozen=True, slots=True)
class Fold:
    """One stretch of the walk-forward: forecasts for start <= t < end, trained on t <= trained_until (microseconds).

    `reason` says why a stretch has no forecasts, else None.
    """

    start: int
    end: int
    trained_until: int
    training_points: int
    training_positives: int
    reason: str | None


@jit
def _platt(score: Floats, outcome: npt.NDArray[np.bool_]) -> tuple[float, float]:
    """Return (a, b) of p = 1 / (1 + exp(a s + b)) by Newton's method on Platt's smoothed targets.

    Platt 1999 with the numerically safe form and stopping rule of Lin, Lin and Weng 2007, sums in row order.
    """
    positives = 0
    for row in range(len(outcome)):
        positives += 1 if outcome[row] else 0
    negatives = len(outcome) - positives
    hit, miss = (positives + 1.0) / (positives + 2.0), 1.0 / (negatives + 2.0)
    a, b = 0.0, log((negatives + 1.0) / (positives + 1.0))
    best, step, da, db, slope = np.inf, 0.0, 0.0, 0.0, 0.0
    for _ in range(200):
        loss = g1 = g2 = h12 = 0.0
        h11 = h22 = 1e-12
        x, y = a + step * da, b + step * db
        for row in range(len(score)):
            s = score[row]
            target = hit if outcome[row] else miss
            z = s * x + y
            e = exp(-abs(z))
            loss += log(1.0 + e) + (target * z if z >= 0.0 else (target - 1.0) * z)
            p = (e if z >= 0.0 else 1.0) / (1.0 + e)
            d1, d2 = target - p, p * (1.0 - p)
            g1 += s * d1
            g2 += d1
            h11 += s * s * d2
            h12 += s * d2
            h22 += d2
        if loss <= best + 1e-4 * step * slope or step == 0.0:
            a, b, best = x, y, loss
            scale = max(len(score), 1)
            if abs(g1) < 1e-10 * scale and abs(g2) < 1e-10 * scale:
                break
            determinant = h11 * h22 - h12 * h12
            if not determinant > 0.0:
                break
            da = -(h22 * g1 - h12 * g2) / determinant
            db = -(h11 * g2 - h12 * g1) / determinant
            slope, step = g1 * da + g2 * db, 1.0
        else:
            step *= 0.5
            if step < 1e-10:
                break
    return a, b


@jit
def _sigmoid(score: Floats, a: float, b: float) -> Floats:
    out = np.empty(len(score))
    for row in range(len(score)):
        z = a * score[row] + b
        e = exp(-abs(z))
        out[row] = (e if z >= 0.0 else 1.0) / (1.0 + e)
    return out


def fit(method: str, score: Floats, outcome: npt.NDArray[np.bool_]) -> Calibrator:
    """Return the calibrator ("platt" or "isotonic") fitted to scores and outcomes of the same length.

    Both give a probability for any score; isotonic joins its steps by straight lines and is flat beyond the
    scores it has seen, as scikit-learn's does.
    """
    if method == "platt":
        a, b = _platt(score, outcome)
        return lambda new: _sigmoid(new, a, b)
    knots, inverse, counts = np.unique(score, return_inverse=True, return_counts=True)
    share = np.bincount(inverse, weights=outcome) / counts
    levels: Floats = isotonic_regression(share, weights=counts.astype(np.float64)).x

    def interpolate(new: Floats) -> Floats:
        # Spelt out in single operations: np.interp may be contracted on some CPUs.
        right = np.clip(np.searchsorted(knots, new), 1, max(len(knots) - 1, 1))
        right = np.minimum(right, len(knots) - 1)
        left = np.maximum(right - 1, 0)
        width = np.where(right > left, knots[right] - knots[left], 1.0)
        share = np.clip((new - knots[left]) / width, 0.0, 1.0)
        return levels[left] + (levels[right] - levels[left]) * share

    return interpolate


def walk_forward(
    at: Ints, probability: Floats, outcome: npt.NDArray[np.bool_], protocol: EvaluationProtocol
) -> tuple[Floats, tuple[Fold, ...]]:
    """Return the calibrated probability of each grid point (NaN where the past does not suffice) and the folds.

    `at` in microseconds; `outcome` is y(t). With the method "none" the probabilities come back as they are.
    """
    if protocol.calibration == "none":
        return probability, ()
    calibrated = np.full(len(at), np.nan)
    span, stretches = protocol.end - protocol.start, protocol.folds + 1
    folds = []
    for number in range(1, stretches):
        start = protocol.start + span * number // stretches
        end = protocol.start + span * (number + 1) // stretches
        last = number == stretches - 1
        until = start - protocol.horizon - protocol.embargo
        past = at <= until
        inside = (at >= start) & ((at < end) | last)
        positives = int(outcome[past].sum())
        fewest = min(positives, int(past.sum()) - positives)
        reason = None
        if fewest < protocol.calibration_minimum:
            reason = f"{fewest} past points of the rarer outcome, {protocol.calibration_minimum} needed"
        else:
            calibrator = fit(protocol.calibration, probability[past], outcome[past])
            calibrated[inside] = calibrator(probability[inside])
        folds.append(Fold(start, end, until, int(past.sum()), positives, reason))
    return calibrated, tuple(folds)
