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

from signaldelta_assets.scoring.elementary import exp, log
from signaldelta_assets.versioning.compiling import jit

from .inputs import Floats, Ints
from .parallel import in_order
from .protocol import EvaluationProtocol

_PIECE = 65_536  # rows of a fit that are summed together

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
def _platt_sums(
    low: int, high: int, score: Floats, outcome: npt.NDArray[np.bool_], hit: float, miss: float, a: float, b: float
) -> tuple[float, float, float, float, float, float]:
    """Return the loss at (a, b), its gradient (2) and its Hessian (11, 12, 22) over rows low:high, in row order."""
    loss = g1 = g2 = h11 = h12 = h22 = 0.0
    factor, factors = 1.0, 0
    for row in range(low, high):
        s = score[row]
        target = hit if outcome[row] else miss
        z = s * a + b
        e = exp(-abs(z))
        # log(1 + e) is taken of the product of many: each factor is at most 2.
        factor *= 1.0 + e
        factors += 1
        if factors == 1000:
            loss += log(factor)
            factor, factors = 1.0, 0
        loss += target * z if z >= 0.0 else (target - 1.0) * z
        p = (e if z >= 0.0 else 1.0) / (1.0 + e)
        d1, d2 = target - p, p * (1.0 - p)
        g1 += s * d1
        g2 += d1
        h11 += s * s * d2
        h12 += s * d2
        h22 += d2
    return loss + log(factor), g1, g2, h11, h12, h22


def _platt(score: Floats, outcome: npt.NDArray[np.bool_]) -> tuple[float, float]:
    """Return (a, b) of p = 1 / (1 + exp(a s + b)) by Newton's method on Platt's smoothed targets.

    Platt 1999 with the numerically safe form and stopping rule of Lin, Lin and Weng 2007. Sums run in row order
    within pieces of _PIECE rows, and over the pieces in order.
    """
    rows = len(score)
    positives = int(np.count_nonzero(outcome))
    negatives = rows - positives
    hit, miss = (positives + 1.0) / (positives + 2.0), 1.0 / (negatives + 2.0)
    pieces = [(low, min(low + _PIECE, rows)) for low in range(0, rows, _PIECE)]

    def sums(x: float, y: float) -> list[float]:
        total = [0.0, 0.0, 0.0, 1e-12, 0.0, 1e-12]
        for part in in_order(lambda piece: _platt_sums(*piece, score, outcome, hit, miss, x, y), pieces):
            total = [one + other for one, other in zip(total, part, strict=True)]
        return total

    a, b = 0.0, float(log((negatives + 1.0) / (positives + 1.0)))
    best, step, da, db, slope = np.inf, 0.0, 0.0, 0.0, 0.0
    for _ in range(200):
        x, y = a + step * da, b + step * db
        loss, g1, g2, h11, h12, h22 = sums(x, y)
        # So near the minimum the loss no longer tells better from worse, and Newton's full steps double the digits.
        near = -slope <= 1e-9 * rows
        if step == 0.0 or near or loss <= best + 1e-4 * step * slope:
            a, b, best = x, y, loss
            determinant = h11 * h22 - h12 * h12
            if not determinant > 0.0:
                break
            da = -(h22 * g1 - h12 * g2) / determinant
            db = -(h11 * g2 - h12 * g1) / determinant
            done, slope, step = near and step != 0.0, g1 * da + g2 * db, 1.0
            if done and -slope <= 1e-22 * rows:
                break
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
    # Imported here: it brings all of SciPy's optimizers, a third of what this room takes to load, and few runs ask.
    from scipy.optimize import isotonic_regression

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
