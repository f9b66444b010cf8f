"""The hash of a table's rows, whatever file or memory layout they are in."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from .canonical import canonical_json


def content_hash(table: pa.Table) -> str:
    """Return the SHA-256 over schema and columns of `table`: the same for the same rows, whatever file they are in.

    Hashed are, in this order: the canonical JSON of [[name, type], ...]; then per column its SHA-256, which is over
    the row count (int64), one byte per row that says whether it has a value, and the values. Values are little-endian
    numbers (0 for null, booleans as bytes, times and dates as their integers), strings as int64 byte lengths followed
    by all bytes, lists as int64 lengths followed by the hash of all elements. Dictionaries are decoded first.
    """
    digest = hashlib.sha256(canonical_json([[field.name, str(_plain_type(field.type))] for field in table.schema]))
    for column in table.columns:
        digest.update(_column_hash(pa.concat_arrays(column.chunks) if column.num_chunks else _empty(column.type)))
    return digest.hexdigest()


def _plain_type(kind: pa.DataType) -> pa.DataType:
    if pa.types.is_dictionary(kind):
        value_type: pa.DataType = kind.value_type
        return value_type
    # The name of a list's element is the file format's affair.
    return pa.list_(pa.field("element", kind.value_type)) if pa.types.is_list(kind) else kind


def _empty(kind: pa.DataType) -> pa.Array[Any]:
    return pa.array([], kind)


def _column_hash(values: Any) -> bytes:
    kind = values.type
    if pa.types.is_dictionary(kind):
        return _column_hash(values.cast(kind.value_type))
    digest = hashlib.sha256(np.int64(len(values)).astype("<i8").tobytes())
    digest.update(_bytes(values.is_valid().to_numpy(zero_copy_only=False).astype(np.uint8)))
    if pa.types.is_list(kind):
        digest.update(_bytes(pc.list_value_length(values).fill_null(0).to_numpy().astype("<i8")))
        digest.update(_column_hash(values.flatten()))
    elif pa.types.is_string(kind) or pa.types.is_binary(kind) or pa.types.is_large_string(kind):
        filled = values.cast(pa.large_string()).fill_null("") if not pa.types.is_binary(kind) else values.fill_null(b"")
        filled = pa.concat_arrays([filled.cast(pa.large_binary())])
        offsets = np.frombuffer(filled.buffers()[1], np.int64)[filled.offset : filled.offset + len(filled) + 1]
        digest.update(_bytes(np.diff(offsets).astype("<i8")))
        data = filled.buffers()[2]
        if data is not None and len(filled):
            digest.update(memoryview(data)[int(offsets[0]) : int(offsets[-1])])
    else:
        digest.update(_bytes(_numbers(values)))
    return digest.digest()


def _numbers(values: Any) -> np.ndarray[Any, Any]:
    kind = values.type
    if pa.types.is_boolean(kind):
        return np.asarray(values.fill_null(False).to_numpy(zero_copy_only=False), dtype=np.uint8)
    if pa.types.is_timestamp(kind):
        values = values.cast(pa.int64())
    elif pa.types.is_date32(kind):
        values = values.cast(pa.int32())
    elif not (pa.types.is_integer(kind) or pa.types.is_floating(kind)):
        raise TypeError(f"content_hash: no rule for columns of type {kind}")
    numbers: np.ndarray[Any, Any] = values.fill_null(0).to_numpy()
    return numbers.astype(numbers.dtype.newbyteorder("<"))


def _bytes(array: np.ndarray[Any, Any]) -> memoryview:
    return np.ascontiguousarray(array).view(np.uint8).data if array.size else memoryview(b"")
