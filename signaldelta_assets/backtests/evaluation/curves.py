"""The precision-recall curve of the ranked grid points, at a bounded size (pictures need no more).

The average precision is computed from every point (figures.py); this curve is for looking at.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .layout import Layout

CURVE_LEVELS = 200


@dataclass(frozen=True)
class CurvePoint:
    """What calling every point with at least this probability would give; `points` is how many these are."""

    threshold: float
    recall: float
    precision: float
    points: int


@dataclass(frozen=True)
class Operating:
    """The scored points at or above the alert threshold: where the alert rule stands, by points and not by alerts."""

    recall: float
    precision: float | None
    points: int


@dataclass(frozen=True)
class PrecisionRecall:
    """The curve over the scored points (uncensored, with a calibrated probability), from the highest probability on.

    Thinned: for each recall of 1/200, 2/200 ... 1 the highest threshold that reaches it, with its exact figures,
    each threshold once. `base_rate` is the precision of calling all points.
    """

    curve: tuple[CurvePoint, ...]
    operating: Operating
    base_rate: float


def precision_recall(layout: Layout, outcome: npt.NDArray[np.bool_]) -> PrecisionRecall | None:
    """Return the curve; None where the scored points are of one class only.

    `outcome` is y of every grid row. Counts are whole numbers, each share one quotient: the bits are the input's.
    """
    followed = outcome[layout.order]
    points, hits = len(followed), int(followed.sum())
    if hits in (0, points):
        return None
    # A tie group is called as one: only its last point is a place on the curve.
    ends = np.append(np.flatnonzero(np.diff(layout.group)), points - 1)
    reached = np.cumsum(followed)[ends]
    needed = -(-hits * np.arange(1, CURVE_LEVELS + 1) // CURVE_LEVELS)
    chosen = np.unique(np.searchsorted(reached, needed))
    probability = layout.probability[layout.order]
    curve = tuple(
        CurvePoint(
            threshold=float(probability[ends[place]]),
            recall=int(reached[place]) / hits,
            precision=int(reached[place]) / (int(ends[place]) + 1),
            points=int(ends[place]) + 1,
        )
        for place in chosen
    )
    above = layout.above[layout.order]
    called, true = int(above.sum()), int((above & followed).sum())
    operating = Operating(true / hits, true / called if called else None, called)
    return PrecisionRecall(curve, operating, hits / points)
