"""Alert rule, matching, censoring and outcomes against the plain reference, on random panels."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from signaldelta_assets.backtests import evaluate
from signaldelta_assets.backtests.evaluation import alerts_from_grid

from .reference import reference
from .support import HOUR, START, document, event_frame, grid_frame, protocol

LEVELS = [0.0, 0.2, 0.4, 0.5, 0.6, 0.6, 0.7, 1.0]  # the rule's own levels among them, for ties


@st.composite
def panels(draw: st.DrawFn) -> tuple[list, list, dict]:
    hours = draw(st.integers(2, 40))
    doc = document(
        grid__end=START + hours * HOUR,
        horizon_hours=draw(st.sampled_from([1, 3, 7.5, 60])),
        alert__refractory_hours=draw(st.sampled_from([0, 1, 5])),
        bootstrap__replicates=0,
        nulls__draws=0,
    )
    grid = [
        (entity, START + hour * HOUR, draw(st.sampled_from(LEVELS)))
        for entity in draw(st.sampled_from([["x"], ["x", "y"], ["a", "x", "y"]]))
        for hour in range(hours + 1)
        if draw(st.integers(0, 9))  # some points are absent
    ]
    moments = st.one_of(
        st.integers(-3, hours + 3).map(lambda hour: START + hour * HOUR),
        st.integers(START - 2 * HOUR, START + (hours + 2) * HOUR),
    )
    event = st.tuples(st.sampled_from(["x", "y", "z"]), st.sampled_from(["A", "B", "other"]), moments)
    return grid, draw(st.lists(event, max_size=12)), doc


@settings(max_examples=80, deadline=None)
@given(panels())
def test_against_the_plain_reference(panel: tuple[list, list, dict]) -> None:
    grid, events, doc = panel
    if not grid:
        return
    expected = reference(grid, events, doc)
    entity, at, score = zip(*grid, strict=True)
    made = protocol()
    made = type(made).from_dict(doc)
    frame = grid_frame(entity, at, score)
    result = evaluate(frame, event_frame(events), made)

    alerts = alerts_from_grid(frame, made).to_pylist()
    assert [(row["entity_id"], int(row["at"].timestamp())) for row in alerts] == expected["alerts"]
    found = [
        (row["entity_id"], int(row["alert_at"].timestamp()), int(row["event_time"].timestamp()))
        for row in result.matches.to_pylist()
    ]
    assert found == expected["matches"]
    for name in ("n_alerts", "n_events", "censored_alerts", "censored_events"):
        assert getattr(result, name) == expected[name], name
    for name in ("precision", "recall", "false_positive_rate", "base_rate"):
        value = getattr(result, name)
        assert (value is None) == (expected[name] is None), name
        if value is None:
            assert result.reasons[name]
        else:
            assert value == pytest.approx(expected[name], abs=1e-12)
    if expected["leads"]:
        assert result.lead_time_hours is not None
        quartiles = np.quantile(expected["leads"], [0.25, 0.5, 0.75])
        assert [result.lead_time_hours[name] for name in ("q25", "median", "q75")] == pytest.approx(quartiles.tolist())
    else:
        assert result.lead_time_hours is None


def test_the_alert_rule_at_its_edges() -> None:
    made = protocol(alert={"threshold": 0.6, "rearm_below": 0.4, "refractory_hours": 3})
    # Fires at the threshold itself; 0.4 does not re-arm, 0.39 does, but not before three hours have passed.
    score = [0.6, 0.39, 0.9, 0.4, 0.9, 0.39, 0.6, 0.1, 0.1, 0.59, 0.7]
    frame = grid_frame(["x"] * len(score), START + HOUR * np.arange(len(score)), score)
    hours = [(int(at.timestamp()) - START) // HOUR for at in alerts_from_grid(frame, made)["at"].to_pylist()]
    assert hours == [0, 6]


def test_events_at_the_edges_of_the_horizon() -> None:
    made = protocol(bootstrap__replicates=0)
    score = np.zeros(48)
    score[[10, 30]] = 0.9
    frame = grid_frame(["x"] * 48, START + HOUR * np.arange(48), score)
    at_alert, at_end = START + 10 * HOUR, START + 36 * HOUR
    result = evaluate(frame, event_frame([("x", "A", at_alert), ("x", "A", at_end)]), made)
    assert [row["event_time"].timestamp() for row in result.matches.to_pylist()] == [at_end]
    late = evaluate(frame, event_frame([("x", "A", at_end + 1)]), made)
    assert late.matches.num_rows == 0


def test_alerts_of_a_prefix_are_a_prefix_of_the_alerts() -> None:
    rng = np.random.default_rng(3)
    frame = grid_frame(np.repeat(["x", "y"], 48), START + HOUR * np.tile(np.arange(48), 2), rng.random(96))
    whole = alerts_from_grid(frame, protocol()).to_pylist()
    for hours in range(1, 48, 5):
        cut = frame[frame["at"] < frame["at"].min() + np.timedelta64(hours, "h")]
        limit = cut["at"].max()
        assert alerts_from_grid(cut, protocol()).to_pylist() == [row for row in whole if row["at"] <= limit]
