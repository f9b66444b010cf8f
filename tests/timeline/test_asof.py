"""The point-in-time join: its rules case by case, and the same answers as other people's joins."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from typing import Any

import duckdb
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from signaldelta_assets.errors import RecordError
from signaldelta_assets.timeline import join_as_of

_T0 = datetime(2024, 3, 1, tzinfo=UTC)
_TIME = pa.timestamp("us", "UTC")
_LEFT = pa.schema([("entity_id", pa.string()), ("at", _TIME), ("row", pa.int64())])
_EVENTS = pa.schema(
    [("entity_id", pa.string()), ("event_id", pa.string()), ("available_time", _TIME), ("strength", pa.float64())]
)


def _left(*rows: tuple[str, float]) -> pa.Table:
    return pa.Table.from_pylist(
        [{"entity_id": name, "at": _T0 + timedelta(hours=hours), "row": i} for i, (name, hours) in enumerate(rows)],
        _LEFT,
    )


def _events(*rows: tuple[str, str, float]) -> pa.Table:
    return pa.Table.from_pylist(
        [
            {"entity_id": name, "event_id": event, "available_time": _T0 + timedelta(hours=hours), "strength": hours}
            for name, event, hours in rows
        ],
        _EVENTS,
    )


def _found(left: pa.Table, events: pa.Table) -> list[Any]:
    joined = join_as_of(left, events)
    assert joined["row"].to_pylist() == left["row"].to_pylist()
    return joined["event_id"].to_pylist()


# The first six are the cases of Feast's point-in-time join: the latest row not after the entity row's own moment, the
# bound inclusive, the future never, one entity's rows never another's, and every entity row kept.
@pytest.mark.parametrize(
    ("left", "events", "expected"),
    [
        pytest.param([("A", 5)], [("A", "1", 1), ("A", "2", 3)], ["2"], id="the latest before"),
        pytest.param([("A", 3)], [("A", "1", 1), ("A", "2", 3)], ["2"], id="the bound is inclusive"),
        pytest.param([("A", 3)], [("A", "1", 3 + 1e-9 * 300)], [None], id="a microsecond later is the future"),
        pytest.param([("A", 0)], [("A", "1", 1)], [None], id="nothing yet"),
        pytest.param([("B", 5)], [("A", "1", 1), ("C", "2", 1)], [None], id="another entity's"),
        pytest.param([("A", 2), ("A", 2), ("A", 2)], [("A", "1", 1)], ["1", "1", "1"], id="equal rows all stay"),
        pytest.param([("A", 5)], [("A", "9", 3), ("A", "10", 3)], ["9"], id="a tie goes to the last id"),
        pytest.param([("A", 5)], [("A", "10", 3), ("A", "9", 3), ("A", "91", 3)], ["91"], id="ids compare as texts"),
        pytest.param(
            [("B", 9), ("A", 1), ("B", 2), ("A", 7)],
            [("A", "3", 6), ("B", "1", 5), ("A", "2", 0)],
            ["1", "2", None, "3"],
            id="any order of either",
        ),
        pytest.param([("A", 5)], [], [None], id="no events"),
        pytest.param([], [("A", "1", 1)], [], id="no rows"),
    ],
)
def test_case(left: list[tuple[str, float]], events: list[tuple[str, str, float]], expected: list[Any]) -> None:
    assert _found(_left(*left), _events(*events)) == expected


_names = st.sampled_from(["A", "AB", "B", "ß", "C"])
_rows = st.lists(st.tuples(_names, st.integers(0, 12)), max_size=30)


@given(_rows, st.lists(st.tuples(_names, st.integers(0, 99), st.integers(0, 12)), max_size=30), st.randoms())
@settings(max_examples=200, deadline=None)
def test_plain_search_finds_the_same(
    left: list[tuple[str, int]], events: list[tuple[str, int, int]], rng: random.Random
) -> None:
    rows = [(name, f"{number}-{place}", hours) for place, (name, number, hours) in enumerate(events)]
    expected = [
        max(((h, e) for n, e, h in rows if n == name and h <= at), default=(None, None))[1] for name, at in left
    ]
    ordered = sorted(rows, key=lambda row: (row[0].encode(), row[2], row[1]))
    assert _found(_left(*left), _events(*ordered)) == expected
    rng.shuffle(ordered)
    assert _found(_left(*left), _events(*ordered)) == expected
    # A slice of a longer table has offsets of its own.
    longer = pa.concat_tables([_events(("Z", "0", 0)), _events(*ordered)]).combine_chunks().slice(1)
    assert _found(_left(*left), longer) == expected


def test_polars_duckdb_and_pandas_agree() -> None:
    rng = random.Random(4)
    names = [f"{i:04d}" for i in range(40)]
    # Without ties, which each of them breaks in its own way.
    hours = rng.sample(range(100_000), 3_000)
    events = _events(*((rng.choice(names), f"{i:05d}", hour / 100) for i, hour in enumerate(hours)))
    events = events.sort_by([("entity_id", "ascending"), ("available_time", "ascending")])
    grid = _left(*((name, hour) for name in names for hour in range(0, 1000, 7)))
    ours = _found(grid, events)
    assert 3_000 < len(ours) - ours.count(None) < len(ours)

    frame, right = pl.from_arrow(grid), pl.from_arrow(events)
    assert isinstance(frame, pl.DataFrame) and isinstance(right, pl.DataFrame)
    joined = frame.join_asof(
        right, left_on="at", right_on="available_time", by="entity_id", strategy="backward", check_sortedness=False
    )
    assert joined["event_id"].to_list() == ours
    asof = pd.merge_asof(
        grid.to_pandas().sort_values("at", kind="stable"), events.to_pandas().sort_values("available_time"),
        left_on="at", right_on="available_time", by="entity_id",
    )  # fmt: skip
    found = asof.sort_values("row")["event_id"]
    assert [None if pd.isna(name) else name for name in found] == ours
    rows = duckdb.sql(
        "SELECT e.event_id FROM grid AS g ASOF LEFT JOIN events AS e"
        " ON g.entity_id = e.entity_id AND g.at >= e.available_time ORDER BY g.row"
    ).fetchall()
    assert [row[0] for row in rows] == ours


def test_columns_are_those_asked_for() -> None:
    joined = join_as_of(_left(("A", 2), ("B", 2)), _events(("A", "1", 1)), ["strength"])
    assert joined.column_names == ["entity_id", "at", "row", "strength"]
    assert joined["strength"].to_pylist() == [1.0, None]


@pytest.mark.parametrize(
    ("left", "events", "field"),
    [
        (_left(("A", 1)).drop_columns(["at"]), _events(), "at"),
        (_left(("A", 1)), _events().drop_columns(["event_id"]), "event_id"),
        (_left(("A", 1)).append_column("strength", pa.array([1.0])), _events(), "strength"),
        (
            _left(("A", 1)),
            _events(("A", "1", 1)).set_column(0, "entity_id", pa.array([None], pa.string())),
            "entity_id",
        ),
        (
            _left(("A", 1)),
            _events(("A", "1", 1)).set_column(2, "available_time", pa.array([_T0.replace(tzinfo=None)])),
            "available_time",
        ),
    ],
)
def test_wrong_tables_are_named(left: pa.Table, events: pa.Table, field: str) -> None:
    with pytest.raises(RecordError, match=field):
        join_as_of(left, events)
