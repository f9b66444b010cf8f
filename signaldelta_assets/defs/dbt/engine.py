"""When dbt itself is imported: not while definitions load, which every process of Dagster does, but where it builds.

dagster-dbt can do without dbt-core beside it: it then reads from the manifest what it would ask dbt's library. That
library takes longer to import than everything else together. Only a build needs it, to count the rows of what it made.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from typing import Any

# The modules of dagster-dbt that keep which dbt they have found.
_KNOWING = ("dagster_dbt.compat", "dagster_dbt.core.resource")


@contextmanager
def without_dbt() -> Iterator[None]:
    """Let dagster-dbt, imported inside, find no dbt. One that was imported before stays as it is."""
    known = {name: module for name, module in sys.modules.items() if name == "dbt" or name.startswith("dbt.")}
    for name in known:
        del sys.modules[name]
    # What Python keeps for a module that cannot be imported.
    sys.modules["dbt"] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        del sys.modules["dbt"]
        sys.modules |= known


def dbt_version() -> Any:
    """Return the version of the dbt that is installed, as dagster-dbt compares versions."""
    return importlib.import_module("dagster_dbt.compat").version.parse(version("dbt-core"))


def with_dbt() -> None:
    """Tell dagster-dbt of dbt: from here on it opens dbt's connection, and imports the library for that."""
    for module in map(importlib.import_module, _KNOWING):
        module.DBT_PYTHON_VERSION = dbt_version()  # type: ignore[attr-defined]
