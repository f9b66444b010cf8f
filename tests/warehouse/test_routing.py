"""A write reaches the home of its group, or is refused there and then, kept whole, and delivered exactly once.

Two databases of one server stand for the two homes: what is tested here is who may write where, not the copying.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest
from psycopg import sql
from psycopg.errors import InsufficientPrivilege, ReadOnlySqlTransaction

from signaldelta_assets.correlation import correlated
from signaldelta_assets.warehouse import Warehouse, WrongHomeError, misrouted
from signaldelta_assets.warehouse.bulk import copy_new
from signaldelta_assets.warehouse.roles import APPLICATION, become_sql
from signaldelta_assets.warehouse.tables import Place

pytestmark = pytest.mark.postgres

USER = "INSERT INTO users (user_id, email, created_at) VALUES (%s, %s, %s)"
WHEN = datetime(2024, 1, 1, tzinfo=UTC)
# Text that would break a statement put together by hand.
MAIL = 'o\'neil\\ "x"\n%s;--@example.test'


@dataclass
class Homes:
    """Two databases, each one of the homes."""

    aws: str
    offsite: str

    def rows(self, url: str, query: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(url, options="-c search_path=signaldelta -c timezone=UTC") as connection:
            return connection.execute(query).fetchall()  # type: ignore[arg-type]

    def waiting(self, url: str) -> list[tuple[Any, ...]]:
        return self.rows(url, "SELECT table_group, table_name, home, correlation_id, delivered_at IS NULL, attempts"
                              " FROM misrouted_writes ORDER BY refused_at")  # fmt: skip


@pytest.fixture
def homes(make_postgres_url: Callable[[], str]) -> Homes:
    urls: dict[Place, str] = {}
    places: tuple[Place, ...] = ("aws", "offsite")
    for place in places:
        urls[place] = make_postgres_url()
        with psycopg.connect(urls[place], autocommit=True) as connection:
            connection.execute(become_sql(place))  # type: ignore[arg-type]
    return Homes(urls["aws"], urls["offsite"])


@pytest.fixture
def offsite(homes: Homes) -> Iterator[Warehouse]:
    with Warehouse(homes.offsite, place="offsite") as opened:
        yield opened


def test_a_write_goes_to_its_home_wherever_it_is_made(homes: Homes) -> None:
    with Warehouse(homes.offsite, place="offsite", peer_url=homes.aws) as warehouse:
        with warehouse.write_pool("users").connection() as connection:
            connection.execute(USER, ("01USER", MAIL, WHEN))
        with warehouse.write_pool("reference").connection() as connection:
            connection.execute("INSERT INTO securities (entity_id, asset_class, name) VALUES ('1', 'equity', 'A')")
        with warehouse.read_pool().connection() as connection:
            assert connection.execute("SELECT * FROM users").fetchall() == []
    assert homes.rows(homes.aws, "SELECT email FROM users") == [(MAIL,)]
    assert homes.rows(homes.aws, "SELECT name FROM securities") == []
    assert homes.rows(homes.offsite, "SELECT name FROM securities") == [("A",)]


def test_state_is_asked_and_changed_at_its_home_one_statement_at_a_time(homes: Homes, offsite: Warehouse) -> None:
    with Warehouse(homes.offsite, place="offsite", peer_url=homes.aws) as warehouse:
        with pytest.raises(psycopg.errors.UniqueViolation), warehouse.state_pool("users").connection() as connection:
            for _ in range(2):
                connection.execute(USER, ("01USER", MAIL, WHEN))
        with warehouse.state_pool("users").connection() as connection:
            assert connection.execute("SELECT email FROM users").fetchall() == [{"email": MAIL}], "the first stayed"
        with pytest.raises(ZeroDivisionError), warehouse.write_pool("users").connection() as connection:
            connection.execute("DELETE FROM users")
            raise ZeroDivisionError
    assert homes.rows(homes.aws, "SELECT email FROM users") == [(MAIL,)], "the same connection, a transaction again"
    with pytest.raises(WrongHomeError, match="is kept"), offsite.state_pool("users").connection() as connection:
        connection.execute(USER, ("01USER", MAIL, WHEN))
    assert homes.rows(homes.offsite, "SELECT * FROM users") == []


def test_a_refused_write_is_told_kept_and_delivered_once(
    homes: Homes, offsite: Warehouse, caplog: pytest.LogCaptureFixture
) -> None:
    refused = pytest.raises(WrongHomeError, match=r"'users' is written at 'aws', not at 'offsite'.*users is kept")
    with caplog.at_level(logging.ERROR), refused, correlated("request-7"):  # noqa: SIM117
        with offsite.write_pool("users").connection() as connection:
            # Reading goes on working.
            assert connection.execute("SELECT count(*) AS n FROM users").fetchone() == {"n": 0}
            connection.execute(USER, ("01USER", MAIL, WHEN))
            pytest.fail("written")
    assert "table users of group users at offsite, correlation id request-7" in caplog.text
    assert homes.waiting(homes.offsite) == [("users", "users", "aws", "request-7", True, 0)]
    assert homes.rows(homes.offsite, "SELECT * FROM users") == []
    assert [item.outcome for item in misrouted.recover(homes.offsite, homes.aws, "offsite")] == ["delivered"]
    assert misrouted.recover(homes.offsite, homes.aws, "offsite") == []
    expected = [("01USER", MAIL, WHEN)]
    assert homes.rows(homes.aws, "SELECT user_id, email, created_at FROM users") == expected
    # Delivered, and not noted before a crash: known there, carried out no second time.
    homes.rows(homes.offsite, "UPDATE misrouted_writes SET delivered_at = NULL RETURNING 1")
    assert [item.outcome for item in misrouted.recover(homes.offsite, homes.aws, "offsite")] == ["known"]
    assert homes.rows(homes.aws, "SELECT user_id, email, created_at FROM users") == expected
    assert homes.waiting(homes.offsite) == [("users", "users", "aws", "request-7", False, 2)]


def test_rows_of_a_copy_are_kept_whole(homes: Homes, offsite: Warehouse) -> None:
    rows = [(f"01USER{number}", MAIL if number % 2 else None, WHEN) for number in range(500)]
    with pytest.raises(WrongHomeError), offsite.write_pool("users").connection() as connection:
        copy_new(connection, "users", ("user_id", "email", "created_at"), iter(rows))
    assert [item.outcome for item in misrouted.recover(homes.offsite, homes.aws, "offsite")] == ["delivered"]
    found = homes.rows(homes.aws, "SELECT user_id, email, created_at FROM users ORDER BY length(user_id), user_id")
    assert found == rows


def test_the_database_refuses_a_table_of_the_other_home_under_a_group_of_this_one(
    homes: Homes, offsite: Warehouse
) -> None:
    """The code is told the wrong group; the role has no right all the same."""
    with pytest.raises(WrongHomeError, match="'users' is written at 'aws'") as caught:  # noqa: SIM117
        with offsite.write_pool("reference").connection() as connection, connection.cursor() as cursor:
            connection.execute("INSERT INTO securities (entity_id, asset_class, name) VALUES ('1', 'equity', 'A')")
            cursor.executemany(USER, [("01A", "a", WHEN), ("01B", "b", WHEN)])
    assert isinstance(caught.value.__cause__, InsufficientPrivilege)
    # The transaction is gone as a whole; what was refused in it is delivered.
    assert homes.rows(homes.offsite, "SELECT * FROM securities") == []
    misrouted.recover(homes.offsite, homes.aws, "offsite")
    assert homes.rows(homes.aws, "SELECT user_id FROM users ORDER BY 1") == [("01A",), ("01B",)]


def test_even_a_superuser_without_the_role_is_refused_by_the_code(homes: Homes, offsite: Warehouse) -> None:
    with pytest.raises(WrongHomeError) as caught, offsite.write_pool("users").connection() as connection:
        connection.execute("SET ROLE NONE")
        assert connection.execute("SHOW is_superuser").fetchone() == {"is_superuser": "on"}
        connection.execute(sql.SQL("INSERT INTO {} (user_id) VALUES ('01A')").format(sql.Identifier("users")))
    assert isinstance(caught.value.__cause__, ReadOnlySqlTransaction)
    assert homes.waiting(homes.offsite) == [("users", "users", "aws", None, True, 0)]


@pytest.mark.parametrize("place", ["aws", "offsite"])
def test_a_login_of_the_application_cannot_write_what_is_not_its_own(homes: Homes, place: str) -> None:
    """Whatever program it is: no way through the code of this project."""
    foreign = {
        "aws": "INSERT INTO rate_limits VALUES ('x', now())",
        "offsite": "INSERT INTO users (user_id) VALUES ('1')",
    }
    own = {"aws": foreign["offsite"], "offsite": foreign["aws"]}
    options = f"-c search_path=signaldelta -c role={APPLICATION}"
    with psycopg.connect(getattr(homes, place), autocommit=True, options=options) as connection:
        connection.execute(own[place])  # type: ignore[call-overload]
        with pytest.raises(InsufficientPrivilege):
            connection.execute(foreign[place])  # type: ignore[call-overload]
        for statement in (
            "UPDATE raw_records SET form = form",
            "DELETE FROM backtest_runs",
            "TRUNCATE iald_signals",
            "ALTER TABLE users ADD COLUMN x int",
            "DROP TRIGGER raw_records_frozen ON raw_records",
            "SET session_replication_role = replica",
            "CREATE TABLE signaldelta.mine (x int)",
        ):
            with pytest.raises(InsufficientPrivilege):
                connection.execute(statement)  # type: ignore[call-overload]


def test_a_refusal_for_another_reason_is_no_misrouted_write(homes: Homes, offsite: Warehouse) -> None:
    with pytest.raises(InsufficientPrivilege), offsite.write_pool("collection").connection() as connection:
        connection.execute("UPDATE raw_records SET form = 'x'")
    with pytest.raises(ReadOnlySqlTransaction), offsite.read_pool().connection() as connection:
        connection.execute("INSERT INTO rate_limits VALUES ('x', now())")
    assert homes.waiting(homes.offsite) == []


def test_what_cannot_be_delivered_stays_and_stops_nothing_else(homes: Homes, offsite: Warehouse) -> None:
    for key, user in (("01K", "01NOBODY"), ("01L", "01USER")):
        with pytest.raises(WrongHomeError), offsite.write_pool("users").connection() as connection:
            connection.execute(
                "INSERT INTO api_keys (api_key_id, user_id, prefix, key_hash, name) VALUES (%s, %s, 'p', %s, 'n')",
                (key, user, key.lower().ljust(64, "0")),
            )
    with Warehouse(homes.aws, place="aws") as aws, aws.write_pool("users").connection() as connection:
        connection.execute(USER, ("01USER", "a", WHEN))
    first, second = misrouted.recover(homes.offsite, homes.aws, "offsite")
    assert (first.outcome, second.outcome) == ("failed", "delivered")
    assert first.error is not None and "fk_api_keys_user_id" in first.error
    assert homes.rows(homes.offsite, "SELECT last_error LIKE '%fk_api_keys_user_id%', attempts FROM misrouted_writes"
                                     " WHERE delivered_at IS NULL") == [(True, 1)]  # fmt: skip
    with Warehouse(homes.aws, place="aws") as aws, aws.write_pool("users").connection() as connection:
        connection.execute(USER, ("01NOBODY", "b", WHEN))
    assert [item.outcome for item in misrouted.recover(homes.offsite, homes.aws, "offsite")] == ["delivered"]


def test_a_group_that_nobody_registered_is_refused_at_once(homes: Homes, offsite: Warehouse) -> None:
    with pytest.raises(WrongHomeError, match="'nonsense' is not in the registry"):
        offsite.write_pool("nonsense")
