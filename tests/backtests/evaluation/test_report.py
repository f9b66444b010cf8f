"""What the report says beside the figures: reasons, counts, breakdowns, side by side, leak audit, bad input."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from signaldelta_assets.backtests import evaluate
from signaldelta_assets.backtests.evaluation import (
    EvaluationInputError,
    alerts_from_grid,
    audit_moments,
    first_difference,
    side_by_side,
)
from signaldelta_assets.versioning import canonical_json

from .support import HOUR, START, event_frame, grid_frame, protocol, simulate, simulated_protocol

FIGURES = (
    "precision", "recall", "false_positive_rate", "lead_time_hours", "auc", "average_precision", "brier", "log_loss",
    "brier_skill", "base_rate",
)  # fmt: skip


def test_below_the_minimum_dataset_there_are_counts_and_no_metrics() -> None:
    grid, events = simulate(1)
    floor = {"entities": 100, "event_types": 3, "events": 200, "events_of_commonest_type": 50, "months": 6}
    result = evaluate(grid, events, simulated_protocol(minimum_dataset=floor))
    assert result.status == "insufficient"
    assert result.n_events > 0
    assert result.dataset["events"] == {"found": result.n_events, "needed": 200}
    assert result.dataset["event_types"] == {"found": 2, "needed": 3}
    assert [f"{result.n_events} events of 200 needed" in warning for warning in result.warnings] == [True]
    for name in FIGURES:
        assert getattr(result, name) is None
        assert "minimum dataset" in result.reasons[name]
    assert not result.intervals
    assert not result.nulls
    assert result.matches.num_rows == 0
    canonical_json(result.to_document())
    enough = dict.fromkeys(floor, 0) | {"events": result.n_events, "months": result.dataset["months"]["found"]}
    assert evaluate(grid, events, simulated_protocol(minimum_dataset=enough)).status == "evaluated"


# In a world of a few points nearly every figure is undefined somewhere: a replicate without an event, a null's mean
# without a hit (24 has one of those).
@pytest.mark.parametrize("seed", range(10, 40))
def test_in_a_tiny_world_every_number_exists_or_is_null(seed: int) -> None:
    draw = np.random.default_rng(seed)
    entities, hours = int(draw.integers(1, 6)), int(draw.integers(10, 80))
    types = list("ABCD")[: int(draw.integers(1, 5))]
    score = draw.random(entities * hours)
    if draw.random() < 0.6:
        score = np.round(score, int(draw.integers(0, 3)))
    names = np.array([f"E{place}" for place in range(entities)], dtype=object)
    at = START + HOUR * np.tile(np.arange(hours), entities)
    grid = grid_frame(np.repeat(names, hours), at, score)
    if draw.random() < 0.3:
        grid = grid[draw.random(len(grid)) < 0.9]
    count = int(draw.choice([0, 1, 2, 5, 20, 100]))
    events = [
        (names[draw.integers(entities)], types[draw.integers(len(types))], START + int(draw.integers(0, hours * HOUR)))
        for _ in range(count)
    ]
    asked = protocol(
        grid__end=START + (hours - 1) * HOUR,
        event_types=types,
        horizon_hours=int(draw.integers(1, 12)),
        embargo_hours=int(draw.integers(0, 5)),
        folds=int(draw.integers(2, 5)),
        bootstrap__replicates=int(draw.choice([0, 3, 20])),
        bootstrap__cluster_hours=int(draw.integers(2, 30)),
        nulls__draws=int(draw.choice([0, 1, 5])),
        calibration=(
            {"method": "none"}
            if (method := str(draw.choice(["none", "platt", "isotonic"]))) == "none"
            else {"method": method, "minimum_of_each_class": 1}
        ),
        minimum_dataset__events_per_type=int(draw.choice([0, 1, 5])),
        alert={"threshold": float(draw.choice([0.3, 0.6, 0.95])), "rearm_below": 0.25,
               "refractory_hours": int(draw.integers(0, 5))},
    )  # fmt: skip
    result = evaluate(grid, event_frame(events), asked)
    # Canonical JSON has no number that is none, nor an infinite one.
    found = json.loads(canonical_json(result.to_document()))
    assert found["n_points"] == result.n_points > 0


def test_every_figure_has_an_interval_or_a_reason_and_contains_it() -> None:
    grid, events = simulate(2)
    result = evaluate(grid, events, simulated_protocol(minimum_dataset__events_per_type=5))
    for part in (result, *result.by_event_type.values(), *result.by_month.values()):
        values = part.figures if hasattr(part, "figures") else {name: getattr(part, name) for name in FIGURES}
        for name, value in values.items():
            if name == "lead_time_hours":
                continue
            if value is None:
                assert part.reasons[name]
            elif (span := part.intervals[name]) is None:
                assert part.reasons[f"intervals.{name}"]
            else:
                assert span.lo <= span.hi
                assert part.interval_methods[name]
    assert result.intervals["auc"].lo < result.auc < result.intervals["auc"].hi  # type: ignore[union-attr, operator]


def test_breakdowns_add_up() -> None:
    grid, events = simulate(2)
    result = evaluate(grid, events, simulated_protocol(minimum_dataset__events_per_type=5))
    assert list(result.by_month) == ["2023-11", "2023-12", "2024-01"]
    for count in ("n_alerts", "n_events", "n_points"):
        assert sum(getattr(month, count) for month in result.by_month.values()) == getattr(result, count)
    assert sum(kind.n_events for kind in result.by_event_type.values()) == result.n_events
    assert all(kind.base_rate for kind in result.by_event_type.values())
    assert all(kind.nulls["random_alerts"]["recall"].draws == 20 for kind in result.by_event_type.values())
    alone = evaluate(grid, events, simulated_protocol(event_types=["A"]))
    for name in ("precision", "recall", "auc", "average_precision", "base_rate", "false_positive_rate"):
        assert result.by_event_type["A"].figures[name] == getattr(alone, name)
    assert result.by_event_type["A"].reasons["brier"].startswith("the probability is one of any target event")


def test_a_rare_type_shows_its_counts_and_base_rate_only() -> None:
    grid, events = simulate(2)
    result = evaluate(grid, events, simulated_protocol(minimum_dataset__events_per_type=1000))
    kind = result.by_event_type["A"]
    assert kind.status == "insufficient"
    assert kind.base_rate is not None
    assert kind.figures["recall"] is None
    assert kind.reasons["recall"] == f"insufficient for evaluation: {kind.n_events} events of 1000 needed"


def test_nothing_matched_is_not_a_certainty() -> None:
    hours = 48
    score = np.zeros((4, hours))
    score[:, [5, 20]] = 0.9
    grid = grid_frame(np.repeat(list("abcd"), hours), START + HOUR * np.tile(np.arange(hours), 4), score.ravel())
    events = event_frame([(name, "A", START + 40 * HOUR) for name in "abcd"])
    result = evaluate(grid, events, protocol())
    assert (result.precision, result.recall) == (0.0, 0.0)
    assert result.lead_time_hours is None
    span = result.intervals["precision"]
    assert span is not None
    # Clopper and Pearson for none of 4: eight clusters hold an alert, drawn in twos.
    assert (span.lo, span.hi) == (0.0, pytest.approx(1 - 0.025 ** (1 / 4)))
    assert result.interval_methods["precision"] == "binomial, by cluster"
    null = result.nulls["shifted_events"]["precision"]
    assert null.difference_interval is not None
    assert null.difference_interval.hi > 0


def test_what_is_left_out_is_counted() -> None:
    at = START + HOUR * np.arange(-2, 50)
    grid = grid_frame(["x"] * 52, at, np.zeros(52)).drop(index=[10, 11])
    rows = [("x", "A", START + 60 * HOUR), ("x", "C", START + HOUR), ("q", "B", START + 10 * HOUR), ("x", "A", START)]
    result = evaluate(grid, event_frame(rows), protocol())
    assert result.left_out == {
        "grid points outside the protocol's grid": 4,
        "events of other types": 1,
        "events after the grid's end": 1,
    }
    assert (result.n_events, result.censored_events) == (1, 1)
    assert "1 events of entities without a grid point count as not forecast" in result.warnings
    assert "2 of 48 grid points of the scored entities are absent" in result.warnings


def test_subtypes_are_chosen_by_targets() -> None:
    grid = grid_frame(["x"] * 48, START + HOUR * np.arange(48), np.zeros(48))
    events = event_frame([("x", "A", START + hour * HOUR) for hour in (10, 20, 30)] + [("x", "B", START + 25 * HOUR)])
    made = protocol(targets={"A": ["negative"]})
    result = evaluate(grid, events.assign(subtype=["negative", "positive", None, None]), made)
    assert result.n_events == 2
    assert result.left_out["events of other subtypes"] == 2
    with pytest.raises(EvaluationInputError, match="subtype"):
        evaluate(grid, events, made)


def test_document_is_canonical_and_leaves_out_the_replicates() -> None:
    result = evaluate(*simulate(1), simulated_protocol())
    made = result.to_document()
    canonical_json(made)
    assert made["schema"] == "signaldelta.evaluation/1"
    assert "replicates" not in made
    assert made["matches"][0]["alert_at"].endswith("+00:00")
    assert len(result.replicates["auc"]) == 200


def test_side_by_side_pairs_the_replicates() -> None:
    grid, events = simulate(5, lead_hours=30.0)
    made = simulated_protocol()
    rng = np.random.default_rng(0)
    weaker = grid.assign(alert_score=grid["alert_score"] * 0.97, probability=grid["probability"] ** 1.1)
    whole, without = evaluate(grid, events, made), evaluate(weaker, events, made)
    pairs = side_by_side(whole, without)
    auc, brier = pairs["auc"], pairs["brier"]
    # The same ranking: a paired difference knows that it is nil, two separate intervals would not.
    assert auc.difference == 0.0
    assert auc.difference_interval == (0.0, 0.0)
    assert auc.first_interval is not None
    assert auc.first_interval.hi - auc.first_interval.lo > 0.01
    assert brier.difference is not None
    assert brier.difference_interval is not None
    assert brier.difference_interval.lo <= brier.difference <= brier.difference_interval.hi
    fewer = evaluate(grid[grid["entity_id"] != "E003"], events[events["entity_id"] != "E003"], made)
    assert side_by_side(whole, fewer)["auc"].reason == "no interval: different entities, replicates are not paired"
    other = evaluate(grid, events, simulated_protocol(folds=4))
    assert side_by_side(whole, other)["auc"].difference is None
    silent = evaluate(grid.assign(alert_score=rng.random(len(grid)) * 0.1), events, made)
    assert side_by_side(whole, silent)["precision"].reason == "second: no uncensored alert"


def test_leak_audit_finds_the_first_row_that_knew_the_future() -> None:
    grid, _ = simulate(6, entities=3, hours=200)
    made = simulated_protocol(200)
    moments = audit_moments(made, 8)
    assert moments == audit_moments(made, 8)
    assert len(moments) == 8
    assert all(moment.tzinfo is not None and grid["at"].min() < moment <= grid["at"].max() for moment in moments)
    whole, leaks = alerts_from_grid(grid, made), []
    for moment in moments:
        again = alerts_from_grid(grid[grid["at"] <= moment], made)
        assert first_difference(whole, again, moment) is None
        # A rule that looks ahead, planted: an entity's score is divided by its largest, whenever that comes.
        ahead = grid.assign(alert_score=grid["alert_score"] / grid.groupby("entity_id")["alert_score"].transform("max"))
        cut = grid[grid["at"] <= moment]
        cut = cut.assign(alert_score=cut["alert_score"] / cut.groupby("entity_id")["alert_score"].transform("max"))
        leak = first_difference(*(pa.Table.from_pandas(table, preserve_index=False) for table in (ahead, cut)), moment)
        leaks.append(leak)
    assert all(leak is None or leak["column"] in ("alert_score", "(row)") for leak in leaks)
    assert any(leaks)


def test_first_difference_is_by_bits() -> None:
    at = pa.array([datetime(2024, 1, day, tzinfo=UTC) for day in (1, 2, 3)])
    table = pa.table({"at": at, "x": [0.0, float("nan"), None], "name": ["a", "b", None]})
    until = datetime(2024, 1, 3, tzinfo=UTC)
    assert first_difference(table, table, until) is None
    minus = pa.table({"at": at, "x": [-0.0, float("nan"), None], "name": ["a", "b", None]})
    assert first_difference(table, minus, until) == {"row": 0, "column": "x", "full": 0.0, "again": -0.0}
    other = pa.table({"at": at, "x": [0.0, float("nan"), None], "name": ["a", "b", "c"]})
    found = first_difference(table, other, until)
    assert found is not None
    assert (found["row"], found["column"], found["full"], found["again"]) == (2, "name", None, "c")
    assert first_difference(table, other, until - timedelta(days=1)) is None
    short = first_difference(table, table.slice(0, 2), until)
    assert short is not None
    assert (short["row"], short["column"], short["again"]) == (2, "(row)", None)
    with pytest.raises(ValueError, match="columns"):
        first_difference(table, table.select(["at"]), until)


@pytest.mark.parametrize(
    ("column", "value", "field"),
    [
        ("alert_score", np.nan, "alert_score"),
        ("alert_score", np.inf, "alert_score"),
        ("probability", 1.1, "probability"),
        ("probability", -0.1, "probability"),
        ("at", pd.Timestamp(START + 1, unit="s", tz="UTC"), "at"),
        ("at", pd.Timestamp(START, unit="s", tz="UTC"), "at"),
        ("at", pd.NaT, "at"),
        ("entity_id", None, "entity_id"),
    ],
)
def test_a_bad_grid_row_is_named(column: str, value: object, field: str) -> None:
    grid = grid_frame(["x"] * 48, START + HOUR * np.arange(48), np.zeros(48))
    grid.loc[7, column] = value
    with pytest.raises(EvaluationInputError) as caught:
        evaluate(grid, event_frame([]), protocol())
    assert caught.value.field == field
    assert caught.value.record.startswith("grid")


def test_bad_tables_are_named() -> None:
    grid = grid_frame(["x"] * 48, START + HOUR * np.arange(48), np.zeros(48))
    with pytest.raises(EvaluationInputError, match="probability"):
        evaluate(grid.drop(columns="probability"), event_frame([]), protocol())
    with pytest.raises(EvaluationInputError, match="time zone"):
        evaluate(grid.assign(at=grid["at"].dt.tz_localize(None)), event_frame([]), protocol())
    with pytest.raises(EvaluationInputError, match="event_type"):
        evaluate(grid, event_frame([("x", "A", START)]).assign(event_type=None), protocol())
    with pytest.raises(EvaluationInputError, match="strings"):
        evaluate(grid.assign(entity_id=320193), event_frame([]), protocol())


def test_empty_tables_give_reasons_not_errors() -> None:
    result = evaluate(grid_frame([], [], []), event_frame([]), protocol())
    for name in FIGURES:
        assert getattr(result, name) is None
        assert result.reasons[name]
    canonical_json(result.to_document())
