"""The consequences that scoring.md says the engine must keep, each as a property."""

from __future__ import annotations

import math
import random
from datetime import timedelta
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from signaldelta_assets.scoring import ScoringModel, score, score_grid

from .cases import HOUR, NOW, bits, model_document, panel, same, scored_cases, table

Case = tuple[dict[str, Any], list[dict[str, Any]]]
FIGURES = ("evidence", "effective_families", "magnitude", "lean", "confidence", "quality", "diversity", "ordering")
_START, _END = NOW - 48 * HOUR, NOW + 12 * HOUR


@given(scored_cases(least=1), st.randoms(use_true_random=False))
@settings(max_examples=60, deadline=None)
def test_order_of_the_events_never_matters(case: Case, rng: random.Random) -> None:
    document, events = case
    model = ScoringModel.from_dict(document)
    shuffled = rng.sample(events, len(events))
    assert score(table(shuffled), model, NOW) == score(table(events), model, NOW)
    grids = [score_grid(table(order), model, _START, _END, HOUR) for order in (events, shuffled)]
    assert bits(grids[0]) == bits(grids[1])


def test_ties_in_time_are_summed_by_event_id() -> None:
    document = model_document(3)
    rng = random.Random(1)
    signal = sorted(document["signals"])[0]
    events = [
        {
            "event_id": f"{rng.getrandbits(60)}",
            "signal_id": signal,
            "available_time": NOW - rng.randrange(3) * HOUR,
            "strength_norm": rng.random(),
            "reliability": rng.random(),
            "direction": rng.uniform(-1, 1),
        }
        for _ in range(60)
    ]
    model = ScoringModel.from_dict(document)
    expected = bits(score_grid(table(events), model, NOW - HOUR, NOW, HOUR))
    for _ in range(10):
        rng.shuffle(events)
        assert bits(score_grid(table(events), model, NOW - HOUR, NOW, HOUR)) == expected


@given(scored_cases(least=1), st.integers(-60, 20))
@settings(max_examples=60, deadline=None)
def test_an_event_after_t_changes_nothing_at_t(case: Case, hours: int) -> None:
    document, events = case
    model = ScoringModel.from_dict(document)
    t = NOW + hours * HOUR
    known = [event for event in events if event["available_time"] <= t]
    assert score(table(events), model, t) == score(table(known), model, t)
    whole = score_grid(table(events), model, t - 30 * HOUR, t + 5 * HOUR, HOUR)
    past = score_grid(table(known), model, t - 30 * HOUR, t, HOUR, entities=["ACME"])
    assert bits(whole.slice(0, 31)) == bits(past)


@pytest.mark.parametrize("seed", range(8))
def test_the_bits_are_those_of_every_grid(seed: int) -> None:
    document = model_document(seed)
    model = ScoringModel.from_dict(document)
    events = panel(seed, document, events=120, hours=2000)
    start = NOW - 240 * HOUR
    hourly = score_grid(events, model, start, NOW, HOUR)
    by_hour = {
        (e, t): i
        for i, (e, t) in enumerate(zip(hourly["entity_id"].to_pylist(), hourly["at"].to_pylist(), strict=True))
    }
    rng = random.Random(seed)
    others = {
        "six-hourly": score_grid(events, model, start, NOW, 6 * HOUR),
        "irregular": score_grid(events, model, at=[start + i * HOUR for i in rng.sample(range(241), 25)]),
        "one point": score_grid(events, model, at=[start + 77 * HOUR]),
        "later start": score_grid(events, model, start + 100 * HOUR, NOW, 5 * timedelta(minutes=60)),
    }
    # The five-minute grid holds every hour as well.
    fine = score_grid(events, model, NOW - 6 * HOUR, NOW, timedelta(minutes=5))
    others["fine"] = fine.filter([t.minute == 0 for t in fine["at"].to_pylist()])
    for name, grid in others.items():
        rows = [by_hour[key] for key in zip(grid["entity_id"].to_pylist(), grid["at"].to_pylist(), strict=True)]
        assert rows, name
        assert bits(grid) == bits(hourly.take(pa.array(rows))), name


@pytest.mark.parametrize("threads", [2, 3, 7])
def test_the_bits_are_those_of_any_number_of_threads(threads: int) -> None:
    document = model_document(5)
    model = ScoringModel.from_dict(document)
    events = panel(5, document, entities=11, events=300)
    one = score_grid(events, model, _START, _END, HOUR, threads=1)
    assert bits(score_grid(events, model, _START, _END, HOUR, threads=threads)) == bits(one)
    assert bits(score_grid(events, model, _START, _END, HOUR)) == bits(one)


@given(scored_cases(), st.integers(-5_000 * 86_400_000_000, 5_000 * 86_400_000_000))
@settings(max_examples=60, deadline=None)
def test_shifting_all_times_changes_nothing(case: Case, microseconds: int) -> None:
    document, events = case
    model = ScoringModel.from_dict(document)
    shift = timedelta(microseconds=microseconds)
    moved = [event | {"available_time": event["available_time"] + shift} for event in events]
    before, after = score(table(events), model, NOW), score(table(moved), model, NOW + shift)
    assert all(same(getattr(before, name), getattr(after, name)) for name in FIGURES)


@given(scored_cases(correlated=False, least=1), st.data())
@settings(max_examples=100, deadline=None)
def test_magnitude_does_not_fall_as_one_event_grows(case: Case, data: st.DataObject) -> None:
    document, events = case
    model = ScoringModel.from_dict(document)
    i = data.draw(st.integers(0, len(events) - 1))
    stronger = [dict(event) for event in events]
    stronger[i]["strength_norm"] = data.draw(st.floats(events[i]["strength_norm"], 1))
    # The elementary functions are exact to an ulp, not monotone to the last bit.
    assert score(table(stronger), model, NOW).magnitude >= score(table(events), model, NOW).magnitude - 1e-15


@given(scored_cases(least=1))
@settings(max_examples=60, deadline=None)
def test_families_all_correlated_one_count_as_one(case: Case) -> None:
    document, events = case
    families = sorted(document["families"])
    document["correlation"] = {f"{f}|{g}": 1.0 for i, f in enumerate(families) for g in families[i + 1 :]}
    sample = score(table(events), ScoringModel.from_dict(document), NOW)
    assume(sample.evidence > 0)
    assert same(sample.effective_families, 1.0)


@given(scored_cases())
@settings(max_examples=100, deadline=None)
def test_figures_stay_in_their_ranges(case: Case) -> None:
    document, events = case
    sample = score(table(events), ScoringModel.from_dict(document), NOW)
    for name in ("confidence", "quality", "diversity", "ordering"):
        assert 0 <= getattr(sample, name) <= 1, name
    assert 0 <= sample.magnitude < 1
    assert -1 <= sample.lean <= 1
    assert 0 <= sample.legacy_score <= 100
    assert sample.evidence >= 0
    assert math.isclose(sum(sample.chain_probabilities.values()), 1, rel_tol=1e-12)
    assert min(sample.chain_probabilities.values()) >= 0
    if not sample.evidence:
        assert sample.chain_probabilities["UNKNOWN"] == 1
        assert not sample.family_deltas


def test_magnitude_is_below_one_under_any_evidence() -> None:
    document = model_document(4)
    for family in document["families"].values():
        family["budget"] = 1e6
    document["magnitude"] = {"k": 100.0, "theta": 0.0}
    signals = sorted(document["signals"])
    events = [
        {"event_id": f"{i}", "signal_id": signals[i % len(signals)], "available_time": NOW, "strength_norm": 1.0,
         "reliability": 1.0, "direction": 1.0, "context_weight": 4.0}
        for i in range(500)
    ]  # fmt: skip
    sample = score(table(events), ScoringModel.from_dict(document), NOW)
    assert sample.evidence > 100
    assert 0.999 < sample.magnitude < 1


@pytest.mark.parametrize("rho", [-1.0, -0.999999])
def test_opposed_families_give_finite_figures(rho: float) -> None:
    document = model_document(7) | {"correlation": {"F01|F02": rho}}
    document["families"] = {"F01": {"budget": 1.0, "stage": 1}, "F02": {"budget": 1.0, "stage": 2}}
    for i, signal in enumerate(document["signals"].values()):
        signal |= {"family": f"F0{1 + i % 2}", "weight": 1.0, "tier": 1}
    events = [
        {"event_id": name, "signal_id": name, "available_time": NOW, "strength_norm": 1.0, "reliability": 1.0,
         "direction": 1.0}
        for name in sorted(document["signals"])[:2]
    ]  # fmt: skip
    sample = score(table(events), ScoringModel.from_dict(document), NOW)
    assert all(math.isfinite(getattr(sample, name)) for name in FIGURES)


def test_decades_and_short_half_lives_do_not_overflow() -> None:
    # 30 years of weekly events under a half-life of half an hour: 2^525,960 between the first and the last.
    document = model_document(9)
    for signal in document["signals"].values():
        signal["half_life_hours"] = 0.5
    name = sorted(document["signals"])[0]
    weeks = 52 * 30
    events = [
        {"event_id": f"{i:05d}", "signal_id": name, "available_time": NOW - timedelta(weeks=i), "strength_norm": 1.0,
         "reliability": 1.0, "direction": 1.0}
        for i in range(weeks)
    ]  # fmt: skip
    model = ScoringModel.from_dict(document)
    sample = score(table(events), model, NOW)
    last = score(table(events[:1]), model, NOW)
    assert sample.n_events == weeks
    for figure in FIGURES:
        assert same(getattr(sample, figure), getattr(last, figure)), figure


@pytest.mark.parametrize("size", [1e-9, 1e9])
@pytest.mark.parametrize("rho", [0.0, 1.0])
def test_figures_are_finite_at_the_ends_of_what_a_model_may_say(size: float, rho: float) -> None:
    document = model_document(7) | {"correlation": {"F01|F02": rho}, "evidence_floor": 1e-30}
    document["families"] = {name: {"budget": size, "stage": stage} for stage, name in ((1, "F01"), (3, "F02"))}
    document["magnitude"] = {"k": size, "theta": size}
    document["chains"] |= {"temperature": size, "unknown_logit": -size}
    document["confidence"] |= {"a": size, "diversity_half_point": size, "ordering_tolerance_hours": size}
    for i, signal in enumerate(document["signals"].values()):
        signal |= {"family": f"F0{1 + i % 2}", "weight": size, "half_life_hours": max(size, 0.001)}
    events = [
        {
            "event_id": f"{name} {age}",
            "signal_id": name,
            "available_time": NOW - age * HOUR,
            "strength_norm": 1.0,
            "reliability": 1.0,
            "direction": -1.0,
        }
        for name in document["signals"]
        for age in (0, 1, 100_000)
    ]
    sample = score(table(events), ScoringModel.from_dict(document), NOW)
    assert all(math.isfinite(getattr(sample, name)) for name in FIGURES)
    assert sample.evidence > 0
    assert 0 <= sample.magnitude < 1
    assert math.isclose(sum(sample.chain_probabilities.values()), 1)
