"""What a person is told of an ablation: figures, parts without effect, and nothing where nothing was evaluated."""

from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console

from signaldelta_assets.backtests.ablation import effect, evaluations, parts, prepare, ranked, without
from signaldelta_assets.backtests.evaluation import EvaluationProtocol
from signaldelta_assets.backtests.warmup import _DEFINITIONS, _MODEL, _protocol, _tables
from signaldelta_assets.cli.ablation import print_table
from signaldelta_assets.scoring import ScoringModel
from signaldelta_assets.timeline import LatencyModel
from tests.reports.documents import LATENCY


def _document(events: int) -> dict[str, Any]:
    """The table of a small run whose protocol asks for so many events."""
    protocol = _protocol("platt")
    protocol["minimum_dataset"]["events"] = events
    made = EvaluationProtocol.from_dict(protocol)
    study = prepare(_tables(), LatencyModel.from_dict(LATENCY), made, _DEFINITIONS)
    model = ScoringModel.from_dict(_MODEL)
    base = evaluations(study, model)
    effects = [effect(study, base, part, without(model, part)) for part in parts(model, "family")]
    return {
        "base": {"hypothesis_family": "small"},
        "primary_figure": "precision",
        "level": 0.9,
        "parts": [{**item.to_document(), "title": None} for item in ranked(effects, "precision")],
        "not_run": [],
    }


def _printed(document: dict[str, Any]) -> str:
    said = io.StringIO()
    print_table(Console(file=said, width=300), document)
    return said.getvalue()


def test_below_the_minimum_dataset_nothing_is_said_to_change_nothing() -> None:
    said = _printed(_document(events=500))
    assert "changes nothing" not in said
    assert all(name in said for name in ("nothing ", "F1", "F2"))
    assert said.count("below the minimum dataset") >= 3, said


@pytest.mark.parametrize("same", [True, False])
def test_a_part_without_effect_is_told_in_a_line(same: bool) -> None:
    document = _document(events=1)
    part = document["parts"][0]
    if same:
        part["figures"] = {
            evidence: {name: pair | {"without": pair["base"], "difference": 0.0} for name, pair in found.items()}
            for evidence, found in part["figures"].items()
        }
    assert (f"changes nothing: {part['name']}" in _printed(document)) is same
