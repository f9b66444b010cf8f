"""A run at reference size: 1,500 entities hourly for four months (4.32 million points) from 500,000 events.

From snapshot Parquet to hashed score Parquet, in a process closed as a run is. Beside it the plain way: pandas in, one
call of the kernel, pandas out.
"""

from __future__ import annotations

import hashlib
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from signaldelta_assets.backtests.child import ScoreFile
from signaldelta_assets.backtests.engine import READS
from signaldelta_assets.backtests.evaluation import EvaluationProtocol
from signaldelta_assets.backtests.evidence import available_events, covered_entities
from signaldelta_assets.backtests.grid import EntityEvents, make_grid
from signaldelta_assets.backtests.guard import arm
from signaldelta_assets.backtests.sandbox import sandbox_environment
from signaldelta_assets.backtests.warmup import warm_up
from signaldelta_assets.scoring import ScoringModel, score_grid
from signaldelta_assets.snapshots import PARTS, SnapshotFile
from signaldelta_assets.snapshots.parts import conform, put_part
from signaldelta_assets.snapshots.reading import read_kind
from signaldelta_assets.timeline import LatencyModel
from signaldelta_assets.versioning import content_hash
from signaldelta_assets.warehouse import ArtifactStore
from tests.paths import ROOT

from .timing import STATUS, Row, peak_memory

ENTITIES, EVENTS, LABELS, SIGNALS, FAMILIES, CHAINS, HOURS = 1_500, 500_000, 3_000, 30, 12, 10, 2_880
START = datetime(2024, 7, 1, tzinfo=UTC)
_SECOND = 1_000_000
_TURNS = 3
LATENCY: dict[str, Any] = {
    "schema": "signaldelta.latency_model/1",
    "default": {"rule": "observed", "processing_seconds": 60},
    "sources": {"ownership": {"rule": "edgar_dissemination", "processing_seconds": 60}},
}
DEFINITIONS: dict[str, Any] = {"labels": {"MNA_ANNOUNCEMENT": {"family_left_out": "F06", "source_types": ["form_8k"]}}}
PROTOCOL: dict[str, Any] = {
    "schema": "signaldelta.evaluation_protocol/1",
    "grid": {
        "start": int(START.timestamp()),
        "end": int(START.timestamp()) + (HOURS - 1) * 3600,
        "step_seconds": 3600,
    },
    "horizon_hours": 48,
    "alert": {"threshold": 0.35, "rearm_below": 0.25, "refractory_hours": 24},
    "event_types": ["MNA_ANNOUNCEMENT"],
    "embargo_hours": 24,
    "folds": 3,
    "calibration": {"method": "platt", "minimum_of_each_class": 5},
    "bootstrap": {"replicates": 200, "cluster_hours": 168, "seed": 11, "level": 0.9},
    "nulls": {"draws": 50, "seed": 12},
    "minimum_dataset": {
        "entities": 2, "event_types": 1, "events": 20, "events_of_commonest_type": 20, "months": 3,
        "events_per_type": 20,
    },
}  # fmt: skip


def model() -> dict[str, Any]:
    """Return a scoring model of the reference size, the same on every machine."""
    draw = np.random.Generator(np.random.PCG64(3))
    families = {f"F{number:02d}": {"budget": 1.5, "stage": 1 + number % 3} for number in range(1, FAMILIES + 1)}
    chains = [f"CT-{number:02d}" for number in range(1, CHAINS + 1)]
    signals = {
        f"S{number:03d}": {
            "family": f"F{1 + (number - 1) % FAMILIES:02d}",
            "tier": 1 + number % 3,
            "weight": 1.0,
            "half_life_hours": float(draw.choice([24, 72, 168, 336, 720])),
            "chain_affinity": {name: round(float(draw.random()), 2) for name in chains if draw.random() < 0.3},
        }
        for number in range(1, SIGNALS + 1)
    }
    return {
        "schema": "signaldelta.scoring_model/1",
        "families": families,
        "correlation": {f"F{number:02d}|F{number + 1:02d}": 0.3 for number in range(1, FAMILIES, 2)},
        "tiers": {"1": 1.0, "2": 0.7, "3": 0.4},
        "evidence_floor": 1e-9,
        "signals": signals,
        "magnitude": {"k": 2.0, "theta": 1.5},
        "confidence": {"a": 0.5, "b": 0.3, "c": 0.2, "diversity_half_point": 1.0, "ordering_floor": 0.25,
                       "ordering_tolerance_hours": 1.0},
        "chains": {"types": chains, "min_families": dict.fromkeys(chains, 2), "temperature": 0.5, "unknown_logit": 0.6},
        "legacy": {"gamma": 0.5, "cuts": [20, 40, 60, 80]},
    }  # fmt: skip


def tables() -> dict[str, pa.Table]:
    """Return a snapshot's tables at reference size, the same on every machine."""
    draw = np.random.Generator(np.random.PCG64(7))
    names = pa.array([f"{number:010d}" for number in range(ENTITIES)])
    first = int(START.timestamp()) - 30 * 86_400

    def moments(count: int, since: int) -> tuple[Any, Any]:
        at = since + draw.integers(0, int(START.timestamp()) + HOURS * 3600 - since, count)
        entity = draw.integers(0, ENTITIES, count)
        order = np.lexsort((at, entity))
        return pa.array(at[order] * _SECOND).cast(pa.timestamp("us", "UTC")), names.take(pa.array(entity[order]))

    at, entity = moments(EVENTS, first)
    signal = draw.integers(0, SIGNALS, EVENTS)
    ids = pa.array([f"{value:026X}" for value in draw.integers(0, 2**62, EVENTS)])
    records = pa.ListArray.from_arrays(pa.array(np.arange(EVENTS + 1, dtype=np.int32)), ids)
    events = {
        "event_id": ids, "revision": np.ones(EVENTS, np.int32), "event_key": ids,
        "signal_id": pa.array([f"S{number:03d}" for number in range(1, SIGNALS + 1)]).take(pa.array(signal)),
        "family": pa.array([f"F{1 + number % FAMILIES:02d}" for number in range(SIGNALS)]).take(pa.array(signal)),
        "entity_id": entity, "event_time": at, "strength_norm": draw.random(EVENTS).round(6),
        "direction": draw.integers(-1, 2, EVENTS).astype(np.int8), "reliability": draw.random(EVENTS).round(6),
        "raw_record_ids": records, "attributes": pa.array([f'{{"shares":{number}}}' for number in range(EVENTS)]),
        "content_hash": pc.binary_join_element_wise(ids, ids, ids.slice(0).cast(pa.string()), ""),
    }  # fmt: skip
    frontier = {
        "event_id": ids, "source_type": pa.array(["ownership"] * EVENTS), "form": pa.array(["4"] * EVENTS),
        "collection_mode": pa.array(["backfill"] * EVENTS), "event_time": at,
        "observed_time": pc.add(at, pa.scalar(timedelta(days=400), pa.duration("us"))),
    }  # fmt: skip
    known, who = moments(LABELS, int(START.timestamp()))
    label = pa.array([f"L{number:025d}" for number in range(LABELS)])
    labels = {
        "label_id": label, "revision": np.ones(LABELS, np.int32), "label_key": label,
        "event_type": pa.array(["MNA_ANNOUNCEMENT"] * LABELS), "subtype": pa.array(["stated"] * LABELS),
        "entity_id": who, "event_time": known, "time_precision": pa.array(["second"] * LABELS), "known_at": known,
        "confidence": np.full(LABELS, 0.9), "raw_record_ids": records.slice(0, LABELS),
        "attributes": pa.array(["{}"] * LABELS), "content_hash": label,
    }  # fmt: skip
    days = {"first_day": START.date(), "last_day": START.date() + timedelta(days=120)}
    coverage = [{"entity_id": name, "source_type": "form_8k", "records": 9, **days} for name in names.to_pylist()]
    members = [{"entity_id": name, "asset_class": "equity", "cik": name, "member_from": START.date(),
                "member_to": START.date()} for name in names.to_pylist()]  # fmt: skip
    return {
        "signal_events": pa.table(events),
        "signal_frontier": pa.table(frontier),
        "labeled_events": pa.table(labels),
        "entities": pa.Table.from_pylist(members, schema=PARTS["entities"]),
        "coverage": pa.Table.from_pylist(coverage, schema=PARTS["coverage"]),
        "definitions": pa.table({"document_hash": ["0" * 64], "document": ["{}"]}),
    }


def freeze(store: ArtifactStore) -> list[dict[str, str]]:
    """Put the tables into `store`, events by month as a snapshot does; return the parts."""
    parts = []
    for kind, table in tables().items():
        table = conform(kind, table)
        of_month = table["event_time"] if kind in ("signal_events", "signal_frontier") else None
        months = ["all"] if of_month is None else sorted(set(pc.unique(pc.strftime(of_month, "%Y-%m")).to_pylist()))
        for month in months:
            rows = table if of_month is None else table.filter(pc.equal(pc.strftime(of_month, "%Y-%m"), month))
            file = put_part(store, rows.combine_chunks(), {})
            parts.append({"kind": kind, "stretch": month, "path": str(store.path(file.file_hash, ".parquet")),
                          "file_hash": file.file_hash, "content_hash": file.content_hash})  # fmt: skip
    return parts


# --- in the process that is measured ----------------------------------------------------------------------------


def fast(files: list[SnapshotFile], folder: Path) -> str:
    """The way of a run, up to its score file; return the hash of its bytes."""
    read = {kind: read_kind(kind, files, columns) for kind, columns in READS.items()}
    protocol = EvaluationProtocol.from_dict(PROTOCOL)
    names = covered_entities(read["coverage"], read["labeled_events"], protocol.event_types, protocol, DEFINITIONS)
    latency = LatencyModel.from_dict(LATENCY)
    events = EntityEvents.of(available_events(read["signal_events"], read["signal_frontier"], latency), names)
    with ScoreFile(folder / "scores.parquet") as file:
        grid = make_grid(events, ScoringModel.from_dict(model()), protocol, keep=file.write)
        content_hash(grid.scores)
    return file.sha256


def plain(files: list[SnapshotFile], folder: Path) -> str:
    """Pandas in, one call of the kernel, pandas out."""
    frames = {
        kind: pd.concat([pd.read_parquet(file.path.open("rb")) for file in files if file.kind == kind])
        for kind in ("signal_events", "signal_frontier")
    }
    frontier = frames["signal_frontier"].reset_index(drop=True)
    frontier["available_time"] = LatencyModel.from_dict(LATENCY).available_time(frontier)
    latest = frontier.groupby("event_id")["available_time"].max()
    events = frames["signal_events"].merge(latest, left_on="event_id", right_index=True)
    columns = ["entity_id", "event_id", "signal_id", "available_time", "strength_norm", "reliability", "direction"]
    end = START + timedelta(hours=HOURS - 1)
    grid = score_grid(events[columns], ScoringModel.from_dict(model()), START, end, timedelta(hours=1)).to_pandas()
    figures = grid.select_dtypes("float64").columns
    path = folder / "scores.parquet"
    with path.open("wb") as file:
        grid.astype(dict.fromkeys(figures, "float32")).to_parquet(file, compression="zstd")
    return hashlib.sha256(path.read_bytes()).hexdigest()


_WAYS: dict[str, Callable[[list[SnapshotFile], Path], str]] = {"fast": fast, "plain": plain}


def main(way: str, request: Path) -> None:
    """Warm up, close the process as a run's is closed, and go `way`; say on standard output when it starts and ends."""
    files = [SnapshotFile(**{**part, "path": Path(part["path"])}) for part in json.loads(request.read_text())]
    warm_up("platt")
    pa.set_cpu_count(1)
    before = resource.getrusage(resource.RUSAGE_SELF)
    status = STATUS.open()
    arm([file.path for file in files], request.parent)
    print("start", flush=True)
    name = _WAYS[way](files, request.parent)
    print("end", flush=True)
    after = resource.getrusage(resource.RUSAGE_SELF)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    print(json.dumps({"cpu": cpu, "rss": peak_memory(status), "hash": name}), flush=True)


# --- around it --------------------------------------------------------------------------------------------------


def _measured(way: str, request: Path) -> dict[str, Any]:
    command = [sys.executable, "-P", "-m", "tests.benchmarks.run", way, str(request)]
    environment = sandbox_environment(request.parent) | {"PYTHONPATH": str(ROOT)}
    said: list[tuple[float, str]] = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        said.extend((time.perf_counter(), line) for line in process.stdout)
    (start, _), (end, _), (_, figures) = said
    return {"seconds": end - start, **json.loads(figures)}


def measure() -> Iterator[Row]:
    """Yield the row."""
    with tempfile.TemporaryDirectory(prefix="sdbench-") as raw:
        folder = Path(raw).resolve() / "run"
        folder.mkdir()
        request = folder / "request.json"
        request.write_text(json.dumps(freeze(ArtifactStore(folder.parent / "artifacts"))))
        # Turn by turn, and the shortest of each: a process that gets memory nobody has touched yet waits for it.
        turns = [{way: _measured(way, request) for way in _WAYS} for _ in range(_TURNS)]
    found = {way: min((turn[way] for turn in turns), key=lambda one: float(one["seconds"])) for way in _WAYS}
    longest = max(turn["fast"]["seconds"] for turn in turns)
    points = ENTITIES * HOURS
    notes = {way: f"{way}: {one['cpu']:.2f} s of CPU, at most {one['rss'] / 1e9:.2f} GB" for way, one in found.items()}
    fast, plain = (found[way]["seconds"] for way in ("fast", "plain"))
    note = f"the shortest of {_TURNS} processes each, the longest of fast {longest:.2f} s; {'; '.join(notes.values())}"
    yield Row("snapshot Parquet to hashed score Parquet", fast, plain, float(points), note)


if __name__ == "__main__":
    if len(sys.argv) == 3:
        main(sys.argv[1], Path(sys.argv[2]))
    else:
        for row in measure():
            print(row)
