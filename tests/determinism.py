"""`make determinism`: the SHA-256 of the score columns under everything that must not change it, as a table in docs.

One world (the reference model of 30 signals, 20 entities, 4,000 events), scored at the same 240 moments by other
processors, thread counts, grids, input orders and surroundings, each in a process of its own.
"""

from __future__ import annotations

import importlib
import json
import os
import platform
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from rich.progress import track

from signaldelta_assets.scoring import ScoringModel, score, score_grid, stream_grid
from signaldelta_assets.versioning import content_hash
from tests.benchmarks.machine import described
from tests.benchmarks.run import START, model
from tests.benchmarks.scoring import events
from tests.paths import ROOT

_ENTITIES, _EVENTS, _MOMENTS = 20, 4_000, 240
_SIX_HOURS = timedelta(hours=6)
_END = START + (_MOMENTS - 1) * _SIX_HOURS
DOCUMENT = ROOT / "docs" / "determinism.md"


def _wanted(grid: pa.Table) -> pa.Table:
    at = pa.array([START + step * _SIX_HOURS for step in range(_MOMENTS)], pa.timestamp("us", "UTC"))
    return grid.filter(pc.is_in(grid["at"], at))


def scored(way: str) -> str:
    """Return the digest of the world scored in one way."""
    made, table = ScoringModel.from_dict(model()), events(_ENTITIES, _EVENTS)
    if way == "hourly":
        return content_hash(_wanted(score_grid(table, made, START, _END, timedelta(hours=1))))
    if way == "irregular":
        draw = np.random.Generator(np.random.PCG64(1))
        others = {START + timedelta(seconds=float(s)) for s in draw.uniform(0, 6 * 3600 * _MOMENTS, 700)}
        moments = sorted(others | {START + step * _SIX_HOURS for step in range(_MOMENTS)})
        return content_hash(_wanted(score_grid(table, made, at=moments)))
    if way == "point by point":
        return content_hash(
            pa.concat_tables([score_grid(table, made, at=[START + step * _SIX_HOURS]) for step in range(_MOMENTS)])
            .sort_by([("entity_id", "ascending"), ("at", "ascending")])
        )  # fmt: skip
    if way == "single scores":
        whole = score_grid(table, made, START, _END, _SIX_HOURS)
        figures = [name for name in whole.column_names[2:] if not name.startswith("p_")]
        rows = []
        for name, at in zip(whole["entity_id"].to_pylist(), whole["at"].to_pylist(), strict=True):
            sample = score(table.filter(pc.equal(table["entity_id"], name)), made, at)
            rows.append(
                {"entity_id": name, "at": at}
                | {figure: getattr(sample, figure) for figure in figures}
                | {f"p_{chain}": p for chain, p in sample.chain_probabilities.items()}
            )
        verdict = whole.schema.get_field_index("verdict")
        return content_hash(pa.Table.from_pylist(rows, whole.schema.set(verdict, pa.field("verdict", pa.string()))))
    if way == "streamed":
        names = sorted(set(table["entity_id"].to_pylist()))
        batches = [table.filter(pc.is_in(table["entity_id"], pa.array(names[i : i + 3]))) for i in range(0, 20, 3)]
        return content_hash(pa.concat_tables(list(stream_grid(batches, made, START, _END, _SIX_HOURS))))
    if way == "shuffled":
        order = np.random.Generator(np.random.PCG64(2)).permutation(table.num_rows)
        return content_hash(score_grid(table.take(pa.array(order)), made, START, _END, _SIX_HOURS))
    if way == "pandas":
        return content_hash(score_grid(table.to_pandas(), made, START, _END, _SIX_HOURS))
    threads = int(way.removesuffix(" threads"))
    return content_hash(score_grid(table, made, START, _END, _SIX_HOURS, threads=threads))


@dataclass(frozen=True, slots=True)
class Variant:
    """One row: what is other than in the first, how the world is scored, and the surroundings of the process."""

    what: str
    way: str = "2 threads"
    environment: dict[str, str] = field(default_factory=dict)


def variants() -> list[Variant]:
    """Return the rows of the table."""
    x86 = platform.machine() in ("x86_64", "AMD64")
    dispatched: list[str] = importlib.import_module("numpy._core._multiarray_umath").__cpu_dispatch__
    plain = {
        "NPY_DISABLE_CPU_FEATURES": " ".join(dispatched),
        "GLIBC_TUNABLES": "glibc.cpu.hwcaps=-AVX512F,-AVX2,-AVX,-FMA,-FMA4",
        "PYTHONWARNINGS": "ignore",
    }
    levels = ["x86-64-v4", "x86-64-v3", "x86-64-v2", "x86-64"] if x86 else ["generic"]
    others = [
        Variant(f"compiled for {level}, numpy's and the C library's extensions off", "2 threads",
                plain | {"NUMBA_CPU_NAME": level, "NUMBA_CPU_FEATURES": ""})
        for level in levels
    ]  # fmt: skip
    return [
        Variant("this processor, six-hourly, two threads"),
        *others,
        Variant("no compiler: every operation by the interpreter", environment=plain | {"NUMBA_DISABLE_JIT": "1"}),
        *(Variant(f"{threads} thread{'s' if threads > 1 else ''}", f"{threads} threads") for threads in (1, 3, 8)),
        Variant("grid: hourly", "hourly"),
        Variant("grid: irregular", "irregular"),
        Variant("grid: one point at a time", "point by point"),
        Variant("the single, explained score", "single scores"),
        Variant("streamed by three entities", "streamed"),
        Variant("events in another order", "shuffled"),
        Variant("events as a pandas frame", "pandas"),
        Variant("TZ=Asia/Kathmandu", environment={"TZ": "Asia/Kathmandu"}),
        Variant("LC_ALL=tr_TR.UTF-8", environment={"LC_ALL": "tr_TR.UTF-8"}),
        Variant("PYTHONHASHSEED=4711", environment={"PYTHONHASHSEED": "4711"}),
        Variant("an empty cache of compiled code, another working directory", environment={"NUMBA_CACHE_DIR": "fresh"}),
    ]


def run(variant: Variant) -> str:
    """Return the digest of one row, from a process of its own in a working directory of its own."""
    with tempfile.TemporaryDirectory(prefix="signaldelta-determinism-") as raw:
        environment = os.environ | {"PYTHONPATH": str(ROOT)} | variant.environment
        if variant.environment.get("NUMBA_CPU_NAME") or variant.environment.get("NUMBA_CACHE_DIR"):
            environment["NUMBA_CACHE_DIR"] = str(Path(raw) / "cache")
        command = [sys.executable, "-m", "tests.determinism", variant.way]
        done = subprocess.run(command, cwd=raw, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{variant.what}: {done.stderr}")
    digest: str = json.loads(done.stdout)["digest"]
    return digest


def main() -> int:
    """Run every variant, write the table, and return 1 where a digest differs from the first."""
    rows: list[tuple[str, str]] = [(one.what, run(one)) for one in track(variants(), "scoring")]
    first = rows[0][1]
    lines = [
        "# The same bits everywhere",
        "",
        "Written by `make determinism`. SHA-256 over all score columns (9 figures, counts, verdict, 11 chain",
        f"probabilities) of {_ENTITIES} entities at {_MOMENTS} moments, {_EVENTS:,} events, 30 signals, 12 families.",
        "",
        described(),
        "",
        "| what is other than in the first row | SHA-256 of the score columns | equal |",
        "|---|---|---|",
        *(f"| {what} | `{digest}` | {'yes' if digest == first else '**no**'} |" for what, digest in rows),
    ]
    DOCUMENT.write_text("\n".join(lines) + "\n")
    print("\n".join(lines))
    return int(any(digest != first for _, digest in rows))


if __name__ == "__main__":
    if len(sys.argv) > 1:
        found: dict[str, Any] = {"digest": scored(sys.argv[1])}
        print(json.dumps(found))
    else:
        sys.exit(main())
