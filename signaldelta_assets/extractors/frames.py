"""Record frames: checked, cut at what was available, ordered; and the records and frontier entries made of their rows.

A trigger r may look back on {q : K(q) <= K(r)}, K = available_time under the definitions' availability basis
(signals.md 4.0), and here also only on q that did not happen after r: filings accepted on one evening share their K,
and a later one of them would lie in a partition that the run of r's day does not read.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd

from ..contracts import CollectionMode, FrontierEntry, SecurityContext, merge_frontier
from ..errors import RecordError
from ..timeline import LatencyModel

COLUMNS = (
    "raw_record_id",
    "source_type",
    "entity_id",
    "natural_key",
    "form",
    "event_time",
    "observed_time",
    "collection_mode",
    "payload",
)
# Without the last two all records count as read by one parser.
OPTIONAL = ("source_url", "collector_version", "ingest_time")
DAY_US = 86_400_000_000


@dataclass(frozen=True, slots=True)
class Record:
    """One row of a prepared frame. `t` and `k`: event and available time in microseconds; `at`: place in the order."""

    raw_record_id: str
    source_type: str
    entity_id: str
    natural_key: str
    form: str | None
    event_time: datetime
    observed_time: datetime
    collection_mode: str
    payload: Mapping[str, Any]
    t: int
    k: int
    at: int
    is_trigger: bool
    source_url: str | None = None

    @property
    def name(self) -> str:
        """What errors call the record."""
        return f"{self.source_type}:{self.entity_id}:{self.natural_key}"


def _micros(values: pd.Series[Any]) -> pd.Series[Any]:
    micros: pd.Series[Any] = values.dt.tz_convert("UTC").dt.tz_localize(None).astype("datetime64[us]").astype("int64")
    return micros


def prepare(
    records: pd.DataFrame,
    basis: Mapping[str, Any],
    source_types: Sequence[str],
    context: SecurityContext,
    start: date,
    end: date,
    counts: Counter[str],
) -> pd.DataFrame:
    """Return the usable records of `source_types` in the order (K, event_time, natural key), with t, k, is_trigger.

    A trigger is a record whose event_time has its UTC date in [start, end). Records without event_time trigger
    nothing and are counted, as are those of an entity that the context does not hold; counted are only those of the
    window, so that counts of adjoining windows add up. Raises `RecordError` where a column is missing.
    """
    for column in COLUMNS:
        if column not in records.columns:
            raise RecordError("records", column, "a column of that name", sorted(records.columns))
    columns = [*COLUMNS, *(name for name in OPTIONAL if name in records.columns)]
    frame = records.loc[records["source_type"].isin(list(source_types)), columns].reset_index(drop=True)
    frame["event_time"] = pd.to_datetime(frame["event_time"], utc=True).astype("datetime64[us, UTC]")
    frame["observed_time"] = pd.to_datetime(frame["observed_time"], utc=True).astype("datetime64[us, UTC]")
    frame["form"] = frame["form"].astype(object).where(frame["form"].notna(), None)
    frame["collection_mode"] = frame["collection_mode"].map(str)
    low, high = pd.Timestamp(start, tz="UTC"), pd.Timestamp(end, tz="UTC")
    when = frame["event_time"].fillna(frame["observed_time"])
    frame["is_trigger"] = (when >= low) & (when < high)
    untimed = frame["event_time"].isna()
    known = frame["entity_id"].isin(list(context.securities))
    counts["no_event_time"] += int((untimed & frame["is_trigger"]).sum())
    counts["entity_not_in_context"] += int((~untimed & ~known & frame["is_trigger"]).sum())
    frame = frame[~untimed & known].reset_index(drop=True)
    available = LatencyModel.from_dict(basis).available_time(frame) if len(frame) else frame["event_time"]
    frame["t"] = _micros(frame["event_time"])
    frame["k"] = _micros(available)
    frame = frame.sort_values(["k", "t", "natural_key", "raw_record_id"], kind="stable", ignore_index=True)
    frame["at"] = np.arange(len(frame))
    return frame


def _of_last_version(frame: pd.DataFrame, columns: list[str]) -> pd.Series[Any]:
    """Return which records the collector version that wrote last under their key wrote; all, where none is known."""
    if not {"collector_version", "ingest_time"} <= set(frame.columns):
        return pd.Series(True, index=frame.index)
    written = frame.sort_values(["ingest_time", "collector_version"], kind="stable")
    last = written.groupby(columns, sort=False)["collector_version"].transform("last")
    return frame["collector_version"] == last.reindex(frame.index)


def first_available(frame: pd.DataFrame, counts: Counter[str]) -> pd.DataFrame:
    """Return one record per (source type, entity, natural key); the others are counted as later observations.

    First, only what the collector version that wrote last under the key made of it: a corrected parser, or a clock
    decided anew by it, replaces what the older one made of the same facts. Those are corrections of our reading, and
    the older reading would otherwise stand for ever. Among these the record observed first, for other content under
    the same key that was observed later is a correction by the upstream and must not change what was known before
    it. So observed_time decides and not `k`: the `k` of a backfill is derived from its event, and a corrected value
    fetched years later would be dated back before the live record it corrects. At one observed_time a live record
    goes before a backfilled one; further ties by `k`, then raw_record_id.
    """
    columns = ["source_type", "entity_id", "natural_key"]
    kept = frame[_of_last_version(frame, columns)]
    order = ["observed_time", "backfilled", "k", "raw_record_id"]
    ranked = kept.assign(backfilled=kept["collection_mode"] != "live").sort_values(order, kind="stable")
    first = frame.index.isin(ranked.index[~ranked.duplicated(columns)])
    counts["later_observation"] += int((~first & frame["is_trigger"]).sum())
    return frame[first]


def rows(frame: pd.DataFrame) -> list[Record]:
    """Return the rows of a prepared frame as records, in its order."""
    names = ["raw_record_id", "source_type", "entity_id", "natural_key", "form", "event_time", "observed_time",
             "collection_mode", "payload", "t", "k", "at", "is_trigger"]  # fmt: skip
    if "source_url" in frame.columns:
        names.append("source_url")
    return [Record(*values) for values in zip(*(frame[name].tolist() for name in names), strict=True)]


def by_entity(records: Iterable[Record]) -> dict[str, list[Record]]:
    """Return the records by entity, each list in the order given."""
    grouped: dict[str, list[Record]] = {}
    for record in records:
        grouped.setdefault(record.entity_id, []).append(record)
    return grouped


def was_available(earlier: Record, trigger: Record, lookback: timedelta) -> bool:
    """Return True where `earlier` precedes `trigger` in the order and lies in its look-back."""
    since = trigger.t - lookback // timedelta(microseconds=1)
    return earlier.at < trigger.at and since <= earlier.t <= trigger.t


def frontier(inputs: Iterable[Record]) -> tuple[FrontierEntry, ...]:
    """Return the frontier of an event computed from `inputs`."""
    return merge_frontier(
        [
            FrontierEntry(
                item.source_type,
                item.form or "",
                CollectionMode(item.collection_mode),
                pd.Timestamp(item.event_time).to_pydatetime(),
                pd.Timestamp(item.observed_time).to_pydatetime(),
            )
            for item in inputs
        ]
    )
