"""Running a computation in a process of its own: verified files and documents in, files with their hashes out."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from signaldelta_assets.errors import SignalDeltaError
from signaldelta_assets.snapshots import SnapshotFile
from signaldelta_assets.versioning import sha256_file

from .fence import Fence
from .guard import Paths

Progress = Callable[[int, int, str], None]

# Most of a short run is importing, and a fifth of that would be looking for garbage in what stays.
_START = "import gc; gc.disable(); from signaldelta_assets.backtests.child import start; start()"
_PASSED_ON = ("PATH", "LD_LIBRARY_PATH", "NUMBA_CACHE_DIR", "NUMBA_NUM_THREADS", "NUMBA_CPU_NAME", "NUMBA_CPU_FEATURES")
_FIXED = {
    "LANG": "C.UTF-8",
    "LC_ALL": "C.UTF-8",
    "TZ": "UTC",
    "PYTHONHASHSEED": "0",
    # Time zones come from the pinned tzdata distribution, never from the machine.
    "PYTHONTZPATH": "",
    "OPENBLAS_NUM_THREADS": "1",
    # A run is short, and memory it lets go of it needs again: a page given back is a page cleared anew.
    "MIMALLOC_PURGE_DELAY": "-1",
}


class BacktestFailedError(SignalDeltaError):
    """A run that was started and gave no result. `violations` names the calls the sandbox refused."""

    def __init__(self, message: str, violations: Sequence[str] = ()) -> None:
        self.violations = tuple(violations)
        super().__init__(message)


@dataclass(frozen=True, slots=True)
class Output:
    """A file that the run left in its folder."""

    name: str
    path: Path
    media_type: str
    rows: int
    size_bytes: int
    file_hash: str
    content_hash: str

    def to_document(self) -> dict[str, Any]:
        """Return the entry of the manifest."""
        names = ("name", "media_type", "rows", "size_bytes", "file_hash", "content_hash")
        return {name: getattr(self, name) for name in names}


@dataclass(frozen=True, slots=True)
class Result:
    """What a run left: its status, its evaluation document, its files; and which fence it ran behind."""

    status: str
    evaluation: dict[str, Any]
    outputs: tuple[Output, ...]
    fence: str

    def output(self, name: str) -> Output:
        """Return the file of that name."""
        return next(output for output in self.outputs if output.name == name)


def execute(
    folder: Path,
    files: Sequence[SnapshotFile],
    documents: Mapping[str, Any],
    progress: Progress | None = None,
    *,
    hook: str | None = None,
    hook_path: Path | None = None,
) -> Result:
    """Compute a run in `folder` (empty, absolute) in a sandboxed process; return its verified result.

    `documents` are scoring_model, latency_model, evaluation_protocol and signal_definitions. `hook` is for tests of
    the sandbox: "module:function", found beside `hook_path`, is called inside, after the guard is armed.
    Raises `BacktestFailedError` with the call that was refused, or with the error that ended the run.
    """
    parts = [
        {"kind": file.kind, "stretch": file.stretch, "path": str(file.path), "file_hash": file.file_hash,
         "content_hash": file.content_hash}
        for file in files
    ]  # fmt: skip
    request = {"documents": documents, "parts": parts, "hook": hook}
    (folder / "request.json").write_bytes(orjson.dumps(request))
    environment = sandbox_environment(folder)
    if hook_path is not None:
        environment["PYTHONPATH"] = str(hook_path)
    fence = Fence(Paths([file.path for file in files], folder).allows)
    report = fence.report.fileno()
    process = subprocess.Popen(
        [sys.executable, "-P", "-c", _START, str(folder), str(report)],
        cwd=folder,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        pass_fds=[report],
    )
    fence.watch(process.kill)
    try:
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith(b"!"):
                call = line[1:].decode(errors="replace").strip()
                raise BacktestFailedError(f"a backtest run may not call {call}", [call])
            if progress is not None and line.startswith(b"["):
                progress(*orjson.loads(line))
        status = process.wait()
    finally:
        # Whatever ends this call ends the process: it waits for nobody.
        process.kill()
        process.wait()
        fence.join()
    if fence.refused is not None:
        raise BacktestFailedError(f"a backtest run may not call {fence.refused}", [fence.refused])
    if status != 0:
        raise _failure(folder, status)
    return _read(folder, fence.kind)


def sandbox_environment(folder: Path) -> dict[str, str]:
    """Return the environment variables of a run's process: no DSN, no key, nothing that changes a figure."""
    return {name: os.environ[name] for name in _PASSED_ON if name in os.environ} | _FIXED | {"HOME": str(folder)}


def _failure(folder: Path, status: int) -> BacktestFailedError:
    path = folder / "failure.json"
    if not path.is_file():
        return BacktestFailedError(f"the run's process ended with status {status} and without a word")
    failure = json.loads(path.read_text())
    return BacktestFailedError(f"{failure['error']}: {failure['message']}\n{failure['traceback']}")


def _read(folder: Path, fence: str) -> Result:
    summary = json.loads((folder / "result.json").read_bytes())
    outputs = []
    for entry in summary["outputs"]:
        suffix = ".json" if entry["media_type"] == "application/json" else ".parquet"
        path = folder / f"{entry['name']}{suffix}"
        found = sha256_file(path)
        if found != entry["file_hash"]:
            raise BacktestFailedError(f"{path.name}: expected the bytes {entry['file_hash']}, found {found}")
        outputs.append(Output(path=path, **entry))
    evaluation = orjson.loads((folder / "evaluation.json").read_bytes())
    return Result(summary["status"], evaluation, tuple(outputs), fence)
