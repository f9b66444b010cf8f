"""What the engine takes as events and moments, and how it refuses the rest: naming record, field and expectation."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from signaldelta_assets.scoring import ScoringInputError, ScoringModel, score, score_grid

from .cases import HOUR, NOW, bits, model_document, panel, table

DOCUMENT = model_document(10)
MODEL = ScoringModel.from_dict(DOCUMENT)
EVENTS = panel(10, DOCUMENT)
START = NOW - 5 * HOUR
GRID = bits(score_grid(EVENTS, MODEL, START, NOW, HOUR))


def _changed(name: str, values: Any) -> pa.Table:
    column = values if isinstance(values, pa.Array) else pa.array(values)
    return EVENTS.set_column(EVENTS.column_names.index(name), name, column)


def _with(name: str, row: int, value: Any) -> pa.Table:
    values = EVENTS[name].to_pylist()
    values[row] = value
    return _changed(name, pa.array(values, EVENTS.schema.field(name).type))


@pytest.mark.parametrize(
    "frame",
    [
        EVENTS.to_pandas(),
        EVENTS.to_pandas().astype({"available_time": "datetime64[ns, UTC]"}),
        EVENTS.to_pandas().assign(available_time=lambda f: f["available_time"].dt.tz_convert("America/New_York")),
        EVENTS.to_pandas().astype({"entity_id": "category", "signal_id": "category"}),
        EVENTS.to_pandas().astype({"available_time": object}),
        EVENTS.cast(EVENTS.schema.set(0, pa.field("entity_id", pa.large_string()))),
        EVENTS.set_column(2, "signal_id", EVENTS["signal_id"].dictionary_encode()),
        pa.concat_tables([EVENTS.slice(20), EVENTS.slice(0, 20)]),
        EVENTS.append_column("note", pa.array(["not read"] * EVENTS.num_rows)),
    ],
    ids=["pandas", "ns", "zone", "category", "object", "large", "dictionary", "chunks", "more columns"],
)
def test_the_same_events_in_other_clothes(frame: Any) -> None:
    assert bits(score_grid(frame, MODEL, START, NOW, HOUR)) == GRID


def test_context_weight_is_one_where_absent_and_scales_evidence() -> None:
    bare = EVENTS.drop_columns(["context_weight"])
    ones = _changed("context_weight", np.ones(EVENTS.num_rows))
    assert bits(score_grid(bare, MODEL, START, NOW, HOUR)) == bits(score_grid(ones, MODEL, START, NOW, HOUR))
    event = {"event_id": "1", "signal_id": "S001", "available_time": NOW, "reliability": 0.5, "direction": 1.0}
    halves = table([event | {"strength_norm": 0.5, "context_weight": 2.0}])
    wholes = table([event | {"strength_norm": 1.0, "context_weight": 1.0}])
    assert score(halves, MODEL, NOW) == score(wholes, MODEL, NOW)


def test_moments_in_every_form() -> None:
    naive = START.replace(tzinfo=None)
    eastern = timezone(timedelta(hours=-5))
    for start, step in (
        (np.datetime64(naive, "us"), np.timedelta64(1, "h")),
        (np.datetime64(naive, "ns"), pd.Timedelta(hours=1)),
        (np.datetime64(naive, "s"), np.timedelta64(3_600_000_000_000, "ns")),
        (pd.Timestamp(START), HOUR),
        (pd.Timestamp(START).tz_convert("Asia/Tokyo"), HOUR),
        (START.astimezone(eastern), HOUR),
    ):
        assert bits(score_grid(EVENTS, MODEL, start, NOW, step)) == GRID
    moments = [START + i * HOUR for i in range(6)]
    for at in (
        moments,
        tuple(reversed(moments)),
        pd.DatetimeIndex(moments),
        pd.Series(moments),
        np.array([m.replace(tzinfo=None) for m in moments], "datetime64[us]"),
        pa.array(moments, pa.timestamp("ms", "UTC")),
        pa.chunked_array(
            [pa.array(moments[:2], pa.timestamp("ns", "UTC")), pa.array(moments[2:], pa.timestamp("ns", "UTC"))]
        ),
    ):
        assert bits(score_grid(EVENTS, MODEL, at=at)) == GRID


def test_nanoseconds_round_to_the_nearest_microsecond() -> None:
    event = {"event_id": "1", "signal_id": "S001", "strength_norm": 1.0, "reliability": 1.0, "direction": 1.0}
    noisy = pd.Timestamp(NOW) + pd.Timedelta(nanoseconds=499)
    frame = pd.DataFrame([event | {"available_time": noisy}])
    assert score(frame, MODEL, NOW).n_events == 1
    frame = pd.DataFrame([event | {"available_time": noisy + pd.Timedelta(nanoseconds=1)}])
    assert score(frame, MODEL, NOW).n_events == 0
    assert score(frame, MODEL, noisy + pd.Timedelta(nanoseconds=1)).n_events == 1


def test_the_end_is_on_the_grid_only_where_a_step_meets_it() -> None:
    grid = score_grid(EVENTS, MODEL, START, START + timedelta(minutes=170), HOUR)
    assert sorted(set(grid["at"].to_pylist())) == [START, START + HOUR, START + 2 * HOUR]
    assert score_grid(EVENTS, MODEL, START, START, HOUR).num_rows == 3


def test_columns_and_types() -> None:
    grid = score_grid(EVENTS, MODEL, START, NOW, HOUR)
    types = list(DOCUMENT["chains"]["types"])
    figures = [
        "evidence",
        "effective_families",
        "magnitude",
        "lean",
        "confidence",
        "quality",
        "diversity",
        "ordering",
        "legacy_score",
    ]
    assert grid.column_names == [
        "entity_id",
        "at",
        *figures,
        "n_events",
        "verdict",
        *[f"p_{c}" for c in types],
        "p_UNKNOWN",
    ]
    assert grid.schema.field("entity_id").type == pa.string()
    assert grid.schema.field("at").type == pa.timestamp("us", "UTC")
    assert grid.schema.field("n_events").type == pa.int64()
    assert grid.schema.field("verdict").type.value_type == pa.string()
    assert {grid.schema.field(name).type for name in (*figures, "p_UNKNOWN")} == {pa.float64()}
    keys = list(zip(grid["entity_id"].to_pylist(), grid["at"].to_pylist(), strict=True))
    assert keys == sorted(keys)
    assert grid.num_rows == 3 * 6


@pytest.mark.parametrize("empty", [EVENTS.slice(0, 0), EVENTS.to_pandas().iloc[:0], pd.DataFrame([])])
def test_no_events(empty: Any) -> None:
    assert score_grid(empty, MODEL, START, NOW, HOUR).num_rows == 0
    assert (
        score_grid(empty, MODEL, START, NOW, HOUR, entities=["B", "A"])["entity_id"].to_pylist()
        == ["A"] * 6 + ["B"] * 6
    )
    assert score(empty, MODEL, NOW).n_events == 0


ROW = EVENTS["event_id"][3].as_py()


@pytest.mark.parametrize(
    ("frame", "record", "field"),
    [
        (_with("strength_norm", 3, 1.0000001), f"event {ROW}", "strength_norm"),
        (_with("strength_norm", 3, float("nan")), f"event {ROW}", "strength_norm"),
        (_with("strength_norm", 3, None), f"event {ROW}", "strength_norm"),
        (_with("reliability", 3, -1e-9), f"event {ROW}", "reliability"),
        (_with("direction", 3, 1.5), f"event {ROW}", "direction"),
        (_with("direction", 3, float("inf")), f"event {ROW}", "direction"),
        (_with("context_weight", 3, 4.5), f"event {ROW}", "context_weight"),
        (_with("available_time", 3, None), f"event {ROW}", "available_time"),
        (_with("entity_id", 3, None), f"event {ROW}", "entity_id"),
        (_with("entity_id", 3, ""), f"event {ROW}", "entity_id"),
        (_with("event_id", 3, None), "event in row 3", "event_id"),
        (_with("event_id", 4, ROW), f"event {ROW}", "event_id"),
        (_with("signal_id", 3, "S999"), "events", "signal_id"),
        (_with("signal_id", 3, None), f"event {ROW}", "signal_id"),
        (_changed("strength_norm", ["0.5"] * EVENTS.num_rows), "events", "strength_norm"),
        (_changed("direction", [True] * EVENTS.num_rows), "events", "direction"),
        (_changed("event_id", list(range(EVENTS.num_rows))), "events", "event_id"),
        (
            _changed("available_time", EVENTS["available_time"].combine_chunks().cast(pa.timestamp("us"))),
            "events",
            "available_time",
        ),
        (_changed("available_time", [1.7e9] * EVENTS.num_rows), "events", "available_time"),
        (EVENTS.drop_columns(["reliability"]), "events", "reliability"),
        (EVENTS.append_column("direction", EVENTS["direction"]), "events", "direction"),
        (EVENTS.to_pandas().assign(direction=["up", 1] * (EVENTS.num_rows // 2)), "events", "direction"),
        (EVENTS.to_pylist(), "events", "events"),
    ],
)
def test_wrong_events_are_named(frame: Any, record: str, field: str) -> None:
    with pytest.raises(ScoringInputError) as caught:
        score_grid(frame, MODEL, START, NOW, HOUR)
    assert (caught.value.record, caught.value.field) == (record, field)
    assert caught.value.expected


def test_unknown_signals_are_listed_or_ignored_on_request() -> None:
    extra = table(
        [
            {
                "event_id": f"X{i}",
                "signal_id": name,
                "available_time": NOW,
                "strength_norm": 1.0,
                "reliability": 1.0,
                "direction": 1.0,
                "entity_id": "NEW",
            }
            for i, name in enumerate(("S998", "S999", "S998"))
        ]
    )
    both = pa.concat_tables([EVENTS, extra])
    with pytest.raises(ScoringInputError, match="'S998, S999'"):
        score_grid(both, MODEL, START, NOW, HOUR)
    grid = score_grid(both, MODEL, START, NOW, HOUR, ignore_unknown_signals=True)
    assert bits(grid.filter([name != "NEW" for name in grid["entity_id"].to_pylist()])) == GRID
    assert set(grid.filter([name == "NEW" for name in grid["entity_id"].to_pylist()])["n_events"].to_pylist()) == {0}


def test_score_takes_one_entity() -> None:
    with pytest.raises(ScoringInputError, match="one entity"):
        score(EVENTS, MODEL, NOW)
    own = EVENTS.filter([name == "ENT1" for name in EVENTS["entity_id"].to_pylist()])
    assert score(own.drop_columns(["entity_id"]), MODEL, NOW) == score(own, MODEL, NOW)


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        ({"start": NOW.replace(tzinfo=None), "end": NOW, "step": HOUR}, "start"),
        ({"start": pd.Timestamp("2024-01-01"), "end": NOW, "step": HOUR}, "start"),
        ({"start": pd.NaT, "end": NOW, "step": HOUR}, "start"),
        ({"start": NOW, "end": np.datetime64("NaT"), "step": HOUR}, "end"),
        ({"start": NOW, "end": 1.7e9, "step": HOUR}, "end"),
        ({"start": NOW, "end": NOW - HOUR, "step": HOUR}, "end"),
        ({"start": NOW, "end": NOW, "step": timedelta(0)}, "step"),
        ({"start": NOW, "end": NOW, "step": -HOUR}, "step"),
        ({"start": NOW, "end": NOW, "step": 3600}, "step"),
        ({"start": NOW, "end": NOW, "step": pd.Timedelta(nanoseconds=1500)}, "step"),
        ({"start": NOW, "end": NOW}, "start, end, step"),
        ({"start": NOW, "at": [NOW]}, "at"),
        ({"at": []}, "at"),
        ({"at": [NOW, NOW]}, "at"),
        ({"at": [NOW, datetime(2024, 1, 1)]}, "at"),
        ({"at": pd.DatetimeIndex(["2024-01-01"])}, "at"),
        ({"at": pd.DatetimeIndex([NOW, None])}, "at"),
        ({"at": [NOW], "entities": "ACME"}, "entities"),
        ({"at": [NOW], "entities": [""]}, "entities"),
        ({"at": [NOW], "threads": 0}, "threads"),
    ],
)
def test_wrong_grids_are_named(arguments: dict[str, Any], field: str) -> None:
    with pytest.raises(ScoringInputError) as caught:
        score_grid(EVENTS, MODEL, **arguments)
    assert (caught.value.record, caught.value.field) == ("grid", field)


def test_one_refused_moment_is_not_scored() -> None:
    with pytest.raises(ScoringInputError, match="zone"):
        score(EVENTS.slice(0, 0), MODEL, datetime(2024, 1, 1))
    assert score(EVENTS.slice(0, 0), MODEL, datetime(2024, 1, 1, tzinfo=UTC)).evidence == 0
