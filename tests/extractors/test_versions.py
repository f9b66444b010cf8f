"""Which of several records of one natural key counts: parser versions, live and backfilled, first observed."""

from __future__ import annotations

from collections import Counter
from datetime import date, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from signaldelta_assets.extractors import first_available, prepare
from tests.extractors.make import FETCHED, at, context, definitions, frame, record

NOON = at("2024-03-05 17:00")
LATER = timedelta(days=30)


def seen(value: int, **more: Any) -> dict[str, Any]:
    """Return one observation of the key "k", with the writer and the time of writing where they are given."""
    written = {name: more.pop(name) for name in ("collector_version", "ingest_time") if name in more}
    return record("filing_index", "k", more.pop("when", NOON), {"value": value}, form="8-K", **more) | written


def chosen(*observations: dict[str, Any]) -> tuple[list[int], int]:
    counts: Counter[str] = Counter()
    made = frame(observations)
    for name in ("collector_version", "ingest_time"):
        if name in observations[0]:
            made[name] = [one[name] for one in observations]
    window = date(2024, 3, 1), date(2024, 4, 1)
    basis = definitions().availability_basis
    prepared = prepare(made, basis, ["filing_index"], context(), *window, counts)
    found = first_available(prepared, counts)
    return [payload["value"] for payload in found["payload"]], counts["later_observation"]


@pytest.mark.parametrize("value", range(8))
def test_a_newer_parser_replaces_what_the_older_made_of_the_same_bytes(value: int) -> None:
    """Observed at the same time, for the bytes are the same: no hash decides."""
    old = seen(100, collector_version="b", ingest_time=FETCHED)
    new = seen(value, collector_version="a", ingest_time=FETCHED + LATER)
    assert chosen(old, new) == ([value], 1) == chosen(new, old)


def test_a_newer_parser_corrects_the_clock() -> None:
    """The older read 17:00 as UTC, and so had it earlier than it was."""
    wrong = seen(1, when=NOON, collector_version="a", ingest_time=FETCHED)
    right = seen(2, when=NOON + timedelta(hours=5), observed=FETCHED + LATER, collector_version="b",
                 ingest_time=FETCHED + LATER)  # fmt: skip
    assert chosen(wrong, right) == ([2], 1)


def test_a_backfilled_correction_is_not_dated_back() -> None:
    live = seen(1, mode="live", observed=NOON + timedelta(hours=1))
    corrected = seen(2, mode="backfill", observed=NOON + LATER)
    assert chosen(live, corrected) == ([1], 1) == chosen(corrected, live)


def test_a_live_record_goes_before_a_backfilled_one_of_the_same_moment() -> None:
    moment = NOON + timedelta(hours=1)
    assert chosen(seen(2, observed=moment), seen(1, mode="live", observed=moment)) == ([1], 1)


offered = st.lists(st.tuples(st.sampled_from(["live", "backfill"]), st.integers(0, 50)), min_size=1, max_size=6)


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(offered=offered, later=offered)
def test_what_is_observed_later_changes_nothing(offered: list[tuple[str, int]], later: list[tuple[str, int]]) -> None:
    def made(days: int, start: int, rows: list[tuple[str, int]]) -> list[dict[str, Any]]:
        return [
            seen(start + i, mode=mode, observed=NOON + timedelta(days=days + day)) for i, (mode, day) in enumerate(rows)
        ]

    first, more = made(0, 0, offered), made(100, 10, later)
    assert chosen(*first)[0] == chosen(*more, *first)[0]
