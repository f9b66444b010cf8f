"""What a new database starts with: entitlements of the tiers, the system's cohorts, which model serves which use-case.

`migrations/seeds.json` is the list. A row that is there stays as it is, whatever the list says: operators change
limits and routes by UPDATE, and seeding again must not undo that.
"""

from __future__ import annotations

import json
from typing import Any

from sqlalchemy import Column, Table
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from signaldelta_assets.versioning import canonical_json

from .paths import MIGRATIONS
from .tables import SCHEMA, Place, metadata, written_at


def seeds() -> dict[str, list[dict[str, Any]]]:
    """Return the rows per table, in an order in which no row refers to a later one."""
    found: dict[str, list[dict[str, Any]]] = json.loads((MIGRATIONS / "seeds.json").read_text())
    return {str(table.name): found[str(table.name)] for table in metadata.sorted_tables if table.name in found}


def seeds_sql(place: Place) -> str:
    """Return the statements that add what is missing of the groups written at `place`; empty where none are."""
    lines = []
    for name, rows in seeds().items():
        table = metadata.tables[f"{SCHEMA}.{name}"]
        if not written_at(table.info["group"], place):
            continue
        for row in rows:
            values = ", ".join(_literal(table, column, value) for column, value in row.items())
            lines.append(f"INSERT INTO {SCHEMA}.{name} ({', '.join(row)}) VALUES ({values}) ON CONFLICT DO NOTHING;")
    return "\n".join(lines)


def _literal(table: Table, name: str, value: Any) -> str:
    column: Column[Any] = table.columns[name]
    if isinstance(column.type, JSONB):
        return _quoted(canonical_json(value).decode()) + "::jsonb"
    if isinstance(column.type, ARRAY):
        return "ARRAY[" + ", ".join(map(_quoted, value)) + "]::text[]"
    if value is None:
        return "NULL"
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, int | float) else _quoted(str(value))


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
