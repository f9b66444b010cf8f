"""What was measured on: the machine and the versions that a figure belongs to, in one line."""

from __future__ import annotations

import os
import platform
from importlib.metadata import version
from pathlib import Path

_LIBRARIES = ("numpy", "numba", "pyarrow", "pandas", "polars", "duckdb", "scikit-learn")


def described() -> str:
    """Return processor, cores, memory, Python and library versions."""
    processor = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [line.partition(":")[2].strip() for line in cpuinfo.read_text().splitlines() if "model name" in line]
        processor = names[0] if names else processor
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    libraries = ", ".join(f"{name} {version(name)}" for name in _LIBRARIES)
    return (
        f"Machine: {processor}, {os.cpu_count()} cores, {memory:.0f} GiB, {platform.system()}. "
        f"Python {platform.python_version()}, {libraries}."
    )
