"""Against scikit-learn, scipy, numpy and exact decimals: figures with ties, weighted replicates, log and exp."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import CensoredData, ecdf, false_discovery_control
from sklearn.calibration import _sigmoid_calibration
from sklearn.isotonic import IsotonicRegression
from sklearn.metrics import average_precision_score, brier_score_loss, log_loss, roc_auc_score

from signaldelta_assets.backtests.evaluation import benjamini_hochberg, evaluate, holm
from signaldelta_assets.backtests.evaluation.alerts import fire
from signaldelta_assets.backtests.evaluation.calibration import fit
from signaldelta_assets.backtests.evaluation.figures import figures
from signaldelta_assets.backtests.evaluation.inputs import read_panel
from signaldelta_assets.backtests.evaluation.layout import Layout, lay_out
from signaldelta_assets.backtests.evaluation.matching import first_since, followed
from signaldelta_assets.backtests.evaluation.outcomes import FIGURES, Forecasts, Target, _ties, expected_outcomes
from signaldelta_assets.backtests.evaluation.ranking import areas, rank
from signaldelta_assets.backtests.evaluation.sample import Sample, claim, draw_sample, rank_points

from .support import HOUR, START, event_frame, grid_frame, protocol

LANES = 8


def uncensored(layout: Layout) -> np.ndarray:
    """The rows of which the horizon ends within the grid."""
    return layout.panel.at + layout.protocol.horizon <= layout.protocol.end


def random_case(seed: int, decimals: int | None) -> tuple[Layout, Sample, np.ndarray, dict[str, object]]:
    """A panel with ties where `decimals` is small, and probabilities of exactly 0 and 1 among the others."""
    rng = np.random.default_rng(seed)
    hours, names = 60, ["u", "v", "w"]
    made = protocol(grid__end=START + (hours - 1) * HOUR, horizon_hours=4)
    probability = rng.random(hours * 3)
    probability = probability if decimals is None else np.round(probability, decimals)
    grid = grid_frame(np.repeat(names, hours), START + HOUR * np.tile(np.arange(hours), 3), probability)
    events = event_frame(
        [(str(rng.choice(names)), kind, START + int(rng.integers(0, hours * HOUR))) for kind in "ABAABBAABABABB"]
    )
    panel = read_panel(grid, events, made)
    fired = fire(panel.grid_starts, panel.at, panel.score, 0.6, 0.4, 0)
    claims = claim(made, panel, fired, panel.event_entity, panel.event_at, panel.event_error)
    outcome = followed(panel.grid_starts, panel.at, panel.event_starts, panel.event_at, made.horizon)
    layout = lay_out(panel, panel.probability, made)
    sample = draw_sample(layout, claims, outcome, rank_points(layout, [outcome]))
    return layout, sample, outcome, {"grid": grid, "events": events, "protocol": made}


@pytest.mark.parametrize("decimals", [1, 2, None])
@pytest.mark.parametrize("seed", range(4))
def test_figures_equal_scikit_learn(seed: int, decimals: int | None) -> None:
    layout, _, outcome, tables = random_case(seed, decimals)
    result = evaluate(**tables)  # type: ignore[arg-type]
    y, p = outcome[uncensored(layout)], layout.probability[uncensored(layout)]
    base = y.mean()
    assert result.auc == pytest.approx(roc_auc_score(y, p), abs=1e-9)
    assert result.average_precision == pytest.approx(average_precision_score(y, p), abs=1e-9)
    assert result.brier == pytest.approx(brier_score_loss(y, p), abs=1e-9)
    assert result.log_loss == pytest.approx(log_loss(y, p), abs=1e-9)
    assert result.brier_skill == pytest.approx(1 - brier_score_loss(y, p) / (base * (1 - base)), abs=1e-9)
    parts = result.murphy
    assert parts is not None
    assert parts.reliability - parts.resolution + parts.uncertainty + parts.within_bins == pytest.approx(result.brier)
    assert parts.uncertainty == pytest.approx(base * (1 - base))
    for place, found in enumerate(result.reliability):
        inside = np.minimum((p * 10).astype(int), 9) == place
        assert found.points == inside.sum()
        if inside.any():
            assert (found.forecast, found.observed) == pytest.approx((p[inside].mean(), y[inside].mean()))


@pytest.mark.parametrize("decimals", [1, None])
def test_a_replicate_is_the_figure_of_the_resampled_data(decimals: int | None) -> None:
    layout, sample, outcome, tables = random_case(11, decimals)
    rng = np.random.default_rng(0)
    weights = rng.poisson(1.0, (layout.clusters, LANES)).astype(np.uint8)
    found = figures(sample, weights, layout.protocol)
    rows = np.flatnonzero(uncensored(layout))
    y, p = outcome[rows], layout.probability[rows]
    for lane in range(LANES):
        times = weights[layout.cluster[rows], lane]
        assert found["auc"][lane] == pytest.approx(roc_auc_score(y, p, sample_weight=times), abs=1e-9)
        assert found["average_precision"][lane] == pytest.approx(
            average_precision_score(y, p, sample_weight=times), abs=1e-9
        )
        assert found["brier"][lane] == pytest.approx(brier_score_loss(y, p, sample_weight=times), abs=1e-9)
        assert found["log_loss"][lane] == pytest.approx(log_loss(y, p, sample_weight=times), abs=1e-9)
        leads = np.repeat(sample.lead, weights[sample.lead_cluster, lane])
        expected = np.quantile(leads, [0.25, 0.5, 0.75]) if len(leads) else np.full(3, np.nan)
        assert found["lead_time_hours"][lane] == pytest.approx(expected, nan_ok=True)
    assert tables


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from([0.0, 0.5, 1.0, 2.0, 2.5, 4.0]), st.booleans()), min_size=1, max_size=25),
    st.integers(0, 2**32 - 1),
)
def test_kaplan_meier_equals_scipy(waits: list[tuple[float, bool]], seed: int) -> None:
    _, sample, _, tables = random_case(1, None)
    made = tables["protocol"]
    clusters = len(sample.sums)
    rows = sorted(waits, key=lambda row: (row[0], not row[1]))
    own = Sample(
        **(
            vars(sample)
            | {
                "wait_cluster": np.random.default_rng(seed).integers(0, clusters, len(rows)),
                "wait": np.array([row[0] for row in rows]),
                "wait_seen": np.array([row[1] for row in rows]),
            }
        )
    )
    weights = np.random.default_rng(seed).poisson(1.0, (clusters, LANES)).astype(np.uint8)
    weights[:, 0] = 1
    found = figures(own, weights, made)["kaplan_meier.survival"]  # type: ignore[arg-type]
    times = np.arange(49) * 4.0 / 48
    for lane in range(LANES):
        times_each = weights[own.wait_cluster, lane]
        wait, seen = np.repeat(own.wait, times_each), np.repeat(own.wait_seen, times_each)
        if not len(wait):
            assert np.isnan(found[lane]).all()
            continue
        expected = ecdf(CensoredData.right_censored(wait, ~seen)).sf.evaluate(times)
        assert found[lane] == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(("share", "heaviest"), [(0.2, 6), (0.02, 6), (0.02, 255)])
@pytest.mark.parametrize("decimals", [1, 2, None])
def test_many_outcomes_in_one_pass_equal_each_alone(decimals: int | None, share: float, heaviest: int) -> None:
    # Few hits have so many points between them that a byte does not hold their weights, and 255 fills one alone.
    rng = np.random.default_rng(3)
    points, clusters = 400, 20
    probability = np.sort(rng.random(points) if decimals is None else np.round(rng.random(points), decimals))[::-1]
    group = np.concatenate([[0], np.cumsum(np.diff(probability) != 0)]).astype(np.int32)
    cluster = rng.integers(0, clusters, points).astype(np.int32)
    weights = rng.poisson(1.0, (clusters, LANES)).astype(np.uint8)
    weights[0] = heaviest
    hits = (rng.integers(0, 16, points) * (rng.random(points) < share)).astype(np.uint16)
    whole = rank(cluster, group, hits, 4)
    found = areas(weights, whole)
    for outcome in range(4):
        own = hits >> outcome & 1
        alone = rank(cluster, group, own, 1)
        assert (areas(weights, alone)[0] == found[outcome]).all()
        for lane in range(LANES):
            times = weights[cluster, lane].astype(float)
            pairs = times[own == 1].sum() * times[own == 0].sum()
            if not pairs:
                assert found[outcome, 0, lane] == 0.0
                continue
            expected = roc_auc_score(own, probability, sample_weight=times)
            assert found[outcome, 0, lane] / pairs == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("types", [[], [0], [1], [0, 1]])
def test_figures_of_a_null_draw_equal_the_figures_of_its_outcome(types: list[int]) -> None:
    # With one type alone, the events of the other one are of no target but all.
    for seed in range(6):
        layout, _, _, _ = random_case(seed, (1, 2, None)[seed % 3])
        panel, targets = layout.panel, [Target(None, True), *(Target(kind, True) for kind in types)]
        own = [target.events(panel.event_starts, panel.event_at, panel.event_type) for target in targets]
        outcomes = [followed(panel.grid_starts, panel.at, *events, layout.protocol.horizon) for events in own]
        scored = np.isin(np.arange(len(panel.at)), layout.order)
        hits = np.array([float((outcome & scored).sum()) for outcome in outcomes])
        forecasts = Forecasts(layout, targets, hits)
        edges, bits = forecasts.scratch()
        found = forecasts.judge(panel.event_starts, panel.event_at, panel.event_type, edges, bits)
        counted = uncensored(layout)
        for place, outcome in enumerate(outcomes):
            y, p = outcome[scored], layout.probability[scored]
            brier = brier_score_loss(y, p)
            expected = {
                "base_rate": outcome[counted].mean(),
                "false_positive_rate": layout.above[counted & ~outcome].mean(),
                "auc": roc_auc_score(y, p),
                "average_precision": average_precision_score(y, p),
                "brier": brier,
                "log_loss": log_loss(y, p),
                "brier_skill": 1.0 - brier / (y.mean() * (1.0 - y.mean())),
            }
            assert dict(zip(FIGURES, found[place], strict=True)) == pytest.approx(expected, abs=1e-9)
            assert (expected_outcomes([edges], 1, place) == (outcome & counted)).all()
        # What was written on is clean again: the next draw gives the same.
        again = forecasts.judge(panel.event_starts, panel.event_at, panel.event_type, edges, bits)
        assert (again == found).all()


def test_words_of_ranks_that_a_tie_touches() -> None:
    # 64 ranks a word: ranks 63 and 64 are one group, 128 to 255 another; all others stand alone.
    group = np.cumsum([0, *(rank not in {64, *range(129, 256)} for rank in range(1, 300))]).astype(np.int32)
    starts, tied = _ties(group)
    assert starts.tolist() == [*range(64), *range(65, 129), *range(256, 301)]
    assert tied.tolist() == [True, True, True, True, False]


def test_targets_are_all_events_and_then_types() -> None:
    layout, _, _, _ = random_case(0, None)
    with pytest.raises(ValueError, match="all events first"):
        Forecasts(layout, [Target(0, True)], np.ones(1))


@settings(max_examples=200, deadline=None)
@given(st.sets(st.integers(0, 60), max_size=20), st.integers(-5, 70), st.integers(1, 5))
def test_first_since_equals_a_search(moments: set[int], moment: int, step: int) -> None:
    at = np.array(sorted(moments), dtype=np.int64)
    for low in range(len(at) + 1):
        assert first_since(at, low, len(at), moment, step) == low + np.searchsorted(at[low:], moment)


def test_isotonic_equals_scikit_learn() -> None:
    rng = np.random.default_rng(2)
    score = np.round(rng.random(400), 2)
    outcome = rng.random(400) < score**2
    new = np.concatenate([rng.random(200), score[:50], [0.0, 1.0]])
    theirs = IsotonicRegression(y_min=0, y_max=1, out_of_bounds="clip").fit(score, outcome).predict(new)
    assert fit("isotonic", score, outcome)(new) == pytest.approx(theirs, abs=1e-12)


@pytest.mark.parametrize("seed", range(3))
def test_platt_equals_scikit_learn(seed: int) -> None:
    rng = np.random.default_rng(seed)
    score = rng.random(600)
    outcome = rng.random(600) < 0.05 + 0.6 * score**3
    a, b = _sigmoid_calibration(score, outcome.astype(float))
    new = np.linspace(0, 1, 21)
    assert fit("platt", score, outcome)(new) == pytest.approx(1 / (1 + np.exp(a * new + b)), abs=1e-4)


def test_platt_is_at_the_minimum() -> None:
    rng = np.random.default_rng(9)
    score = rng.random(500)
    outcome = rng.random(500) < score
    p = fit("platt", score, outcome)(score)
    hits = outcome.sum()
    target = np.where(outcome, (hits + 1) / (hits + 2), 1 / (500 - hits + 2))
    assert abs((target - p).sum()) < 1e-10
    assert abs(((target - p) * score).sum()) < 1e-10


@settings(max_examples=100, deadline=None)
@given(st.lists(st.floats(0, 1), max_size=12))
def test_multiplicity(p_values: list[float]) -> None:
    found = holm(p_values)
    for alpha in (0.01, 0.05, 0.3):
        # Holm's step-down as he states it: stop at the first that fails.
        claimed = set()
        for step, place in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
            if p_values[place] * (len(p_values) - step) > alpha:
                break
            claimed.add(place)
        assert {place for place, value in enumerate(found) if value <= alpha} == claimed
    if p_values:
        assert benjamini_hochberg(p_values) == pytest.approx(false_discovery_control(p_values))
        assert (benjamini_hochberg(p_values) <= found + 1e-12).all()


def test_multiplicity_refuses_what_is_no_p_value() -> None:
    for wrong in ([0.5, 1.5], [float("nan")]):
        with pytest.raises(ValueError, match="p_values"):
            holm(wrong)
        with pytest.raises(ValueError, match="p_values"):
            benjamini_hochberg(wrong)
    assert len(holm([])) == len(benjamini_hochberg([])) == 0
