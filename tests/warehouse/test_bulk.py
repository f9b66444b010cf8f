"""COPY of new rows: known ones are left alone, whoever writes beside us; a row's parents must be there."""

from __future__ import annotations

from dataclasses import replace

import psycopg
import pytest

from signaldelta_assets.warehouse import Warehouse
from signaldelta_assets.warehouse.bulk import copy_new
from signaldelta_assets.warehouse.stores import collection
from signaldelta_assets.warehouse.stores.collection import BatchRows
from tests.warehouse.examples import put_raw, raw_record

pytestmark = pytest.mark.postgres

COLUMNS = ("name", "next_slot")
SLOT = "2024-01-01T00:00:00Z"


def names(warehouse: Warehouse) -> list[str]:
    with warehouse.read_pool().connection() as connection:
        return [row["name"] for row in connection.execute("SELECT name FROM rate_limits ORDER BY name")]


@pytest.fixture
def empty(fresh_postgres_url: str):
    with Warehouse(fresh_postgres_url) as opened:
        yield opened


@pytest.mark.parametrize("key", [None, "name"])
def test_known_rows_and_rows_given_twice_are_left_alone(empty: Warehouse, key: str | None) -> None:
    with empty.write_pool("collection").connection() as connection:
        assert copy_new(connection, "rate_limits", COLUMNS, [("a", SLOT), ("b", SLOT)], key=key) == (2, 2)
    with empty.write_pool("collection").connection() as connection:
        rows = [("c", SLOT), ("b", "2030-01-01T00:00:00Z"), ("c", "2030-01-01T00:00:00Z")]
        assert copy_new(connection, "rate_limits", COLUMNS, rows, key=key) == (3, 1)
        assert copy_new(connection, "rate_limits", COLUMNS, rows, key=key) == (3, 0)
    assert names(empty) == ["a", "b", "c"]
    with empty.read_pool().connection() as connection:
        late = connection.execute("SELECT count(*) AS n FROM rate_limits WHERE next_slot > '2029-01-01'").fetchone()
    assert late is not None and late["n"] == 0


def test_keys_of_any_text_are_found_again(empty: Warehouse) -> None:
    """Also those with the separator that many are asked for with, quotes, or nothing at all."""
    for keys in (["a\x1fb", "a", "b"], ["'", "\\", "%s", "{a,b}", "NULL"], [""], ["\n", "ä"]):
        rows = [(f"{key}", SLOT) for key in keys]
        with empty.write_pool("collection").connection() as connection:
            before = copy_new(connection, "rate_limits", COLUMNS, rows, key="name")
            assert before[1] == len(rows)
            assert copy_new(connection, "rate_limits", COLUMNS, rows, key="name") == (len(rows), 0)
            connection.rollback()


def test_a_row_that_another_process_writes_meanwhile_is_known_then(empty: Warehouse) -> None:
    writing = empty.write_pool("collection")
    with psycopg.connect(empty.url, autocommit=True) as other, writing.connection() as connection:
        # After the look for known rows and before COPY, which is where the savepoint opens.
        original = connection.transaction

        def transaction(*arguments, **options):
            other.execute("INSERT INTO signaldelta.rate_limits VALUES ('b', %s) ON CONFLICT DO NOTHING", (SLOT,))
            return original(*arguments, **options)

        connection.transaction = transaction  # type: ignore[method-assign]
        rows = [("a", SLOT), ("b", SLOT)]
        assert copy_new(connection, "rate_limits", COLUMNS, rows, key="name") == (2, 1)
    assert names(empty) == ["a", "b"]


@pytest.mark.parametrize("field", ["collector_run_id", "body_hash"])
def test_a_record_must_name_a_run_and_a_body_that_are_there(empty: Warehouse, field: str) -> None:
    put_raw(empty, [])
    wrong = replace(raw_record(2), **{field: "0" * 64})
    with pytest.raises(psycopg.errors.ForeignKeyViolation, match=rf"raw_records\.{field}: 0+ is not in"):
        collection.write_batch(empty, "RUN", "test", BatchRows(records=[raw_record(1), wrong]))
    with empty.read_pool().connection() as connection:
        assert connection.execute("SELECT count(*) AS n FROM raw_records").fetchone() == {"n": 0}
    written = collection.write_batch(empty, "RUN", "test", BatchRows(records=[raw_record(1), raw_record(2)]))
    assert (written.records, written.known) == (2, 0)
    again = collection.write_batch(empty, "RUN", "test", BatchRows(records=[raw_record(2), raw_record(3)]))
    assert (again.records, again.known) == (1, 1)
