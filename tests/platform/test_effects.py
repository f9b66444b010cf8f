"""What was planted is found and what was not is not: the main job on an archive whose truth is known."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from signaldelta_assets.replay import SimulationPlan, simulate
from tests.platform.conftest import MakeDeployment
from tests.platform.deployment import Deployment, serving

pytestmark = [pytest.mark.platform, pytest.mark.postgres]

# More deals than in the default archive (one per four entities), so that 80 entities have enough of them.
PLAN = SimulationPlan(seed=7, entities=80, days=300, pools=4, deal_share=0.6)
PLANTED = ("insider-buys-before-earnings", "market-move-before-deal")
NOISE = "noise-before-earnings"


@pytest.fixture(scope="module")
def deployment(deploy: MakeDeployment, folder: Path) -> Any:
    simulate(PLAN, folder / "effects")
    with serving(folder / "effects", folder) as url:
        made = deploy(url, PLAN)
        made.run("python", "-m", "tests.platform.pipeline", str(PLAN.start), str(PLAN.end), *PLANTED, NOISE)
        yield made


@pytest.fixture(scope="module")
def figures(deployment: Deployment) -> dict[str, dict[str, Any]]:
    """The figures of each question, of evidence that does not contain its own answer."""
    rows = deployment.rows("SELECT hypothesis_family, status, evaluation FROM backtest_runs")
    assert {status for _, status, _ in rows} == {"complete"}
    return {family: evaluation["overall"]["without_circular_evidence"] for family, _, evaluation in rows}


def test_the_labels_are_the_events_of_the_plan(deployment: Deployment, folder: Path) -> None:
    truth = json.loads((folder / "effects" / "plan.json").read_text())
    for event_type in ("EARNINGS_SURPRISE", "MNA_ANNOUNCEMENT", "GOVERNANCE_COLLAPSE"):
        planned = {(event["entity"], event["event_time"][:10])
                   for event in truth["events"] if event["event_type"] == event_type}  # fmt: skip
        found = set(deployment.rows(
            "SELECT entity_id, to_char(event_time AT TIME ZONE 'UTC', 'YYYY-MM-DD') FROM labeled_events"
            " WHERE event_type = %(event_type)s AND active", event_type=event_type))  # fmt: skip
        missed, invented = planned - found, found - planned
        assert (missed, invented) == (set(), set()), event_type


@pytest.mark.parametrize("question", PLANTED)
def test_a_planted_effect_is_found(figures: dict[str, dict[str, Any]], question: str) -> None:
    found = figures[question]
    assert found["n_events"] >= 50 and found["n_alerts"] >= 30
    # 45 % of the surprises and 60 % of the deals are led. The bound is the claim itself and no number of ours: the
    # whole 95 % interval of what precision gains over its null lies above 0, and so for recall.
    for figure in ("precision", "recall"):
        against = found["nulls"]["random_alerts"][figure]
        assert against["difference_interval"]["lo"] > 0, (figure, against)
        # As small as 50 draws can show: no draw was as good.
        assert against["p_value"] == pytest.approx(1 / 51)


def test_an_effect_that_is_not_there_is_not_found(figures: dict[str, dict[str, Any]]) -> None:
    found = figures[NOISE]
    assert found["n_events"] >= 50 and found["n_alerts"] >= 30
    # Late filings and contracts were told independently of announcements: the interval of the difference covers 0.
    # Not asked of the AUC, whose interval does not know of seasons: reports and announcements follow the same
    # calendar; its null of shifted events does know, so there the p-value is what counts.
    for figure in ("precision", "recall"):
        interval = found["nulls"]["random_alerts"][figure]["difference_interval"]
        assert interval["lo"] <= 0 <= interval["hi"], (figure, interval)
    assert found["nulls"]["shifted_events"]["auc"]["p_value"] > 0.05
