"""In noise the report must find nothing: intervals cover the null about as often as they say, naive ones do not."""

from __future__ import annotations

import numpy as np
import pytest

from signaldelta_assets.backtests import Evaluation, evaluate

from .support import simulate, simulated_protocol

RUNS = 60
# 60 runs at 95 %: 51 or fewer hits happen by chance less than once in 200 times.
LEAST = 52


@pytest.fixture(scope="module")
def noise() -> list[Evaluation]:
    made = simulated_protocol(nulls__draws=40)
    return [evaluate(*simulate(1000 + run, memory_hours=72.0), made) for run in range(RUNS)]


@pytest.mark.parametrize("null", ["shifted_events", "random_alerts"])
@pytest.mark.parametrize("figure", ["precision", "recall", "auc", "average_precision", "false_positive_rate"])
def test_the_difference_from_the_null_covers_nothing(noise: list[Evaluation], null: str, figure: str) -> None:
    if figure not in noise[0].nulls[null]:
        assert null == "random_alerts"
        assert figure not in ("precision", "recall")
        return
    spans = [run.nulls[null][figure].difference_interval for run in noise]
    assert sum(span is not None and span.lo <= 0 <= span.hi for span in spans) >= LEAST


def test_auc_covers_a_half_where_the_naive_interval_does_not(noise: list[Evaluation]) -> None:
    covered = naive = 0
    for run in noise:
        span = run.intervals["auc"]
        assert span is not None
        assert run.auc is not None
        assert run.base_rate is not None
        covered += span.lo <= 0.5 <= span.hi
        # Hanley and McNeil's standard error at AUC 1/2, points taken as independent.
        hits = run.n_points * run.base_rate
        misses = run.n_points - hits
        naive += abs(run.auc - 0.5) <= 1.96 * np.sqrt((hits + misses + 1) / (12 * hits * misses))
    assert covered >= LEAST
    assert naive <= RUNS // 2


def test_p_values_of_noise_are_not_small_too_often(noise: list[Evaluation]) -> None:
    for figure in ("auc", "precision", "recall"):
        values = np.array([run.nulls["shifted_events"][figure].p_value for run in noise], dtype=float)
        assert (values <= 0.1).sum() <= RUNS * 0.1 + 3 * np.sqrt(RUNS * 0.09)
        assert 0.3 < values.mean() < 0.7


def test_strewn_alerts_make_noise_look_skilled() -> None:
    # Why the null keeps the gaps between alerts: against uniformly strewn ones, dispersion alone passes for skill.
    changes = {"horizon_hours": 168, "nulls__draws": 40, "bootstrap__replicates": 0}
    panels = [simulate(2000 + run, memory_hours=12.0) for run in range(16)]
    better = {}
    for kind in ("uniform", "spaced"):
        made = simulated_protocol(**changes, nulls__alerts=kind)
        found = [evaluate(*panel, made).nulls["random_alerts"]["recall"].difference for panel in panels]
        better[kind] = sum(difference is not None and difference > 0 for difference in found)
    assert better["uniform"] >= 15
    assert 3 <= better["spaced"] <= 13


def test_a_planted_effect_is_recovered() -> None:
    made = simulated_protocol(nulls__draws=40)
    result = evaluate(*simulate(5, lead_hours=30.0, strength=4.0, events_per_week=0.4), made)
    assert result.lead_time_hours is not None
    span = result.intervals["lead_time_hours.median"]
    assert span is not None
    # The score rises 30 h before the event, and alerts fire at the next whole hour.
    assert span.lo <= 30 <= span.hi + 1
    for null in result.nulls.values():
        for figure in ("precision", "recall"):
            assert null[figure].difference_interval is not None
            assert null[figure].difference_interval.lo > 0
            assert null[figure].p_value == pytest.approx(1 / 41)
    auc = result.nulls["shifted_events"]["auc"]
    assert auc.difference_interval is not None
    assert auc.difference_interval.lo > 0.1
