"""Metadata that every asset carries: owner, kinds, and the columns of the tables it writes."""

from __future__ import annotations

from typing import Any

import dagster as dg
from sqlalchemy import Table
from sqlalchemy.dialects import postgresql

OWNERS = ["team:data-platform"]


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
