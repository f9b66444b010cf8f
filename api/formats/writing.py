"""Batches to bytes, a piece at a time: Arrow IPC streams, Parquet, CSV.

Each ends with something that only the whole has: an Arrow stream with its end-of-stream marker, Parquet with its
footer. They are written when the last batch has been, so that what broke off cannot be taken for all there was.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from typing import Any

import pyarrow as pa
import pyarrow.compute
import pyarrow.parquet as pq

from .negotiation import ARROW, CSV, Format

# Of its functions the stubs know fewer forms than there are.
pc: Any = pyarrow.compute

# What a spreadsheet takes for a formula. An apostrophe before it makes it text there.
_FORMULA = r"^([=+\-@\t])"
_QUOTED = r'^$|[",\r\n]'
# Rows of Parquet are gathered to groups of this size: a group is what a reader can skip.
_GROUP = 65_536


class _Pieces(io.RawIOBase):
    """What has been written since it was last taken."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._size = 0

    def writable(self) -> bool:
        return True

    def write(self, data: object, /) -> int:
        part = bytes(data)  # type: ignore[call-overload]
        self._parts.append(part)
        self._size += len(part)
        return len(part)

    def tell(self) -> int:
        return self._size

    def take(self) -> bytes:
        parts, self._parts = self._parts, []
        return b"".join(parts)


def encoded(form: Format, schema: pa.Schema, batches: Iterable[pa.RecordBatch]) -> Iterator[bytes]:
    """Yield the bytes of `batches`, all of `schema`, in a form; at the latest after each batch of any size."""
    if form == CSV:
        return _csv(schema, batches)
    return _arrow(schema, batches) if form == ARROW else _parquet(schema, batches)


def _arrow(schema: pa.Schema, batches: Iterable[pa.RecordBatch]) -> Iterator[bytes]:
    pieces = _Pieces()
    writer = pa.ipc.new_stream(pa.PythonFile(pieces, "w"), schema)
    # The schema at once: a reader can tell that an answer has begun.
    yield pieces.take()
    for batch in batches:
        writer.write_batch(batch)
        yield pieces.take()
    # Not in a `finally`: the marker says that all of it was sent.
    writer.close()
    yield pieces.take()


def _parquet(schema: pa.Schema, batches: Iterable[pa.RecordBatch]) -> Iterator[bytes]:
    pieces = _Pieces()
    writer = pq.ParquetWriter(pa.PythonFile(pieces, "w"), schema, compression="zstd", store_schema=True)
    waiting: list[pa.RecordBatch] = []
    for batch in batches:
        waiting.append(batch)
        if sum(one.num_rows for one in waiting) >= _GROUP:
            writer.write_table(pa.Table.from_batches(waiting, schema))
            waiting = []
            yield pieces.take()
    if waiting:
        writer.write_table(pa.Table.from_batches(waiting, schema))
    writer.close()
    yield pieces.take()


def _csv(schema: pa.Schema, batches: Iterable[pa.RecordBatch]) -> Iterator[bytes]:
    """RFC 4180: lines end with CR LF, null is nothing and empty text is a pair of quotes."""
    names = [_heading(field) for field in schema]
    yield ",".join(names).encode() + b"\r\n"
    for batch in batches:
        if batch.num_rows:
            yield _lines(batch)


def _heading(field: pa.Field[Any]) -> str:
    unit = (field.metadata or {}).get(b"unit")
    return field.name if unit is None else f"{field.name}_{unit.decode()}"


def _lines(batch: pa.RecordBatch) -> bytes:
    cells = [_cells(column) for column in batch.columns]
    joined = pc.binary_join_element_wise(*cells, ",", null_handling="replace", null_replacement="")
    lines = pc.binary_join_element_wise(joined, "", "\r\n")
    # The text of a column lies in one piece: that piece is the file.
    offsets = lines.buffers()[1]
    assert offsets is not None
    starts = pa.Array.from_buffers(pa.int32(), len(lines) + 1, [None, offsets], offset=lines.offset)
    return memoryview(lines.buffers()[2])[starts[0].as_py() : starts[-1].as_py()].tobytes()


def _cells(column: Any) -> Any:
    kind = column.type
    if pa.types.is_dictionary(kind):
        column, kind = column.cast(kind.value_type), kind.value_type
    if pa.types.is_timestamp(kind):
        return pc.replace_substring(column.cast(pa.string()), " ", "T", max_replacements=1)
    if pa.types.is_list(kind):
        # Of texts that never hold one, such as identifiers.
        column = pc.binary_join(column.cast(pa.list_(pa.string())), ";")
    elif not pa.types.is_string(kind):
        return column.cast(pa.string())
    harmless = pc.replace_substring_regex(column, _FORMULA, r"'\1", max_replacements=1)
    quoted = pc.binary_join_element_wise('"', pc.replace_substring(harmless, '"', '""'), '"', "")
    return pc.if_else(pc.match_substring_regex(harmless, _QUOTED), quoted, harmless)
