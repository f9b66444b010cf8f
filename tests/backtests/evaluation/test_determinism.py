"""The same input gives the same bytes: any row order, container, stamp unit, process, CPU and hash seed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from signaldelta_assets.backtests import evaluate
from signaldelta_assets.versioning import canonical_json
from tests.paths import ROOT

from .support import simulate, simulated_protocol

HOURS = 24 * 7 * 4
PROTOCOL = simulated_protocol(
    HOURS, calibration={"method": "platt"}, bootstrap__replicates=30, minimum_dataset__events_per_type=5
)


def bytes_of(grid: pd.DataFrame | pa.Table, events: pd.DataFrame | pa.Table) -> bytes:
    return canonical_json(evaluate(grid, events, PROTOCOL).to_document())


def test_row_order_container_and_unit_do_not_matter() -> None:
    grid, events = simulate(7, entities=5, hours=HOURS, lead_hours=24)
    expected = bytes_of(grid, events)
    rng = np.random.default_rng(0)
    mixed, mixed_events = grid.iloc[rng.permutation(len(grid))], events.iloc[rng.permutation(len(events))]
    assert bytes_of(mixed, mixed_events) == expected
    assert bytes_of(pa.Table.from_pandas(mixed), pa.Table.from_pandas(mixed_events)) == expected
    eastern = mixed.assign(at=mixed["at"].dt.as_unit("ns").dt.tz_convert("America/New_York"))
    assert bytes_of(eastern.astype({"entity_id": "category"}), mixed_events) == expected


def test_another_seed_gives_other_intervals_and_the_same_figures() -> None:
    grid, events = simulate(7, entities=5, hours=HOURS)
    first = evaluate(grid, events, PROTOCOL)
    again = evaluate(grid, events, PROTOCOL)
    assert first.hash == again.hash
    other = evaluate(
        grid,
        events,
        simulated_protocol(HOURS, calibration={"method": "platt"}, bootstrap__replicates=30, bootstrap__seed=6),
    )
    assert other.auc == first.auc
    assert other.intervals["auc"] != first.intervals["auc"]
    assert other.nulls["shifted_events"]["auc"] != first.nulls["shifted_events"]["auc"]


SCRIPT = """
import sys
import pandas
from tests.backtests.evaluation.test_determinism import PROTOCOL
from signaldelta_assets.backtests import evaluate
grid, events = (pandas.read_parquet(f"{sys.argv[1]}/{name}.parquet") for name in ("grid", "events"))
print(evaluate(grid, events, PROTOCOL).hash)
"""


@pytest.mark.parametrize(
    "environment",
    [
        {"PYTHONHASHSEED": "1", "TZ": "Asia/Tokyo", "OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"},
        {
            "NUMBA_CPU_NAME": "x86-64",
            "NUMBA_CPU_FEATURES": "",
            "NPY_DISABLE_CPU_FEATURES": "AVX512F AVX512_SKX X86_V4 X86_V3",
        },
    ],
    ids=["hash seed, zone and threads", "oldest instruction set"],
)
def test_another_process_gives_the_same_hash(environment: dict[str, str], tmp_path: Path) -> None:
    grid, events = simulate(7, entities=5, hours=HOURS, lead_hours=24)
    # By file: the simulation itself uses numpy's exp, whose bits do depend on the instruction set.
    grid.to_parquet(tmp_path / "grid.parquet")
    events.to_parquet(tmp_path / "events.parquet")
    cache = {"NUMBA_CACHE_DIR": str(tmp_path / "cache")} if "NUMBA_CPU_NAME" in environment else {}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", SCRIPT, str(tmp_path)],
        env={**os.environ, **environment, **cache},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == evaluate(grid, events, PROTOCOL).hash
