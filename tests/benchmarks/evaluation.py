"""What an evaluation at reference size costs, beside the plain way to one of its parts, measured in the same run.

The reference size is that of scoring.md: 1,500 entities, 4 months hourly, 4.32 million points. Started as a program
(`python -m tests.benchmarks.evaluation`) it makes the world, measures and prints the rows as JSON; `measure` starts it
so, because the peak memory of a process is its whole life's.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
from scipy.signal import lfilter
from sklearn.metrics import roc_auc_score

from signaldelta_assets.backtests import EvaluationProtocol, evaluate
from signaldelta_assets.backtests.evaluation import calibrated_grid, warm_up
from tests.paths import ROOT

from .timing import Row, peak_memory

START = 1_719_792_000  # 2024-07-01
HOURS = 24 * 120
ENTITIES = 1500
EVENTS = 7500
TYPES = ("EARNINGS_SURPRISE", "GOVERNANCE_COLLAPSE", "MNA_ANNOUNCEMENT")
REPLICATES, DRAWS = 2000, 200
PLAIN_REPLICATES = 3

_STAMP = pa.timestamp("us", "UTC")


def world(entities: int = ENTITIES, hours: int = HOURS, events: int = EVENTS, seed: int = 11) -> tuple[Any, Any]:
    """Return (grid, events): autocorrelated scores, a sixth of them 0, uneven rates, every fourth event forecast."""
    rng = np.random.Generator(np.random.PCG64(seed))
    phi = 1.0 - 1.0 / 48.0
    noise = lfilter([np.sqrt(1 - phi * phi)], [1.0, -phi], rng.normal(size=(entities, hours)), axis=1)
    rate = rng.gamma(0.7, 1.0, entities)
    who = rng.choice(entities, events, p=rate / rate.sum())
    when = rng.integers(0, hours * 3600, events)
    for entity, hour in zip(who[: events // 4], when[: events // 4] // 3600, strict=True):
        noise[entity, max(hour - 60, 0) : hour] += 1.5
    score = np.where(noise < -1.0, 0.0, 1.0 / (1.0 + np.exp(2.0 - noise))).ravel()
    names = pa.array([f"{place:010d}" for place in range(entities)])
    at = START + 3600 * np.tile(np.arange(hours), entities)
    grid = pa.table(
        {
            "entity_id": names.take(pa.array(np.repeat(np.arange(entities), hours))),
            "at": pa.array(at * 1_000_000).cast(_STAMP),
            "alert_score": score,
            "probability": score,
        }
    )
    labels = pa.table(
        {
            "entity_id": names.take(pa.array(who)),
            "event_type": pa.array(TYPES).take(pa.array(rng.integers(0, len(TYPES), events))),
            "event_time": pa.array((START + when) * 1_000_000).cast(_STAMP),
        }
    )
    return grid, labels


def protocol(hours: int = HOURS, replicates: int = REPLICATES, draws: int = DRAWS) -> EvaluationProtocol:
    """Return the protocol of the reference size: a week's horizon, five folds, Platt, three types, both nulls."""
    return EvaluationProtocol.from_dict(
        {
            "schema": "signaldelta.evaluation_protocol/1",
            "grid": {"start": START, "end": START + (hours - 1) * 3600, "step_seconds": 3600},
            "horizon_hours": 168,
            "embargo_hours": 24,
            "folds": 5,
            "alert": {"threshold": 0.4, "rearm_below": 0.25, "refractory_hours": 24},
            "event_types": list(TYPES),
            "calibration": {"method": "platt"},
            "bootstrap": {"cluster_hours": 168, "level": 0.95, "replicates": replicates, "seed": 5},
            "nulls": {"draws": draws},
            "minimum_dataset": {
                "entities": 10, "event_types": 2, "events": 20, "events_of_commonest_type": 5, "months": 1
            },
        }
    )  # fmt: skip


def measure() -> Iterator[Row]:
    """Yield the rows: the evaluation, beside its AUC replicates by scikit-learn."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", __name__], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(f"the measurement failed:\n{done.stderr}")
    for row in json.loads(done.stdout):
        yield Row(**row)


def _timed(work: Any) -> tuple[float, float, Any]:
    """Seconds on the wall and of the process's CPU, and the result."""
    wall, cpu = time.perf_counter(), time.process_time()
    result = work()
    return time.perf_counter() - wall, time.process_time() - cpu, result


def main() -> None:
    """Measure in this process and print the rows."""
    warm_up()
    grid, labels = world()
    points = grid.num_rows
    few = _timed(lambda: evaluate(grid, labels, protocol(replicates=0, draws=0)))
    before = peak_memory() / 1e9
    whole = _timed(lambda: evaluate(grid, labels, protocol()))
    peak = peak_memory() / 1e9

    # The plain way to one figure of the eight samples: resample clusters, weigh every point, ask scikit-learn.
    scored = calibrated_grid(grid, labels, protocol())["probability"]
    kept = ~np.isnan(scored.to_numpy())
    p = scored.to_numpy()[kept]
    cluster = (np.arange(points) // (7 * 24))[kept]
    y = np.random.Generator(np.random.PCG64(1)).random(len(p)) < whole[2].base_rate
    rng = np.random.Generator(np.random.PCG64(2))
    drawn = rng.poisson(1.0, (PLAIN_REPLICATES, points // (7 * 24) + 1))
    plain = _timed(lambda: [roc_auc_score(y, p, sample_weight=weights[cluster]) for weights in drawn])
    baseline = plain[0] * REPLICATES / PLAIN_REPLICATES

    rows = [
        {
            "what": f"evaluate, {REPLICATES} replicates and {DRAWS} draws of each null",
            "seconds": whole[0],
            "baseline_seconds": baseline,
            "units": points,
            "note": (
                f"beside the replicates of AUC alone by roc_auc_score; CPU {whole[1]:.1f} s; peak {peak:.2f} GB, "
                f"{before:.2f} GB before the replicates, tables included"
            ),
        },
        {
            "what": "evaluate, the figures alone",
            "seconds": few[0],
            "baseline_seconds": plain[0] / PLAIN_REPLICATES,
            "units": points,
            "note": f"beside one roc_auc_score; CPU {few[1]:.1f} s",
        },
    ]
    print(json.dumps(rows))


if __name__ == "__main__":
    main()
