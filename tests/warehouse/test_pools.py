"""Connections are bounded per process and in time; what tells how things are always has one."""

from __future__ import annotations

import os
import threading
import time
from contextlib import ExitStack
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest
from psycopg import errors

from signaldelta_assets.warehouse import HomeLostError, PoolLimits, Warehouse, watch
from signaldelta_assets.warehouse.roles import APPLICATION

pytestmark = pytest.mark.postgres


def test_work_never_takes_the_connection_that_tells_how_things_are(postgres_url: str) -> None:
    limits = PoolLimits(size=2, wait_seconds=0.3)
    with Warehouse(postgres_url, limits=limits) as warehouse, ExitStack() as held:
        for group in ("signals", "labels"):
            held.enter_context(warehouse.write_pool(group).connection())
        used_up = pytest.raises(HomeLostError, match="all 2 of this process are in use")
        with used_up, warehouse.read_pool().connection():
            pytest.fail("a third connection")
        with warehouse.pulse() as connection:
            row = connection.execute(
                "SELECT count(*) AS n FROM pg_stat_activity WHERE datname = current_database()"
                " AND application_name = 'signaldelta'"
            ).fetchone()
            assert row == {"n": 3}


@pytest.mark.parametrize(
    ("limits", "statement", "error"),
    [
        (PoolLimits(statement_seconds=0.2), "SELECT pg_sleep(30)", errors.QueryCanceled),
        (PoolLimits(lock_seconds=0.2), "LOCK TABLE rate_limits IN ACCESS EXCLUSIVE MODE", errors.LockNotAvailable),
    ],
    ids=["statement", "lock"],
)
def test_nothing_takes_longer_than_it_may(
    postgres_url: str, limits: PoolLimits, statement: str, error: type[Exception]
) -> None:
    began = time.monotonic()
    with psycopg.connect(postgres_url) as other, Warehouse(postgres_url, limits=limits) as warehouse:
        other.execute("SELECT * FROM signaldelta.rate_limits")
        with pytest.raises(error), warehouse.write_pool("collection").connection() as connection:
            connection.execute(statement)  # type: ignore[call-overload]
        # The next borrower gets a connection that works.
        with warehouse.read_pool().connection() as connection:
            assert connection.execute("SELECT 1 AS one").fetchone() == {"one": 1}
    assert time.monotonic() - began < 20


def test_a_writer_that_says_nothing_does_not_hold_up_others_for_ever(postgres_url: str) -> None:
    """`quiesce` waits for every writer: one that hangs in its transaction loses it."""
    silent = threading.Event()
    with Warehouse(postgres_url, limits=PoolLimits(idle_seconds=0.3)) as warehouse:

        def hang() -> None:
            with (
                pytest.raises(errors.IdleInTransactionSessionTimeout),
                warehouse.write_pool("signals").connection() as connection,
            ):
                silent.set()
                time.sleep(1.0)
                connection.execute("SELECT 1")

        writer = threading.Thread(target=hang)
        writer.start()
        silent.wait(10)
        assert warehouse.quiesce() is not None
        writer.join(20)
        assert not writer.is_alive()


def test_a_connection_that_died_while_it_lay_idle_is_replaced(postgres_url: str) -> None:
    with Warehouse(postgres_url, limits=PoolLimits(size=1)) as warehouse:
        with warehouse.read_pool().connection() as connection:
            row = connection.execute("SELECT pg_backend_pid() AS pid").fetchone()
        assert row is not None
        with psycopg.connect(postgres_url, autocommit=True) as killer:
            killer.execute("SELECT pg_terminate_backend(%s)", (row["pid"],))
        # Longer ago than a connection counts as fresh.
        time.sleep(1.1)
        with warehouse.read_pool().connection() as connection:
            assert connection.execute("SELECT 1 AS one").fetchone() == {"one": 1}


@pytest.mark.skipif("SIGNALDELTA_DATABASE_URL" in os.environ, reason="takes every connection: not on a shared server")
def test_the_operator_gets_a_connection_when_the_application_has_taken_all(fresh_postgres_url: str) -> None:
    """A login of the application is no superuser: the server keeps some connections from it."""
    with psycopg.connect(fresh_postgres_url, autocommit=True) as admin:
        admin.execute(f"CREATE ROLE greedy LOGIN IN ROLE {APPLICATION}")
        try:
            parts = urlsplit(fresh_postgres_url)
            url = urlunsplit(parts._replace(netloc="greedy@" + parts.netloc.rpartition("@")[2]))
            with ExitStack() as held:
                with pytest.raises(psycopg.OperationalError, match="remaining connection slots"):
                    for _ in range(200):
                        held.enter_context(psycopg.connect(url))
                view = watch.look({"one": fresh_postgres_url}, "one")
            assert [trouble.kind for trouble in view.troubles] == ["connections"]
            assert "connections are in use" in view.troubles[0].words
        finally:
            admin.execute("DROP ROLE greedy")
