"""Reading many rows: a SELECT by binary COPY into an Arrow table, without a Python object per value."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from psycopg import ClientCursor, sql

from ..pools import Warehouse

TIME = pa.timestamp("us", tz="UTC")
STRINGS = pa.list_(pa.string())


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


def fetch_table(
    warehouse: Warehouse,
    columns: Mapping[str, pa.DataType],
    source: sql.Composable,
    params: Sequence[Any] | Mapping[str, Any],
) -> pa.Table:
    """Return `columns` of ``SELECT ... <source>`` (FROM and all that follows it) as a table of these types.

    JSON is text. Nulls stay nulls and empty strings empty strings. One statement, so one consistent view.
    """
    names = sql.SQL(", ").join(
        sql.SQL("{0}::text AS {0}" if pa.types.is_string(kind) else "{0}").format(sql.Identifier(name))
        for name, kind in columns.items()
    )
    with warehouse.read_pool().connection() as connection:
        # Parameters are written out: the driver's own would cost it COPY.
        query = ClientCursor(connection).mogrify(sql.SQL("SELECT {} {}").format(names, source), params)
    with warehouse.arrow() as arrow, arrow.cursor() as cursor:
        cursor.execute(query)
        table: pa.Table = cursor.fetch_arrow_table()
    return table.cast(pa.schema(list(columns.items())))


def sort_table(table: pa.Table, by: Sequence[str]) -> pa.Table:
    """Return `table` in the order of its columns `by`, in one chunk; texts by their bytes, as COLLATE "C" does.

    Cheaper than in the server, which sorts whole rows on disk and has other work.
    """
    table = table.combine_chunks()
    return table.take(pc.sort_indices(table, sort_keys=[(name, "ascending") for name in by]))
