"""The model document: every field checked by name, immutable once loaded, named by its canonical hash."""

from __future__ import annotations

import copy
import dataclasses
import json
import pickle
from typing import Any

import pytest

from signaldelta_assets.scoring import ScoringModel, ScoringModelError, check_affinities, default_model
from signaldelta_assets.versioning import hash_document

from .cases import model_document

DOCUMENT: dict[str, Any] = model_document(3) | {
    "families": {"F01": {"budget": 1.0, "stage": 1}, "F02": {"budget": 2, "stage": 2},
                 "F03": {"budget": 1.5, "stage": 3}},
    "correlation": {"F01|F02": 0.25},
    "chains": {"types": ["CT-02", "CT-01"], "min_families": {"CT-01": 1, "CT-02": 2}, "temperature": 0.5,
               "unknown_logit": 0.6},
    "signals": {
        "S002": {"family": "F01", "tier": 1, "weight": 1, "half_life_hours": 720, "chain_affinity": {"CT-01": 0.8}},
        "S001": {"family": "F03", "tier": 2, "weight": 0.5, "half_life_hours": 24.5, "chain_affinity": {}},
    },
    "affinity_overrides": ["S002"],
}  # fmt: skip

_DELETE = object()


def _changed(path: str, value: Any) -> dict[str, Any]:
    document = copy.deepcopy(DOCUMENT)
    *way, last = path.split("/")
    place = document
    for key in way:
        place = place[key]
    if value is _DELETE:
        del place[last]
    else:
        place[last] = value
    return document


def test_a_valid_document() -> None:
    model = ScoringModel.from_dict(DOCUMENT)
    assert model.hash == hash_document(DOCUMENT)
    assert model.document == DOCUMENT
    assert list(model.signals) == ["S002", "S001"]
    assert model.signals["S001"].half_life_hours == 24.5
    assert dict(model.signals["S002"].chain_affinity) == {"CT-01": 0.8}
    assert model.families["F02"].budget == 2.0
    assert model.chain_types == ("CT-02", "CT-01")
    assert model.affinity_overrides == ("S002",)


def test_key_order_and_number_form_do_not_change_the_name() -> None:
    turned = json.loads(json.dumps(dict(reversed(DOCUMENT.items()))).replace('"budget": 2,', '"budget": 2.0,'))
    assert ScoringModel.from_dict(turned).hash == ScoringModel.from_dict(DOCUMENT).hash
    assert ScoringModel.from_dict(turned) == ScoringModel.from_dict(DOCUMENT)
    assert ScoringModel.from_dict(_changed("magnitude/k", 1.25)) != ScoringModel.from_dict(DOCUMENT)


def test_nothing_changes_a_loaded_model() -> None:
    document = copy.deepcopy(DOCUMENT)
    model = ScoringModel.from_dict(document)
    document["signals"]["S001"]["weight"] = 99.0
    model.document["signals"]["S001"]["weight"] = 99.0
    assert model.document == DOCUMENT
    with pytest.raises(dataclasses.FrozenInstanceError):
        model.hash = "0"  # type: ignore[misc]
    with pytest.raises(TypeError):
        model.signals["S001"] = model.signals["S002"]  # type: ignore[index]
    with pytest.raises(TypeError):
        model.signals["S001"].chain_affinity["CT-01"] = 1.0  # type: ignore[index]
    with pytest.raises(ValueError, match="read-only"):
        model.parameters.budget[0] = 9.0


def test_a_model_travels_to_another_process() -> None:
    model = ScoringModel.from_dict(DOCUMENT)
    assert pickle.loads(pickle.dumps(model)) == model
    assert len({model, copy.copy(model)}) == 1


@pytest.mark.parametrize(
    ("path", "value", "field"),
    [
        ("schema", "signaldelta.scoring_model/2", "schema"),
        ("schema", _DELETE, "schema"),
        ("magnitude", _DELETE, "magnitude"),
        ("magnitude", [], "magnitude"),
        ("magnitude/k", 0, "magnitude.k"),
        ("magnitude/k", True, "magnitude.k"),
        ("magnitude/k", "2", "magnitude.k"),
        ("magnitude/k", float("nan"), "magnitude.k"),
        ("magnitude/k", float("inf"), "magnitude.k"),
        ("magnitude/k", 10**400, "magnitude.k"),
        ("magnitude/theta", -1, "magnitude.theta"),
        ("magnitude/thta", 1, "magnitude.thta"),
        ("surprise", 1, "surprise"),
        ("evidence_floor", 0, "evidence_floor"),
        ("families", {}, "families"),
        ("families/F01/budget", 0.0, "families.F01.budget"),
        ("families/F01/budget", 1e300, "families.F01.budget"),
        ("families/F01/budget", 5e-324, "families.F01.budget"),
        ("families/F01/stage", 0, "families.F01.stage"),
        ("families/F01/stage", 4, "families.F01.stage"),
        ("families/F01/stage", 1.5, "families.F01.stage"),
        ("families/F01/stage", _DELETE, "families.F01.stage"),
        ("families/F01/colour", "red", "families.F01.colour"),
        ("tiers", {}, "tiers"),
        ("tiers/one", 1.0, "tiers.one"),
        ("tiers/2", -0.1, "tiers.2"),
        ("signals", {}, "signals"),
        ("signals/S001/family", "F09", "signals.S001.family"),
        ("signals/S001/family", None, "signals.S001.family"),
        ("signals/S001/tier", 9, "signals.S001.tier"),
        ("signals/S001/tier", "1", "signals.S001.tier"),
        ("signals/S001/weight", -1, "signals.S001.weight"),
        ("signals/S001/half_life_hours", 0, "signals.S001.half_life_hours"),
        ("signals/S001/chain_affinity", None, "signals.S001.chain_affinity"),
        ("signals/S001/chain_affinity", {"CT-09": 0.5}, "signals.S001.chain_affinity.CT-09"),
        ("signals/S001/chain_affinity", {"CT-01": 1.5}, "signals.S001.chain_affinity.CT-01"),
        ("signals/S001/chain_affinity", {"CT-01": -0.5}, "signals.S001.chain_affinity.CT-01"),
        ("correlation", {"F01": 0.5}, "correlation.F01"),
        ("correlation", {"F01|F09": 0.5}, "correlation.F01|F09"),
        ("correlation", {"F01|F02": 1.5}, "correlation.F01|F02"),
        ("correlation", {"F01|F01": 0.5}, "correlation.F01|F01"),
        ("correlation", {"F01|F02": 0.5, "F02|F01": 0.4}, "correlation.F02|F01"),
        ("correlation", {"F01|F02": 0.9, "F02|F03": 0.9, "F01|F03": -0.9}, "correlation"),
        ("confidence/a", -0.5, "confidence.a"),
        ("confidence/diversity_half_point", 0, "confidence.diversity_half_point"),
        ("confidence/ordering_floor", 1.1, "confidence.ordering_floor"),
        ("confidence/ordering_tolerance_hours", 0, "confidence.ordering_tolerance_hours"),
        ("chains/types", ["CT-01", "CT-01"], "chains.types[1]"),
        ("chains/types", ["CT-01", "UNKNOWN"], "chains.types"),
        ("chains/types", "CT-01", "chains.types"),
        ("chains/types", ["CT-01", 7], "chains.types[1]"),
        ("chains/min_families", {"CT-01": 1}, "chains.min_families.CT-02"),
        ("chains/min_families", {"CT-01": 1, "CT-02": 1, "CT-03": 1}, "chains.min_families.CT-03"),
        ("chains/min_families/CT-01", 0, "chains.min_families.CT-01"),
        ("chains/temperature", 0, "chains.temperature"),
        ("chains/unknown_logit", None, "chains.unknown_logit"),
        ("legacy/cuts", [20, 40, 60], "legacy.cuts"),
        ("legacy/cuts", [20, 40, 40, 80], "legacy.cuts"),
        ("legacy/cuts", [20, 40, 60, 101], "legacy.cuts[3]"),
        ("legacy/gamma", -1, "legacy.gamma"),
        ("affinity_overrides", ["S009"], "affinity_overrides[0]"),
        ("affinity_overrides", "S001", "affinity_overrides"),
    ],
)  # fmt: skip
def test_a_wrong_field_is_named(path: str, value: Any, field: str) -> None:
    with pytest.raises(ScoringModelError) as caught:
        ScoringModel.from_dict(_changed(path, value))
    assert caught.value.field == field
    assert str(caught.value).startswith(field)


@pytest.mark.parametrize("document", [None, [], "model", {1: 2}])
def test_a_document_is_an_object(document: Any) -> None:
    with pytest.raises(ScoringModelError):
        ScoringModel.from_dict(document)


def test_correlations_may_be_listed_either_way_round_and_reach_one() -> None:
    for pairs in ({"F02|F01": 0.25}, {"F01|F02": 0.25, "F02|F01": 0.25, "F03|F03": 1}):
        matrix = ScoringModel.from_dict(_changed("correlation", pairs)).parameters.correlation
        assert matrix.tolist() == [[1, 0.25, 0], [0.25, 1, 0], [0, 0, 1]]
    ScoringModel.from_dict(_changed("correlation", {"F01|F02": 1.0, "F01|F03": 1.0, "F02|F03": 1.0}))


# --- the default model ---------------------------------------------------------------------------------------------

DEFINITIONS: dict[str, Any] = {
    "schema": "signaldelta.signal_definitions/1",
    "families": {"F01": {"name": "insider", "stage": 1, "budget": 1.5},
                 "F06": {"name": "deals", "stage": 3, "budget": 1.2}},
    "correlations": {"F01|F06": 0.1},
    "chains": {"CT-02": {"name": "deal run-up", "min_families": 2}, "CT-01": {"name": "earnings", "min_families": 3}},
    "signals": {
        "S001": {"name": "buy", "family": "F01", "status": "v2.0", "tier": 1,
                 "half_life_hours": 720, "chain_affinity": {"CT-01": 0.8}},
        "S033": {"name": "deal", "family": "F06", "status": "v2.0", "tier": 2,
                 "half_life_hours": 336, "chain_affinity": {"CT-02": 0.8}},
        "S038": {"name": "trail", "family": "F06", "status": "wired-later", "tier": 1,
                 "half_life_hours": 720, "chain_affinity": {"CT-02": 1}},
    },
}  # fmt: skip


def test_default_model_is_the_priors_over_the_active_signals() -> None:
    document = default_model(DEFINITIONS)
    model = ScoringModel.from_dict(document)
    assert set(model.signals) == {"S001", "S033"}
    assert document["signals"]["S033"] == {
        "family": "F06", "tier": 2, "weight": 1, "half_life_hours": 336, "chain_affinity": {"CT-02": 0.8}
    }  # fmt: skip
    assert document["families"] == {"F01": {"stage": 1, "budget": 1.5}, "F06": {"stage": 3, "budget": 1.2}}
    assert document["correlation"] == {"F01|F06": 0.1}
    assert document["tiers"] == {"1": 1.0, "2": 0.7, "3": 0.4}
    assert document["magnitude"] == {"k": 2, "theta": 1.5}
    assert document["confidence"] == {
        "a": 0.5, "b": 0.3, "c": 0.2, "diversity_half_point": 1, "ordering_floor": 0.25, "ordering_tolerance_hours": 1
    }  # fmt: skip
    assert document["chains"] == {
        "types": ["CT-01", "CT-02"], "min_families": {"CT-01": 3, "CT-02": 2}, "temperature": 0.5, "unknown_logit": 0.6
    }  # fmt: skip
    assert document["legacy"] == {"gamma": 0.5, "cuts": [20, 40, 60, 80]}


def test_default_model_takes_overrides_by_key() -> None:
    document = default_model(DEFINITIONS, magnitude={"theta": 2.0}, signals={"S001": {"weight": 0.5}})
    assert document["magnitude"] == {"k": 2, "theta": 2}
    assert document["signals"]["S001"]["weight"] == 0.5
    with pytest.raises(ScoringModelError, match="no_such_key"):
        default_model(DEFINITIONS, no_such_key=1)
    with pytest.raises(ScoringModelError, match=r"signals\.S033\.half_life_hours"):
        default_model(DEFINITIONS, signals={"S033": {"half_life_hours": -1}})


def test_default_model_names_what_the_definitions_lack() -> None:
    with pytest.raises(ScoringModelError, match=r"definitions\.schema"):
        default_model({})
    broken = copy.deepcopy(DEFINITIONS)
    del broken["signals"]["S001"]["tier"]
    with pytest.raises(ScoringModelError, match="tier"):
        default_model(broken)


def test_affinities_must_be_those_of_the_definitions_unless_overridden() -> None:
    check_affinities(ScoringModel.from_dict(default_model(DEFINITIONS)), DEFINITIONS)
    changed = {"S001": {"chain_affinity": {"CT-01": 0.4}}}
    with pytest.raises(ScoringModelError, match=r"signals\.S001\.chain_affinity"):
        check_affinities(ScoringModel.from_dict(default_model(DEFINITIONS, signals=changed)), DEFINITIONS)
    listed = default_model(DEFINITIONS, signals=changed, affinity_overrides=["S001"])
    check_affinities(ScoringModel.from_dict(listed), DEFINITIONS)
    fewer = copy.deepcopy(DEFINITIONS)
    del fewer["signals"]["S033"]
    with pytest.raises(ScoringModelError, match=r"signals\.S033"):
        check_affinities(ScoringModel.from_dict(default_model(DEFINITIONS)), fewer)
