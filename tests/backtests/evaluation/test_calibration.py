"""Calibration is fitted on the past alone: purged by the horizon, held off by the embargo."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from signaldelta_assets.backtests import evaluate
from signaldelta_assets.backtests.evaluation import calibrated_grid
from signaldelta_assets.backtests.evaluation.calibration import fit

from .support import simulate, simulated_protocol


@pytest.mark.parametrize("method", ["platt", "isotonic"])
def test_the_future_never_reaches_back(method: str) -> None:
    grid, events = simulate(4, entities=6, lead_hours=30)
    made = simulated_protocol(calibration={"method": method}, embargo_hours=24)
    before = calibrated_grid(grid, events, made).to_pandas().set_index(["entity_id", "at"])["probability"]
    result = evaluate(grid, events, made)
    for fold in result.calibration:
        start = pd.Timestamp(fold.start, unit="us", tz="UTC")
        assert fold.trained_until == fold.start - (48 + 24) * 3_600_000_000
        # Every outcome and score that was not decided when training stopped may change: forecasts up to then do not.
        decided = start - pd.Timedelta(hours=24)
        changed = pd.concat([events[events["event_time"] <= decided], events.iloc[:40].assign(event_time=start)])
        scores = grid.copy()
        scores.loc[scores["at"] >= start, "probability"] = np.random.default_rng(0).random(
            (scores["at"] >= start).sum()
        )
        after = calibrated_grid(scores, changed, made).to_pandas().set_index(["entity_id", "at"])["probability"]
        stamps = before.index.get_level_values("at")
        pd.testing.assert_series_equal(before[stamps < start], after[stamps < start], check_exact=True)
        # The calibrator of this fold itself: the same scores give the same forecasts.
        same = calibrated_grid(grid, changed, made).to_pandas().set_index(["entity_id", "at"])["probability"]
        until = stamps < pd.Timestamp(fold.end, unit="us", tz="UTC")
        pd.testing.assert_series_equal(before[until], same[until], check_exact=True)


def test_an_outcome_before_the_cut_does_matter() -> None:
    grid, events = simulate(4, entities=6, lead_hours=30)
    made = simulated_protocol(calibration={"method": "platt"})
    fold = evaluate(grid, events, made).calibration[0]
    cut = pd.Timestamp(fold.trained_until, unit="us", tz="UTC")
    some = calibrated_grid(grid, events, made)["probability"].to_pandas()
    other = calibrated_grid(grid, events[events["event_time"] > cut], made)["probability"].to_pandas()
    assert not some.equals(other)


def test_points_without_a_past_are_left_out_of_the_scores_but_not_of_the_rest() -> None:
    grid, events = simulate(4, entities=6, lead_hours=30)
    plain = evaluate(grid, events, simulated_protocol())
    calibrated = evaluate(grid, events, simulated_protocol(calibration={"method": "isotonic"}))
    assert calibrated.n_points == plain.n_points == plain.n_scored_points
    assert 0 < calibrated.n_scored_points < calibrated.n_points
    assert calibrated.false_positive_rate == plain.false_positive_rate
    assert calibrated.base_rate == plain.base_rate
    assert calibrated.brier is not None
    assert plain.brier is not None
    assert calibrated.brier < plain.brier
    assert calibrated.murphy is not None
    assert plain.murphy is not None
    assert calibrated.murphy.reliability < plain.murphy.reliability / 4


def test_too_short_a_past_gives_no_forecast_and_says_so() -> None:
    grid, events = simulate(4, entities=6, hours=24 * 14)
    made = simulated_protocol(24 * 14, calibration={"method": "platt", "minimum_of_each_class": 10**6})
    result = evaluate(grid, events, made)
    assert result.brier is None
    assert result.auc is None
    assert result.reasons["brier"] == "no uncensored grid point has a calibrated probability"
    assert all(fold.reason for fold in result.calibration)
    assert sum("no calibrated probability" in warning for warning in result.warnings) == 3
    assert result.precision is not None


def test_one_score_only() -> None:
    outcome = np.array([True, False, False, False])
    assert fit("isotonic", np.full(4, 0.3), outcome)(np.array([0.0, 0.3, 1.0])).tolist() == [0.25] * 3
    assert fit("platt", np.full(4, 0.3), outcome)(np.array([0.3])) == pytest.approx((2 / 3 + 3 * 1 / 5) / 4, abs=1e-6)
