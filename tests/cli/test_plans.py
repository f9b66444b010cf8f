"""The demo's plans: every question is a protocol that validates, and nothing is asked about that is not frozen."""

from __future__ import annotations

from datetime import date
from typing import get_args

import pytest

from signaldelta_assets.backtests import EvaluationProtocol
from signaldelta_assets.catalogue import load_definitions
from signaldelta_assets.cli.main import PlanName
from signaldelta_assets.cli.plans import PLANS, SIMULATED, Plan, model_document, plan_of, protocol_document
from signaldelta_assets.collectors import registered_collectors
from signaldelta_assets.scoring import ScoringModel

EVERY = {"simulated": SIMULATED, **PLANS}


@pytest.mark.parametrize("plan", EVERY.values(), ids=EVERY)
def test_a_plan_asks_within_what_it_collects(plan: Plan) -> None:
    definitions = load_definitions()
    assert len(plan.quarters) >= plan.frozen and sorted(plan.quarters) == list(plan.quarters)
    # A quarter may begin before the archive does: the pools' first trades are of September.
    assert plan.first < date.fromisoformat(plan.quarters[1]) and date.fromisoformat(plan.quarters[-1]) < plan.last
    assert plan.last < plan.observed
    for names, first in plan.histories:
        assert set(names) <= set(registered_collectors()) and first < plan.first
    assert len({question.hypothesis for question in plan.questions}) == len(plan.questions)
    for question in plan.questions:
        protocol = EvaluationProtocol.from_dict(protocol_document(question, plan))
        assert protocol.event_types == question.event_types and protocol.horizon_hours == question.horizon_hours
        # Whoever has a life of its own is asked about within it, and its null does not move with the others'.
        assert (protocol.within, protocol.null_shift) == (
            ("window", "common") if question.seasons else ("coverage", "entity"))  # fmt: skip
        assert set(question.signals) <= set(definitions.active_signals())
        document = model_document(question, definitions)
        ScoringModel.from_dict(document)
        weighed = {name for name, signal in document["signals"].items() if signal["weight"]}
        assert weighed == set(question.signals or document["signals"])


def test_the_command_knows_the_plans() -> None:
    assert set(get_args(PlanName)) == set(PLANS)
    assert plan_of(True, "pools") is SIMULATED and plan_of(False, "pools") is PLANS["pools"]
