"""The kernel's fence: calls below Python are refused by name, whatever the caller makes of it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from signaldelta_assets.backtests import fence as fence_module
from signaldelta_assets.backtests.fence import HOOK, SECCOMP, Fence, close_process
from signaldelta_assets.backtests.guard import Paths
from tests.backtests.runs.fenced import CALLS
from tests.paths import ROOT

# What each is called to the system, and whether it names the file that was asked for.
NAMES = {
    "arrow read_table": ("openat", True), "arrow memory_map": ("openat", True), "arrow write": ("openat", True),
    "arrow csv": ("openat", True), "duckdb": ("openat", True), "libpq": ("socket", False), "C open": ("openat", True),
    "C open beside": ("openat", True), "C open to write": ("openat", True), "C socket": ("socket", False),
    "C chmod": ("chmod", True), "C chown": ("chown", True), "C mkfifo": ("mknod", True),
    "C setxattr": ("setxattr", True),
    "C fork": ("clone", False), "C exec": ("execve", False), "C unlink": ("unlink", True), "C rename": ("rename", True),
}  # fmt: skip


def _try(call: str, tmp_path: Path, *, fenced: bool) -> tuple[Fence, str, Path]:
    folder, outside = tmp_path / "run", tmp_path / "outside.parquet"
    folder.mkdir()
    pq.write_table(pa.table({"a": ["x"]}), folder / "inside.parquet")
    pq.write_table(pa.table({"a": ["secret"]}), outside)
    fence = Fence(Paths([], folder).allows)
    report = fence.report.fileno() if fenced else -1
    command = [sys.executable, "-m", "tests.backtests.runs.fenced", call, str(folder), str(outside), str(report)]
    with subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        pass_fds=[report] if fenced else [],
    ) as process:  # fmt: skip
        fence.watch(process.kill)
        said = process.communicate()[0]
    fence.join()
    return fence, said, folder


def test_there_is_a_fence_and_it_lets_a_run_do_its_work(tmp_path: Path) -> None:
    fence, said, folder = _try("-", tmp_path, fenced=True)
    if fence.kind == HOOK:
        pytest.skip("this kernel or container allows no seccomp listener")
    assert (fence.refused, said.strip()) == (None, "let through")
    assert (folder / "went on").read_text() == "x"


@pytest.mark.parametrize("call", NAMES)
def test_a_call_below_python_ends_the_process_by_name(tmp_path: Path, call: str) -> None:
    fence, said, folder = _try(call, tmp_path, fenced=True)
    if fence.kind == HOOK:
        pytest.skip("this kernel or container allows no seccomp listener")
    name, names_file = NAMES[call]
    assert fence.refused is not None, said
    assert fence.refused.split("(")[0] in {name, f"v{name}", name.removesuffix("at"), f"{name}at", f"f{name}at"}
    assert ("outside.parquet" in fence.refused) == names_file
    assert "let through" not in said and "swallowed" not in said and not (folder / "went on").exists()
    assert pq.read_table(tmp_path / "outside.parquet").to_pydict() == {"a": ["secret"]}
    assert not (tmp_path / "outside.parquet.new").exists()
    assert not (tmp_path / "outside.parquet").stat().st_mode & 0o111, "no one made it executable"


@pytest.mark.parametrize("call", ["arrow read_table", "C open", "C socket", "C fork"])
def test_without_the_fence_the_guard_would_not_have_seen_it(tmp_path: Path, call: str) -> None:
    """What the tests above would show if the fence did nothing."""
    fence, said, _ = _try(call, tmp_path, fenced=False)
    assert fence.kind == HOOK and fence.refused is None
    assert "let through" in said and "swallowed" not in said, said


def test_every_call_has_its_name_in_the_table() -> None:
    assert set(CALLS) - {"-"} == set(NAMES)


def test_another_machine_has_the_guard_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fence_module.platform, "machine", lambda: "riscv64")
    fence = Fence(lambda path, flags: False)
    assert close_process(fence.report.detach()) == HOOK
    fence.watch(lambda: pytest.fail("killed"))
    fence.join()
    assert (fence.kind, fence.refused) == (HOOK, None)
    assert fence.kind != SECCOMP
