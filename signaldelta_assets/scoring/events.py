"""Signal events on their way into the kernel: columns checked, put in total order and grouped by entity and signal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from .errors import ScoringInputError
from .kernel import STATE_COLUMNS, Floats, Integers, anchor
from .model import ScoringModel
from .moments import microseconds_of

_RANGES = {
    "strength_norm": (0.0, 1.0),
    "reliability": (0.0, 1.0),
    "direction": (-1.0, 1.0),
    "context_weight": (0.0, 4.0),
}
_REQUIRED = ("entity_id", "event_id", "signal_id", "available_time", "strength_norm", "reliability", "direction")


@dataclass(frozen=True, slots=True)
class Evidence:
    """Events of known signals in the kernel's order, with their anchored sums.

    Entities ascending; within one entity its signals in the model's order (a group each); within a group by
    available_time, then event_id. `entity_groups` (E + 1,) and `group_start` (G + 1,) are offsets.
    """

    entities: pa.StringArray
    event_ids: pa.StringArray
    entity_groups: Integers
    group_start: Integers
    group_signal: Integers
    times: Integers
    state: Floats


def gather(
    events: pa.Table | pd.DataFrame,
    model: ScoringModel,
    entities: Sequence[str] = (),
    *,
    ignore_unknown_signals: bool = False,
    one_entity: bool = False,
) -> Evidence:
    """Check `events` (columns as in scoring.md, `context_weight` optional) and return them ready for the kernel.

    `entities` are added to those of the events. With `one_entity` the column entity_id may be absent and may hold
    one value only. Raises `ScoringInputError` for a missing column, a null, a wrong type, a value out of range,
    a repeated event_id, and signals the model does not have, unless those are to be ignored.
    """
    table = _table(events, optional=("entity_id",) if one_entity else ())
    event_ids = _texts(table, "event_id")
    record = _Namer(event_ids)
    entity_ids = _texts(table, "entity_id", record) if "entity_id" in table.column_names else None
    signal_ids = _texts(table, "signal_id", record)
    _refuse_repeated(event_ids)

    if entity_ids is None:
        names: pa.StringArray = pa.array(list(entities), pa.string())
        entity = np.zeros(table.num_rows, np.int64)
    else:
        # Arrow sorts strings by their bytes: no locale has a say.
        names = pa.concat_arrays([pc.unique(entity_ids), pa.array(list(entities), pa.string())])
        names = pc.unique(names).take(pc.sort_indices(pc.unique(names)))
        entity = pc.index_in(entity_ids, value_set=names).to_numpy().astype(np.int64)
    if one_entity and len(names) > 1:
        raise ScoringInputError("events", "entity_id", "one entity", names.to_pylist()[:5])

    known: pa.StringArray = pa.array(list(model.signals), pa.string())
    found = pc.index_in(signal_ids, value_set=known)
    if found.null_count and not ignore_unknown_signals:
        unknown = sorted(pc.unique(signal_ids.filter(found.is_null())).to_pylist())
        raise ScoringInputError("events", "signal_id", "signals of the model", ", ".join(unknown))
    signal = found.fill_null(-1).to_numpy().astype(np.int64)

    times = _times(table, record)
    values = {name: _floats(table, name, record) for name in _RANGES if name in table.column_names}

    keys = pa.table({"group": entity * len(known) + signal, "time": times, "id": event_ids})
    order = pc.sort_indices(keys, sort_keys=[(name, "ascending") for name in ("group", "time", "id")]).to_numpy()
    order = order[signal[order] >= 0].astype(np.int64)
    entity, signal, times = entity[order], signal[order], times[order]
    values = {name: column[order] for name, column in values.items()}
    starts = np.flatnonzero(np.diff(entity * len(known) + signal, prepend=-1)).astype(np.int64)
    group_start = np.append(starts, len(order)).astype(np.int64)
    group_signal = signal[starts]
    entity_groups = np.searchsorted(entity[starts], np.arange(len(names) + 1)).astype(np.int64)

    parameters = model.parameters
    weights = parameters.coefficient[signal] * (values["strength_norm"] * values["reliability"])
    if "context_weight" in values:
        weights = weights * values["context_weight"]
    state = np.empty((len(order), STATE_COLUMNS))
    anchor(
        times, weights, values["direction"], values["reliability"], group_start, group_signal, parameters.half_life,
        state,
    )  # fmt: skip
    return Evidence(names, event_ids.take(pa.array(order)), entity_groups, group_start, group_signal, times, state)


class _Namer:
    """Names the record in a row for an error, by its event_id."""

    def __init__(self, event_ids: pa.StringArray) -> None:
        self._event_ids = event_ids

    def __call__(self, row: int) -> str:
        return f"event {self._event_ids[row].as_py()}"


def _table(events: pa.Table | pd.DataFrame, optional: Sequence[str]) -> pa.Table:
    if not isinstance(events, pa.Table | pd.DataFrame):
        raise ScoringInputError("events", "events", "a pyarrow.Table or pandas.DataFrame", type(events).__name__)
    columns = list(events.column_names if isinstance(events, pa.Table) else events.columns)
    if len(events) == 0 and not columns:
        return _EMPTY
    for name in _REQUIRED:
        if columns.count(name) != 1 and not (name in optional and name not in columns):
            raise ScoringInputError("events", name, "one column", f"{columns.count(name)} of that name")
    wanted = [name for name in (*_REQUIRED, "context_weight") if name in columns]
    if isinstance(events, pa.Table):
        return events.select(wanted)
    if len(events) == 0:
        return _EMPTY
    arrays = {}
    for name in wanted:
        try:
            arrays[name] = pa.Array.from_pandas(events[name])
        except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
            raise ScoringInputError("events", name, "values of one type", error) from error
    return pa.table(arrays)


_EMPTY = pa.table(
    {name: pa.array([], pa.string() if name.endswith("_id") else pa.float64()) for name in _REQUIRED}
).set_column(3, "available_time", pa.array([], pa.timestamp("us", "UTC")))


def _no_null(column: pa.Array, name: str, record: Any) -> None:
    if column.null_count:
        row = int(np.flatnonzero(column.is_null().to_numpy(zero_copy_only=False))[0])
        raise ScoringInputError(record(row), name, "a value", f"null ({column.null_count} such records)")


def _array(table: pa.Table, name: str) -> pa.Array:
    column = table.column(name).combine_chunks()
    if isinstance(column, pa.ChunkedArray):
        column = pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], column.type)
    return column.dictionary_decode() if pa.types.is_dictionary(column.type) else column


def _texts(table: pa.Table, name: str, record: Any = lambda row: f"event in row {row}") -> pa.StringArray:
    column = _array(table, name)
    kind = column.type
    if pa.types.is_null(kind) and len(column):
        _no_null(column, name, record)
    if not (pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)) and len(
        column
    ):
        raise ScoringInputError("events", name, "text", kind)
    _no_null(column, name, record)
    texts: pa.StringArray = column.cast(pa.string())
    empty = pc.index(pc.binary_length(texts), 0).as_py()
    if empty >= 0:
        raise ScoringInputError(record(empty), name, "a non-empty text", "")
    return texts


def _times(table: pa.Table, record: Any) -> Integers:
    column = _array(table, "available_time")
    if not (pa.types.is_timestamp(column.type) and column.type.tz is not None):
        raise ScoringInputError("events", "available_time", "timestamp[us, UTC]", column.type)
    _no_null(column, "available_time", record)
    return microseconds_of(column)


def _floats(table: pa.Table, name: str, record: Any) -> Floats:
    column = _array(table, name)
    kind = column.type
    if pa.types.is_null(kind):
        _no_null(column, name, record)
    if not (pa.types.is_floating(kind) or pa.types.is_integer(kind) or pa.types.is_decimal(kind)):
        raise ScoringInputError("events", name, "numbers", kind)
    _no_null(column, name, record)
    values: Floats = column.cast(pa.float64()).to_numpy(zero_copy_only=False)
    low, high = _RANGES[name]
    # Written so that NaN is wrong, too.
    wrong = np.flatnonzero(~((values >= low) & (values <= high)))
    if wrong.size:
        found = f"{values[wrong[0]]} ({wrong.size} such records)"
        raise ScoringInputError(record(int(wrong[0])), name, f"a number in [{low:g}, {high:g}]", found)
    return values


def _refuse_repeated(event_ids: pa.StringArray) -> None:
    if pc.count_distinct(event_ids).as_py() == len(event_ids):
        return
    counts = pc.value_counts(event_ids)
    repeated = counts.filter(pc.greater(counts.field("counts"), 1)).field("values").to_pylist()
    raise ScoringInputError(f"event {min(repeated)}", "event_id", "an id of its own", f"{len(repeated)} repeated ids")
