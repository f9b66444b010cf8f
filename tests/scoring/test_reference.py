"""The kernel against the golden cases and against the formulas written down plainly."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings

from signaldelta_assets.scoring import ScoringModel, score, score_grid
from tests.paths import GOLDEN, needs_golden

from . import reference
from .cases import NOW, bits, model_document, panel, plain, same, scored_cases, seconds, table

_FILE = GOLDEN / "scoring.json"
_CASES = json.loads(_FILE.read_text())["cases"] if _FILE.is_file() else []


def _moment(stamp: float) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=round(stamp * 1e6))


def _agree(got: Any, expected: Any, path: str = "") -> None:
    if isinstance(expected, dict):
        assert set(got) == set(expected), path
        for key in expected:
            _agree(got[key], expected[key], f"{path}.{key}")
    elif isinstance(expected, list):
        assert len(got) == len(expected), path
        for i, item in enumerate(expected):
            _agree(got[i], item, f"{path}[{i}]")
    elif isinstance(expected, float):
        assert same(got, expected), f"{path}: {got!r} instead of {expected!r}"
    else:
        assert got == expected, path


@needs_golden
@pytest.mark.parametrize("case", _CASES, ids=[case["name"] for case in _CASES])
@pytest.mark.parametrize("frame", ["table", "pandas"])
def test_golden(case: dict[str, Any], frame: str) -> None:
    events = [event | {"available_time": _moment(event["available_time"])} for event in case["events"]]
    given_events = table(events) if frame == "table" else pd.DataFrame(events)
    sample = score(given_events, ScoringModel.from_dict(case["model"]), _moment(case["at"]))
    _agree(asdict(sample), case["expect"])


@needs_golden
def test_golden_file_has_cases() -> None:
    assert len(_CASES) >= 19


@given(scored_cases())
@settings(max_examples=150, deadline=None)
def test_formulas(case: tuple[dict[str, Any], list[dict[str, Any]]]) -> None:
    document, events = case
    sample = asdict(score(table(events), ScoringModel.from_dict(document), NOW, top_k=len(events)))
    expected = reference.score(document, plain(events), 0.0)
    event_deltas = expected.pop("event_deltas")
    contributors = {item["event_id"]: item["delta_magnitude"] for item in sample.pop("top_contributors")}
    _agree(contributors, event_deltas, "event_deltas")
    if min(abs(expected["legacy_score"] - cut) for cut in document["legacy"]["cuts"]) < 1e-9:
        expected["verdict"] = sample["verdict"]
    _agree(sample, expected)


@pytest.mark.parametrize("seed", range(6))
def test_grid_is_the_formulas_everywhere(seed: int) -> None:
    document = model_document(seed)
    events = panel(seed, document)
    grid = score_grid(
        events, ScoringModel.from_dict(document), NOW - timedelta(hours=60), NOW, timedelta(hours=7)
    ).to_pylist()
    assert len(grid) == 3 * 9
    for row in grid:
        own = [event for event in events.to_pylist() if event["entity_id"] == row["entity_id"]]
        expected = reference.triple(document, plain(own), seconds(row["at"]))
        chains = expected.pop("chain_probabilities")
        expected.pop("families", None)
        _agree({key: row[key] for key in expected}, expected, f"{row['entity_id']} {row['at']}")
        _agree({key: row[f"p_{key}"] for key in chains}, chains)


@pytest.mark.parametrize("seed", range(4))
def test_score_is_one_row_of_the_grid(seed: int) -> None:
    document = model_document(seed)
    model = ScoringModel.from_dict(document)
    events = panel(seed, document, entities=1)
    sample = asdict(score(events, model, NOW))
    row = score_grid(events, model, at=[NOW]).to_pylist()[0]
    for key in ("evidence", "magnitude", "lean", "confidence", "legacy_score", "n_events", "verdict", "ordering"):
        assert row[key] == sample[key], key
    assert {f"p_{name}": p for name, p in sample["chain_probabilities"].items()} == {
        key: value for key, value in row.items() if key.startswith("p_")
    }


def test_ties_of_contributors_go_by_event_id() -> None:
    document = model_document(3)
    signal = sorted(document["signals"])[0]
    event = {
        "signal_id": signal,
        "available_time": NOW - timedelta(hours=3),
        "strength_norm": 0.7,
        "reliability": 0.6,
        "direction": 1.0,
    }
    events = [event | {"event_id": name} for name in ("Z", "M", "A", "Q", "B", "K", "C")]
    sample = score(table(events), ScoringModel.from_dict(document), NOW, top_k=4)
    assert [item.event_id for item in sample.top_contributors] == ["A", "B", "C", "K"]
    assert len({item.delta_magnitude for item in sample.top_contributors}) == 1


def test_a_score_on_a_cut_belongs_above_it() -> None:
    # No evidence scores exactly 50.
    document = model_document(1)
    for cuts, verdict in (([10, 20, 50, 60], "BUY"), ([10, 20, 30, 50], "STRONG_BUY"), ([10, 20, 51, 60], "HOLD")):
        document["legacy"]["cuts"] = cuts
        assert score(table([]), ScoringModel.from_dict(document), NOW).verdict == verdict


def test_entities_without_events_score_no_evidence() -> None:
    document = model_document(2)
    model = ScoringModel.from_dict(document)
    events = panel(2, document)
    grid = score_grid(events, model, at=[NOW], entities=["AAA", "ENT1", "ZZZ"])
    rows = {row["entity_id"]: row for row in grid.to_pylist()}
    assert list(rows) == ["AAA", "ENT0", "ENT1", "ENT2", "ZZZ"]
    for name in ("AAA", "ZZZ"):
        row = rows[name]
        assert (row["magnitude"], row["confidence"], row["n_events"]) == (0.0, 0.0, 0)
        assert (row["p_UNKNOWN"], row["legacy_score"], row["verdict"]) == (1.0, 50.0, "HOLD")
    alone = score_grid(events, model, at=[NOW])
    assert bits(grid.filter([name.startswith("ENT") for name in grid["entity_id"].to_pylist()])) == bits(alone)
