"""The process of a run, with its folder and a socket as arguments, started by `sandbox.execute`.

Reads ``request.json`` in its folder, loads and compiles everything, puts up the fence and arms the guard, computes, and
writes the result's files into the folder, ``result.json`` last; or ``failure.json`` and a status other than 0.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import sys
import threading
import traceback
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any, NoReturn, Self

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from signaldelta_assets.scoring import ScoringModel
from signaldelta_assets.snapshots import SnapshotFile, write_parquet
from signaldelta_assets.snapshots.parts import parquet_writer
from signaldelta_assets.snapshots.reading import read_kind
from signaldelta_assets.timeline import LatencyModel
from signaldelta_assets.versioning import canonical_json, content_hash, sha256_file
from signaldelta_assets.warehouse import HashingFile

from .engine import READS, RunResult, compute
from .evaluation import EvaluationProtocol
from .fence import close_process
from .guard import arm
from .warmup import warm_up

FAILED, ORPHANED = 1, 4


def start() -> NoReturn:
    """Be the process of a run."""
    # Threads of Arrow's pool would outlive the guard's profile; one thread reads as fast as it needs to.
    pa.set_cpu_count(1)
    raise SystemExit(main(sys.argv[1:]))


def main(arguments: list[str]) -> int:
    """Run the request in the folder given; return the process's status."""
    folder = Path(arguments[0]).resolve()
    _end_with_parent()
    try:
        _run(folder, json.loads((folder / "request.json").read_bytes()), int(arguments[1]))
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


def _run(folder: Path, request: Mapping[str, Any], report: int) -> None:
    documents = request["documents"]
    model = ScoringModel.from_dict(documents["scoring_model"])
    latency = LatencyModel.from_dict(documents["latency_model"])
    protocol = EvaluationProtocol.from_dict(documents["evaluation_protocol"])
    files = [SnapshotFile(**{**part, "path": Path(part["path"])}) for part in request["parts"]]
    hook = _load(request["hook"]) if request.get("hook") else None
    _progress(0, 1, "compiling")
    warm_up(protocol.calibration)
    # What is loaded by now stays: from here on garbage is looked for, and not in that (`sandbox._START`).
    gc.freeze()
    gc.enable()
    close_process(report)
    arm([file.path for file in files], folder)
    if hook is not None:
        hook()
    tables = {kind: read_kind(kind, files, columns) for kind, columns in READS.items()}
    with ScoreFile(folder / "scores.parquet") as scores:
        result = compute(tables, model, latency, protocol, documents["signal_definitions"], _progress, scores.write)
    _write(folder, result, scores.sha256)


def _load(name: str) -> Any:
    module, _, function = name.partition(":")
    return getattr(importlib.import_module(module), function)


def _progress(done: int, total: int, text: str) -> None:
    sys.stdout.buffer.write(orjson.dumps([done, total, text]) + b"\n")
    sys.stdout.buffer.flush()


class ScoreFile:
    """The Parquet file of the scores, written by a thread of its own while the next block is scored."""

    def __init__(self, path: Path) -> None:
        self._open = path.open("wb")
        self._file = HashingFile(self._open)
        self._writer: pq.ParquetWriter | None = None
        self._pool = ThreadPoolExecutor(1)
        self._written: list[Future[None]] = []

    def write(self, block: pa.Table) -> None:
        """Write `block` as a row group after the ones before it; returns at once."""
        self._written.append(self._pool.submit(self._write, block))

    def _write(self, block: pa.Table) -> None:
        if self._writer is None:
            self._writer = parquet_writer(block.schema, self._file)
        # A grid that asks about nobody has one block, without rows.
        self._writer.write_table(block, row_group_size=max(block.num_rows, 1))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._pool.shutdown()
        if kind is None:
            for written in self._written:
                written.result()
        if self._writer is not None:
            self._writer.close()
        self._open.close()

    @property
    def sha256(self) -> str:
        """The hash of the whole file, once it is closed."""
        return self._file.sha256


def _write(folder: Path, result: RunResult, scores_hash: str) -> None:
    outputs = []
    for name, table in sorted(result.tables.items()):
        path = folder / f"{name}.parquet"
        if name != "scores":
            write_parquet(table, path)
        file_hash = scores_hash if name == "scores" else sha256_file(path)
        outputs.append(
            _output(name, path, "application/vnd.apache.parquet", table.num_rows, file_hash, content_hash(table))
        )
    for name, document in (("evaluation", result.evaluation), ("samples", result.samples)):
        path = folder / f"{name}.json"
        path.write_bytes(canonical_json(document))
        rows = len(document["samples"]) if name == "samples" else 1
        # Canonical JSON has one form, so its bytes are its content.
        file_hash = sha256_file(path)
        outputs.append(_output(name, path, "application/json", rows, file_hash, file_hash))
    summary = {"status": result.status, "outputs": sorted(outputs, key=lambda output: str(output["name"]))}
    (folder / "result.json").write_bytes(canonical_json(summary))


def _output(name: str, path: Path, media_type: str, rows: int, file_hash: str, content: str) -> dict[str, Any]:
    return {
        "name": name,
        "media_type": media_type,
        "rows": rows,
        "size_bytes": path.stat().st_size,
        "file_hash": file_hash,
        "content_hash": content,
    }
