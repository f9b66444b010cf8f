"""A model without one of its parts: it scores as if the part had never been written down."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from signaldelta_assets.backtests.ablation import AblationError, Effect, Part, parts, ranked, without
from signaldelta_assets.backtests.evaluation import Pair
from signaldelta_assets.scoring import ScoringModel, score_grid
from tests.backtests.runs.study import MODEL, changed

HOUR = 3_600_000_000
START = 1_700_006_400_000_000
FAMILIES = {"F01": ("S001", "S002"), "F03": ("S018",), "F06": ("S033", "S034")}


def _document() -> dict[str, Any]:
    """Three families, correlated, of three stages, two chain types that need two families each."""
    signal = MODEL["signals"]["S001"]
    return MODEL | {
        "families": {name: {"budget": 1.5, "stage": stage} for stage, name in enumerate(FAMILIES, 1)},
        "correlation": {"F01|F03": 0.3, "F03|F06": 0.2, "F01|F06": -0.1},
        "signals": {
            name: signal | {"family": family, "half_life_hours": 10.0 + 7 * place,
                            "chain_affinity": {"CT-01": 0.8, "CT-02": 0.2 + 0.1 * place}}
            for family, names in FAMILIES.items() for place, name in enumerate(names)
        },
        "chains": MODEL["chains"] | {"types": ["CT-01", "CT-02"], "min_families": {"CT-01": 2, "CT-02": 1}},
        "affinity_overrides": ["S001"],
    }  # fmt: skip


MODEL3 = ScoringModel.from_dict(_document())


def _pruned(left_out: set[str]) -> ScoringModel:
    """The document with the signals taken out, and families without any with their correlations."""
    document = _document()
    document["signals"] = {name: entry for name, entry in document["signals"].items() if name not in left_out}
    kept = {entry["family"] for entry in document["signals"].values()}
    document["families"] = {name: entry for name, entry in document["families"].items() if name in kept}
    document["correlation"] = {
        pair: rho for pair, rho in document["correlation"].items() if set(pair.split("|")) <= kept
    }
    document["affinity_overrides"] = [name for name in document["affinity_overrides"] if name not in left_out]
    return ScoringModel.from_dict(document)


@pytest.fixture(scope="module")
def events() -> pa.Table:
    random = np.random.Generator(np.random.PCG64(5))
    count = 400
    names = sorted(MODEL3.signals)
    times = START + random.integers(0, 300 * HOUR, count)
    return pa.table(
        {
            "entity_id": [f"E{n}" for n in random.integers(0, 5, count)],
            "event_id": [f"{n:05d}" for n in range(count)],
            "signal_id": [names[n] for n in random.integers(0, len(names), count)],
            "available_time": pa.array(times, pa.int64()).cast(pa.timestamp("us", "UTC")),
            "strength_norm": random.random(count),
            "reliability": random.random(count),
            "direction": random.integers(-1, 2, count).astype(np.float64),
        }
    )


@pytest.mark.parametrize("part", parts(MODEL3, "family") + parts(MODEL3, "signal"), ids=lambda part: part.name)
def test_a_part_left_out_is_a_part_that_is_not_there(events: pa.Table, part: Part) -> None:
    left_out = set(FAMILIES[part.name]) if part.kind == "family" else {part.name}
    moments = [np.datetime64(START + hour * HOUR, "us") for hour in range(0, 301, 7)]
    entities = [f"E{n}" for n in range(5)]
    found = score_grid(events, without(MODEL3, part), at=moments, entities=entities)
    kept = events.filter(pc.invert(pc.is_in(events["signal_id"], value_set=pa.array(sorted(left_out)))))
    expected = score_grid(kept, _pruned(left_out), at=moments, entities=entities)
    # Every figure to the last bit; only the count of events still has those that do not exist for the score.
    for name in expected.column_names:
        if name != "n_events":
            assert found[name].equals(expected[name]), name
    whole = score_grid(events, MODEL3, at=moments, entities=entities)
    assert found["n_events"].equals(whole["n_events"])
    assert not found["magnitude"].equals(whole["magnitude"]) and pc.max(found["magnitude"]).as_py() > 0.1


def test_parts_are_those_that_can_matter() -> None:
    assert parts(MODEL3, "family") == tuple(Part("family", name) for name in FAMILIES)
    assert [part.name for part in parts(MODEL3, "signal")] == ["S001", "S002", "S018", "S033", "S034"]
    # S018 is all of F03: left out once.
    assert [part.name for part in parts(MODEL3, "both")] == [*FAMILIES, "S001", "S002", "S033", "S034"]
    # Named with weight 0, or in a tier of weight 0: they take no part already.
    idle = changed(changed(_document(), "signals.S018.weight", 0.0), "tiers", {"1": 1.0, "2": 0.0})
    idle["signals"]["S002"]["tier"] = 2
    model = ScoringModel.from_dict(idle)
    assert [part.name for part in parts(model, "both")] == ["F01", "F06", "S033", "S034"]
    for kind, name in (("family", "F03"), ("signal", "S018"), ("signal", "S002"), ("signal", "F01"), ("family", "F9")):
        with pytest.raises(AblationError, match=f"{kind} {name}: expected"):
            without(model, Part(kind, name))


def test_only_the_weights_differ_and_the_name_does() -> None:
    found = without(MODEL3, Part("family", "F06"))
    assert found.hash != MODEL3.hash
    expected = changed(changed(_document(), "signals.S033.weight", 0.0), "signals.S034.weight", 0.0)
    assert found == ScoringModel.from_dict(expected)
    assert without(found, Part("signal", "S018")) == without(
        without(MODEL3, Part("family", "F03")), Part("family", "F06")
    )


def test_a_model_that_would_have_no_family_left_is_refused() -> None:
    one = without(without(MODEL3, Part("family", "F06")), Part("family", "F03"))
    with pytest.raises(AblationError, match="family F01: the model would have no family left"):
        without(one, Part("family", "F01"))
    last = without(one, Part("signal", "S002"))
    with pytest.raises(AblationError, match="signal S001: the model would have no family left"):
        without(last, Part("signal", "S001"))


def _effect(name: str, first: float | None, second: float | None, figure: str = "precision") -> Effect:
    difference = None if first is None or second is None else second - first
    pair = Pair(first, second, None, None, difference, None, None)
    return Effect(Part("signal", name), "", {"all_evidence": {figure: pair}})


def test_what_hurts_most_stands_first() -> None:
    effects = [_effect("better", 0.5, 0.6), _effect("b", 0.5, 0.5), _effect("worse", 0.5, 0.1), _effect("a", 0.5, 0.5),
               _effect("gone", 0.5, None)]  # fmt: skip
    assert [item.part.name for item in ranked(effects, "precision")] == ["gone", "worse", "a", "b", "better"]
    # Of an error, more is worse; of what the base does not have, nothing can be lost.
    errors = [
        _effect("less", 0.2, 0.1, "brier"),
        _effect("more", 0.2, 0.3, "brier"),
        _effect("none", None, 0.1, "brier"),
    ]
    assert [item.part.name for item in ranked(errors, "brier")] == ["more", "less", "none"]
