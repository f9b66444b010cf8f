"""The point-in-time join of a million events to the reference grid, beside polars, DuckDB and pandas.

All inputs are sorted as each library wants them before the clock starts.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa

from signaldelta_assets.timeline import join_as_of

from .run import ENTITIES, HOURS, START
from .scoring import events
from .timing import Row, best

_ASOF = """
SELECT g.*, e.event_id, e.available_time, e.strength_norm
FROM grid AS g ASOF LEFT JOIN known AS e ON g.entity_id = e.entity_id AND g.at >= e.available_time
"""


def measure() -> Iterator[Row]:
    """Yield the rows, one by one as they are measured."""
    columns = ["entity_id", "event_id", "available_time", "strength_norm"]
    keys = [(name, "ascending") for name in ("entity_id", "available_time", "event_id")]
    known = events(count=1_000_000).select(columns).sort_by(keys)
    hours = [START + timedelta(hours=hour) for hour in range(HOURS)]
    at = pa.array(hours, pa.timestamp("us", "UTC"))
    grid = pa.table(
        {
            "entity_id": pa.array(np.repeat([f"{number:010d}" for number in range(ENTITIES)], HOURS)),
            "at": at.take(pa.array(np.tile(np.arange(HOURS), ENTITIES))),
        }
    )
    points = float(grid.num_rows)
    fast = best(lambda: join_as_of(grid, known), 5)

    left, right = pl.from_arrow(grid), pl.from_arrow(known)
    assert isinstance(left, pl.DataFrame)
    assert isinstance(right, pl.DataFrame)
    took = best(
        lambda: left.join_asof(
            right, left_on="at", right_on="available_time", by="entity_id", check_sortedness=False
        ),
        5,
    )  # fmt: skip
    yield Row("as-of join of a million events against polars", fast, took, points)
    connection = duckdb.connect(config={"threads": 2})
    connection.register("grid", grid)
    connection.register("known", known)
    took = best(lambda: connection.sql(_ASOF).to_arrow_table(), 2)
    yield Row("as-of join of a million events against DuckDB", fast, took, points)
    by_time = grid.to_pandas().sort_values("at"), known.to_pandas().sort_values("available_time")
    took = best(
        lambda: pd.merge_asof(*by_time, left_on="at", right_on="available_time", by="entity_id"), 2
    )  # fmt: skip
    yield Row("as-of join of a million events against pandas", fast, took, points)
