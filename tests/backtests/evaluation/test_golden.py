"""The golden cases, every figure at 1e-9."""

from __future__ import annotations

import json
from typing import Any

import pandas as pd
import pytest

from signaldelta_assets.backtests import EvaluationProtocol, evaluate
from tests.paths import GOLDEN, needs_golden

PATH = GOLDEN / "evaluation.json"
CASES = json.loads(PATH.read_text())["cases"] if PATH.is_file() else []


@needs_golden
def test_there_are_cases() -> None:
    assert CASES


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
@pytest.mark.parametrize("stamps", ["timestamps", "seconds"])
def test_golden_case(case: dict[str, Any], stamps: str) -> None:
    grid = pd.DataFrame(case["grid"])
    events = pd.DataFrame(case["events"], columns=["entity_id", "event_type", "event_time"])
    if stamps == "timestamps":
        grid["at"] = pd.to_datetime(grid["at"], unit="s", utc=True)
        events["event_time"] = pd.to_datetime(events["event_time"], unit="s", utc=True)
    result = evaluate(grid, events, EvaluationProtocol.from_dict(case["protocol"]))
    for name, expected in case["expect"].items():
        found = getattr(result, name)
        if name == "matches":
            rows = [
                {**row, "alert_at": row["alert_at"].timestamp(), "event_time": row["event_time"].timestamp()}
                for row in found.to_pylist()
            ]
            assert rows == expected
        elif expected is None:
            assert found is None
            assert result.reasons[name]
        elif isinstance(expected, dict):
            assert dict(found) == pytest.approx(expected, abs=1e-9, rel=0)
        else:
            assert found == pytest.approx(expected, abs=1e-9, rel=0), name
