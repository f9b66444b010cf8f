"""The process of a run: ``python -m signaldelta_assets.backtests.child FOLDER``, started by `sandbox.execute`.

Reads ``request.json`` in its folder, loads and compiles everything, arms the guard, computes, and writes the result's
files into the folder, ``result.json`` last; or ``failure.json`` and a status other than 0.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import threading
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa

from signaldelta_assets.scoring import ScoringModel
from signaldelta_assets.snapshots import PARTS, SnapshotFile, write_parquet
from signaldelta_assets.snapshots.reading import read_kind
from signaldelta_assets.timeline import LatencyModel
from signaldelta_assets.versioning import canonical_json, content_hash, sha256_hex

from .engine import RunResult, compute
from .evaluation import EvaluationProtocol
from .guard import arm
from .warmup import warm_up

FAILED, ORPHANED = 1, 4


def main(arguments: list[str]) -> int:
    """Run the request in the folder given; return the process's status."""
    folder = Path(arguments[0]).resolve()
    _end_with_parent()
    try:
        _run(folder, json.loads((folder / "request.json").read_bytes()))
    except BaseException as error:  # noqa: BLE001 - whatever it was, the parent is told
        failure = {"error": type(error).__name__, "message": str(error), "traceback": traceback.format_exc()}
        (folder / "failure.json").write_text(json.dumps(failure))
        return FAILED
    return 0


def _end_with_parent() -> None:
    """Stop as soon as the parent is gone: the other end of our standard input is closed with it."""

    def watch() -> None:
        # The bare descriptor: a reader's lock held by this thread would abort the interpreter's end.
        while os.read(0, 1024):
            pass
        os._exit(ORPHANED)

    threading.Thread(target=watch, daemon=True).start()


def _run(folder: Path, request: Mapping[str, Any]) -> None:
    documents = request["documents"]
    model = ScoringModel.from_dict(documents["scoring_model"])
    latency = LatencyModel.from_dict(documents["latency_model"])
    protocol = EvaluationProtocol.from_dict(documents["evaluation_protocol"])
    files = [SnapshotFile(**{**part, "path": Path(part["path"])}) for part in request["parts"]]
    hook = _load(request["hook"]) if request.get("hook") else None
    _progress(0, 1, "compiling")
    warm_up(protocol.calibration)
    arm([file.path for file in files], folder)
    if hook is not None:
        hook()
    tables = {kind: read_kind(kind, files) for kind in PARTS}
    _write(folder, compute(tables, model, latency, protocol, documents["signal_definitions"], _progress))


def _load(name: str) -> Any:
    module, _, function = name.partition(":")
    return getattr(importlib.import_module(module), function)


def _progress(done: int, total: int, text: str) -> None:
    sys.stdout.buffer.write(orjson.dumps([done, total, text]) + b"\n")
    sys.stdout.buffer.flush()


def _write(folder: Path, result: RunResult) -> None:
    outputs = []
    for name, table in sorted(result.tables.items()):
        path = folder / f"{name}.parquet"
        write_parquet(table, path)
        outputs.append(_output(name, path, "application/vnd.apache.parquet", table.num_rows, content_hash(table)))
    for name, document in (("evaluation", result.evaluation), ("samples", result.samples)):
        path = folder / f"{name}.json"
        path.write_bytes(canonical_json(document))
        rows = len(document["samples"]) if name == "samples" else 1
        outputs.append(_output(name, path, "application/json", rows, None))
    summary = {"status": result.status, "outputs": sorted(outputs, key=lambda output: str(output["name"]))}
    (folder / "result.json").write_bytes(canonical_json(summary))


def _output(name: str, path: Path, media_type: str, rows: int, content: str | None) -> dict[str, Any]:
    data = path.read_bytes()
    file_hash = sha256_hex(data)
    return {
        "name": name,
        "media_type": media_type,
        "rows": rows,
        "size_bytes": len(data),
        "file_hash": file_hash,
        # Canonical JSON has one form, so its bytes are its content.
        "content_hash": content or file_hash,
    }


if __name__ == "__main__":
    # Threads of Arrow's pool would outlive the guard's profile; one thread reads as fast as it needs to.
    pa.set_cpu_count(1)
    raise SystemExit(main(sys.argv[1:]))
