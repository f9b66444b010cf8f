"""The point-in-time join: beside each row, the latest event of its entity that was available then."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from ..errors import RecordError
from ..versioning.compiling import jit

_Integers = npt.NDArray[np.int64]
_THREADS = 2  # beyond two the join waits for memory
_TIME = pa.timestamp("us", "UTC")


def join_as_of(left: pa.Table, events: pa.Table, columns: list[str] | None = None) -> pa.Table:
    """Return `left` with columns of the latest event of the same entity whose available_time is at or before `at`.

    left: entity_id, at, and whatever else; events: entity_id, event_id, available_time, and `columns` (all others
    by default). Of events available at one moment the last by event_id counts: the total order of scoring.md. Every
    row of `left` stays, in its order; nulls stand where no event was available yet. Moments are timestamps with a
    zone. Tables sorted by entity and time (and event_id) are joined in one pass; others are sorted on the way.

    Raises RecordError naming the field for a missing column, a null key or a stamp without zone.
    """
    at, when = _moments("left", left, "at"), _moments("events", events, "available_time")
    entities, known = _texts("left", left, "entity_id"), _texts("events", events, "entity_id")
    wanted = [name for name in events.column_names if name != "entity_id"] if columns is None else columns
    for name in wanted:
        _column("events", events, name)
        if name in left.column_names:
            raise RecordError("left", name, "no column of an event's name", name)
    ids = _texts("events", events, "event_id")

    with ThreadPoolExecutor(_THREADS) as pool:
        left_names, left_starts, left_order = _runs(entities, at, None, pool)
        names, starts, order = _runs(known, when, ids, pool)
        if left_order is not None:
            at = at[left_order]
        if order is not None:
            when = when[order]
        place: Any = pc.index_in(left_names, value_set=names)
        owner: _Integers = place.fill_null(-1).to_numpy().astype(np.int64)
        found = np.empty(len(at), np.int64)
        bounds = np.linspace(0, len(owner), 4 * _THREADS + 1).astype(np.int64).tolist()
        list(pool.map(lambda a, b: _latest(a, b, left_starts, at, owner, starts, when, found), bounds, bounds[1:]))
        if order is not None:
            found = np.where(found >= 0, order[found], -1)
        if left_order is not None:
            unsorted = np.empty_like(found)
            unsorted[left_order] = found
            found = unsorted
        pieces: list[Any] = list(pool.map(lambda part: pa.array(part, mask=part < 0), np.array_split(found, _THREADS)))
        for name in wanted:
            column = _whole(events[name])
            left = left.append_column(name, pa.chunked_array(list(pool.map(column.take, pieces)), column.type))
    return left


@jit
def _latest(
    low: int, high: int, left_starts: _Integers, at: _Integers, owner: _Integers, starts: _Integers, when: _Integers,
    found: _Integers,
) -> None:  # fmt: skip
    for run in range(low, high):
        event = end = 0
        if owner[run] >= 0:
            event, end = starts[owner[run]], starts[owner[run] + 1]
        first = event
        for row in range(left_starts[run], left_starts[run + 1]):
            while event < end and when[event] <= at[row]:
                event += 1
            found[row] = event - 1 if event > first else -1


@jit
def _sorted(starts: _Integers, times: _Integers, ends: npt.NDArray[np.int32], text: npt.NDArray[np.uint8]) -> bool:
    """Return whether rows ascend within each run by time, then by text: that of row i is text[ends[i]:ends[i + 1]]."""
    for run in range(len(starts) - 1):
        for row in range(starts[run] + 1, starts[run + 1]):
            if times[row] < times[row - 1]:
                return False
            if times[row] == times[row - 1] and len(ends):
                one, other = ends[row - 1], ends[row]
                while one < ends[row] and other < ends[row + 1] and text[one] == text[other]:
                    one += 1
                    other += 1
                if one < ends[row] and (other == ends[row + 1] or text[one] > text[other]):
                    return False
    return True


def _bytes(texts: Any | None) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.uint8]]:
    if texts is None or not len(texts):
        return np.empty(0, np.int32), np.empty(0, np.uint8)
    _, ends, text = texts.buffers()
    every = np.frombuffer(ends, np.int32)[texts.offset : texts.offset + len(texts) + 1]
    return every, np.frombuffer(text, np.uint8) if text is not None else np.empty(0, np.uint8)


def _runs(
    entities: Any, times: _Integers, ids: Any | None, pool: ThreadPoolExecutor
) -> tuple[Any, _Integers, _Integers | None]:
    """Return each entity once, the offsets of its rows, and the order that puts them so (None: as they are)."""
    names, starts = _encoded(entities, pool)
    if pc.count_distinct(names).as_py() == len(names):
        # Every step back in time is one from an entity to the next: then rows ascend within each of them.
        inner = starts[1:-1]
        back = int(np.count_nonzero(times[1:] < times[:-1])) - int(np.count_nonzero(times[inner] < times[inner - 1]))
        if back == 0 and (ids is None or _sorted(starts, times, *_bytes(ids))):
            return names, starts, None
    keys = {"entity": entities, "time": pa.array(times)} | ({} if ids is None else {"id": ids})
    table = pa.table(keys)
    order = pc.sort_indices(table, sort_keys=[(name, "ascending") for name in keys]).to_numpy().astype(np.int64)
    return *_encoded(entities.take(pa.array(order)), pool), order


def _encoded(texts: Any, pool: ThreadPoolExecutor) -> tuple[Any, _Integers]:
    """Return the text of each run of equal texts, and the offsets of the runs; pieces are gone through in threads."""
    bounds = np.linspace(0, len(texts), _THREADS + 1).astype(np.int64).tolist()
    encode: Any = pc.run_end_encode  # type: ignore[attr-defined]
    pieces = list(pool.map(lambda a, b: encode(texts.slice(a, b - a), run_end_type=pa.int64()), bounds, bounds[1:]))
    names: Any = pa.concat_arrays([piece.values for piece in pieces])
    ends = np.concatenate([piece.run_ends.to_numpy() + first for piece, first in zip(pieces, bounds, strict=False)])
    # A run may go on from one piece to the next: then the first part's end is none.
    last = np.ones(len(names), np.bool_)
    for border in np.cumsum([len(piece.values) for piece in pieces[:-1]]):
        if 0 < border < len(names):
            last[border - 1] = not names[int(border) - 1].equals(names[int(border)])
    return names.filter(pa.array(last)), np.concatenate([np.zeros(1, np.int64), ends[last]])


def _column(table_name: str, table: pa.Table, name: str) -> Any:
    if name not in table.column_names:
        raise RecordError(table_name, name, "a column of that name", ", ".join(table.column_names))
    return table[name]


def _key(table_name: str, table: pa.Table, name: str) -> Any:
    column = _column(table_name, table, name)
    if column.null_count:
        row = int(np.flatnonzero(column.is_null().to_numpy(zero_copy_only=False))[0])
        raise RecordError(f"{table_name} row {row}", name, "a value", None)
    return _whole(column)


def _whole(column: Any) -> Any:
    # Joining one chunk would copy it.
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()


def _texts(table_name: str, table: pa.Table, name: str) -> Any:
    column = _key(table_name, table, name)
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if not (pa.types.is_string(column.type) or pa.types.is_large_string(column.type)):
        raise RecordError(table_name, name, "a column of texts", column.type)
    return column.cast(pa.string())


def _moments(table_name: str, table: pa.Table, name: str) -> _Integers:
    column = _key(table_name, table, name)
    if not (pa.types.is_timestamp(column.type) and column.type.tz is not None):
        raise RecordError(table_name, name, "timestamps with a zone", column.type)
    values: _Integers = column.cast(_TIME).cast(pa.int64()).to_numpy(zero_copy_only=False)
    return values
