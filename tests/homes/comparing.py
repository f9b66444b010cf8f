"""Are two homes the same, and is a disturbed one what an undisturbed one is: row counts and hashes of every table."""

from __future__ import annotations

from collections.abc import Mapping

import psycopg
from psycopg import sql

from signaldelta_assets.warehouse import SCHEMA, metadata
from signaldelta_assets.warehouse.postgres import plain_url

# By table: how many rows, and one hash over all of them.
Prints = dict[str, tuple[int, str]]

# What a home notes about attempts: more of them where something was disturbed.
_ATTEMPTS = {"collector_runs", "collector_status", "rate_limits"}
# Names and moments that are made anew by whoever writes; and documents that contain them.
_OF_THE_WRITER = {
    "ingest_time", "updated_at", "first_seen_at", "last_seen_at", "superseded_at", "as_of", "known_at", "created_at",
    "collector_run_id", "dagster_run_id", "run_id", "snapshot_id", "dataset_id", "identifier_id", "quarantine_id",
    "manifest", "manifest_canonical", "manifest_hash", "resolution_id", "membership_id", "observed_ingest_time",
}  # fmt: skip


def _prints(url: str, tables: Mapping[str, list[str]]) -> Prints:
    found: Prints = {}
    with psycopg.connect(plain_url(url), options="-c timezone=UTC") as connection:
        for table, columns in tables.items():
            query = sql.SQL(
                "SELECT count(*), coalesce(md5(string_agg(h, '' ORDER BY h COLLATE \"C\")), '')"
                " FROM (SELECT md5(ROW({})::text) AS h FROM {}) hashed"
            ).format(sql.SQL(", ").join(map(sql.Identifier, columns)), sql.Identifier(SCHEMA, table))
            row = connection.execute(query).fetchone()
            assert row is not None
            found[table] = (row[0], row[1])
    return found


def of_home(url: str) -> Prints:
    """Every column of every replicated table."""
    tables = [table for table in metadata.sorted_tables if table.info["home"] != "each"]
    return _prints(url, {str(table.name): [column.name for column in table.columns] for table in tables})


def of_work(url: str) -> Prints:
    """What the same work comes to, whoever does it and however often it is disturbed."""
    tables = [table for table in metadata.sorted_tables if table.info["home"] != "each" and table.name not in _ATTEMPTS]
    kept = {str(table.name): [c.name for c in table.columns if c.name not in _OF_THE_WRITER] for table in tables}
    return _prints(url, {name: columns for name, columns in kept.items() if columns})


def differences(one: Prints, other: Prints) -> list[str]:
    """In words, the tables that differ; [] where none does."""
    return [
        f"{table}: {one.get(table)} and {other.get(table)}"
        for table in sorted(one.keys() | other.keys())
        if one.get(table) != other.get(table)
    ]
