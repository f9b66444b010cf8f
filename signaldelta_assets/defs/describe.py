"""Metadata that every asset carries: owner, kinds, and the columns of the tables it writes. And how far a run is."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import dagster as dg
from sqlalchemy import Table
from sqlalchemy.dialects import postgresql

OWNERS = ["team:data-platform"]
# Every line is an event in Dagster's database: written for each of a collector's thousand steps, they took a fifth of
# its time.
_SECONDS_BETWEEN_LINES = 1.0


def table_metadata(table: Table) -> dict[str, Any]:
    """Return the definition metadata of an asset kept in `table`: its columns, name, group and write home."""
    dialect = postgresql.dialect()  # type: ignore[no-untyped-call]
    columns = [
        dg.TableColumn(
            column.name,
            type=column.type.compile(dialect=dialect).lower(),
            constraints=dg.TableColumnConstraints(nullable=bool(column.nullable), unique=bool(column.primary_key)),
        )
        for column in table.columns
    ]
    return {
        "dagster/column_schema": dg.TableSchema(columns=columns),
        "dagster/table_name": f"{table.schema}.{table.name}",
        "table_group": table.info["group"],
        "write_home": table.info["home"],
    }


def check_result(name: str, asset_key: dg.AssetKey, failures: dict[str, int]) -> dg.AssetCheckResult:
    """Return a check's result: passed where every count of failures is zero; the counts are its metadata."""
    return dg.AssetCheckResult(
        check_name=name, asset_key=asset_key, passed=not any(failures.values()), metadata=dict(failures)
    )


def told(log: Callable[[str], object], clock: Callable[[], float] = time.monotonic) -> Callable[[int, int, str], None]:
    """Return a progress function that tells the first step, the last, and at most one a second of those between."""
    latest = -_SECONDS_BETWEEN_LINES

    def progress(done: int, total: int, text: str) -> None:
        nonlocal latest
        now = clock()
        if done >= total or now - latest >= _SECONDS_BETWEEN_LINES:
            latest = now
            log(f"{done}/{total} {text}")

    return progress
