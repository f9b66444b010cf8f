"""The same bits in other processes: without the processor's extensions, without a compiler, under other settings."""

from __future__ import annotations

import ast
import importlib
import inspect
import json
import os
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from signaldelta_assets.scoring import (
    ScoringModel,
    compact_grid,
    decay,
    elementary,
    family_counterfactuals,
    family_shapley,
    figures,
    kernel,
    score,
    score_grid,
    warm_up,
)
from tests.paths import ROOT

from .cases import HOUR, NOW, bits, model_document, panel, table
from .fingerprint import fingerprint


def _elsewhere(folder: Path, **environment: str) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", "tests.scoring.fingerprint"],
        env=os.environ | {"PYTHONPATH": str(ROOT)} | environment,
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def test_plainest_processor_and_another_environment(tmp_path: Path) -> None:
    plainest = "x86-64" if platform.machine() in ("x86_64", "AMD64") else "generic"
    dispatched: list[str] = importlib.import_module("numpy._core._multiarray_umath").__cpu_dispatch__
    environment = {
        "NPY_DISABLE_CPU_FEATURES": " ".join(dispatched),
        # glibc picks its libm by processor too; other C libraries do not read this.
        "GLIBC_TUNABLES": "glibc.cpu.hwcaps=-AVX512F,-AVX2,-AVX,-FMA,-FMA4",
        "NUMBA_CPU_NAME": plainest,
        "NUMBA_CPU_FEATURES": "",
        "NUMBA_CACHE_DIR": str(tmp_path / "compiled"),
        "NUMBA_NUM_THREADS": "1",
        "PYTHONHASHSEED": "4711",
        "PYTHONWARNINGS": "ignore",
        "TZ": "Asia/Kathmandu",
        "LC_ALL": "tr_TR.UTF-8",
    }
    found = _elsewhere(tmp_path, **environment)
    assert found["digests"] == fingerprint()
    assert found["compiled at import"] == []
    # The grid twice, for figures of eight bytes and of four.
    assert found["compiled now"] == 5
    assert list((tmp_path / "compiled").rglob("*.nbc")), "numba's cache directory was not used"
    # Another process takes what that one has compiled, and computes the same.
    again = _elsewhere(tmp_path, **environment)
    assert again == found | {"compiled now": 0}


def test_the_interpreter_computes_the_same_bits(tmp_path: Path) -> None:
    # CPython's floats are IEEE operations one by one: nothing contracted, reassociated or vectorised.
    found = _elsewhere(tmp_path, NUMBA_DISABLE_JIT="1", PYTHONHASHSEED="1", PYTHONWARNINGS="ignore")
    assert found["digests"] == fingerprint()


def test_the_kernel_calls_nothing_that_rounds_as_the_processor_likes() -> None:
    # libm, numpy's ufuncs and ** do; what is allowed here is exact, or rounds as IEEE says.
    allowed = {"math": {"floor", "sqrt", "inf", "nan"}, "np": {"empty", "int64", "float64"}}
    functions = [
        node
        for module in (decay, elementary, figures, kernel)
        for node in ast.parse(inspect.getsource(module)).body
        if isinstance(node, ast.FunctionDef)
        and {ast.unparse(name) for name in node.decorator_list} & {"jit", "inlined"}
    ]
    assert len(functions) > 15
    for function in functions:
        for node in [inner for statement in function.body for inner in ast.walk(statement)]:
            assert not isinstance(node, ast.Pow), function.name
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in allowed:
                assert node.attr in allowed[node.value.id], f"{function.name}: {ast.unparse(node)}"


def test_warm_up_leaves_nothing_to_compile() -> None:
    warm_up()
    entries: tuple[Any, ...] = (kernel.grid, kernel.explain, kernel.shapley, decay.anchor)
    before = [list(entry.signatures) for entry in entries]
    # The grid for figures of eight bytes and of four.
    assert [len(signatures) for signatures in before] == [2, 1, 1, 1]
    document = model_document(6)
    model = ScoringModel.from_dict(document)
    events = panel(6, document)
    for frame in (events, events.to_pandas(), events.slice(0, 0), events.drop_columns(["context_weight"])):
        score_grid(frame, model, NOW - HOUR, NOW, HOUR, entities=["X"])
        compact_grid(frame, model, NOW - HOUR, NOW, HOUR, entities=["X"])
        score_grid(frame, model, at=np.array([NOW.replace(tzinfo=None)], "datetime64[ns]"), threads=2)
    score(table([]), model, NOW)
    family_counterfactuals(events, model, at=[NOW])
    family_shapley(table([]), model, NOW)
    assert [list(entry.signatures) for entry in entries] == before


@pytest.mark.parametrize("copy", range(2))
def test_repeated_runs_are_equal(copy: int) -> None:
    document = model_document(8)
    model = ScoringModel.from_dict(document)
    events = panel(8, document)
    expected = bits(score_grid(events, model, NOW - 9 * HOUR, NOW, HOUR))
    other = ScoringModel.from_dict(json.loads(json.dumps(model.document)))
    frame = events.to_pandas() if copy else events
    assert bits(score_grid(frame, other, NOW - 9 * HOUR, NOW, HOUR)) == expected
