"""In noise the report must find nothing: intervals cover the null about as often as they say, naive ones do not."""

from __future__ import annotations

import numpy as np
import pytest

from signaldelta_assets.backtests import evaluate
from tests.study.study import FIGURES, Answer, Size, answer, protocol, run
from tests.study.table import NULLS, TESTED, coverage, discoveries, recovery
from tests.study.worlds import QUESTIONS, make

from .support import simulate, simulated_protocol

ARCHIVES, PLANTED = 16, 6
SIZE = Size(noise=ARCHIVES, planted=PLANTED, replicates=64, draws=39)
# The full study is `make study` (docs/calibration-study.md). At 95 % each, 40 of the 64 answers being worth as much as
# independent ones, fewer than 80 % are covered in one small study of 1,000; intervals of half the width cover 67 %.
LEAST = 0.8


@pytest.fixture(scope="module")
def answers() -> list[Answer]:
    return [one for archive in run(SIZE, processes=1) for one in archive]


@pytest.mark.parametrize(("null", "figure"), [(null, figure) for null in NULLS for figure in FIGURES])
def test_in_noise_the_difference_from_the_null_covers_0(answers: list[Answer], null: str, figure: str) -> None:
    found = coverage(answers, null, figure)
    if found is None:
        # Where alerts stand changes nothing about the forecasts.
        assert null == "random_alerts"
        assert figure not in ("precision", "recall", "lead_time_hours.median")
        return
    assert found.share.whole == 4 * ARCHIVES
    assert found.share.value >= LEAST


def test_an_interval_that_ignores_clustering_fails_that_limit() -> None:
    # Half-days drawn one by one: neighbouring hours of one entity pass for independent.
    naive = {"cluster_hours": 12, "block_clusters": 1, "level": 0.95, "replicates": 64, "seed": 1}
    size = Size(noise=4, planted=0, replicates=64, draws=39)
    found = [one for archive in run(size, processes=1, bootstrap=naive) for one in archive]
    for figure in ("auc", "average_precision", "log_loss"):
        covered = coverage(found, "shifted_events", figure)
        assert covered is not None
        assert covered.share.value < LEAST


def test_claims_in_noise_stay_near_their_level(answers: list[Answer]) -> None:
    for null, figure in TESTED:
        found = discoveries(answers, null, figure)
        # 5 of 100 families: of 16, five or more claim anything in fewer than one study of 1,000.
        assert found.holm.whole == ARCHIVES
        assert found.holm.part <= 4
        assert found.benjamini_hochberg.part <= 4
        assert found.trials.value < 0.15


def test_a_planted_effect_comes_back(answers: list[Answer]) -> None:
    found = recovery(answers)
    assert found.lead.whole == PLANTED
    assert found.lead.part >= PLANTED - 1
    for null in NULLS:
        assert found.found[null].part == PLANTED
        assert found.mean_lift[null] > 0.1


def test_where_seasons_are_shared_the_null_expects_more() -> None:
    # Why nulls go by a clock: turned evenly around the year, the same events meet the same alerts less often.
    size = Size(noise=6, planted=0, replicates=0, draws=39)
    more = []
    for seed in range(1001, 1001 + size.noise):
        archive = make(seed, planted=False)
        for question in QUESTIONS[2:]:
            expected = {}
            for season in ("none", "shared"):
                nulls = {"draws": size.draws, "seed": 20240102, "season": season}
                found = answer(archive, question, protocol(question, size, nulls=nulls)).nulls
                expected[season] = np.array([found[null]["precision"].value for null in NULLS])
            more.append(expected["shared"] - expected["none"])
    assert (np.array(more) > 0.0).mean() >= 0.8
    assert (np.mean(more, axis=0) > 0.01).all()


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


def test_a_planted_lead_is_recovered_on_an_hourly_grid() -> None:
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
