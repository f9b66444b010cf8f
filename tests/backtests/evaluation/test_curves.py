"""The precision-recall curve: scikit-learn's own points, thinned by the stated rule, ties called together."""

from __future__ import annotations

import math

import numpy as np
import pytest
from sklearn.metrics import precision_recall_curve

from signaldelta_assets.backtests import evaluate
from signaldelta_assets.backtests.evaluation.curves import CURVE_LEVELS

from .support import HOUR, START, event_frame, grid_frame, simulate, simulated_protocol


def _outcome(grid, events, hours: int) -> np.ndarray:
    times = {entity: part.to_numpy() for entity, part in events.groupby("entity_id")["event_time"]}
    out = []
    for entity, at in zip(grid["entity_id"], grid["at"], strict=True):
        ahead = times.get(entity, np.array([], dtype="datetime64[ns]"))
        out.append(any(at < v <= at + np.timedelta64(hours, "h") for v in ahead))
    return np.array(out)


@pytest.mark.parametrize("decimals", [12, 1])  # one: many ties
def test_every_point_is_one_of_scikit_learns_and_the_rule_is_kept(decimals: int) -> None:
    grid, events = simulate(4, entities=5, hours=24 * 30, lead_hours=24.0)
    for name in ("alert_score", "probability"):
        grid[name] = grid[name].round(decimals)
    protocol = simulated_protocol(24 * 30, calibration={"method": "none"}, bootstrap__replicates=0)
    found = evaluate(grid, events, protocol).precision_recall
    inside = grid["at"] <= grid["at"].max() - np.timedelta64(48, "h")
    y, p = _outcome(grid, events, 48)[inside], grid["probability"][inside].to_numpy()
    precision, recall, thresholds = precision_recall_curve(y, p)
    expected = {t: (r, q) for t, r, q in zip(thresholds, recall, precision, strict=False)}
    assert found is not None and 1 < len(found.curve) <= CURVE_LEVELS
    for point in found.curve:
        assert (point.recall, point.precision) == pytest.approx(expected[point.threshold], abs=1e-12)
        assert point.points == (p >= point.threshold).sum()
    needed = [math.ceil(y.sum() * level / CURVE_LEVELS) for level in range(1, CURVE_LEVELS + 1)]
    ruled = {max(t for t in np.unique(p) if y[p >= t].sum() >= hits) for hits in needed}
    assert [point.threshold for point in found.curve] == sorted(ruled, reverse=True)
    assert found.curve[-1].recall == 1.0 and found.base_rate == y.mean()
    called = p >= 0.75
    assert found.operating.points == called.sum() > 0
    assert found.operating.recall == (called & y).sum() / y.sum()
    assert found.operating.precision == (called & y).sum() / called.sum()


def test_one_class_has_no_curve() -> None:
    at = START + HOUR * np.arange(24 * 30)
    grid = grid_frame("E", at, np.linspace(0.0, 1.0, len(at)))
    protocol = simulated_protocol(24 * 30, calibration={"method": "none"}, bootstrap__replicates=0)
    result = evaluate(grid, event_frame([("F", "A", START + 100 * HOUR)]), protocol)
    assert result.precision_recall is None and result.reasons["auc"].startswith("one class only")
    assert result.to_document()["precision_recall"] is None
