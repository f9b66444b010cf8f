"""The nulls: same budget, same circle, and the recall that random alarms reach."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from signaldelta_assets.backtests.evaluation.alerts import fire
from signaldelta_assets.backtests.evaluation.inputs import read_panel
from signaldelta_assets.backtests.evaluation.matching import followed
from signaldelta_assets.backtests.evaluation.nulls import (
    _choose,
    _positives,
    _scatter,
    random_alerts,
    shift_events,
)
from signaldelta_assets.backtests.evaluation.sample import Claims, Layout, claim, draw_sample, lay_out

from .support import HOUR, START, event_frame, grid_frame, simulate, simulated_protocol


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 30), st.floats(0, 1)), min_size=1, max_size=6), st.integers(0, 2**32 - 1))
def test_random_rows_keep_the_budget_and_the_gaps(entities: list[tuple[int, float]], seed: int) -> None:
    rng = np.random.default_rng(seed)
    starts = np.concatenate([[0], np.cumsum([rows for rows, _ in entities])]).astype(np.int64)
    rows = [
        np.sort(rng.choice(np.arange(starts[place], starts[place + 1]), int(rows * share), replace=False))
        for place, (rows, share) in enumerate(entities)
    ]
    alert_starts = np.concatenate([[0], np.cumsum([len(part) for part in rows])]).astype(np.int64)
    flat = np.concatenate(rows).astype(np.int64)
    spaced = _scatter(starts, alert_starts, flat, rng.random(2 * len(flat)))
    strewn = _choose(starts, alert_starts, rng.random(len(flat)))
    for place in range(len(entities)):
        length = starts[place + 1] - starts[place]
        for drawn in (spaced, strewn):
            own = drawn[alert_starts[place] : alert_starts[place + 1]]
            assert (np.diff(own) > 0).all()
            assert ((own >= starts[place]) & (own < starts[place + 1])).all()
        own = spaced[alert_starts[place] : alert_starts[place + 1]]
        if len(own):
            gaps = [sorted(np.append(np.diff(part), length - part[-1] + part[0])) for part in (own, rows[place])]
            assert gaps[0] == gaps[1]


def panel_of(seed: int, **changes: object) -> tuple[Layout, Claims]:
    made = simulated_protocol(**changes)
    panel = read_panel(*simulate(seed), made)
    fired = fire(panel.grid_starts, panel.at, panel.score, made.threshold, made.rearm_below, made.refractory)
    layout = lay_out(panel, panel.probability, made)
    return layout, claim(made, panel, fired, panel.event_entity, panel.event_at)


def test_every_row_is_as_likely_as_any_other() -> None:
    starts, alerts = np.array([0, 12]), np.array([0, 3])
    rng = np.random.default_rng(1)
    for draw in (
        lambda: _choose(starts, alerts, rng.random(3)),
        lambda: _scatter(starts, alerts, np.array([1, 2, 7]), rng.random(6)),
    ):
        counts = np.bincount(np.concatenate([draw() for _ in range(4000)]), minlength=12)
        assert np.abs(counts - 1000).max() < 5 * np.sqrt(1000 * 0.75)


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_shifted_events_stay_on_their_circle(seed: int) -> None:
    layout, claims = panel_of(3)
    offset = np.random.default_rng(seed).random(len(layout.panel.names))
    entity, moved = shift_events(layout, claims, offset)
    assert (np.bincount(entity) == np.bincount(claims.event_entity)).all()
    first, last = START * 1_000_000, layout.protocol.end
    for place in range(len(layout.panel.names)):
        before, after = claims.event_at[claims.event_entity == place], moved[entity == place]
        assert (np.diff(after) >= 0).all()
        inside = (before > first) & (before <= last)
        assert ((after > first) & (after <= last)).sum() == inside.sum()
        # Distances along the circle are the same, from some event on.
        circle = last - first
        gaps = [np.sort(np.diff(np.append(part, part[:1] + circle))) for part in (before[inside], after)]
        if inside.all() and len(before):
            assert (gaps[0] == gaps[1]).all()


def test_no_shift_changes_nothing() -> None:
    layout, claims = panel_of(3)
    entity, moved = shift_events(layout, claims, np.zeros(len(layout.panel.names)))
    assert (entity == claims.event_entity).all()
    assert (moved == claims.event_at).all()


def test_random_alarms_reach_recall_069_and_101_hours() -> None:
    # backtests.md: 5 alarms per entity-month, H = 7 days. Expected 1 - exp(-5 * 7 / 30.4) = 0.684.
    rng = np.random.default_rng(0)
    hours, entities = 24 * 365, 40
    made = simulated_protocol(hours, horizon_hours=168, nulls__alerts="uniform", nulls__draws=10)
    score = (rng.random((entities, hours)) < 5 * 12 / hours).astype(float)
    names = [f"E{place:02d}" for place in range(entities)]
    grid = grid_frame(np.repeat(names, hours), START + HOUR * np.tile(np.arange(hours), entities), score.ravel())
    moments = START + rng.integers(0, hours * HOUR, 600)
    events = event_frame([(str(rng.choice(names)), "A", int(moment)) for moment in moments])
    panel = read_panel(grid, events, made)
    fired = fire(panel.grid_starts, panel.at, panel.score, 0.75, 0.5, 0)
    layout = lay_out(panel, panel.probability, made)
    claims = claim(made, panel, fired, panel.event_entity, panel.event_at)
    null = random_alerts(layout, claims, draw_sample(layout, claims, np.zeros(len(panel.at), dtype=bool)))
    assert null.figures["recall"].mean() == pytest.approx(0.69, abs=0.05)
    assert null.figures["lead_time_hours"][:, 1].mean() == pytest.approx(101, abs=10)


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 30), st.integers(0, 8))
def test_rows_followed_by_an_event_found_from_either_side(seed: int, hours: int, events: int) -> None:
    # Half of the events stand on a grid point exactly, where (t, t + H] has its edges.
    rng = np.random.default_rng(seed)
    at = np.sort(rng.choice(60, size=2 * hours, replace=False)) * 10
    starts = np.array([0, hours, 2 * hours])
    moments = np.sort(rng.integers(0, 60, (2, events)) * 10 + rng.integers(0, 2, (2, events)) * 3, axis=1).ravel()
    event_starts = np.array([0, events, 2 * events])
    uncensored = at <= 500
    rows = _positives(starts, at, event_starts, moments, 70, uncensored)
    expected = followed(starts, at, event_starts, moments, 70) & uncensored
    assert rows.tolist() == np.flatnonzero(expected).tolist()
