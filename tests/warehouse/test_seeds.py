"""Seeds are there after a migration, are added again where missing, and undo nothing that an operator changed."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest

from signaldelta_assets.warehouse import SCHEMA, metadata, seed
from signaldelta_assets.warehouse.seeds import seeds, seeds_sql

pytestmark = pytest.mark.postgres


def _rows(url: str, query: str, *values: Any) -> list[tuple[Any, ...]]:
    with psycopg.connect(url, options="-c search_path=signaldelta", autocommit=True) as connection:
        cursor = connection.execute(query, values or None)  # type: ignore[call-overload]
        return cursor.fetchall() if cursor.description else []


def test_every_seed_is_there_with_its_values(fresh_postgres_url: str) -> None:
    for name, rows in seeds().items():
        keys = [str(column.name) for column in metadata.tables[f"{SCHEMA}.{name}"].primary_key.columns]
        assert _rows(fresh_postgres_url, f"SELECT count(*) FROM {name}") == [(len(rows),)]
        for row in rows:
            where = " AND ".join(f"{key} = %s" for key in keys)
            columns = ", ".join(row)
            found = _rows(
                fresh_postgres_url, f"SELECT {columns} FROM {name} WHERE {where}", *(row[key] for key in keys)
            )
            # Prices are exact decimals there and floats in JSON.
            as_json = [float(v) if type(v).__name__ == "Decimal" else v for v in found[0]]
            assert as_json == list(row.values())


def test_seeding_again_adds_what_is_missing_and_leaves_what_was_changed(fresh_postgres_url: str) -> None:
    assert seed(fresh_postgres_url) == 0
    changed = "UPDATE tier_entitlements SET value = '7' WHERE tier = 'entry' AND entitlement = 'api_keys'"
    _rows(fresh_postgres_url, changed)
    _rows(fresh_postgres_url, "DELETE FROM llm_fallback_chain WHERE use_case = 'explain'")
    assert seed(fresh_postgres_url) == 3
    assert seed(fresh_postgres_url) == 0
    kept = "SELECT value FROM tier_entitlements WHERE tier = 'entry' AND entitlement = 'api_keys'"
    assert _rows(fresh_postgres_url, kept) == [(7,)]


def test_a_place_seeds_only_what_is_written_there() -> None:
    assert seeds_sql("offsite") == "" and seeds_sql("aws") == seeds_sql("one") != ""
