"""The latency model: golden cases, a slow reference, and what must hold for every record."""

from __future__ import annotations

import copy
import json
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from signaldelta_assets.errors import DocumentError, RecordError
from signaldelta_assets.timeline import LatencyModel, LatencyModelError
from signaldelta_assets.versioning import hash_document
from tests.paths import GOLDEN, needs_golden

from . import reference

DOCUMENT: dict[str, Any] = {
    "schema": "signaldelta.latency_model/1",
    "default": {"rule": "observed", "processing_seconds": 60},
    "sources": {
        "form_8k": {"rule": "edgar_dissemination", "processing_seconds": 60},
        "ownership": {"rule": "edgar_dissemination", "processing_seconds": 0},
        "daily_bar": {"rule": "lag", "lag_seconds": 900, "processing_seconds": 1.5},
    },
}
MODEL = LatencyModel.from_dict(DOCUMENT)

times = st.datetimes(datetime(1995, 1, 1), datetime(2035, 1, 1), timezones=st.just(UTC))
records = st.fixed_dictionaries(
    {
        "source_type": st.sampled_from(["form_8k", "ownership", "daily_bar", "something_new"]),
        "form": st.sampled_from(["8-K", "4", "3/A", "144", "SC 13G/A", "SCHEDULE 13D", "S-3MEF", "POS 462B", None]),
        "event_time": st.one_of(st.none(), times),
        "observed_time": times,
        "collection_mode": st.sampled_from(["live", "backfill"]),
    }
)


def frame(rows: list[dict[str, Any]]) -> pd.DataFrame:
    table = pd.DataFrame(rows)
    for name in ("event_time", "observed_time"):
        table[name] = pd.to_datetime(table[name], utc=True).astype("datetime64[us, UTC]")
    return table


@needs_golden
def test_golden_cases_to_the_microsecond() -> None:
    golden = json.loads((GOLDEN / "time.json").read_text())
    cases = frame(golden["cases"])
    expected = pd.to_datetime(cases.pop("expect"), utc=True).astype("datetime64[us, UTC]")
    got = LatencyModel.from_dict(golden["model"]).available_time(cases)
    assert len(cases) == 60
    pd.testing.assert_series_equal(got, expected, check_names=False)


@given(st.lists(records, min_size=1, max_size=40))
@settings(max_examples=60, deadline=None)
def test_equals_the_row_by_row_reference_and_keeps_the_invariants(rows: list[dict[str, Any]]) -> None:
    table = frame(rows)
    got = MODEL.available_time(table)
    assert str(got.dtype) == "datetime64[us, UTC]"
    for at, record in enumerate(table.to_dict("records")):
        assert got.iloc[at].to_pydatetime() == reference.available_time(DOCUMENT, record)
    dated = table["event_time"].notna()
    assert (got[dated] >= table["event_time"][dated]).all()
    processing = table["source_type"].map({"form_8k": 60.0, "ownership": 0.0, "daily_bar": 1.5, "something_new": 60.0})
    seen = table["observed_time"] + pd.to_timedelta(processing, unit="s")
    bounded = (table["collection_mode"] == "live") | ~dated
    assert (got[bounded] >= seen[bounded]).all()


@given(st.lists(records, min_size=1, max_size=20), st.integers(0, 10**6))
@settings(max_examples=40, deadline=None)
def test_slower_processing_never_makes_a_record_earlier(rows: list[dict[str, Any]], more: int) -> None:
    slower = copy.deepcopy(DOCUMENT)
    for rule in (slower["default"], *slower["sources"].values()):
        rule["processing_seconds"] += more
    table = frame(rows)
    assert (LatencyModel.from_dict(slower).available_time(table) >= MODEL.available_time(table)).all()


@given(st.lists(st.tuples(st.sampled_from(["b", "a", "c"]), records), min_size=1, max_size=30))
@settings(max_examples=40, deadline=None)
def test_an_event_is_available_with_the_last_of_its_frontier(rows: list[tuple[str, dict[str, Any]]]) -> None:
    table = frame([{**record, "event": event} for event, record in rows])
    got = MODEL.available_over_frontier(table)
    expected = MODEL.available_time(table).groupby(table["event"], sort=False).max()
    pd.testing.assert_series_equal(got, expected, check_names=False, check_index_type=False)


def test_keeps_order_and_index_and_reads_tables() -> None:
    row = {
        "source_type": "form_8k",
        "form": "8-K",
        "event_time": datetime(2024, 3, 8, 23, 0, tzinfo=UTC),
        "observed_time": datetime(2024, 3, 8, 23, 1, tzinfo=UTC),
        "collection_mode": "backfill",
    }
    table = frame([row, {**row, "event_time": datetime(2024, 3, 8, 15, 0, tzinfo=UTC)}, {**row, "event_time": None}])
    table.index = pd.Index(["z", "a", "a"])
    table["source_type"] = table["source_type"].astype("category")
    got = MODEL.available_time(table)
    assert list(got.index) == ["z", "a", "a"]
    # Friday 18:00 EST waits for Monday 06:00, by then EDT; 10:00 EST goes at once; no event time: as observed.
    assert [moment.isoformat() for moment in got] == [
        "2024-03-11T10:01:00+00:00",
        "2024-03-08T15:01:00+00:00",
        "2024-03-08T23:02:00+00:00",
    ]
    again = MODEL.available_time(pa.Table.from_pandas(table.reset_index(drop=True)))
    assert list(again) == list(got)
    empty = MODEL.available_time(table.iloc[:0])
    assert len(empty) == 0
    assert str(empty.dtype) == "datetime64[us, UTC]"


def test_a_column_without_any_event_time_falls_back_to_observation() -> None:
    table = frame([{"source_type": "daily_bar", "form": None, "event_time": None, "collection_mode": "backfill",
                    "observed_time": datetime(2024, 1, 2, tzinfo=UTC)}])  # fmt: skip
    table["event_time"] = pd.Series([None], dtype=object)
    assert MODEL.available_time(table).iloc[0].isoformat() == "2024-01-02T00:00:01.500000+00:00"


def test_the_model_is_its_document() -> None:
    assert MODEL.hash == hash_document(DOCUMENT)
    assert MODEL.document == DOCUMENT
    MODEL.document["default"]["processing_seconds"] = 0
    assert MODEL.document == DOCUMENT
    assert LatencyModel.from_dict(copy.deepcopy(DOCUMENT)) == MODEL
    other = copy.deepcopy(DOCUMENT)
    other["default"]["processing_seconds"] = 61
    assert LatencyModel.from_dict(other) != MODEL
    with pytest.raises(AttributeError):
        MODEL.hash = "another"  # type: ignore[misc]


def changed(path: str, value: object) -> dict[str, Any]:
    document = copy.deepcopy(DOCUMENT)
    *parents, last = path.split(".")
    at: Any = document
    for name in parents:
        at = at[name]
    if value is ...:
        del at[last]
    else:
        at[last] = value
    return document


@pytest.mark.parametrize(
    ("path", "value", "field"),
    [
        ("schema", "signaldelta.latency_model/2", "schema"),
        ("schema", ..., "schema"),
        ("default", ..., "default"),
        ("default", "observed", "default"),
        ("note", "hello", "note"),
        ("sources", [], "sources"),
        ("sources.daily_bar.rule", "later", "sources.daily_bar.rule"),
        ("sources.daily_bar.rule", ..., "sources.daily_bar.rule"),
        ("sources.daily_bar.lag_seconds", ..., "sources.daily_bar.lag_seconds"),
        ("sources.daily_bar.lag_seconds", -1, "sources.daily_bar.lag_seconds"),
        ("sources.daily_bar.lag_seconds", True, "sources.daily_bar.lag_seconds"),
        ("sources.daily_bar.lag_seconds", "900", "sources.daily_bar.lag_seconds"),
        ("sources.daily_bar.lag_seconds", float("nan"), "sources.daily_bar.lag_seconds"),
        ("sources.daily_bar.lag_seconds", 1e300, "sources.daily_bar.lag_seconds"),
        ("sources.form_8k.lag_seconds", 5, "sources.form_8k.lag_seconds"),
        ("sources.form_8k.processing_seconds", ..., "sources.form_8k.processing_seconds"),
        ("default.processing_seconds", 0.1234567, "default.processing_seconds"),
    ],
)
def test_a_wrong_document_names_its_field(path: str, value: object, field: str) -> None:
    with pytest.raises(LatencyModelError) as caught:
        LatencyModel.from_dict(changed(path, value))
    assert isinstance(caught.value, DocumentError)
    assert caught.value.field == field


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("source_type", None),
        ("observed_time", pd.NaT),
        ("collection_mode", "replay"),
        ("collection_mode", None),
        ("event_time", pd.Timestamp("1950-01-02T00:00:00Z")),
    ],
)
def test_a_wrong_record_is_named(field: str, value: object) -> None:
    moment = datetime(2024, 1, 2, tzinfo=UTC)
    row = {
        "source_type": "form_8k",
        "form": "8-K",
        "collection_mode": "live",
        "event_time": moment,
        "observed_time": moment,
    }
    table = frame([row, {**row, field: value}])
    table.index = pd.Index(["good", "bad"])
    with pytest.raises(RecordError) as caught:
        MODEL.available_time(table)
    assert (caught.value.record, caught.value.field) == ("record bad", field)


def test_times_without_zone_and_missing_columns_are_refused() -> None:
    table = frame([{"source_type": "form_8k", "form": "8-K", "collection_mode": "live",
                    "event_time": datetime(2024, 1, 2, tzinfo=UTC),
                    "observed_time": datetime(2024, 1, 2, tzinfo=UTC)}])  # fmt: skip
    naive = table.assign(observed_time=table["observed_time"].dt.tz_localize(None))
    with pytest.raises(RecordError, match="time zone"):
        MODEL.available_time(naive)
    with pytest.raises(RecordError, match="'form'"):
        MODEL.available_time(table.drop(columns="form"))


def test_nanoseconds_and_other_zones_come_out_as_microseconds_of_utc() -> None:
    table = frame([{"source_type": "daily_bar", "form": None, "collection_mode": "backfill",
                    "event_time": datetime(2024, 7, 1, 20, 0, tzinfo=UTC),
                    "observed_time": datetime(2025, 1, 2, tzinfo=UTC)}])  # fmt: skip
    elsewhere = table.assign(
        event_time=table["event_time"].dt.tz_convert("Asia/Tokyo").astype("datetime64[ns, Asia/Tokyo]")
    )
    pd.testing.assert_series_equal(MODEL.available_time(elsewhere), MODEL.available_time(table))
    assert MODEL.available_time(table).iloc[0] == pd.Timestamp("2024-07-01T20:15:01.5Z")
    assert np.dtype("int64") == MODEL.available_time(table).astype("int64").dtype
