"""The hash of a table's rows, whatever file or memory layout they are in."""

from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from .canonical import canonical_json

if TYPE_CHECKING:
    from hashlib import _Hash as Digest

_AT_ONCE = 2
_AT_A_TIME = 262_144


def content_hash(table: pa.Table) -> str:
    """Return the SHA-256 over schema and columns of `table`: the same for the same rows, whatever file they are in.

    Hashed are, in this order: the canonical JSON of [[name, type], ...]; then per column its SHA-256, which is over
    the row count (int64), one byte per row that says whether it has a value, and the values. Values are little-endian
    numbers (0 for null, booleans as bytes, times and dates as their integers), strings as int64 byte lengths followed
    by all bytes, lists as int64 lengths followed by the hash of all elements. Dictionaries are decoded first.
    """
    digest = hashlib.sha256(canonical_json([[field.name, str(_plain_type(field.type))] for field in table.schema]))
    # Columns without a null all begin alike.
    full = _begun(len(table))
    full.update(_bytes(np.ones(len(table), np.uint8)))

    def hashed(column: pa.ChunkedArray[Any]) -> bytes:
        return _column_hash(column, None if column.null_count else full.copy())

    # Hashing lets go of the interpreter, so columns are hashed beside one another.
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        for value in pool.map(hashed, table.columns):
            digest.update(value)
    return digest.hexdigest()


def _begun(rows: int) -> Digest:
    return hashlib.sha256(np.int64(rows).astype("<i8").tobytes())


def _plain_type(kind: pa.DataType) -> pa.DataType:
    if pa.types.is_dictionary(kind):
        value_type: pa.DataType = kind.value_type
        return value_type
    # The name of a list's element is the file format's affair.
    return pa.list_(pa.field("element", kind.value_type)) if pa.types.is_list(kind) else kind


def _column_hash(column: pa.ChunkedArray[Any], digest: Digest | None = None) -> bytes:
    """The column's hash; `digest` has taken in all that comes before the values, if it is given."""
    kind = column.type
    if digest is None:
        digest = _begun(len(column))
        for chunk in column.chunks:
            digest.update(_bytes(_valid(chunk)))
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    if pa.types.is_list(kind):
        for chunk in column.chunks:
            digest.update(_bytes(pc.list_value_length(chunk).fill_null(0).to_numpy().astype("<i8")))
        chunks: list[Any] = column.chunks
        elements = [chunk.flatten() for chunk in chunks]
        digest.update(_column_hash(pa.chunked_array(elements, kind.value_type)))
    elif pa.types.is_string(kind) or pa.types.is_binary(kind) or pa.types.is_large_string(kind):
        # All lengths come before the first byte, so texts are gone through twice rather than held twice.
        for update in (_lengths, _texts):
            for chunk in column.chunks:
                for start in range(0, len(chunk), _AT_A_TIME):
                    digest.update(update(chunk.slice(start, _AT_A_TIME)))
    else:
        for chunk in column.chunks:
            digest.update(_bytes(_numbers(_plain(chunk))))
    return digest.digest()


def _valid(values: Any) -> np.ndarray[Any, Any]:
    if not values.null_count:
        return np.ones(len(values), np.uint8)
    return np.asarray(values.is_valid().to_numpy(zero_copy_only=False), np.uint8)


def _plain(values: Any) -> Any:
    if pa.types.is_dictionary(values.type):
        values = values.dictionary_decode()
    if pa.types.is_string(values.type) or pa.types.is_large_string(values.type):
        return pa.concat_arrays([values.cast(pa.large_string()).fill_null("").cast(pa.large_binary())])
    if pa.types.is_binary(values.type):
        return pa.concat_arrays([values.fill_null(b"").cast(pa.large_binary())])
    return values


def _offsets(values: Any) -> np.ndarray[Any, Any]:
    return np.frombuffer(values.buffers()[1], np.int64)[values.offset : values.offset + len(values) + 1]


def _lengths(values: Any) -> memoryview:
    if pa.types.is_dictionary(values.type) and not values.null_count and not values.dictionary.null_count:
        lengths = np.diff(_offsets(_plain(values.dictionary)))
        return _bytes(lengths.astype("<i8")[values.indices.to_numpy()])
    return _bytes(np.diff(_offsets(_plain(values))).astype("<i8"))


def _texts(values: Any) -> memoryview:
    values = _plain(values)
    offsets, data = _offsets(values), values.buffers()[2]
    return memoryview(b"") if data is None else memoryview(data)[int(offsets[0]) : int(offsets[-1])]


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
    numbers: np.ndarray[Any, Any] = (values.fill_null(0) if values.null_count else values).to_numpy()
    return numbers.astype(numbers.dtype.newbyteorder("<"), copy=False)


def _bytes(array: np.ndarray[Any, Any]) -> memoryview:
    return np.ascontiguousarray(array).view(np.uint8).data if array.size else memoryview(b"")
