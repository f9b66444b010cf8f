"""What is past its time goes, what anything rests on stays: over small worlds drawn at random, and by its parts."""

from __future__ import annotations

import os
import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from signaldelta_assets.settings import Settings
from signaldelta_assets.versioning import content_ulid, new_ulid, sha256_hex
from signaldelta_assets.warehouse import ArtifactStore, Warehouse, metadata
from signaldelta_assets.warehouse.partitions import ensure, ensure_ahead, owner, partitions
from signaldelta_assets.warehouse.retention import RetentionError, keeps, prune, references
from signaldelta_assets.warehouse.tables import Keep
from tests.paths import ROOT
from tests.readside import entry, insert, label_row, signal_event, signal_row
from tests.warehouse.test_partitions import put_scores

pytestmark = pytest.mark.postgres

NOW = datetime(2026, 1, 15, tzinfo=UTC)
DAYS = 730
LIMIT = NOW - timedelta(days=DAYS)
DEFAULTS = keeps(Settings())


def _keep(**days: int) -> dict[str, Keep]:
    return keeps(Settings(keep_days=dict(days)))


def _names(connection: psycopg.Connection[dict[str, Any]], table: str, column: str) -> set[str]:
    return {row["name"] for row in connection.execute(f"SELECT {column} AS name FROM {table}")}  # type: ignore[call-overload]


def _record(at: datetime | None, day: datetime, body: str, number: int) -> dict[str, Any]:
    return {
        "raw_record_id": content_ulid(at, b"%d" % number), "source_type": "ownership", "entity_id": "0000000001",
        "natural_key": str(number), "event_time": at, "observed_time": day, "partition_date": day.date(),
        "collection_mode": "backfill", "collector": "c", "collector_version": "1", "collector_run_id": "RUN",
        "schema_version": "1", "payload_hash": "f" * 64, "payload": {}, "body_hash": body, "source_url": "u",
    }  # fmt: skip


def _empty(connection: psycopg.Connection[dict[str, Any]]) -> None:
    with connection.transaction():
        connection.execute("SET LOCAL session_replication_role = replica")
        names = ", ".join(table.name for table in metadata.sorted_tables if table.name != "this_home")
        connection.execute(f"TRUNCATE {names} CASCADE")  # type: ignore[call-overload]


class World:
    """Records of many years, dated or not, some in DEFAULT; events and labels on some; scores; and what may stay."""

    def __init__(self, seed: int, warehouse: Warehouse, archive: ArtifactStore) -> None:
        draw = random.Random(seed)
        self.bodies = [archive.put_bytes(f"{seed} {number}".encode()) for number in range(12)]
        for body in self.bodies:
            os.utime(archive.path(body), (LIMIT.timestamp(), LIMIT.timestamp()))
        self.orphan = archive.put_bytes(f"{seed} orphan".encode())
        os.utime(archive.path(self.orphan), (LIMIT.timestamp(), LIMIT.timestamp()))
        self.fresh = archive.put_bytes(f"{seed} fresh".encode())
        os.utime(archive.path(self.fresh), (NOW.timestamp() - 60, NOW.timestamp() - 60))
        insert(warehouse, "collector_runs", [{
            "collector_run_id": "RUN", "collector": "c", "collector_version": "1", "collection_mode": "backfill",
            "window_start": NOW.date(), "window_end": NOW.date(), "status": "complete"}])  # fmt: skip
        self.seen = {body: NOW - timedelta(days=draw.randint(1, 2000)) for body in self.bodies}
        insert(warehouse, "raw_documents", [
            {"body_hash": body, "size_bytes": 1, "source_url": "u", "http_status": 200, "observed_time": at}
            for body, at in self.seen.items()
        ])  # fmt: skip
        self.records = []
        for number in range(draw.randint(5, 60)):
            day = NOW - timedelta(days=draw.randint(0, 3000), hours=draw.randint(0, 23))
            self.records.append(_record(draw.choice([day, day, day, None]), day, draw.choice(self.bodies), number))
        if draw.random() < 0.7:
            dated = [one["event_time"].date() for one in self.records if one["event_time"]]
            ensure(warehouse, "raw_records", draw.sample(dated, len(dated) // 2))
        insert(warehouse, "raw_records", self.records)
        ids = [one["raw_record_id"] for one in self.records]
        self.resting: set[str] = set()
        events, labels = [], []
        for number in range(draw.randint(0, 8)):
            chosen = draw.sample(ids, min(len(ids), draw.randint(1, 4)))
            self.resting |= set(chosen)
            at = NOW - timedelta(days=draw.randint(0, 3000))
            if draw.random() < 0.5:
                events.append(
                    signal_row(signal_event(number, at, (entry("ownership", at, at),))) | {"raw_record_ids": chosen}
                )
            else:
                labels.append(label_row(number, at, at) | {"raw_record_ids": chosen})
        insert(warehouse, "iald_signals", events)
        insert(warehouse, "labeled_events", labels)

    def expected(self, url: str) -> set[str]:
        """The records that stay: those with a reason, and those whose partition, or own day, is not past."""
        with owner(url) as connection:
            years = {
                one.start.year: one.stop for one in partitions(connection, "raw_records") if one.start and one.stop
            }
        stay = set()
        for one in self.records:
            year = years.get(one["event_time"].year) if one["event_time"] else None
            past = one["partition_date"] < LIMIT.date() if year is None else year <= LIMIT.date()
            if one["raw_record_id"] in self.resting or not past:
                stay.add(one["raw_record_id"])
        return stay


@pytest.fixture(scope="module")
def world_url(postgres_url: str) -> str:
    return postgres_url


@settings(max_examples=12, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 10**9))
def test_nothing_anything_rests_on_is_removed_and_everything_else_past_its_time_is(
    world_url: str, tmp_path: Path, seed: int
) -> None:
    archive = ArtifactStore(tmp_path / str(seed))
    keep = _keep(raw_records=DAYS)
    with owner(world_url) as connection, Warehouse(world_url) as warehouse:
        _empty(connection)
        world = World(seed, warehouse, archive)
        expected = world.expected(world_url)
        would = prune(world_url, NOW, keep=keep, archive=archive, dry_run=True)
        assert _names(connection, "raw_records", "raw_record_id") == {one["raw_record_id"] for one in world.records}
        done = prune(world_url, NOW, keep=keep, archive=archive)
        assert _names(connection, "raw_records", "raw_record_id") == expected
        gone = [one for one in done if one.table == "raw_records"]
        assert sum(one.rows for one in gone) == len(world.records) - len(expected)
        assert gone == [one for one in would if one.table == "raw_records"]
        # A body stays while a record that stays was read from it, or while it is young itself.
        used = {one["body_hash"] for one in world.records if one["raw_record_id"] in expected}
        bodies = {body for body, at in world.seen.items() if body in used or at >= LIMIT}
        assert _names(connection, "raw_documents", "body_hash") == bodies
        assert set(archive.names()) == bodies | {world.fresh}
        assert prune(world_url, NOW, keep=keep, archive=archive) == []


def test_without_a_setting_raw_records_and_bodies_stay_for_ever(world_url: str, tmp_path: Path) -> None:
    archive = ArtifactStore(tmp_path)
    with owner(world_url) as connection, Warehouse(world_url) as warehouse:
        _empty(connection)
        world = World(1, warehouse, archive)
        assert prune(world_url, NOW + timedelta(days=9000), keep=DEFAULTS, archive=archive) == []
        assert set(archive.names()) == {*world.bodies, world.orphan, world.fresh}


def test_scores_go_by_whole_months_and_the_application_cannot_do_it(world_url: str) -> None:
    days = DEFAULTS["score_samples"].days
    assert days == 800
    with owner(world_url) as connection, Warehouse(world_url) as warehouse:
        _empty(connection)
        first = NOW - timedelta(days=days + 95)
        ensure(warehouse, "score_samples", [(first + timedelta(days=day)).date() for day in range(0, days + 90, 10)])
        put_scores(connection, first, NOW, "1 day", 2)
        held = {one.name for one in partitions(connection, "score_samples")}
        limit = (NOW - timedelta(days=days)).date()
        past = {one.name for one in partitions(connection, "score_samples") if one.stop and one.stop <= limit}
        assert len(past) >= 2
        with (
            pytest.raises(psycopg.errors.InsufficientPrivilege),
            warehouse.write_pool("signals").connection() as mine,
        ):
            mine.execute("DELETE FROM score_samples")
        done = prune(world_url, NOW, keep=DEFAULTS)
        assert {one.partition for one in done} == past and all(one.rows and one.size_bytes for one in done)
        assert {one.name for one in partitions(connection, "score_samples")} == held - past
        oldest = connection.execute("SELECT min(at) AS at FROM score_samples").fetchone()
        assert oldest is not None and oldest["at"].date() <= limit < oldest["at"].date() + timedelta(days=31)


def test_frozen_and_other_tables_go_by_row_and_are_frozen_again(world_url: str) -> None:
    with owner(world_url) as connection:
        _empty(connection)
        for age in (1, 799, 801, 2000):
            connection.execute(
                "INSERT INTO llm_usage_log (usage_id, event_time, use_case, route_id, model, location, latency_ms,"
                " outcome) VALUES (%s, %s, 'u', 'r', 'm', 'aws', 1, 'ok')",
                (new_ulid(), NOW - timedelta(days=age)),
            )
        connection.execute(
            "INSERT INTO operator_alerts (alert_id, kind, subject, severity, words, opened_at, closed_at) VALUES"
            " ('open', 'k', 's', 'warning', 'w', '2000-01-01', NULL), ('closed', 'k', 't', 'warning', 'w',"
            " '2000-01-01', '2001-01-01')"
        )
        done = prune(world_url, NOW, keep=DEFAULTS)
        assert {(one.table, one.rows) for one in done} == {("llm_usage_log", 2), ("operator_alerts", 1)}
        assert _names(connection, "operator_alerts", "alert_id") == {"open"}
        for statement in ("DELETE FROM llm_usage_log", "TRUNCATE llm_usage_log"):
            with pytest.raises(psycopg.errors.IntegrityConstraintViolation):
                connection.execute(statement)


def test_only_tables_whose_home_this_is_are_pruned_and_the_copies_partitions_follow(
    make_postgres_url: Any,
) -> None:
    home, copy = make_postgres_url(), make_postgres_url()
    old = NOW - timedelta(days=900)
    for url in (home, copy):
        with owner(url) as connection:
            ensure_ahead(url, old, years=1)
            put_scores(connection, old, old, "1 day", 1)
    assert prune(copy, NOW, place="aws", keep=DEFAULTS) == []
    # The copy has what the home has, so that nothing of it alone is past its time.
    name = f"score_samples_{old:%Y_%m}"
    done = prune(home, NOW, place="offsite", peer_url=copy, keep=DEFAULTS)
    with_rows = [(one.partition, one.place, one.rows) for one in done if one.rows]
    assert with_rows == [(name, "here", 1), (name, "the other home", 1)]
    for url in (home, copy):
        with owner(url) as connection:
            assert name not in {one.name for one in partitions(connection, "score_samples")}
    assert prune(home, NOW, place="offsite", peer_url="postgresql://nobody@127.0.0.1:1/none", keep=DEFAULTS) == []


def test_every_column_that_names_rows_of_a_table_with_a_time_is_known() -> None:
    found = {table.name: references(table) for table in metadata.sorted_tables}
    assert {(other, column) for other, column, *_ in found["raw_records"]} == {
        ("iald_signals", "raw_record_ids"), ("labeled_events", "raw_record_ids")}  # fmt: skip
    assert {other for other, *_ in found["raw_documents"]} == {
        table.name for table in metadata.sorted_tables if "body_hash" in table.columns and table.name != "raw_documents"
    }
    assert "quarantined_records" in {other for other, *_ in found["raw_documents"]}


def test_a_setting_for_a_table_without_a_clock_is_refused() -> None:
    for table in ("labeled_events", "no_such_table"):
        with pytest.raises(RetentionError, match=table):
            _keep(**{table: 5})
    with pytest.raises(ValueError, match="at least 1 day"):
        Settings(keep_days={"raw_records": 0})
    assert _keep(raw_records=99)["raw_documents"].days == 99
    assert _keep(raw_records=99, raw_documents=500)["raw_documents"].days == 500
    assert replace(DEFAULTS["raw_records"], days=99) == _keep(raw_records=99)["raw_records"]


def test_a_body_that_is_received_again_while_it_is_removed_stays(tmp_path: Path) -> None:
    store = ArtifactStore(tmp_path)
    name = store.put_bytes(b"body")
    os.utime(store.path(name), (1.0, 1.0))
    assert store.put_bytes(b"body") == name  # says that it is wanted
    assert store.remove(name, unwanted_since=1e9) is None and store.read_bytes(name) == b"body"
    os.utime(store.path(name), (1.0, 1.0))
    assert store.remove(name, unwanted_since=1e9) == 4 and not store.path(name).exists()
    assert store.remove(sha256_hex(b"none"), unwanted_since=1e9) is None
    # Killed between putting it aside and deciding: it is looked at again.
    store.put_bytes(b"body")
    store.path(name).replace(store.path(name).with_name(f".removing-{name}"))
    assert list(store.names()) == [name] and store.read_bytes(name) == b"body"


def test_the_page_says_what_the_registry_says() -> None:
    page = (ROOT / "docs" / "retention.md").read_text()
    for table in metadata.sorted_tables:
        keep: Keep = table.info["keep"]
        if keep.clock is not None:
            days = "for ever" if keep.days is None else f"{keep.days} days"
            assert f"| `{table.name}` | {days} | `{keep.clock}` |" in page
