"""What stands below the engine: availability of many records at once, and COPY of new rows."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import psycopg

from signaldelta_assets.catalogue import load_definitions
from signaldelta_assets.timeline import LatencyModel
from signaldelta_assets.warehouse import Warehouse, embedded_server, migrate, stop_embedded
from signaldelta_assets.warehouse.bulk import copy_new
from tests.timeline import reference as reference_time

from .timing import Row, best, seconds

START = datetime(2024, 7, 1, tzinfo=UTC)


def bench_latency() -> Row:
    """Availability of many records at once against the rules in plain Python."""
    model = LatencyModel.from_dict(dict(load_definitions().availability_basis))
    count = 200_000
    stamps = pd.Series(pd.date_range(START, periods=count, freq="61s")).astype("datetime64[us, UTC]")
    frame = pd.DataFrame(
        {
            "source_type": np.resize(["form_8k", "ownership", "daily_bar"], count),
            "form": np.resize(["8-K", "4", None], count),
            "event_time": stamps,
            "observed_time": stamps + pd.Timedelta(hours=1),
            "collection_mode": "backfill",
        }
    )
    fast = best(lambda: model.available_time(frame))
    few = frame.head(2_000).to_dict("records")
    document = dict(model.document)
    plain = seconds(lambda: [reference_time.available_time(document, record) for record in few]) * count / len(few)
    return Row("availability: vectorised against plain Python", fast, plain, float(count))


def bench_copy() -> Row:
    """COPY with conflict handling against executemany."""
    with tempfile.TemporaryDirectory(prefix="sdbench-", ignore_cleanup_errors=True) as raw:
        data = Path(raw) / "pg"
        url = embedded_server(data)
        migrate(url)
        rows = [(f"key-{number}", START) for number in range(50_000)]
        try:
            with Warehouse(url) as warehouse:

                def clear() -> None:
                    with psycopg.connect(warehouse.url) as connection:
                        connection.execute("TRUNCATE signaldelta.rate_limits")

                def copy() -> None:
                    with warehouse.write_pool("collection").connection() as connection:
                        copy_new(connection, "rate_limits", ("name", "next_slot"), rows)

                def many() -> None:
                    with warehouse.write_pool("collection").connection() as connection, connection.cursor() as cursor:
                        cursor.executemany(
                            "INSERT INTO rate_limits (name, next_slot) VALUES (%s, %s) ON CONFLICT DO NOTHING", rows
                        )

                clear()
                began = time.perf_counter()
                copy()
                fast = time.perf_counter() - began
                clear()
                began = time.perf_counter()
                many()
                plain = time.perf_counter() - began
        finally:
            stop_embedded(data)
    return Row("COPY of new rows against executemany", fast, plain, float(len(rows)))


def measure() -> Iterator[Row]:
    """Yield the rows."""
    yield bench_latency()
    yield bench_copy()
