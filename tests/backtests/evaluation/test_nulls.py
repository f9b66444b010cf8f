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
from signaldelta_assets.backtests.evaluation.nulls import _choose, random_alerts
from signaldelta_assets.backtests.evaluation.sample import Claims, claim
from signaldelta_assets.backtests.evaluation.season import Clocks, alert_gaps, clocks, scatter_alerts, turn_events

from .support import HOUR, START, event_frame, grid_frame, simulate, simulated_protocol


def even(entities: int, hours: int) -> Clocks:
    """The calendar as everybody's clock, over a grid of `hours` steps of ten."""
    edges = 10 * np.array([0, hours // 2, hours])
    return Clocks(edges, np.tile(edges / 7.0, (entities, 1)))


def scattered(starts: np.ndarray, alert_starts: np.ndarray, rows: np.ndarray, uniform: np.ndarray) -> np.ndarray:
    """Alerts strewn on an even clock; each entity's rows are ten apart from 0 on."""
    lengths = np.diff(starts)
    at = 10 * np.concatenate([np.arange(length) for length in lengths])
    clock = even(len(lengths), max(int(lengths.max()), 2))
    return strewn_on(clock, starts, at, alert_starts, rows, 10, uniform)


def strewn_on(
    clock: Clocks,
    starts: np.ndarray,
    at: np.ndarray,
    alert_starts: np.ndarray,
    rows: np.ndarray,
    step: int,
    uniform: np.ndarray,
) -> np.ndarray:
    gaps, circles = alert_gaps(starts, at, alert_starts, rows, step, clock.edges, clock.reading)
    return scatter_alerts(starts, at, alert_starts, gaps, circles, step, uniform, clock.edges, clock.reading)


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
    spaced = scattered(starts, alert_starts, flat, rng.random(2 * len(flat)))
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
    return layout, claim(made, panel, fired, panel.event_entity, panel.event_at, panel.event_error)


def test_every_row_is_as_likely_as_any_other() -> None:
    starts, alerts = np.array([0, 12]), np.array([0, 3])
    rng = np.random.default_rng(1)
    for draw in (
        lambda: _choose(starts, alerts, rng.random(3)),
        lambda: scattered(starts, alerts, np.array([1, 2, 7]), rng.random(6)),
    ):
        counts = np.bincount(np.concatenate([draw() for _ in range(4000)]), minlength=12)
        assert np.abs(counts - 1000).max() < 5 * np.sqrt(1000 * 0.75)


def turned(layout: Layout, offset: np.ndarray) -> np.ndarray:
    panel = layout.panel
    clock = clocks(panel.event_entity, panel.event_at, len(panel.names), layout.protocol)
    moved, origin = turn_events(
        panel.grid_starts, panel.at, panel.event_starts, panel.event_at, layout.protocol.step, offset, clock.edges,
        clock.reading,
    )  # fmt: skip
    assert sorted(origin.tolist()) == list(range(len(panel.event_at)))
    return moved


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_shifted_events_stay_on_their_circle(seed: int) -> None:
    layout, claims = panel_of(3, nulls__season="none")
    offset = np.random.default_rng(seed).random(len(layout.panel.names))
    entity, moved = claims.event_entity, turned(layout, offset)
    first, last = START * 1_000_000, layout.protocol.end
    for place in range(len(layout.panel.names)):
        before, after = claims.event_at[claims.event_entity == place], moved[entity == place]
        assert (np.diff(after) >= 0).all()
        inside = (before > first) & (before <= last)
        assert ((after > first) & (after <= last)).sum() == inside.sum()
        # Distances along the circle are the same, from some event on, but for the rounding to whole steps.
        circle = last - first
        gaps = [np.sort(np.diff(np.append(part, part[:1] + circle))) for part in (before[inside], after)]
        if inside.all() and len(before):
            assert np.abs(gaps[0] - gaps[1]).max() <= 2 * layout.protocol.step
            # Whole steps: each event keeps its place within a step.
            within = [np.sort(part % layout.protocol.step) for part in (before, after)]
            assert (within[0] == within[1]).all()


@pytest.mark.parametrize("season", ["shared", "none"])
def test_no_shift_changes_nothing(season: str) -> None:
    layout, claims = panel_of(3, nulls__season=season)
    assert (turned(layout, np.zeros(len(layout.panel.names))) == claims.event_at).all()


def test_a_shift_says_which_event_went_where() -> None:
    # One entity, a circle of 10 hours, turned by 4: 20 -> 60 and 90 -> 30 pass in a new order; 0 and 110 are outside.
    at, clock = np.arange(11) * 10, even(1, 10)
    moments = np.array([0, 20, 90, 110])
    moved, origin = turn_events(
        np.array([0, 11]), at, np.array([0, 4]), moments, 10, np.array([0.4]), clock.edges, clock.reading
    )
    assert moved.tolist() == [0, 30, 60, 110]
    assert origin.tolist() == [0, 2, 1, 3]


def test_a_clock_goes_by_the_others_alone() -> None:
    made = simulated_protocol()
    weeks = (made.end - made.start) // made.cluster
    # Entity 0 has an event each week, entity 1 all of its in the fifth.
    at = made.start + made.cluster * np.append(np.arange(weeks), [4.5] * 20)
    entity = np.append(np.zeros(weeks, dtype=np.int64), np.ones(20, dtype=np.int64))
    clock = clocks(entity, at.astype(np.int64), 3, made)
    rate = np.diff(clock.reading, axis=1)[:, :weeks]
    assert (rate[1][:-1] == 1.25).all()  # the last week borders on a part of one
    assert rate[0].argmax() == 4
    assert rate[0][[3, 4, 5]].tolist() == [5.25, 10.25, 5.25]
    assert rate[2][:-1] == pytest.approx(rate[0][:-1] + 1.0)
    still = clocks(entity, at.astype(np.int64), 3, simulated_protocol(nulls__season="none"))
    assert np.diff(still.reading, axis=1)[:, :weeks] == pytest.approx(0.25)


def test_turned_events_and_strewn_alerts_keep_the_season() -> None:
    # Everybody is active in the second quarter of the time only: so is the null, wherever the offset lands.
    made = simulated_protocol()
    rng = np.random.default_rng(4)
    entities, hours = 40, 24 * 7 * 10
    at = np.tile(made.start + 3_600_000_000 * np.arange(hours), entities)
    starts = hours * np.arange(entities + 1)
    rows = np.sort(rng.integers(hours // 4, hours // 2, (entities, 6)) + hours * np.arange(entities)[:, None], axis=1)
    rows = np.concatenate([np.unique(part) for part in rows])
    alert_starts = np.searchsorted(rows, starts)
    clock = clocks(rows // hours, at[rows], entities, made)
    strewn = strewn_on(clock, starts, at, alert_starts, rows, made.step, rng.random(2 * len(rows)))
    turned_at, _ = turn_events(
        starts, at, alert_starts, at[rows] + 1, made.step, rng.random(entities), clock.edges, clock.reading
    )
    for place in (strewn % hours, (turned_at - made.start) // made.step):
        inside = (place >= hours // 4 - 168) & (place < hours // 2 + 168)
        assert inside.mean() > 0.9
        # Not where they were: an even spread over the season has a third of it in each third.
        assert 0.2 < ((place >= hours // 4) & (place < hours // 3)).mean() < 0.5
    assert (np.diff(strewn) > 0).all()


def test_many_types_give_what_few_give() -> None:
    # 18 types fill more than one ranking; the first ones alone must say the same of themselves.
    grid, events = simulate(8, hours=24 * 7 * 4, entities=4, events_per_week=20)
    names = [f"T{place:02d}" for place in range(18)]
    events["event_type"] = np.resize(names, len(events))
    # Without seasons: the clock is made of all target events, hence another one for other types.
    changes = {
        "horizon_hours": 12,
        "nulls": {"draws": 5, "season": "none"},
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
    claims = claim(made, panel, fired, panel.event_entity, panel.event_at, panel.event_error)
    (null,) = random_alerts(layout, [claims], [np.zeros((layout.clusters, 11))])
    assert null.figures["recall"].mean() == pytest.approx(0.69, abs=0.05)
    assert null.figures["lead_time_hours"][:, 1].mean() == pytest.approx(101, abs=10)
