"""Leads against events whose time may be off."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from signaldelta_assets.backtests.evaluation import EvaluationInputError, EvaluationProtocol, evaluate

START, HOURS = 1_700_006_400, 600
LEADS = (5, 20, 11)
PROTOCOL = EvaluationProtocol.from_dict(
    {
        "schema": "signaldelta.evaluation_protocol/1",
        "grid": {"start": START, "end": START + (HOURS - 1) * 3600, "step_seconds": 3600},
        "horizon_hours": 24,
        "embargo_hours": 0,
        "folds": 1,
        "alert": {"threshold": 0.7, "rearm_below": 0.5, "refractory_hours": 0},
        "event_types": ["T"],
        "calibration": {"method": "none"},
        "bootstrap": {"cluster_hours": 168, "level": 0.95, "replicates": 4, "seed": 0},
        "nulls": {"draws": 4},
        "minimum_dataset": dict.fromkeys(
            ("entities", "event_types", "events", "events_of_commonest_type", "months"), 0
        ),
    }
)  # fmt: skip


def _evaluated(errors: list[float] | None) -> Any:
    """Alerts 5, 20 and 11 hours before three events."""
    alerts = np.array([100, 250, 400])
    score = np.full(HOURS, 0.1)
    score[alerts] = 0.9
    at = START + 3600 * np.arange(HOURS)
    grid = pd.DataFrame({"entity_id": "E", "at": at, "alert_score": score, "probability": score})
    events = pd.DataFrame({"entity_id": "E", "event_type": "T", "event_time": at[alerts + np.array(LEADS)]})
    if errors is not None:
        events["time_error_seconds"] = errors
    return evaluate(grid, events, PROTOCOL)


def test_only_leads_as_long_as_the_error_are_told() -> None:
    plain, zero, some = _evaluated(None), _evaluated([0, 0, 0]), _evaluated([6 * 3600, 6 * 3600, 11 * 3600])
    assert plain.to_document() == zero.to_document() and plain.lead_time_hours.median == 11
    assert some.lead_time_hours.median == 15.5
    assert some.left_out["leads shorter than the error of the event's time"] == 1
    assert (some.precision, some.recall, some.auc) == (plain.precision, plain.recall, plain.auc) and plain.recall == 1
    assert some.kaplan_meier == plain.kaplan_meier


def test_nulls_are_cut_alike() -> None:
    """With an error beyond the horizon no lead is told, of the null's draws neither."""
    cut = _evaluated([10**6] * 3)
    assert cut.lead_time_hours is None and cut.recall == 1
    names = {name for null in cut.nulls.values() for name in null}
    assert "recall" in names and not any(name.startswith("lead_time_hours") for name in names)


@pytest.mark.parametrize("error", [-1.0, float("nan")])
def test_an_error_is_a_number_of_seconds(error: float) -> None:
    with pytest.raises(EvaluationInputError, match="time_error_seconds"):
        _evaluated([0.0, error, 0.0])
