"""The database fixtures themselves: what every other room's tests rest on."""

from __future__ import annotations

import pytest

from signaldelta_assets.warehouse import Warehouse, current_revision, head_revision

pytestmark = pytest.mark.postgres


def test_the_database_is_migrated_and_empty(warehouse: Warehouse, postgres_url: str) -> None:
    assert current_revision(postgres_url) == head_revision()
    with warehouse.read_pool().connection() as connection:
        row = connection.execute("SELECT count(*) AS n FROM raw_records").fetchone()
    assert row == {"n": 0}


def test_a_fresh_database_is_another_one(warehouse: Warehouse, fresh_postgres_url: str) -> None:
    with warehouse.write_pool("collection").connection() as connection:
        connection.execute("INSERT INTO rate_limits VALUES ('x', now())")
    with Warehouse(fresh_postgres_url) as other, other.read_pool().connection() as connection:
        assert connection.execute("SELECT * FROM rate_limits").fetchall() == []


def test_an_empty_database_has_no_schema(empty_postgres_url: str) -> None:
    assert current_revision(empty_postgres_url) is None
