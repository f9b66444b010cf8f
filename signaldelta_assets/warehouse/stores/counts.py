"""Why records gave no signal or no label: counts per producer and window. Table `extraction_counts`."""

from __future__ import annotations

from collections.abc import Mapping

from ..pools import Warehouse
from .reading import Window


def record_counts(warehouse: Warehouse, stage: str, producer: str, window: Window, counts: Mapping[str, int]) -> None:
    """Replace the counts of `producer` ('signal' or 'label' `stage`) for `window` by `counts`."""
    rows = [(stage, producer, window.start, window.end, reason, number) for reason, number in sorted(counts.items())]
    with warehouse.write("signals") as connection, connection.cursor() as cursor:
        cursor.execute(
            "DELETE FROM extraction_counts WHERE stage = %s AND producer = %s AND partition_start = %s "
            "AND partition_end = %s",
            (stage, producer, window.start, window.end),
        )
        cursor.executemany(
            "INSERT INTO extraction_counts (stage, producer, partition_start, partition_end, reason, rows) "
            "VALUES (%s, %s, %s, %s, %s, %s)",
            rows,
        )
