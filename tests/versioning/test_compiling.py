"""The cache of compiled code: taken over by the next process, and never older than what it was made of."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.paths import ROOT

_LEAF = """
from signaldelta_assets.versioning.compiling import jit
FACTOR = {factor}

@jit
def leaf(x):
    return x * {literal}
"""
_CALLER = """
from signaldelta_assets.versioning.compiling import jit
from leaf import FACTOR, leaf

@jit
def caller(x):
    return leaf(x) + FACTOR
"""
_THROUGH_A_MODULE = """
import leaf
from signaldelta_assets.versioning.compiling import jit

@jit
def caller(x):
    return leaf.leaf(x) + leaf.FACTOR
"""


def _call(folder: Path) -> tuple[float, int]:
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            "from caller import caller; print(caller(1.0), sum(caller.stats.cache_misses.values()))",
        ],
        env=os.environ | {"PYTHONPATH": f"{folder}{os.pathsep}{ROOT}", "PYTHONDONTWRITEBYTECODE": "1"},
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    value, missed = done.stdout.split()
    return float(value), int(missed)


@pytest.mark.parametrize("caller", [_CALLER, _THROUGH_A_MODULE], ids=["by name", "by module"])
def test_a_changed_callee_or_constant_is_compiled_anew(tmp_path: Path, caller: str) -> None:
    leaf = tmp_path / "leaf.py"
    (tmp_path / "caller.py").write_text(caller)
    leaf.write_text(_LEAF.format(factor=0.5, literal=2.0))
    assert _call(tmp_path) == (2.5, 1)
    assert _call(tmp_path) == (2.5, 0)
    # numba by itself would still say 2.5: the caller's own file has not changed.
    leaf.write_text(_LEAF.format(factor=0.5, literal=3.0))
    assert _call(tmp_path) == (3.5, 1)
    leaf.write_text(_LEAF.format(factor=0.25, literal=3.0))
    assert _call(tmp_path) == (3.25, 1)
    assert _call(tmp_path) == (3.25, 0)


_WATCH = """
import os, sys
import numba.core.caching, numba.core.dispatcher, pandas, pyarrow, pyarrow.compute, pyarrow.parquet, scipy.optimize
touched = []
def hook(event, args):
    if event == "open" and isinstance(args[2], int) and args[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
        touched.append((event, args[0]))
    elif event in ("os.mkdir", "os.remove", "os.rename", "socket.connect", "subprocess.Popen", "tempfile.mkstemp"):
        touched.append((event, args))
sys.addaudithook(hook)
import signaldelta_assets.scoring, signaldelta_assets.backtests.evaluation, signaldelta_assets.timeline
print(touched)
"""


def test_importing_compiled_code_writes_nothing(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _WATCH],
        env=os.environ | {"PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1", "NUMBA_CACHE_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"
    assert list(tmp_path.iterdir()) == []
