"""What a classifier reads: the prepared records of a window with its margins, and those without a time of their own."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pandas as pd

from ..contracts import SecurityContext
from ..extractors.frames import Record, prepare, rows
from ..timeline import LatencyModel

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Evidence:
    """`timed`: the prepared frame (is_trigger: in the window). `untimed`: records without event_time, t = -1."""

    timed: pd.DataFrame
    untimed: tuple[Record, ...]


def as_time(micros: int) -> datetime:
    """Return the UTC moment of `micros` microseconds since 1970."""
    return EPOCH + timedelta(microseconds=micros)


def gather(
    records: pd.DataFrame,
    basis: Mapping[str, Any],
    source_types: Sequence[str],
    context: SecurityContext,
    start: date,
    end: date,
    counts: Counter[str],
) -> Evidence:
    """Return the evidence for labels of [start, end); records of entities outside the context are counted.

    A record without event_time belongs to the window by its payload's `date` or `filing_date`, else by its observation.
    """
    counted: Counter[str] = Counter()
    timed = prepare(records, basis, source_types, context, start, end, counted)
    counts["entity_not_in_context"] += counted["entity_not_in_context"]
    loose = records[records["event_time"].isna() & records["source_type"].isin(list(source_types))]
    loose = loose[loose["entity_id"].isin(list(context.securities))].reset_index(drop=True)
    if loose.empty:
        return Evidence(timed, ())
    frame = loose.copy()
    frame["event_time"] = pd.Series(pd.NaT, index=frame.index, dtype="datetime64[us, UTC]")
    frame["observed_time"] = pd.to_datetime(frame["observed_time"], utc=True).astype("datetime64[us, UTC]")
    frame["collection_mode"] = frame["collection_mode"].map(str)
    known = LatencyModel.from_dict(basis).available_time(frame)
    frame["k"] = known.dt.tz_localize(None).astype("datetime64[us]").astype("int64")
    frame["t"] = -1
    frame["at"] = -1
    days = [
        payload.get("date") or payload.get("filing_date") or str(observed.date())
        for payload, observed in zip(frame["payload"], frame["observed_time"], strict=True)
    ]
    frame["is_trigger"] = [start.isoformat() <= day < end.isoformat() for day in days]
    return Evidence(timed, tuple(rows(frame.sort_values(["natural_key", "raw_record_id"]))))


def spaced(
    moments: Sequence[int],
    gap: timedelta,
    walk: timedelta,
    alike: Callable[[int, int], bool] = lambda one, other: True,
) -> list[int]:
    """Return the places of those ascending `moments` (microseconds) that come at least `gap` after any kept before.

    Only such as are `alike` (by their places) keep one another out. Each is judged by the moments of its own last
    `walk` alone, so that the answer does not depend on how far back a run reads.
    """
    step, reach = (span // timedelta(microseconds=1) for span in (gap, walk))
    kept = []
    for i, moment in enumerate(moments):
        before: list[int] = []
        for place in range(i + 1):
            other = moments[place]
            if other < moment - reach:
                continue
            if all(other - moments[one] >= step or not alike(one, place) for one in reversed(before)):
                before.append(place)
        if before[-1] == i:
            kept.append(i)
    return kept


def source_url(items: Iterable[Record]) -> str:
    """Return where the first of `items` was read: its own URL, else EDGAR's for its accession, else the record's id."""
    first = next(iter(items))
    if first.source_url:
        return first.source_url
    accession = first.payload.get("accession")
    if accession:
        folder = str(accession).replace("-", "")
        return f"https://www.sec.gov/Archives/edgar/data/{int(first.entity_id)}/{folder}/{accession}.txt"
    return f"urn:signaldelta:raw_record:{first.raw_record_id}"
