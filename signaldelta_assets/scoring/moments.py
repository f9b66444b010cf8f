"""Moments and grids: whatever stands for an instant becomes int64 microseconds since the Unix epoch, UTC.

Finer stamps are rounded to the nearest microsecond, half up: monotone, so that no order between stamps turns round.
A naive datetime is refused, it could be any time; numpy's datetime64 has no zone by nature and is read as UTC.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
import pyarrow as pa

from .errors import ScoringInputError
from .layout import Integers

Moment: TypeAlias = datetime | np.datetime64
Moments: TypeAlias = (
    "Sequence[Moment] | np.ndarray[Any, Any] | pd.Series[Any] | pd.DatetimeIndex | pa.Array[Any] | pa.ChunkedArray[Any]"
)
Step: TypeAlias = timedelta | np.timedelta64

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_TO_MICROSECONDS = {"s": 1_000_000, "ms": 1_000, "us": 1}


def microseconds_of(column: pa.Array[Any]) -> Integers:
    """Return a timestamp column without nulls, of any unit, as microseconds."""
    values: Integers = column.cast(pa.int64()).to_numpy(zero_copy_only=False)
    if column.type.unit == "ns":
        return (values + 500) // 1_000
    return values * _TO_MICROSECONDS[column.type.unit]


def moment(value: Moment, field: str) -> int:
    """Return one instant as microseconds; `field` names it in the `ScoringInputError` of a wrong one."""
    if isinstance(value, datetime) and not pd.isna(value):
        if value.tzinfo is None:
            raise ScoringInputError("grid", field, "a time with a zone", value)
        if isinstance(value, pd.Timestamp):
            return moment(value.tz_convert("UTC").tz_localize(None).to_datetime64(), field)
        return (value.astimezone(UTC) - _EPOCH) // _MICROSECOND
    if isinstance(value, np.datetime64) and not np.isnat(value):
        return int(_of_datetime64(np.array([value]))[0])
    raise ScoringInputError("grid", field, "a datetime or datetime64", repr(value))


def regular_grid(start: Moment, end: Moment, step: Step) -> Integers:
    """Return start, start + step, ... up to and including `end`: at least one moment."""
    first, last = moment(start, "start"), moment(end, "end")
    if isinstance(step, np.timedelta64):
        step = pd.Timedelta(step)
    if not isinstance(step, timedelta) or pd.isna(step) or step < _MICROSECOND or step % _MICROSECOND:
        raise ScoringInputError("grid", "step", "a positive whole number of microseconds", repr(step))
    if last < first:
        raise ScoringInputError("grid", "end", f"a moment not before start {start}", end)
    return np.arange(first, last + 1, step // _MICROSECOND, dtype=np.int64)


def irregular_grid(at: Moments) -> Integers:
    """Return the moments `at`, ascending. Raises `ScoringInputError` for none at all and for repeated ones."""
    if isinstance(at, pd.Series | pd.DatetimeIndex):
        at = pa.Array.from_pandas(at)
    if isinstance(at, pa.ChunkedArray):
        at = pa.concat_arrays(at.chunks) if at.num_chunks else pa.array([], at.type)
    if isinstance(at, pa.Array):
        if not (pa.types.is_timestamp(at.type) and at.type.tz is not None) or at.null_count:
            raise ScoringInputError(
                "grid", "at", "timestamps with a zone, without null", f"{at.type}, {at.null_count} null"
            )
        moments = microseconds_of(at)
    elif isinstance(at, np.ndarray) and at.dtype.kind == "M" and not np.isnat(at).any():
        moments = _of_datetime64(at)
    else:
        moments = np.array([moment(value, "at") for value in at], np.int64)
    moments = np.sort(moments)
    if not moments.size or (np.diff(moments) == 0).any():
        raise ScoringInputError("grid", "at", "one or more different moments", f"{moments.size}, some of them equal")
    return moments


def _of_datetime64(values: np.ndarray[Any, Any]) -> Integers:
    if np.datetime_data(values.dtype)[0] == "ns":
        return (values.astype(np.int64) + 500) // 1_000
    return values.astype("datetime64[us]").astype(np.int64)
