"""Grids longer than a block of lanes, streamed, scored again for a late event, and without each family."""

from __future__ import annotations

import math
from datetime import timedelta
from itertools import permutations
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from signaldelta_assets.contracts import FamilyShapley
from signaldelta_assets.scoring import (
    ScoringInputError,
    ScoringModel,
    compact_grid,
    family_counterfactuals,
    family_shapley,
    score,
    score_again,
    score_grid,
    stream_grid,
)
from signaldelta_assets.scoring.layout import BLOCK, FIGURES
from signaldelta_assets.versioning import content_hash

from .cases import HOUR, NOW, bits, model_document, panel, table

_MINUTES = timedelta(minutes=20)
_LONG = 3 * BLOCK + 17


def _only(events: pa.Table, entity: str) -> pa.Table:
    return events.filter(pc.equal(events["entity_id"], entity))


@pytest.mark.parametrize("seed", range(4))
def test_a_moment_has_the_same_bits_in_any_block(seed: int) -> None:
    model = ScoringModel.from_dict(document := model_document(seed))
    events = panel(seed, document, events=150)
    start = NOW - (_LONG - 1) * _MINUTES
    whole = score_grid(events, model, start, NOW, _MINUTES)
    at = whole["at"].to_pylist()[:_LONG]
    assert len(at) == _LONG > 3 * BLOCK
    # Moments one by one, from other first moments on, and thinned, fall into other lanes of other blocks.
    for first, every in ((0, 1), (1, 1), (BLOCK - 1, 1), (0, 7), (5, BLOCK)):
        picked = at[first::every]
        part = score_grid(events, model, at=picked)
        assert bits(part) == bits(whole.filter(pc.is_in(whole["at"], pa.array(picked, pa.timestamp("us", "UTC")))))
    for place in (0, BLOCK - 1, BLOCK, 2 * BLOCK, _LONG - 1):
        sample = score(_only(events, "ENT1"), model, at[place])
        row = whole.filter(pc.equal(whole["entity_id"], "ENT1")).slice(place, 1).to_pylist()[0]
        assert {name: row[name] for name in FIGURES} == {name: getattr(sample, name) for name in FIGURES}


@pytest.mark.parametrize("threads", [1, 2])
def test_the_compact_grid_is_the_grid_rounded_once(threads: int) -> None:
    model = ScoringModel.from_dict(document := model_document(6))
    events = panel(6, document, events=150)
    steps = (NOW - (_LONG - 1) * _MINUTES, NOW, _MINUTES)
    whole = score_grid(events, model, *steps, entities=["NONE"])
    found, alert_score = compact_grid(events, model, *steps, entities=["NONE"], threads=threads)
    floats = [field.name for field in whole.schema if pa.types.is_floating(field.type)]
    rounded = pa.schema([pa.field(f.name, pa.float32()) if f.name in floats else f for f in whole.schema])
    assert content_hash(found) == content_hash(whole.cast(rounded))
    assert whole.cast(rounded).cast(whole.schema) != whole, "nothing was rounded: the test shows nothing"
    assert (alert_score == whole["magnitude"].to_numpy() * whole["confidence"].to_numpy()).all()
    assert not any(field.nullable for field in found.schema)


def test_signals_that_come_and_go_within_a_block_decide_which_chains_are_possible() -> None:
    document = model_document(5)
    document["families"] = {"F01": {"budget": 1.0, "stage": 1}, "F02": {"budget": 1.0, "stage": 2}}
    document["correlation"] = {}
    document["evidence_floor"] = 0.01
    document["chains"] |= {"types": ["C"], "min_families": {"C": 2}}
    document["signals"] = {
        name: {"family": family, "tier": 1, "weight": 1.0, "half_life_hours": 1.0, "chain_affinity": {"C": 1.0}}
        for name, family in (("S1", "F01"), ("S2", "F02"))
    }
    rows = [("1", "S1", 100), ("2", "S2", 98), ("3", "S2", 50), ("4", "S1", 49)]
    events = table(
        [
            {"event_id": e, "signal_id": s, "available_time": NOW - h * HOUR, "strength_norm": 1.0, "reliability": 1.0,
             "direction": 1.0}
            for e, s, h in rows
        ]
    )  # fmt: skip
    grid = score_grid(events, ScoringModel.from_dict(document), NOW - 120 * HOUR, NOW, HOUR)
    # 2^-6 is the last whole hour above the floor of 0.01.
    alive = {name: {a - d for e, s, a in rows if s == name for d in range(7)} for name in ("S1", "S2")}
    for hour, p in zip(range(120, -1, -1), grid["p_C"].to_pylist(), strict=True):
        assert (p > 0.0) == (hour in alive["S1"] & alive["S2"]), hour
        assert p != 0.0 or grid["p_UNKNOWN"][120 - hour].as_py() == 1.0


def test_streamed_batches_join_to_the_whole_grid() -> None:
    model = ScoringModel.from_dict(document := model_document(9))
    events = panel(9, document, entities=9, events=300)
    whole = score_grid(events, model, NOW - 40 * HOUR, NOW, HOUR)
    names = sorted(set(events["entity_id"].to_pylist()))
    batches = [
        events.filter(pc.is_in(events["entity_id"], pa.array(names[low : low + 4]))) for low in range(0, len(names), 4)
    ]
    empty = events.slice(0, 0)
    streamed = list(stream_grid([batches[0], empty, *batches[1:]], model, NOW - 40 * HOUR, NOW, HOUR))
    assert len(streamed) == len(batches) > 2
    assert bits(pa.concat_tables(streamed)) == bits(whole)


@pytest.mark.parametrize("again", ["ENT1", "ENT3"])
def test_an_entity_in_two_batches_is_refused(again: str) -> None:
    # Each time it would be scored on a part of its evidence.
    model = ScoringModel.from_dict(document := model_document(9))
    events = panel(9, document, entities=5, events=100)
    first = events.filter(pc.is_in(events["entity_id"], pa.array(["ENT1", "ENT2", "ENT3"])))
    with pytest.raises(ScoringInputError, match=r"entity_id.*entities after 'ENT3'"):
        list(stream_grid([first, _only(events, again)], model, at=[NOW]))


def test_a_late_event_scores_its_entity_anew_and_nobody_else() -> None:
    model = ScoringModel.from_dict(document := model_document(6))
    events = panel(6, document, entities=5, events=200)
    late = events.slice(20, 1)
    name = late["entity_id"][0].as_py()
    before = pa.concat_tables([events.slice(0, 20), events.slice(21)])
    start = NOW - 300 * HOUR
    old, new = (score_grid(known, model, start, NOW, HOUR) for known in (before, events))
    again = score_again(old, _only(events, name), model)
    assert bits(again) == bits(new)
    assert bits(again) != bits(old)
    # The others' rows are not even copied.
    addresses = {chunk.buffers()[1].address for chunk in again["magnitude"].chunks}
    assert old["magnitude"].chunks[0].buffers()[1].address in addresses


def test_scoring_again_refuses_what_is_not_of_the_grid() -> None:
    model = ScoringModel.from_dict(document := model_document(6))
    events = panel(6, document, events=60)
    grid = score_grid(events, model, at=[NOW])
    with pytest.raises(ScoringInputError, match="one entity"):
        score_again(grid, events, model)
    with pytest.raises(ScoringInputError, match=r"an entity of the grid.*OTHER"):
        score_again(grid, table(_only(events, "ENT1").drop_columns(["entity_id"]).to_pylist(), "OTHER"), model)
    with pytest.raises(ScoringInputError, match="columns"):
        score_again(grid.drop_columns(["p_UNKNOWN"]), _only(events, "ENT1"), model)


@pytest.mark.parametrize("seed", range(5))
def test_counterfactual_grids_are_scores_without_the_family(seed: int) -> None:
    model = ScoringModel.from_dict(document := model_document(seed))
    events = panel(seed, document, events=150)
    start = NOW - (BLOCK + 9) * HOUR
    grid = family_counterfactuals(events, model, start, NOW, HOUR, threads=2)
    whole = score_grid(events, model, start, NOW, HOUR)
    assert grid.select(["entity_id", "at"]) == whole.select(["entity_id", "at"])
    assert grid.column_names[2:] == [f"{x}_{f}" for f in model.families for x in ("magnitude", "lean", "confidence")]
    moved = 0
    for family in model.families:
        own = [name for name, spec in model.signals.items() if spec.family == family]
        others = events.filter(pc.invert(pc.is_in(events["signal_id"], pa.array(own, pa.string()))))
        rest = score_grid(others, model, start, NOW, HOUR, entities=whole["entity_id"].unique().to_pylist())
        for figure in ("magnitude", "lean", "confidence"):
            expected = whole[figure].to_numpy() - rest[figure].to_numpy()
            # To the last bit: the sums over the other families are the same sums.
            assert np.array_equal(grid[f"{figure}_{family}"].to_numpy(), expected)
            moved += int((expected != 0.0).sum())
    assert moved > 100
    for place in (0, BLOCK, BLOCK + 9):
        row = grid.filter(pc.equal(grid["entity_id"], "ENT0")).slice(place, 1).to_pylist()[0]
        for family, delta in score(_only(events, "ENT0"), model, row["at"]).family_deltas.items():
            assert [row[f"{x}_{family}"] for x in ("magnitude", "lean", "confidence")] == [
                delta.magnitude, delta.lean, delta.confidence,
            ]  # fmt: skip


def _worths(events: pa.Table, model: ScoringModel, families: tuple[str, ...]) -> tuple[float, float, float]:
    own = [name for name, spec in model.signals.items() if spec.family in families]
    sample = score(events.filter(pc.is_in(events["signal_id"], pa.array(own, pa.string()))), model, NOW)
    return sample.magnitude, sample.magnitude * sample.confidence, sample.legacy_score


@pytest.mark.parametrize("seed", [1, 2, 3, 8, 11])
def test_shapley_values_are_averages_over_all_orders_of_arrival(seed: int) -> None:
    model = ScoringModel.from_dict(document := model_document(seed))
    events = _only(panel(seed, document, entities=1, events=60), "ENT0")
    values = family_shapley(events, model, NOW)
    families = tuple(score(events, model, NOW).family_deltas)
    assert tuple(values) == families
    totals = {name: np.zeros(3) for name in families}
    orders = list(permutations(families))
    for order in orders:
        worth = np.array(_worths(events, model, ()))
        for place, name in enumerate(order):
            after = np.array(_worths(events, model, order[: place + 1]))
            totals[name] += after - worth
            worth = after
    for name, total in totals.items():
        value = values[name]
        assert np.allclose(total / len(orders), [value.magnitude, value.alert_score, value.legacy_score], atol=1e-12)


@pytest.mark.parametrize("seed", range(12))
def test_shapley_values_sum_to_the_score(seed: int) -> None:
    model = ScoringModel.from_dict(document := model_document(seed))
    events = _only(panel(seed, document, entities=1, events=60), "ENT0")
    sample, values = score(events, model, NOW), family_shapley(events, model, NOW)
    sums = FamilyShapley(
        *(math.fsum(value[name] for value in values.values()) for name in FamilyShapley.__dataclass_fields__)  # type: ignore[misc]
    )
    assert math.isclose(sums.magnitude, sample.magnitude, abs_tol=1e-12)
    assert math.isclose(sums.alert_score, sample.magnitude * sample.confidence, abs_tol=1e-12)
    assert math.isclose(sums.legacy_score, sample.legacy_score - 50.0, abs_tol=1e-10)


def test_without_evidence_nobody_has_a_share() -> None:
    model = ScoringModel.from_dict(model_document(3))
    assert family_shapley(table([]), model, NOW) == {}


def test_too_many_families_for_every_subset_are_refused() -> None:
    document: dict[str, Any] = model_document(3)
    names = [f"F{i:02d}" for i in range(21)]
    document |= {"families": {name: {"budget": 1.0, "stage": 1} for name in names}, "correlation": {}}
    one = next(iter(document["signals"].values()))
    document["signals"] = {f"S{i:03d}": one | {"family": name} for i, name in enumerate(names)}
    events = [
        {"event_id": str(i), "signal_id": name, "available_time": NOW, "strength_norm": 1.0, "reliability": 1.0,
         "direction": 1.0}
        for i, name in enumerate(document["signals"])
    ]  # fmt: skip
    model = ScoringModel.from_dict(document)
    with pytest.raises(ScoringInputError, match="at most 20 families"):
        family_shapley(table(events), model, NOW)
    assert len(family_shapley(table(events[:8]), model, NOW)) == 8
