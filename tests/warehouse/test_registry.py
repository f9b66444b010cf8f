"""The registry of tables is complete and consistent; roles, seeds and the page of tables are made from it."""

from __future__ import annotations

import re

import psycopg
import pytest
from sqlalchemy import Table
from sqlalchemy.dialects import postgresql
from sqlalchemy.schema import CreateTable

from signaldelta_assets.warehouse import GROUPS, SCHEMA, WRITE_HOMES, metadata
from signaldelta_assets.warehouse.pages import tables_page
from signaldelta_assets.warehouse.roles import APPLICATION, REPLICATION, grants_sql
from signaldelta_assets.warehouse.seeds import seeds
from signaldelta_assets.warehouse.tables import Place, replicated_groups, times, written_at
from tests.paths import ROOT

TABLES: dict[str, Table] = {str(table.name): table for table in metadata.sorted_tables}

# Meta-plan P01, "Table Groups (Write-Home Designations)": every table it names and the home it gives it.
INVENTORY = {
    "aws": "users api_keys tier_entitlements watchlist_items alert_configs custom_cohorts user_activity"
    " conductor_strategies llm_model_routing llm_fallback_chain llm_usage_log",
    "offsite": "iald_signals score_samples score_history collector_runs collector_status research_reports"
    " research_progress backtest_snapshots backtest_runs backtest_artifacts labeled_events labeled_event_datasets"
    " cascade_events cascade_classifications tempo_baselines tempo_structural_breaks conductor_executions"
    " conductor_positions securities security_cohort_memberships",
}


@pytest.mark.parametrize("home", INVENTORY)
def test_every_table_of_the_inventory_is_registered_at_its_home(home: str) -> None:
    assert {name: TABLES[name].info["home"] for name in INVENTORY[home].split()} == dict.fromkeys(
        INVENTORY[home].split(), home
    )


def test_every_group_says_why_and_how_far_its_reader_may_be_behind() -> None:
    used = {table.info["group"] for table in TABLES.values()}
    assert used == set(GROUPS) == set(WRITE_HOMES)
    for name, group in GROUPS.items():
        assert group.why and (group.lag_seconds is None) == (group.home == "each"), name
    assert GROUPS["signals"].lag_seconds == 30 and GROUPS["collection"].lag_seconds == 300
    both = replicated_groups("aws") + replicated_groups("offsite")
    assert sorted([*both, "operations"]) == sorted(GROUPS) and not replicated_groups("each")


@pytest.mark.parametrize("table", TABLES.values(), ids=str)
def test_a_table_has_a_key_without_a_sequence_and_no_reference_to_another_home(table: Table) -> None:
    assert table.primary_key.columns and table.info["why"] and table.info["identity"]
    for column in table.columns:
        # A sequence is a counter of one server: two would give the same number to different rows.
        assert column.identity is None and "nextval" not in str(getattr(column.server_default, "arg", ""))
        for key in column.foreign_keys:
            # A row that has not arrived yet must not refuse a write.
            assert key.column.table.info["home"] == table.info["home"]
    assert "SERIAL" not in str(CreateTable(table).compile(dialect=postgresql.dialect()))  # type: ignore[no-untyped-call]
    if table.info["keep"].days is not None:
        assert table.info["keep"].clock in times(table)


def test_what_bears_time_says_when_it_came_in() -> None:
    """`ingest_time` where events are told, a time of its own where a state is kept."""
    without = {name for name, table in TABLES.items() if not times(table)}
    assert not without - {"tier_entitlements", "labeled_event_dataset_members"}
    for name, table in TABLES.items():
        if "observed_time" in times(table):
            assert table.columns["ingest_time"].nullable is False, name
    assert TABLES["labeled_events"].columns["event_time"].nullable is False
    assert TABLES["raw_records"].columns["event_time"].nullable is True


def test_seeds_are_rows_of_tables_written_at_one_home_and_their_references_hold() -> None:
    found = seeds()
    assert set(found) == {"tier_entitlements", "custom_cohorts", "llm_model_routing", "llm_fallback_chain"}
    for name, rows in found.items():
        keys = [tuple(row[column.name] for column in TABLES[name].primary_key.columns) for row in rows]
        assert len(set(keys)) == len(keys) and all(set(row) <= set(TABLES[name].columns.keys()) for row in rows), name
    limits = {(row["tier"], row["entitlement"]): row["value"] for row in found["tier_entitlements"]}
    # The keys and hourly limits of the requirement (P03).
    assert [limits[tier, "api_keys"] for tier in ("free", "entry", "professional", "analyst", "research")] == [
        0, 1, 3, 5, 10,
    ]  # fmt: skip
    assert [limits[tier, "requests_per_hour"] for tier in ("entry", "professional", "analyst", "research")] == [
        100, 500, 2000, 10000,
    ]  # fmt: skip
    assert {name for _, name in limits} == {name for tier, name in limits if tier == "free"}
    routes = {row["route_id"]: row for row in found["llm_model_routing"]}
    for row in found["llm_fallback_chain"]:
        assert row["route_id"] in routes
    heavy = [route for route in routes.values() if route["weight_class"] == "heavy"]
    assert heavy and all(route["locations"] == ["offsite"] for route in heavy)


def test_the_page_of_tables_is_made_from_the_registry() -> None:
    assert (ROOT / "docs/tables.md").read_text() == tables_page()


@pytest.mark.parametrize("place", ["aws", "offsite", "one"])
def test_the_grants_let_a_role_write_what_is_its_own_and_nothing_else(place: Place) -> None:
    statements = grants_sql(place)
    granted = dict(re.findall(rf"GRANT ([A-Z, ]+) ON {SCHEMA}\.(\w+) TO", statements))
    written = {name: text for text, name in re.findall(rf"GRANT ([A-Z, ]+) ON {SCHEMA}\.(\w+) TO {APPLICATION}", statements)}  # noqa: E501  # fmt: skip
    copied = {name for _, name in re.findall(rf"GRANT ([A-Z, ]+) ON {SCHEMA}\.(\w+) TO {REPLICATION}", statements)}
    assert set(written) == {name for name, table in TABLES.items() if written_at(table.info["group"], place)}
    assert copied == set(TABLES) - set(written) and granted
    for name, text in written.items():
        assert text == ("INSERT" if TABLES[name].info["frozen"] else "INSERT, UPDATE, DELETE"), name


@pytest.mark.postgres
def test_the_database_gives_the_roles_what_the_registry_says(fresh_postgres_url: str) -> None:
    with psycopg.connect(fresh_postgres_url, autocommit=True) as connection:
        connection.execute(grants_sql("aws"))  # type: ignore[arg-type]
        for name, table in TABLES.items():
            own = written_at(table.info["group"], "aws")
            for role, writes in ((APPLICATION, own), (REPLICATION, not own)):
                for right in ("SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE"):
                    row = connection.execute(
                        "SELECT has_table_privilege(%s, %s, %s)", (role, f"{SCHEMA}.{name}", right)
                    ).fetchone()
                    free = role == REPLICATION or right == "INSERT" or not table.info["frozen"]
                    allowed = writes and free and (role == REPLICATION or right != "TRUNCATE")
                    expected = right == "SELECT" or allowed
                    assert row == (expected,), (role, name, right)
        # Neither may make or change a table.
        for role in (APPLICATION, REPLICATION):
            assert connection.execute("SELECT has_schema_privilege(%s, %s, 'CREATE')", (role, SCHEMA)).fetchone() == (
                False,
            )
