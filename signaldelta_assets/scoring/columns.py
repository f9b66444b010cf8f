"""Reading the columns of an events table, each checked: an error names the event, the field, what was expected."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from .errors import ScoringInputError
from .layout import Floats, Integers
from .moments import microseconds_of

TEXTS = ("entity_id", "event_id", "signal_id")
NUMBERS = {"strength_norm": (0.0, 1.0), "reliability": (0.0, 1.0), "direction": (-1.0, 1.0)}
OPTIONAL_NUMBERS = {"context_weight": (0.0, 4.0)}

_TYPES: dict[str, Any] = {
    **dict.fromkeys(TEXTS, pa.string()),
    "available_time": pa.timestamp("us", "UTC"),
    **dict.fromkeys((*NUMBERS, *OPTIONAL_NUMBERS), pa.float64()),
}


class Columns:
    """The columns of `events` by name. `entity_optional` allows entity_id to be absent.

    Every reader raises `ScoringInputError` for a missing column, a wrong type, a null or a value out of range.
    A frame without rows and columns is no events.
    """

    def __init__(self, events: pa.Table | pd.DataFrame, *, entity_optional: bool = False) -> None:
        if not isinstance(events, pa.Table | pd.DataFrame):
            raise ScoringInputError("events", "events", "a pyarrow.Table or pandas.DataFrame", type(events).__name__)
        names = list(events.column_names if isinstance(events, pa.Table) else events.columns)
        if not names and len(events) == 0:
            events = pa.schema(_TYPES).empty_table()
            names = events.column_names
        optional = {*OPTIONAL_NUMBERS, *(["entity_id"] if entity_optional else [])}
        self.names = [name for name in _TYPES if name in names or name not in optional]
        for name in self.names:
            if names.count(name) != 1:
                raise ScoringInputError("events", name, "one column", f"{names.count(name)} of that name")
        self._events = events
        self.rows = len(events)
        self.event_ids: Any = None
        self.event_ids = self.texts("event_id")
        self._refuse_repeated()

    def texts(self, name: str) -> Any:
        """Return a column of non-empty texts as a string array."""
        column = self._column(name)
        kind = column.type
        if not (pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)):
            raise ScoringInputError("events", name, "text", kind)
        texts = column.cast(pa.string())
        empty = int(pc.index(pc.binary_length(texts), 0).as_py())
        if empty >= 0:
            raise ScoringInputError(self._event(empty), name, "a non-empty text", "")
        return texts

    def times(self) -> Integers:
        """Return available_time in microseconds."""
        column = self._column("available_time")
        if not (pa.types.is_timestamp(column.type) and column.type.tz is not None):
            raise ScoringInputError("events", "available_time", "timestamp[us, UTC]", column.type)
        return microseconds_of(column)

    def floats(self, name: str) -> Floats:
        """Return a column of numbers within the range of its name."""
        column = self._column(name)
        kind = column.type
        if not (pa.types.is_floating(kind) or pa.types.is_integer(kind) or pa.types.is_decimal(kind)):
            raise ScoringInputError("events", name, "numbers", kind)
        values: Floats = column.cast(pa.float64()).to_numpy(zero_copy_only=False)
        low, high = (NUMBERS | OPTIONAL_NUMBERS)[name]
        # Written so that NaN is wrong, too.
        wrong = np.flatnonzero(~((values >= low) & (values <= high)))
        if wrong.size:
            found = f"{values[wrong[0]]} ({wrong.size} such records)"
            raise ScoringInputError(self._event(int(wrong[0])), name, f"a number in [{low:g}, {high:g}]", found)
        return values

    def _event(self, row: int) -> str:
        return f"event {self.event_ids[row].as_py()}" if self.event_ids is not None else f"event in row {row}"

    def _column(self, name: str) -> Any:
        """Return the column as one array without nulls, decoded where it is a dictionary."""
        column: Any = self._events[name]
        if isinstance(column, pa.ChunkedArray):
            column = pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], column.type)
        else:
            try:
                column = pa.Array.from_pandas(column)
            except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
                raise ScoringInputError("events", name, "values of one type", error) from error
            if isinstance(column, pa.ChunkedArray):
                column = pa.concat_arrays(column.chunks)
        if not len(column):
            # An empty frame has lost its types on the way; there is nothing in it that could be wrong.
            return pa.array([], _TYPES[name])
        if column.null_count:
            row = int(np.flatnonzero(column.is_null().to_numpy(zero_copy_only=False))[0])
            raise ScoringInputError(self._event(row), name, "a value", f"null ({column.null_count} such records)")
        return column.dictionary_decode() if pa.types.is_dictionary(column.type) else column

    def _refuse_repeated(self) -> None:
        counts: Any = pc.value_counts(self.event_ids)
        if len(counts) == self.rows:
            return
        repeated = [count["values"] for count in counts.to_pylist() if count["counts"] > 1]
        raise ScoringInputError(
            f"event {min(repeated)}", "event_id", "an id of its own", f"{len(repeated)} repeated ids"
        )
