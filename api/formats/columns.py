"""From the schema of a row to Arrow: the same names, types and descriptions that the OpenAPI document tells.

A time is microseconds of UTC, an instant without loss. What is itself a document or a list of documents is its JSON as
text. A unit is stated by the field (`json_schema_extra={"unit": "usd"}`), and told in the field's metadata.
"""

from __future__ import annotations

import types
import typing
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from functools import cache
from typing import Any

import orjson
import pyarrow as pa
from pydantic import BaseModel
from pydantic.fields import FieldInfo

TIME: pa.DataType = pa.timestamp("us", tz="UTC")
_PLAIN: dict[Any, pa.DataType] = {
    bool: pa.bool_(),
    int: pa.int64(),
    float: pa.float64(),
    str: pa.string(),
    datetime: TIME,
    date: pa.date32(),
}
_JSON = {b"media_type": b"application/json"}


def _type(annotation: Any) -> tuple[pa.DataType, bool, bool]:
    """Return (type, whether it may be null, whether it is JSON as text) of an annotation."""
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Annotated:
        return _type(arguments[0])
    if origin in (typing.Union, types.UnionType):
        (inner,) = (one for one in arguments if one is not type(None))
        kind, _, json = _type(inner)
        return kind, True, json
    if origin is typing.Literal:
        kinds = {type(one) for one in arguments}
        return (_PLAIN[kinds.pop()] if len(kinds) == 1 else pa.string()), False, False
    if origin is list and (inner := _type(arguments[0])) and not inner[2]:
        return pa.list_(inner[0]), False, False
    if annotation in _PLAIN:
        return _PLAIN[annotation], False, False
    return pa.string(), annotation is Any, True


def unit_of(field: FieldInfo) -> str | None:
    """Return the unit a field of a row is in, None where it has none or its name says it."""
    extra = field.json_schema_extra
    return str(extra["unit"]) if isinstance(extra, dict) and "unit" in extra else None


@cache
def arrow_schema(row: type[BaseModel]) -> pa.Schema:
    """Return the Arrow schema of rows of that model."""
    fields = []
    for name, field in row.model_fields.items():
        kind, nullable, json = _type(field.annotation)
        told: dict[bytes, bytes] = dict(_JSON) if json else {}
        if field.description:
            told[b"description"] = field.description.encode()
        if (unit := unit_of(field)) is not None:
            told[b"unit"] = unit.encode()
        fields.append(pa.field(name, kind, nullable=nullable, metadata=told or None))
    return pa.schema(fields)


def _text(value: Any) -> str | None:
    return value if value is None or isinstance(value, str) else orjson.dumps(value, option=orjson.OPT_UTC_Z).decode()


def record_batch(rows: Sequence[Mapping[str, Any]], schema: pa.Schema) -> pa.RecordBatch:
    """Return `rows` as one batch. Raises pyarrow's error where a value is not of its column's type."""
    columns = []
    for field in schema:
        values = [row[field.name] for row in rows]
        if (field.metadata or {}).get(b"media_type") == _JSON[b"media_type"]:
            values = [_text(value) for value in values]
        columns.append(pa.array(values, field.type))
    return pa.RecordBatch.from_arrays(columns, schema=schema)
