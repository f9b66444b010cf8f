"""The pure pieces of the leak audit: truncate at random moments, run again, and the past must be the same bytes.

Running again is the caller's part: it owns the scoring. These choose the moments and find the first row that differs.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from .intervals import generator
from .protocol import EvaluationProtocol

AUDIT_STREAM = 3


def audit_moments(protocol: EvaluationProtocol, count: int) -> tuple[datetime, ...]:
    """Return up to `count` different moments of the grid, ascending, from the stored seed of the bootstrap.

    They lie between the steps too: a leak may show only where truncation cuts a step in two.
    """
    span = (protocol.end - protocol.start) // 1_000_000
    seconds = generator(protocol.seed, AUDIT_STREAM).integers(1, span + 1, size=count)
    return tuple(
        pd.Timestamp(protocol.start + int(second) * 1_000_000, unit="us", tz="UTC").to_pydatetime()
        for second in np.unique(seconds)
    )


def first_difference(full: pa.Table, again: pa.Table, until: datetime, time: str = "at") -> Mapping[str, Any] | None:
    """Return the first row up to `until` (inclusive, column `time`) in which two tables differ, or None.

    Both are compared in their own row order, every column by its bits (NaN equals NaN of the same bits, -0.0 is not
    0.0). The answer has `row`, `column`, `full` and `again`; a row that only one table has gives the column "(row)".
    Raises ValueError where the columns differ.
    """
    if full.column_names != again.column_names:
        raise ValueError(f"first_difference: expected the columns {full.column_names}, found {again.column_names}")
    kept = [table.filter(pc.less_equal(table[time], pa.scalar(until, table[time].type))) for table in (full, again)]
    rows = min(len(kept[0]), len(kept[1]))
    worst: tuple[int, str] | None = (rows, "(row)") if len(kept[0]) != len(kept[1]) else None
    for name in full.column_names:
        left, right = (_bits(table[name]).slice(0, rows) for table in kept)
        # A null equals a null; not_equal itself would say null there.
        unlike = pc.or_(pc.fill_null(pc.not_equal(left, right), False), pc.xor(left.is_null(), right.is_null()))
        place = pc.index(unlike, pa.scalar(True)).as_py()
        if place >= 0 and (worst is None or place < worst[0]):
            worst = (place, name)
    if worst is None:
        return None
    row, name = worst
    values = [
        (table[name][row].as_py() if name != "(row)" else table.slice(row, 1).to_pylist()) if row < len(table) else None
        for table in kept
    ]
    return {"row": row, "column": name, "full": values[0], "again": values[1]}


def _bits(values: pa.ChunkedArray[Any]) -> Any:
    array: Any = values.combine_chunks()
    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    if pa.types.is_float64(array.type):
        return pa.array(array.to_numpy(zero_copy_only=False).view(np.int64), mask=array.is_null().to_numpy(False))
    if pa.types.is_float32(array.type):
        return pa.array(array.to_numpy(zero_copy_only=False).view(np.int32), mask=array.is_null().to_numpy(False))
    return array
