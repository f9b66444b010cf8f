"""What is remembered of a key never stands against what the database says of it now, and never counts wrongly."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest
from starlette.requests import Request

from api.accounts import Accounts
from api.auth import Access, Limits, Principal, make_key
from api.auth.desk import Desk
from api.auth.resolving import Resolver
from api.auth.seen import seen_of
from api.problems import ProblemError
from signaldelta_assets.warehouse import Warehouse
from signaldelta_assets.warehouse.postgres import plain_url
from signaldelta_assets.warehouse.stores import request_counts, users

pytestmark = pytest.mark.postgres


class Watched(Accounts):
    """Counts how often keys were read."""

    reads = 0

    def keys_of_prefixes(self, prefixes: Any) -> Any:
        Watched.reads += 1
        return super().keys_of_prefixes(prefixes)


@pytest.fixture(scope="module")
def warehouse(postgres_url: str) -> Iterator[Warehouse]:
    with Warehouse(postgres_url) as opened:
        yield opened


@pytest.fixture
def desk(warehouse: Warehouse) -> Desk:
    accounts = Watched(warehouse)
    Watched.reads = 0
    access = Access(Resolver(accounts, None), accounts, accounts, Limits(refused=1000))
    assert access.desk is not None
    return access.desk


class Caller:
    def __init__(self, warehouse: Warehouse, per_hour: int | None = None) -> None:
        self.user = users.create_user(
            warehouse, tier="research", admin=False, email=None, name="x", subject=None, actor=users.OPERATOR
        )
        self.key = make_key()
        new = users.NewKey(self.key.prefix, self.key.key_hash, "x", ("read",), requests_per_hour=per_hour)
        self.key_id = users.create_key(warehouse, self.user, new, users.OPERATOR)["api_key_id"]

    def request(self, text: str | None = None) -> Request:
        headers = [(b"x-api-key", (text or self.key.text).encode())]
        return Request({"type": "http", "method": "GET", "path": "/", "headers": headers,
                        "client": ("127.0.0.9", 1), "state": {}})  # fmt: skip

    def used(self, warehouse: Warehouse) -> int:
        return request_counts.standing(warehouse, request_counts.Allowance("user", self.user, 100, 3600)).used


def asked(desk: Desk, *requests: Request) -> list[Principal | BaseException]:
    async def all_of_them() -> Any:
        return await asyncio.gather(*(desk.admit(request) for request in requests), return_exceptions=True)

    found: list[Principal | BaseException] = asyncio.run(all_of_them())
    return found


def status(outcome: Principal | BaseException) -> int:
    if isinstance(outcome, ProblemError):
        return outcome.status_code
    assert isinstance(outcome, Principal)
    return 200


def test_a_known_key_is_not_read_again(desk: Desk, warehouse: Warehouse) -> None:
    caller = Caller(warehouse)
    asked(desk, caller.request())
    # The first use is noted with the key, which makes it another version.
    asked(desk, caller.request())
    read = Watched.reads
    assert [status(one) for one in asked(desk, *(caller.request() for _ in range(5)))] == [200] * 5
    assert Watched.reads == read and caller.used(warehouse) == 7


CHANGES: dict[str, tuple[str, int]] = {
    "revoked": ("UPDATE api_keys SET revoked_at = clock_timestamp() WHERE api_key_id = %(key)s", 401),
    "expired": ("UPDATE api_keys SET expires_at = clock_timestamp() WHERE api_key_id = %(key)s", 401),
    "another secret": ("UPDATE api_keys SET key_hash = repeat('0', 64) WHERE api_key_id = %(key)s", 401),
    "no scope": ("UPDATE api_keys SET scopes = '{write}' WHERE api_key_id = %(key)s", 403),
    "disabled": ("UPDATE users SET disabled_at = clock_timestamp() WHERE user_id = %(user)s", 401),
    "fewer for the key": ("UPDATE api_keys SET requests_per_hour = 2 WHERE api_key_id = %(key)s", 429),
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_changes_is_so_at_the_next_request(desk: Desk, warehouse: Warehouse, change: str) -> None:
    caller, other = Caller(warehouse, per_hour=50), Caller(warehouse)
    for _ in range(3):
        asked(desk, caller.request(), other.request())
    statement, expected = CHANGES[change]
    with warehouse.state_pool("users").connection() as connection:
        connection.execute(statement, {"key": caller.key_id, "user": caller.user})
    before = caller.used(warehouse)
    refused, let_in = asked(desk, caller.request(), other.request())
    assert (status(refused), status(let_in)) == (expected, 200)
    assert caller.used(warehouse) == before + (expected == 403), "a key without a scope is one that counts"
    assert other.used(warehouse) == 4, "who stands beside is counted once"


def test_what_a_tier_gives_is_so_at_the_next_request(make_postgres_url: Callable[[], str]) -> None:
    url = make_postgres_url()
    with Warehouse(url) as warehouse:
        accounts = Accounts(warehouse)
        desk = Access(Resolver(accounts, None), accounts, accounts).desk
        assert desk is not None
        caller = Caller(warehouse)
        requests = [caller.request() for _ in range(4)]
        for request in requests[:3]:
            asked(desk, request)
        with psycopg.connect(plain_url(url), autocommit=True) as connection:
            connection.execute(
                "UPDATE signaldelta.tier_entitlements SET value = '4' WHERE tier = 'research' AND entitlement ="
                " 'requests_per_hour'"
            )
        asked(desk, requests[3])
        last = {one.allowance.scope: one for one in seen_of(requests[3].scope).counted}["user"]
        assert (last.allowance.allowed, last.used) == (4, 4)
        assert status(asked(desk, caller.request())[0]) == 429
        # More than a counter holds is as many as it does.
        with psycopg.connect(plain_url(url), autocommit=True) as connection:
            connection.execute(
                "UPDATE signaldelta.tier_entitlements SET value = '1e12' WHERE tier = 'research' AND entitlement ="
                " 'requests_per_hour'"
            )
        assert status(asked(desk, caller.request())[0]) == 200


def test_a_wrong_secret_for_a_known_prefix_is_a_guess(desk: Desk, warehouse: Warehouse) -> None:
    caller = Caller(warehouse)
    for _ in range(3):
        asked(desk, caller.request())
    wrong = caller.request(caller.key.text[:-1] + ("a" if caller.key.text[-1] != "a" else "b"))
    guesses = request_counts.Allowance("refused", "127.0.0.9", 1000, 600)
    before = request_counts.standing(warehouse, guesses).used
    found = asked(desk, wrong, caller.request())
    assert [status(one) for one in found] == [401, 200]
    assert request_counts.standing(warehouse, guesses).used == before + 1
    assert caller.used(warehouse) == 4 and seen_of(wrong.scope).reason == "unknown key"


def test_where_some_do_not_pass_the_others_do(desk: Desk, warehouse: Warehouse) -> None:
    few, many = Caller(warehouse, per_hour=3), Caller(warehouse)
    for _ in range(2):
        asked(desk, few.request(), many.request())
    found = asked(desk, *(caller.request() for caller in (few, few, many, many)))
    assert sorted(map(status, found)) == [200, 200, 200, 429]
    assert few.used(warehouse) == 3 and many.used(warehouse) == 4


def test_the_keys_of_another_home_are_read_each_time(warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch) -> None:
    accounts = Accounts(warehouse)
    caller = Caller(warehouse)
    assert accounts.keys_of_prefixes([caller.key.prefix])[caller.key.prefix].version
    monkeypatch.setattr(warehouse, "place", "offsite")
    assert accounts.keys_of_prefixes([caller.key.prefix])[caller.key.prefix].version is None


def test_what_is_lifted_is_lifted_at_the_next_request(desk: Desk, warehouse: Warehouse) -> None:
    caller = Caller(warehouse)
    for moment, expected in (("clock_timestamp()", 401), ("NULL", 200)):
        with warehouse.state_pool("users").connection() as connection:
            connection.execute(f"UPDATE users SET disabled_at = {moment} WHERE user_id = %s", (caller.user,))
        request = caller.request()
        assert status(asked(desk, request)[0]) == expected
    assert seen_of(request.scope).reason is None, "nothing is told of a request that was let in"
