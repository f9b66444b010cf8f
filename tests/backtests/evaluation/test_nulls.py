"""The nulls: same budget, same circle, and the recall that random alarms reach."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from signaldelta_assets.backtests import evaluate
from signaldelta_assets.backtests.evaluation.alerts import fire
from signaldelta_assets.backtests.evaluation.inputs import read_panel
from signaldelta_assets.backtests.evaluation.layout import Layout, lay_out
from signaldelta_assets.backtests.evaluation.nulls import _choose, _groups, _scatter, random_alerts, turn_events
from signaldelta_assets.backtests.evaluation.sample import Claims, claim

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


def turned(layout: Layout, offset: np.ndarray) -> np.ndarray:
    panel = layout.panel
    return turn_events(
        panel.grid_starts, panel.at, panel.event_starts, panel.event_at, panel.event_type, layout.protocol.step, offset
    )[0]


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_shifted_events_stay_on_their_circle(seed: int) -> None:
    layout, claims = panel_of(3)
    offset = np.random.default_rng(seed).random(len(layout.panel.names))
    entity, moved = claims.event_entity, turned(layout, offset)
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
    assert (turned(layout, np.zeros(len(layout.panel.names))) == claims.event_at).all()


def test_a_shift_keeps_each_type_with_its_event() -> None:
    # One entity, a circle of 10 hours, turned by 4: 2 -> 6 and 9 -> 3 pass in a new order; 0 and 11 are outside.
    at = np.arange(11) * 10
    moments, kinds = np.array([0, 20, 90, 110]), np.array([0, 1, 2, 3])
    moved, types = turn_events(np.array([0, 11]), at, np.array([0, 4]), moments, kinds, 10, np.array([0.4]))
    assert moved.tolist() == [0, 30, 60, 110]
    assert types.tolist() == [0, 2, 1, 3]


def test_targets_are_judged_in_groups_led_by_all_events() -> None:
    assert _groups(1) == [[0]]
    assert _groups(4) == [[0, 1, 2, 3]]
    assert _groups(18) == [list(range(16)), [0, 16, 17]]


def test_many_types_give_what_few_give() -> None:
    # 18 types fill more than one group; the first ones alone must say the same of themselves.
    grid, events = simulate(8, hours=24 * 7 * 4, entities=4, events_per_week=20)
    names = [f"T{place:02d}" for place in range(18)]
    events["event_type"] = np.resize(names, len(events))
    changes = {
        "horizon_hours": 12,
        "nulls__draws": 5,
        "bootstrap__replicates": 9,
        "minimum_dataset__events_per_type": 1,
    }
    many = evaluate(grid, events, simulated_protocol(24 * 7 * 4, event_types=names, **changes))
    for name in ("T00", "T14", "T17"):
        few = evaluate(grid, events, simulated_protocol(24 * 7 * 4, event_types=[name, "T05"], **changes))
        assert many.by_event_type[name] == few.by_event_type[name]
        assert many.by_event_type[name].intervals["auc"] is not None


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
    (null,) = random_alerts(layout, [claims])
    assert null.figures["recall"].mean() == pytest.approx(0.69, abs=0.05)
    assert null.figures["lead_time_hours"][:, 1].mean() == pytest.approx(101, abs=10)
