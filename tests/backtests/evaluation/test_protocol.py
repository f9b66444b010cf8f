"""The protocol document: what is accepted, what is refused and by which field name."""

from __future__ import annotations

from typing import Any

import pytest

from signaldelta_assets.backtests import EvaluationProtocol, EvaluationProtocolError
from signaldelta_assets.versioning import hash_document

from .support import HOUR, START, document, protocol


def test_units_and_defaults() -> None:
    made = protocol()
    assert (made.start, made.end) == (START * 1_000_000, (START + 47 * HOUR) * 1_000_000)
    assert made.horizon == 6 * HOUR * 1_000_000
    assert (made.null_draws, made.null_seed, made.null_alerts, made.null_shift) == (20, 5, "spaced", "entity")
    assert (made.primary_figure, made.smallest_effect) == ("precision", None)
    assert made.blocks == 2  # 12 h clusters and outcomes that reach over 6 h


def test_hash_names_the_document_as_given_and_nobody_can_change_it() -> None:
    given = document()
    made = EvaluationProtocol.from_dict(given)
    assert made.hash == hash_document(document())
    given["folds"] = 7
    made.document["alert"]["threshold"] = 0.0
    assert made.hash == EvaluationProtocol.from_dict(made.document).hash == hash_document(document())
    with pytest.raises(AttributeError):
        made.threshold = 0.0  # type: ignore[misc]
    assert protocol(folds=4).hash != made.hash


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"schema": "signaldelta.evaluation_protocol/2"}, "schema"),
        ({"grid__end": START}, "grid.end"),
        ({"grid__step_seconds": 0}, "grid.step_seconds"),
        ({"grid__start": 1.5}, "grid.start"),
        ({"grid__start": True}, "grid.start"),
        ({"grid": [1, 2]}, "grid"),
        ({"horizon_hours": 0}, "horizon_hours"),
        ({"horizon_hours": "6"}, "horizon_hours"),
        ({"horizon_hours": float("nan")}, "horizon_hours"),
        ({"embargo_hours": -1}, "embargo_hours"),
        ({"folds": 0}, "folds"),
        ({"alert__rearm_below": 0.7}, "alert.rearm_below"),
        ({"alert__threshold": float("inf")}, "alert.threshold"),
        ({"alert__refractory_hours": -1}, "alert.refractory_hours"),
        ({"alert__rearm": 0.1}, "alert.rearm"),
        ({"event_types": []}, "event_types"),
        ({"event_types": ["A", "A"]}, "event_types"),
        ({"event_types": "A"}, "event_types"),
        ({"calibration__method": "beta"}, "calibration.method"),
        ({"bootstrap__level": 1}, "bootstrap.level"),
        ({"bootstrap__seed": -1}, "bootstrap.seed"),
        ({"bootstrap__replicates": 1.0}, "bootstrap.replicates"),
        ({"bootstrap__cluster_hours": 0}, "bootstrap.cluster_hours"),
        ({"minimum_dataset__months": -1}, "minimum_dataset.months"),
        ({"minimum_dataset": {"months": 1}}, "minimum_dataset.entities"),
        ({"nulls": {"draw": 3}}, "nulls.draw"),
        ({"nulls__shift": "week"}, "nulls.shift"),
        ({"primary": {"figure": "profit"}}, "primary.figure"),
        ({"targets": {"C": ["x"]}}, "targets.C"),
        ({"thresholds": {}}, "thresholds"),
    ],
)
def test_refused_with_the_field_that_is_wrong(changes: dict[str, Any], field: str) -> None:
    with pytest.raises(EvaluationProtocolError) as caught:
        protocol(**changes)
    assert caught.value.field == field


@pytest.mark.parametrize("key", [name for name in document() if name != "nulls"])
def test_missing_key_is_named(key: str) -> None:
    given = document()
    del given[key]
    with pytest.raises(EvaluationProtocolError) as caught:
        EvaluationProtocol.from_dict(given)
    assert caught.value.field == key


def test_not_an_object() -> None:
    with pytest.raises(EvaluationProtocolError):
        EvaluationProtocol.from_dict([])  # type: ignore[arg-type]
