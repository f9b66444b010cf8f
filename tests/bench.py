"""`make bench`: what the fast ways are worth, as ratios against the plain ways, measured side by side in one run.

Nothing here is a test: a ratio says something on a quiet machine, and never fails a build.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import psycopg
from rich.console import Console
from rich.table import Table

from signaldelta_assets.catalogue import load_definitions
from signaldelta_assets.scoring import ScoringModel, default_model, score_grid, warm_up
from signaldelta_assets.timeline import LatencyModel
from signaldelta_assets.warehouse import Warehouse, embedded_server, migrate, stop_embedded
from signaldelta_assets.warehouse.bulk import copy_new
from tests.scoring import reference as reference_score
from tests.timeline import reference as reference_time

START = datetime(2024, 7, 1, tzinfo=UTC)


def seconds(work: Callable[[], object]) -> float:
    """Return the shorter of two timings of `work`."""
    best = float("inf")
    for _ in range(2):
        began = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - began)
    return best


def events(entities: int, each: int, signals: list[str]) -> pd.DataFrame:
    """Return random signal events, the same on every machine."""
    draw = np.random.Generator(np.random.PCG64(7))
    total = entities * each
    return pd.DataFrame(
        {
            "entity_id": [f"{number // each:010d}" for number in range(total)],
            "event_id": [f"E{number:08d}" for number in range(total)],
            "signal_id": draw.choice(signals, total),
            "available_time": pd.to_datetime(
                START.timestamp() + draw.integers(0, 120 * 86_400, total), unit="s", utc=True
            ).astype("datetime64[us, UTC]"),
            "strength_norm": draw.random(total).round(6),
            "reliability": draw.random(total).round(6),
            "direction": draw.integers(-1, 2, total),
        }
    )


def bench_grid() -> tuple[str, float, float, float]:
    """A grid by the kernel against the formulas in plain Python, point by point: (what, plain s, fast s, units)."""
    definitions = load_definitions()
    document = default_model(definitions.document)
    model = ScoringModel.from_dict(document)
    warm_up()
    frame = events(50, 300, definitions.active_signals())
    at = [START + timedelta(days=60, hours=hour) for hour in range(720)]
    fast = seconds(lambda: score_grid(frame, model, at=at))
    one = frame[frame["entity_id"] == frame["entity_id"].iloc[0]]
    plain_events = [
        {"event_id": row.event_id, "signal_id": row.signal_id, "at": row.available_time.timestamp(),
         "x": row.strength_norm, "r": row.reliability, "d": row.direction}
        for row in one.itertuples()
    ]  # fmt: skip
    sample = at[::30]
    plain = seconds(lambda: [reference_score.triple(document, plain_events, t.timestamp()) for t in sample])
    points = 50.0 * len(at)
    return "score grid: kernel against plain Python", plain * points / len(sample), fast, points


def bench_latency() -> tuple[str, float, float, float]:
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
    fast = seconds(lambda: model.available_time(frame))
    few = frame.head(2_000).to_dict("records")
    document = dict(model.document)
    plain = seconds(lambda: [reference_time.available_time(document, record) for record in few]) * count / len(few)
    return "availability: vectorised against plain Python", plain, fast, float(count)


def bench_copy() -> tuple[str, float, float, float]:
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
                    with warehouse.write("collection") as connection:
                        copy_new(connection, "rate_limits", ("name", "next_slot"), rows)

                def many() -> None:
                    with warehouse.write("collection") as connection, connection.cursor() as cursor:
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
    return "COPY of new rows against executemany", plain, fast, float(len(rows))


def main() -> None:
    """Print one line per comparison."""
    console = Console()
    shown = Table("what", "plain s", "fast s", "ratio", "units a second")
    for bench in (bench_grid, bench_latency, bench_copy):
        with console.status(bench.__doc__ or bench.__name__):
            what, plain, fast, units = bench()
        shown.add_row(what, f"{plain:.2f}", f"{fast:.3f}", f"{plain / fast:.0f}", f"{units / fast:,.0f}")
    console.print(shown)


if __name__ == "__main__":
    main()
