"""Reading many rows: a SELECT by COPY into an Arrow table, without a Python object per value."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from psycopg import Connection, sql
from pyarrow import csv

TIME = pa.timestamp("us", tz="UTC")
STRINGS = pa.list_(pa.string())

# A row must fit one block; the longest are filings' texts, a few hundred kilobytes.
_BLOCK_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Window:
    """Days, half-open: `start` <= day < `end`, UTC."""

    start: date
    end: date

    def __post_init__(self) -> None:
        if isinstance(self.start, datetime) or isinstance(self.end, datetime):
            raise TypeError("Window: expected dates, found datetimes")
        if self.end <= self.start:
            raise ValueError(f"Window: expected end after start, found {self.start} to {self.end}")

    def __contains__(self, day: date) -> bool:
        return self.start <= day < self.end

    @property
    def start_time(self) -> datetime:
        """Midnight UTC of `start`."""
        return datetime.combine(self.start, time(), UTC)

    @property
    def end_time(self) -> datetime:
        """Midnight UTC of `end`: the first moment outside."""
        return datetime.combine(self.end, time(), UTC)


def _output(name: str, kind: pa.DataType) -> sql.Composable:
    column = sql.Identifier(name)
    if pa.types.is_timestamp(kind):
        # extract() is numeric, so the microseconds are exact.
        return sql.SQL("(extract(epoch FROM {}) * 1000000)::bigint").format(column)
    if pa.types.is_list(kind):
        return sql.SQL("array_to_string({}, ' ')").format(column)
    return column


def fetch_table(
    connection: Connection[Any],
    columns: Mapping[str, pa.DataType],
    source: sql.Composable,
    params: Sequence[Any] | Mapping[str, Any],
) -> pa.Table:
    """Return `columns` of ``SELECT ... <source>`` (FROM and all that follows it) as a table of these types.

    Lists are of words without blanks (ULIDs). Nulls stay nulls and empty strings empty strings.
    """
    names = [sql.SQL("{} AS {}").format(_output(name, kind), sql.Identifier(name)) for name, kind in columns.items()]
    query = sql.SQL("COPY (SELECT {} {}) TO STDOUT (FORMAT csv)").format(sql.SQL(", ").join(names), source)
    sink = pa.BufferOutputStream()
    with connection.cursor() as cursor, cursor.copy(query, params) as copy:
        for block in copy:
            sink.write(bytes(block))
    data = sink.getvalue()
    if data.size == 0:
        return pa.schema(list(columns.items())).empty_table()
    wire = {name: _wire_type(kind) for name, kind in columns.items()}
    table = csv.read_csv(
        pa.BufferReader(data),  # type: ignore[arg-type]
        read_options=csv.ReadOptions(column_names=list(columns), block_size=_BLOCK_BYTES, use_threads=False),
        parse_options=csv.ParseOptions(newlines_in_values=True),
        convert_options=csv.ConvertOptions(
            column_types=wire,
            null_values=[""],
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,
            true_values=["t"],
            false_values=["f"],
        ),
    )
    arrays = [_restore(table[name], kind) for name, kind in columns.items()]
    return pa.Table.from_arrays(arrays, schema=pa.schema(list(columns.items())))


def _wire_type(kind: pa.DataType) -> pa.DataType:
    if pa.types.is_timestamp(kind):
        return pa.int64()
    return pa.string() if pa.types.is_list(kind) else kind


def _restore(column: Any, kind: pa.DataType) -> Any:
    if pa.types.is_list(kind):
        return pc.split_pattern(column, " ").cast(kind)
    return column.cast(kind) if pa.types.is_timestamp(kind) else column
