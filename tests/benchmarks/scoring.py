"""The kernel at reference size, beside what a user would write instead: plain Python, DuckDB SQL, pandas.

Ratios are measured side by side in one run. The plain ways are given a part of the work and their time is scaled up:
each of them takes entities one by one, so that half of them take half as long.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from signaldelta_assets.scoring import (
    ScoringModel,
    family_counterfactuals,
    family_shapley,
    score,
    score_again,
    score_grid,
    stream_grid,
    warm_up,
)
from tests.paths import ROOT
from tests.scoring import reference

from .run import ENTITIES, EVENTS, HOURS, SIGNALS, START, model
from .timing import Row, best, peak_memory, seconds

END = START + timedelta(hours=HOURS - 1)
HOUR = timedelta(hours=1)
_SECOND = 1_000_000


def events(entities: int = ENTITIES, count: int = EVENTS, first: int = 0) -> pa.Table:
    """Return random signal events over the grid and the month before, in no order, the same on every machine."""
    draw = np.random.Generator(np.random.PCG64(7 + first))
    since = int(START.timestamp()) - 30 * 86_400
    names = pa.array([f"{first + number:010d}" for number in range(entities)])
    signals = pa.array([f"S{number:03d}" for number in range(1, SIGNALS + 1)])
    at = since + draw.integers(0, int(END.timestamp()) - since, count)
    return pa.table(
        {
            "entity_id": names.take(pa.array(draw.integers(0, entities, count))),
            "event_id": pa.array([f"E{first:06d}{number:08d}" for number in range(count)]),
            "signal_id": signals.take(pa.array(draw.integers(0, SIGNALS, count))),
            "available_time": pa.array(at * _SECOND).cast(pa.timestamp("us", "UTC")),
            "strength_norm": draw.random(count).round(6),
            "reliability": draw.random(count).round(6),
            "direction": draw.integers(-1, 2, count).astype(np.float64),
        }
    )


def _of(table: pa.Table, entities: int) -> pa.Table:
    return table.filter(pc.less(table["entity_id"], f"{entities:010d}"))


def _plain(table: pa.Table, document: dict[str, Any], steps: int) -> float:
    """Seconds for one entity at `steps` moments by the formulas written out, scaled to the reference grid."""
    rows = [
        {"event_id": row["event_id"], "signal_id": row["signal_id"], "at": row["available_time"].timestamp(),
         "x": row["strength_norm"], "r": row["reliability"], "d": row["direction"]}
        for row in _of(table, 1).to_pylist()
    ]  # fmt: skip
    moments = [(START + timedelta(hours=HOURS * step // steps)).timestamp() for step in range(steps)]
    took = seconds(lambda: [reference.triple(document, rows, moment) for moment in moments])
    return took * ENTITIES * HOURS / steps


_DECAY_SUMS = """
SELECT g.entity_id, g.at, e.signal_id,
    sum(e.w * power(2, -epoch(g.at - e.available_time) / m.half_life)) AS w,
    sum(e.w * e.direction * power(2, -epoch(g.at - e.available_time) / m.half_life)) AS d
FROM grid AS g JOIN own AS e ON g.entity_id = e.entity_id AND e.available_time <= g.at
JOIN half_lives AS m ON m.signal_id = e.signal_id
GROUP BY ALL
"""


def _duckdb(table: pa.Table, document: dict[str, Any], entities: int) -> float:
    """Seconds for the decay sums alone (no figures, no chains) of some entities, scaled to the reference size."""
    own = _of(table, entities)
    own = own.append_column("w", pc.multiply(own["strength_norm"], own["reliability"]))
    half_lives = pa.table(
        {
            "signal_id": list(document["signals"]),
            "half_life": [3600 * spec["half_life_hours"] for spec in document["signals"].values()],
        }
    )
    grid = score_grid(own, ScoringModel.from_dict(document), START, END, HOUR).select(["entity_id", "at"])
    connection = duckdb.connect(config={"threads": 2})
    for name, given in {"own": own, "half_lives": half_lives, "grid": grid}.items():
        connection.register(name, given)
    took = seconds(lambda: connection.sql(_DECAY_SUMS).to_arrow_table())
    return took * ENTITIES / entities


def _pandas(table: pa.Table, document: dict[str, Any], entities: int) -> float:
    """Seconds for the same decay sums, entity by entity, by broadcasting and groupby, scaled to the reference size."""
    half_life = {name: 3600 * spec["half_life_hours"] for name, spec in document["signals"].items()}
    frame = _of(table, entities).to_pandas()
    moments = (START.timestamp() + 3600 * np.arange(HOURS))[:, None]

    def sums() -> None:
        for _, own in frame.groupby("entity_id"):
            at = own["available_time"].astype("int64").to_numpy() / 1e6
            age = moments - at
            h = own["signal_id"].map(half_life).to_numpy()
            decay = np.where(age >= 0, np.exp2(-np.maximum(age, 0.0) / h), 0.0)
            weight = (own["strength_norm"] * own["reliability"]).to_numpy()
            for value in (weight, weight * own["direction"].to_numpy()):
                pd.DataFrame((decay * value).T).groupby(own["signal_id"].to_numpy()).sum()

    return seconds(sums) * ENTITIES / entities


def _against() -> Iterator[Row]:
    document = model()
    made = ScoringModel.from_dict(document)
    table = events()
    points = float(ENTITIES * HOURS)
    fast = best(lambda: score_grid(table, made, START, END, HOUR))
    yield Row("complete grid against plain Python, security by security", fast, _plain(table, document, 40), points)
    yield Row("complete grid against decay sums in DuckDB SQL", fast, _duckdb(table, document, 30), points)
    yield Row("complete grid against decay sums in pandas", fast, _pandas(table, document, 30), points)
    half = best(lambda: score_grid(table, made, START, END, HOUR, threads=1))
    yield Row("two threads against one", fast, half, points)
    yield Row("four times the events", _of_more(made), fast, points, "beside the grid of 500,000 events")
    took = best(lambda: family_counterfactuals(table, made, START, END, HOUR), 1)
    yield Row("every family left out, at every point", took, 12 * fast, points, "beside twelve whole grids")
    one = _of(table, 1)
    grid = score_grid(table, made, START, END, HOUR)
    took = best(lambda: score_again(grid, one, made), 20)
    yield Row("a late event: its entity scored again", took, fast, float(HOURS), "beside the whole grid")
    took = best(lambda: score(one, made, END), 20)
    shapley = best(lambda: family_shapley(one, made, END), 20)
    yield Row("Shapley values of twelve families at one point", shapley, None, 4096.0, f"the score {took * 1e3:.1f} ms")


def _of_more(made: ScoringModel) -> float:
    more = events(count=4 * EVENTS)
    return best(lambda: score_grid(more, made, START, END, HOUR))


def _streams() -> Iterator[Row]:
    """150, 1,500 and 15,000 entities streamed by 150, each in a process of its own, whose memory is looked at."""
    found = {}
    for entities in (150, 1_500, 15_000):
        command = [sys.executable, "-m", "tests.benchmarks.scoring", "stream", str(entities)]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
        found[entities] = json.loads(done.stdout)
        alone = found[150]["seconds"] * entities / 150
        note = f"at most {found[entities]['rss'] / 1e9:.2f} GB; beside {entities // 150} times the first"
        yield Row(f"{entities:,} entities, streamed", found[entities]["seconds"], alone, float(entities * HOURS), note)


def _stream(entities: int) -> None:
    made = ScoringModel.from_dict(model())
    each = EVENTS * 150 // ENTITIES
    warm_up()
    spent = 0.0

    def batches() -> Iterator[pa.Table]:
        nonlocal spent
        for first in range(0, entities, 150):
            began = time.perf_counter()
            batch = events(150, each, first)
            spent += time.perf_counter() - began
            yield batch

    began = time.perf_counter()
    rows = sum(grid.num_rows for grid in stream_grid(batches(), made, START, END, HOUR))
    assert rows == entities * HOURS
    took = time.perf_counter() - began - spent
    print(json.dumps({"seconds": took, "rss": peak_memory()}))


def _first_score() -> Iterator[Row]:
    """The first score of a process: with an empty cache of compiled code, and with a filled one."""
    command = [sys.executable, "-c", "import signaldelta_assets.scoring as s; s.warm_up()"]
    with tempfile.TemporaryDirectory(prefix="sdbench-") as raw:
        environment = os.environ | {"NUMBA_CACHE_DIR": str(Path(raw) / "cache")}
        took = [seconds(lambda: subprocess.run(command, cwd=ROOT, env=environment, check=True)) for _ in range(2)]
    yield Row("the first score of a process", took[1], took[0], 1.0, "beside one that has to compile")


def measure() -> Iterator[Row]:
    """Yield the rows, one by one as they are measured."""
    warm_up()
    yield from _against()
    yield from _streams()
    yield from _first_score()


if __name__ == "__main__":
    _stream(int(sys.argv[2]))
