"""What could have been known: the clocks of a question, the latency model it is answered under, and the filter.

Two clocks (time.md). `as_of` asks what was public: an event exists from its available_time on, which the latency
model derives from the event's frontier. `known_as_of` asks what this database held: rows by ingest_time. A
revision counts from when its own content was available, so an event is shown as the latest revision that was.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

import pandas as pd
from psycopg import Connection

from signaldelta_assets import timeline
from signaldelta_assets.errors import RecordError
from signaldelta_assets.timeline import LatencyModel

from . import queries
from .problems import ProblemError, not_found

Row = dict[str, Any]
_SHA256 = re.compile(r"[0-9a-f]{64}")
# Rows read at a time while looking for those that were available: a page is usually one such batch.
_BATCH = 256


def known_by(known_as_of: datetime | None, settled: datetime) -> datetime:
    """Return until when rows were written that are shown: what was asked for, and never later than `settled`."""
    return settled if known_as_of is None else min(known_as_of, settled)


@dataclass(frozen=True, slots=True)
class Clocks:
    """The two moments of a question, both UTC."""

    as_of: datetime
    known_as_of: datetime

    @classmethod
    def of(cls, as_of: datetime | None, known_as_of: datetime | None, settled: datetime) -> Clocks:
        """Fill in what was not asked for. Rows written after `settled` may still be joined by earlier ones, so
        `known_as_of` is never later: the same question then has the same answer for ever."""
        known = known_by(known_as_of, settled)
        return cls(as_of if as_of is not None else known, known)


@dataclass(frozen=True, slots=True)
class Basis:
    """The latency model an answer rests on, and how it came to be chosen."""

    model: LatencyModel
    name: str
    chosen_by: Literal["parameter", "definitions", "newest"]


def choose_definitions(
    connection: Connection[Row], table: queries.Ruled, asked: str | None, clocks: Clocks
) -> str | None:
    """Return the definitions hash to filter by: the one asked for, else the newest that has rows in `table`.

    None where no definitions document is stored: then nothing is left out.
    """
    return asked or queries.newest_definitions(connection, table, clocks.known_as_of)


def choose_basis(
    connection: Connection[Row], asked: str | None, definitions_hash: str | None, clocks: Clocks
) -> Basis | None:
    """Return the latency model: the one asked for by hash or name, else the definitions' own availability basis,
    else the newest stored. None where there is none at all. 404 for one asked for that is not stored.
    """
    if asked is not None:
        row = (
            queries.document(connection, asked, "latency_model")
            if _SHA256.fullmatch(asked)
            else queries.newest_document(connection, "latency_model", clocks.known_as_of, asked)
        )
        if row is not None:
            return Basis(LatencyModel.from_dict(row["document"]), row["name"], "parameter")
        raise not_found("latency model", asked)
    if definitions_hash is not None:
        row = queries.document(connection, definitions_hash, "signal_definitions")
        basis = row["document"].get("availability_basis") if row is not None else None
        if isinstance(basis, Mapping):
            return Basis(LatencyModel.from_dict(basis), "availability_basis", "definitions")
    row = queries.newest_document(connection, "latency_model", clocks.known_as_of)
    return Basis(LatencyModel.from_dict(row["document"]), row["name"], "newest") if row is not None else None


def available_times(model: LatencyModel, rows: list[Row]) -> list[datetime]:
    """Return the available_time of each row (a signal event with its `frontier`), in order.

    Raises RecordError naming an event without a frontier: nothing would say when it was available.
    """
    if not rows:
        return []
    entries = [{"event": number, **entry} for number, row in enumerate(rows) for entry in row["frontier"]]
    frame = pd.DataFrame(
        entries, columns=["event", "source_type", "form", "event_time", "observed_time", "collection_mode"]
    )
    for name in ("event_time", "observed_time"):
        frame[name] = pd.to_datetime(frame[name], utc=True, format="ISO8601").dt.as_unit("us")
    latest = model.available_over_frontier(frame)
    if len(latest) != len(rows):
        bare = next(row["event_id"] for row in rows if not row["frontier"])
        raise RecordError(f"signal event {bare}", "frontier", "at least one input", [])
    return [moment.to_pydatetime() for moment in latest]


def signals_page(
    connection: Connection[Row],
    filters: Mapping[str, Any],
    clocks: Clocks,
    basis: Basis | None,
    *,
    after: tuple[Any, ...] | None,
    descending: bool,
    limit: int,
) -> tuple[list[Row], tuple[Any, ...] | None]:
    """Return (events with their available_time, key to go on from or None), by (event_time, event_id, revision).

    Exactly the events with available_time <= as_of among the rows ingested by known_as_of, each in its latest
    revision of which that holds; withdrawn ones left out. 409 where there are rows and no latency model.
    """
    found: list[Row] = []
    while len(found) <= limit:
        batch = max(_BATCH, limit + 1)
        # No event is available before it happened, so the database can leave out what happened later.
        rows = queries.signal_rows(connection, filters, clocks.as_of, clocks.known_as_of, after, descending, batch)
        if not rows:
            break
        latest = latest_available(connection, rows, clocks, needed(basis))
        for row in rows:
            chosen = latest.get(row["event_key"])
            if chosen is not None and row["active"] and _key(chosen) == _key(row):
                found.append(row | {"available_time": chosen["available_time"]})
        after = _key(rows[-1])
        if len(rows) < batch:
            break
    page = found[:limit]
    return page, _key(page[-1]) if len(found) > limit else None


def latest_available(connection: Connection[Row], rows: list[Row], clocks: Clocks, basis: Basis) -> dict[str, Row]:
    """Return by event_key the latest revision that was available, with its available_time."""
    revisions = queries.signal_revisions(connection, rows, clocks.as_of, clocks.known_as_of)
    times = available_times(basis.model, revisions)
    keys, numbers = ([row[name] for row in revisions] for name in ("event_key", "revision"))
    chosen = timeline.latest_available(keys, numbers, times, clocks.as_of)
    return {keys[place]: revisions[place] | {"available_time": times[place]} for place in chosen}


def revisions_available(revisions: list[Row], clocks: Clocks, basis: Basis | None) -> list[Row]:
    """Return those of the `revisions` of one event that were available, each with its available_time."""
    if not revisions:
        return []
    times = available_times(needed(basis).model, revisions)
    paired = [row | {"available_time": available} for row, available in zip(revisions, times, strict=True)]
    return [row for row in paired if row["available_time"] <= clocks.as_of]


def needed(basis: Basis | None) -> Basis:
    """Return `basis`; 409 where there is none: nothing would say what was available."""
    if basis is None:
        raise ProblemError(409, "no-latency-model", "No latency model is stored: nothing says what was available.")
    return basis


def _key(row: Row) -> tuple[Any, ...]:
    return (row["event_time"], row["event_id"], row["revision"])
