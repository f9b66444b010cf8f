"""Replication between two real homes: each group one way, its lag, copying anew, and one database becoming two."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime

import psycopg
import pytest
from psycopg import sql

from signaldelta_assets.warehouse import GROUPS, Warehouse, migrate, migrate_homes, receiving, replication
from signaldelta_assets.warehouse.copying import ReplicationError
from signaldelta_assets.warehouse.replication import name_of, tables_of
from signaldelta_assets.warehouse.roles import REPLICATION
from signaldelta_assets.warehouse.tables import metadata, replicated_groups
from tests.homes import comparing
from tests.homes.places import Homes, two_homes

pytestmark = [pytest.mark.postgres, pytest.mark.platform]

WHEN = datetime(2024, 1, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def homes() -> Iterator[Homes]:
    with two_homes(replay=False) as made:
        yield made


def _equal(homes: Homes) -> None:
    homes.settle(time.monotonic())


def test_every_group_is_published_at_its_home_and_read_at_the_other(homes: Homes) -> None:
    for home, reading in (("aws", "offsite"), ("offsite", "aws")):
        published = homes.rows(
            home,  # type: ignore[arg-type]
            "SELECT pubname, array_agg(tablename::text ORDER BY tablename) AS tables"
            " FROM pg_publication_tables GROUP BY 1",
        )
        groups = replicated_groups(home)  # type: ignore[arg-type]
        assert {row["pubname"]: row["tables"] for row in published} == {
            name_of(group): sorted(str(table.name) for table in tables_of(group)) for group in groups
        }
        subscribed = homes.rows(
            reading,  # type: ignore[arg-type]
            "SELECT subname, rolname AS owner, subrunasowner FROM pg_subscription JOIN pg_roles r ON r.oid = subowner",
        )
        assert {row["subname"] for row in subscribed} == {name_of(group) for group in groups}
        assert all(row["owner"] == REPLICATION and row["subrunasowner"] for row in subscribed)
    every = {str(table.name) for group in GROUPS for table in tables_of(group)}
    assert every == {str(table.name) for table in metadata.sorted_tables}


def test_rows_cross_once_and_only_one_way(homes: Homes) -> None:
    with Warehouse(homes.urls["offsite"], place="offsite", peer_url=homes.urls["aws"]) as warehouse:
        with warehouse.write_pool("reference").connection() as connection:
            connection.execute("INSERT INTO securities (entity_id, asset_class, name) VALUES ('1', 'equity', 'A')")
        with warehouse.write_pool("users").connection() as connection:
            connection.execute("INSERT INTO users (user_id, email) VALUES ('01A', 'a')")
        _equal(homes)
        with warehouse.write_pool("users").connection() as connection:
            connection.execute("UPDATE users SET email = 'b' WHERE user_id = '01A'")
        _equal(homes)
    assert homes.rows("offsite", "SELECT email FROM users") == [{"email": "b"}]
    assert homes.rows("aws", "SELECT name FROM securities") == [{"name": "A"}]
    # What came from the other home was not sent back as one's own.
    for place in ("aws", "offsite"):
        received = homes.rows(place, "SELECT sum(confl_insert_exists + apply_error_count) AS n FROM pg_stat_subscription_stats")  # type: ignore[arg-type]  # noqa: E501  # fmt: skip
        assert received == [{"n": 0}]


def test_pairing_again_does_nothing(homes: Homes) -> None:
    assert replication.pair(homes.urls) == []


def test_the_replication_may_write_copies_and_nothing_else(homes: Homes) -> None:
    with psycopg.connect(homes.urls["aws"], options="-c search_path=signaldelta", autocommit=True) as connection:
        connection.execute(sql.SQL("SET ROLE {}").format(sql.Identifier(REPLICATION)))
        with connection.transaction(force_rollback=True):
            connection.execute("INSERT INTO rate_limits VALUES ('x', now())")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("INSERT INTO users (user_id) VALUES ('x')")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("CREATE TABLE signaldelta.x (a int)")


def test_lag_is_told_in_bytes_and_seconds_and_falls_to_nothing(homes: Homes) -> None:
    def signals() -> receiving.Lag:
        return next(lag for lag in receiving.lag(homes.urls) if lag.group == "signals")

    name = sql.Identifier(name_of("signals"))
    with psycopg.connect(homes.urls["aws"], autocommit=True) as reader:
        reader.execute(sql.SQL("ALTER SUBSCRIPTION {} DISABLE").format(name))
        try:
            homes.rows("offsite", "INSERT INTO score_history (entity_id, at, scoring_model_hash, latency_model_hash,"
                                  " definitions_hash, magnitude, lean, confidence, legacy_score, verdict)"
                                  " SELECT n::text, %s, repeat('1', 64), repeat('2', 64), repeat('3', 64), 1, 0, 1, 50,"
                                  " 'HOLD' FROM generate_series(1, 5000) n", WHEN)  # fmt: skip
            first = signals()
            assert first.bytes is not None and first.bytes > 500_000 and first.limit_seconds == 30
            time.sleep(1.5)
            second = signals()
            assert second.seconds is not None and 1.5 <= second.seconds < 60
            assert second.trouble is not None and "not connected" in second.trouble
            others = [lag for lag in receiving.lag(homes.urls) if lag.group != "signals"]
            assert all(lag.trouble is None for lag in others)
            # Beyond what is allowed it is told in these words.
            homes.rows("offsite", "UPDATE replication_positions SET at = at - interval '40 seconds'")
            late = signals()
            assert late.trouble is not None and "bytes behind, allowed 30 s" in late.trouble
        finally:
            reader.execute(sql.SQL("ALTER SUBSCRIPTION {} ENABLE").format(name))
    _equal(homes)
    deadline = time.monotonic() + 10
    while (now := signals()).trouble is not None or now.seconds:
        assert time.monotonic() < deadline, now
        time.sleep(0.2)


@pytest.mark.parametrize("lost", ["rows", "subscription", "slot"])
def test_a_group_is_copied_anew_and_goes_on(homes: Homes, lost: str) -> None:
    homes.rows("offsite", "INSERT INTO securities (entity_id, asset_class, name) SELECT %s || n, 'equity', 'before'"
                          " FROM generate_series(1, 300) n", lost)  # fmt: skip
    _equal(homes)
    name = sql.Identifier(name_of("reference"))
    with psycopg.connect(homes.urls["aws"], autocommit=True) as reader:
        if lost != "rows":
            reader.execute(sql.SQL("ALTER SUBSCRIPTION {} DISABLE").format(name))
            reader.execute(sql.SQL("ALTER SUBSCRIPTION {} SET (slot_name = NONE)").format(name))
            reader.execute(sql.SQL("DROP SUBSCRIPTION {}").format(name))
    if lost == "slot":
        deadline = time.monotonic() + 10
        while True:
            try:
                homes.rows("offsite", "SELECT pg_drop_replication_slot('signaldelta_reference')")
                break
            except psycopg.errors.ObjectInUse:
                assert time.monotonic() < deadline
                time.sleep(0.1)
    homes.rows("aws", "DELETE FROM securities WHERE entity_id IN (%s || 1, %s || 2)", lost, lost)
    homes.rows("aws", "UPDATE securities SET name = 'changed' WHERE entity_id = %s || 3", lost)
    homes.rows("aws", "INSERT INTO securities (entity_id, asset_class, name) VALUES (%s, 'equity', 'stray')", lost)
    homes.rows("offsite", "UPDATE securities SET name = 'after' WHERE entity_id = %s || 4", lost)
    seen: list[int] = []
    with psycopg.connect(homes.urls["aws"], options="-c search_path=signaldelta") as old:
        seen.append(old.execute("SELECT count(*) FROM securities").fetchone()[0])  # type: ignore[index]
        if lost == "slot":
            with pytest.raises(ReplicationError, match=r"1 rows of securities that offsite, its home, has not"):
                replication.pair(homes.urls)
        changed = replication.resync(homes.urls, "reference")
        # A reader who had begun before sees no empty table and waits for nobody.
        seen.append(old.execute("SELECT count(*) FROM securities").fetchone()[0])  # type: ignore[index]
    # The fifth of them had arrived already where the subscription was still there.
    assert changed["securities"] in (4, 5) and changed["pools"] == 0 and min(seen) > 290
    _equal(homes)
    homes.rows("offsite", "UPDATE securities SET name = 'later' WHERE entity_id = %s || 5", lost)
    _equal(homes)
    assert replication.pair(homes.urls) == []


def test_a_table_that_a_migration_made_anew_is_received_again(homes: Homes) -> None:
    """A subscription knows tables by identity: the new one is none that it reads."""
    homes.rows("offsite", "INSERT INTO securities (entity_id, asset_class, name) VALUES ('anew', 'pool', 'P')")
    homes.rows("offsite", "INSERT INTO pools (entity_id, token0, token1) VALUES ('anew', 'a', 'b')")
    _equal(homes)
    for statement in (
        "ALTER TABLE pools RENAME TO pools_before",
        "CREATE TABLE pools (LIKE pools_before INCLUDING ALL)",
        "INSERT INTO pools SELECT * FROM pools_before",
        "DROP TABLE pools_before",
        "GRANT SELECT, INSERT, UPDATE, DELETE ON pools TO signaldelta_replication",
    ):
        homes.rows("aws", statement)
    # A worker that is at work still goes by the name; the next one does not.
    for state in ("DISABLE", "ENABLE"):
        homes.rows("aws", f"ALTER SUBSCRIPTION signaldelta_reference {state}")
    homes.rows("offsite", "UPDATE pools SET token0 = 'c'")
    receiving.wait_until_received(homes.urls)
    assert homes.rows("aws", "SELECT token0 FROM pools") == [{"token0": "a"}]
    assert any("does not receive pools of reference" in trouble.words for trouble in homes.look().troubles)
    assert replication.pair(homes.urls) == ["aws copied reference anew: 1 rows differed"]
    _equal(homes)
    homes.rows("offsite", "UPDATE pools SET token0 = 'd'")
    _equal(homes)
    assert homes.rows("aws", "SELECT token0 FROM pools") == [{"token0": "d"}]
    homes.quiet()


def test_a_group_that_is_none_is_named(homes: Homes) -> None:
    for group in ("operations", "nonsense"):
        with pytest.raises(ReplicationError, match=f"expected one of .*'backtests'.*found '{group}'"):
            replication.resync(homes.urls, group)


def test_one_database_becomes_two_and_loses_nothing(homes: Homes) -> None:
    """Users were written where both homes were; they are brought to theirs before that place becomes a copy."""
    # Slots belong to the server: one deployment of two homes has it to itself.
    replication.unpair(homes.urls)
    urls = {place: url.replace("/postgres?", "/grown?") for place, url in homes.urls.items()}
    for place in homes.urls:
        homes.rows(place, "CREATE DATABASE grown")
    migrate(urls["offsite"])
    with Warehouse(urls["offsite"]) as both, both.write_pool("users").connection() as connection:
        connection.execute("INSERT INTO users (user_id, email) VALUES ('01A', 'a'), ('01B', 'b')")
    # The empty one catches up; the other becomes a home of two.
    migrate_homes(urls, level=True)
    try:
        with pytest.raises(
            ReplicationError, match=r"2 rows of users that aws, its home, has not; .signaldelta db adopt"
        ):
            replication.pair(urls)
        assert replication.adopt(urls, "users")["users"] == 2
        assert replication.adopt(urls, "users")["users"] == 0
        replication.pair(urls)
        receiving.wait_until_received(urls)
        of = {place: comparing.of_home(url) for place, url in urls.items()}
        assert of["aws"]["users"][0] == 2 and comparing.differences(of["aws"], of["offsite"]) == []
    finally:
        replication.unpair(urls)
