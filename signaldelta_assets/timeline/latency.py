"""The latency model: from what a record says of its times to when it could have been known (time.md).

One immutable JSON document per model, named by its canonical SHA-256. Pure and vectorised: no clock is read.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

from ..errors import DocumentError, RecordError
from ..versioning import canonical_json, hash_document
from .edgar import edgar_dissemination, require_utc_series

SCHEMA: Final = "signaldelta.latency_model/1"
RULES: Final = ("observed", "lag", "edgar_dissemination")
COLUMNS: Final = ("source_type", "form", "event_time", "observed_time", "collection_mode")
_OBSERVED, _LAG, _EDGAR = range(3)
# Beyond ten years a lag is a mistake of unit, and sums stay far from the ends of int64 microseconds.
_MOST_SECONDS: Final = 10 * 366 * 86_400


class LatencyModelError(DocumentError):
    """A latency model document whose named field is wrong."""


@dataclass(frozen=True, slots=True)
class _Rule:
    code: int
    lag: int
    processing: int


def _micros(path: str, value: object) -> int:
    """Return seconds as whole microseconds; LatencyModelError names the field."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise LatencyModelError(path, "a number of seconds", value)
    if not math.isfinite(value) or not 0 <= value <= _MOST_SECONDS:
        raise LatencyModelError(path, f"seconds from 0 to {_MOST_SECONDS}", value)
    micros = round(value * 1_000_000)
    if not math.isclose(micros, value * 1_000_000, rel_tol=1e-12, abs_tol=1e-6):
        raise LatencyModelError(path, "whole microseconds", value)
    return micros


def _mapping(path: str, value: object) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise LatencyModelError(path, "an object", value)
    for key in value:
        if not isinstance(key, str) or not key:
            raise LatencyModelError(path, "names that are non-empty text", key)
    return value


def _exact_keys(path: str, value: Mapping[str, Any], needed: set[str], optional: frozenset[str] = frozenset()) -> None:
    prefix = f"{path}." if path else ""
    for key in sorted(needed - set(value)):
        raise LatencyModelError(f"{prefix}{key}", "to be present")
    for key in sorted(set(value) - needed - optional):
        raise LatencyModelError(f"{prefix}{key}", f"only {', '.join(sorted(needed | optional))} here", value[key])


def _rule(path: str, value: object) -> _Rule:
    fields = _mapping(path, value)
    name = fields.get("rule")
    if name not in RULES:
        raise LatencyModelError(f"{path}.rule", f"one of {', '.join(RULES)}", name)
    has_lag = name == "lag"
    _exact_keys(path, fields, {"rule", "processing_seconds"} | ({"lag_seconds"} if has_lag else set()))
    lag = _micros(f"{path}.lag_seconds", fields["lag_seconds"]) if has_lag else 0
    return _Rule(RULES.index(name), lag, _micros(f"{path}.processing_seconds", fields["processing_seconds"]))


@dataclass(frozen=True, slots=True, eq=False)
class LatencyModel:
    """A latency model; make it with `from_dict`. Two models are equal when their documents are.

    `hash` is the SHA-256 of the canonical document.
    """

    hash: str
    _canonical: bytes = field(repr=False)
    _default: _Rule
    _sources: Mapping[str, _Rule]

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> LatencyModel:
        """Check `document` (shape: time.md and its golden cases) and return the model.

        Raises LatencyModelError with the path of the field that is wrong, such as `sources.daily_bar.lag_seconds`.
        """
        top = _mapping("document", document)
        _exact_keys("", top, {"schema", "default"}, frozenset({"sources"}))
        if top["schema"] != SCHEMA:
            raise LatencyModelError("schema", SCHEMA, top["schema"])
        default = _rule("default", top["default"])
        listed = _mapping("sources", top.get("sources", {}))
        sources = {name: _rule(f"sources.{name}", value) for name, value in listed.items()}
        plain = {**top, **({"sources": dict(listed)} if "sources" in top else {})}
        return cls(hash_document(plain), canonical_json(plain), default, sources)

    @property
    def document(self) -> dict[str, Any]:
        """The document, as a fresh copy: changing it changes no model."""
        document: dict[str, Any] = json.loads(self._canonical)
        return document

    def __eq__(self, other: object) -> bool:
        return isinstance(other, LatencyModel) and other.hash == self.hash

    def __hash__(self) -> int:
        return hash(self.hash)

    def available_time(self, records: pd.DataFrame | pa.Table) -> pd.Series[Any]:
        """Return when each record could have been known: datetime64[us, UTC], in the records' order and index.

        `records` has source_type, form (may be null), event_time (may be null), observed_time and collection_mode
        ("live" or "backfill"); a Table gives a RangeIndex. Never before event_time; a live record never before
        observed_time + processing; without event_time the rule is `observed`.

        Raises RecordError naming the record and field: a column missing, a null source_type or observed_time, another
        mode, a time without zone or outside EDGAR's calendar.
        """
        frame = _columns(records)
        index = frame.index
        rule, lag, processing = self._parameters(frame["source_type"])
        live = _is_live(frame["collection_mode"])
        event_time = require_utc_series(frame["event_time"], "event_time")
        observed_time = require_utc_series(frame["observed_time"], "observed_time")
        _refuse_null(observed_time, "observed_time")

        known = event_time.notna().to_numpy()
        event = np.where(known, _int64(event_time), np.iinfo(np.int64).min)
        seen = _int64(observed_time) + processing
        by_event = event + np.where(known, lag + processing, 0)
        filings = np.flatnonzero(known & (rule == _EDGAR))
        if filings.size:
            released = edgar_dissemination(event_time.iloc[filings], frame["form"].iloc[filings])
            by_event[filings] = _int64(released) + processing[filings]
        observed_rule = (rule == _OBSERVED) | ~known
        available = np.where(observed_rule, np.maximum(seen, event), by_event)
        available = np.where(live, np.maximum(available, seen), available)
        return _series(available, index)

    def available_over_frontier(self, frontier_rows: pd.DataFrame | pa.Table, event: str = "event") -> pd.Series[Any]:
        """Return per event the latest available_time over its frontier (time.md; signals.md 4.0, `Available then`).

        `frontier_rows` is flat: one row per frontier entry, the column `event` naming the event it belongs to beside
        the columns of `available_time`. The result is indexed by event, in order of first appearance.
        """
        frame = _columns(frontier_rows, event).reset_index(drop=True)
        _refuse_null(frame[event], event)
        codes, events = pd.factorize(frame[event])
        latest = np.full(len(events), np.iinfo(np.int64).min, np.int64)
        np.maximum.at(latest, codes, _int64(self.available_time(frame)))
        return _series(latest, pd.Index(events, name=event))

    def _parameters(self, source_type: pd.Series[Any]) -> tuple[npt.NDArray[np.int64], ...]:
        """Return rule code, lag and processing (microseconds) per record."""
        codes, names = pd.factorize(source_type)
        if (codes < 0).any():
            _refuse_null(source_type, "source_type")
        rules = [self._sources.get(str(name), self._default) for name in names]
        table = np.array([(rule.code, rule.lag, rule.processing) for rule in rules], np.int64).reshape(-1, 3)
        return tuple(np.ascontiguousarray(column) for column in table[codes].T)


def _columns(records: pd.DataFrame | pa.Table, *more: str) -> pd.DataFrame:
    wanted = [*more, *COLUMNS]
    present = records.column_names if isinstance(records, pa.Table) else list(records.columns)
    for name in wanted:
        if name not in present:
            raise RecordError("records", name, "a column of that name", ", ".join(map(str, present)))
    if isinstance(records, pa.Table):
        return records.select(wanted).to_pandas(ignore_metadata=True)
    return records[wanted]


def _refuse_null(values: pd.Series[Any], name: str) -> None:
    missing = np.flatnonzero(values.isna().to_numpy())
    if missing.size:
        raise RecordError(f"record {values.index[int(missing[0])]}", name, "a value", None)


def _is_live(mode: pd.Series[Any]) -> npt.NDArray[np.bool_]:
    codes, names = pd.factorize(mode)
    known = np.array([str(name) in ("live", "backfill") for name in names] + [False], np.bool_)
    wrong = np.flatnonzero(~known[codes])
    if wrong.size:
        at = int(wrong[0])
        raise RecordError(f"record {mode.index[at]}", "collection_mode", "live or backfill", mode.iloc[at])
    return np.array([str(name) == "live" for name in names] + [False], np.bool_)[codes]


def _int64(times: pd.Series[Any]) -> npt.NDArray[np.int64]:
    return np.asarray(pd.DatetimeIndex(times).as_unit("us").asi8, np.int64)


def _series(micros: npt.NDArray[np.int64], index: pd.Index[Any]) -> pd.Series[Any]:
    moments = pd.DatetimeIndex(micros.view("datetime64[us]")).tz_localize("UTC")
    return pd.Series(moments, index=index, name="available_time")


def latest_available(
    keys: Sequence[str], revisions: Sequence[int], available: Sequence[datetime], as_of: datetime
) -> list[int]:
    """Return, in order, the place of the latest revision of each key that was available at `as_of` (time.md).

    A revision counts from when its own content was available: a later one does not reach back behind that.
    """
    latest: dict[str, int] = {}
    for place, (key, time) in enumerate(zip(keys, available, strict=True)):
        known = latest.get(key)
        if time <= as_of and (known is None or revisions[place] > revisions[known]):
            latest[key] = place
    return sorted(latest.values())
