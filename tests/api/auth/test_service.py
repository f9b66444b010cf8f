"""Two processes of the API over one PostgreSQL: keys, revocation, rotation, limits and the log, as users meet them."""

from __future__ import annotations

import os
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
from typer.testing import CliRunner

from api.auth import make_key
from signaldelta_assets.cli import app as command
from signaldelta_assets.cli.users import first_key
from signaldelta_assets.warehouse import PoolLimits, Warehouse
from signaldelta_assets.warehouse.stores import request_counts, users
from signaldelta_assets.warehouse.stores.request_counts import Allowance
from tests.api.auth.provider import AUDIENCE, Provider, serving
from tests.paths import BIN
from tests.ports import free_port

pytestmark = [pytest.mark.postgres, pytest.mark.platform]
ME = "/api/v2/users/me"
KEYS = f"{ME}/keys"


@dataclass
class Service:
    """Clients of both processes, their logs, and the provider of tokens."""

    first: httpx.Client
    second: httpx.Client
    provider: Provider
    logs: list[Path]


@pytest.fixture(scope="module")
def service(postgres_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    folder = tmp_path_factory.mktemp("service")
    with serving(Provider()) as provider:
        variables = {
            "SIGNALDELTA_DATABASE_URL": postgres_url,
            "SIGNALDELTA_HOME": str(folder),
            "SIGNALDELTA_FIREBASE_PROJECT": AUDIENCE,
            "SIGNALDELTA_FIREBASE_ISSUER": "https://issuer.test",
            "SIGNALDELTA_FIREBASE_KEYS_URL": provider.url,
            "SIGNALDELTA_REFUSED_CREDENTIALS": "1000",
        }
        ports, logs, running = [free_port(), free_port()], [folder / "first.log", folder / "second.log"], []
        for port, log in zip(ports, logs, strict=True):
            line = [BIN / "signaldelta", "api", "--port", str(port)]
            with log.open("wb") as out:
                running.append(subprocess.Popen(line, env=os.environ | variables, stdout=out, stderr=out))
        clients = [httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30) for port in ports]
        for client, process, log in zip(clients, running, logs, strict=True):
            for _ in range(600):
                assert process.poll() is None, log.read_text()
                try:
                    if client.get("/health").is_success:
                        break
                except httpx.ConnectError:
                    time.sleep(0.1)
        yield Service(clients[0], clients[1], provider, logs)
        for client, process in zip(clients, running, strict=True):
            client.close()
            process.terminate()
        for process in running:
            process.wait(20)


def new_user(warehouse: Warehouse, tier: str = "research", admin: bool = False) -> str:
    return users.create_user(
        warehouse, tier=tier, admin=admin, email=None, name=None, subject=None, actor=users.OPERATOR
    )


def new_key(warehouse: Warehouse, user_id: str, *scopes: str, **more: Any) -> dict[str, str]:
    """The header of a new key."""
    made = make_key()
    key = users.NewKey(made.prefix, made.key_hash, "test", scopes or ("read", "write"), **more)
    users.create_key(warehouse, user_id, key, users.OPERATOR)
    return {"X-API-Key": made.text}


def status(client: httpx.Client, headers: dict[str, str], path: str = ME) -> int:
    return client.get(path, headers=headers).status_code


class TestKeys:
    def test_a_key_is_shown_once_and_kept_as_a_hash(
        self, service: Service, warehouse: Warehouse, postgres_url: str
    ) -> None:
        owner = new_key(warehouse, new_user(warehouse))
        answer = service.first.post(KEYS, headers=owner, json={"name": "notebook", "scopes": ["read"]})
        assert answer.status_code == 201 and answer.headers["cache-control"] == "no-store", answer.text
        made = answer.json()
        key = {"X-API-Key": made["key"]}
        assert service.second.get(ME, headers=key).json()["scopes"] == ["read"]
        listed = service.second.get(KEYS, headers=key, params={"prefix": made["prefix"][:6]}).json()["data"]
        assert [one["api_key_id"] for one in listed] == [made["api_key_id"]] and "key" not in listed[0]
        assert listed[0]["last_used_at"] and listed[0]["live"]
        secret = made["key"].rpartition("_")[2]
        with psycopg.connect(postgres_url) as connection:
            for table in ("api_keys", "user_activity", "users"):
                for row in connection.execute(f"SELECT t::text FROM signaldelta.{table} t").fetchall():
                    assert secret not in row[0], table
        assert all(secret not in log.read_text() for log in service.logs)

    def test_a_revoked_key_is_refused_by_the_other_process_at_its_next_request(
        self, service: Service, warehouse: Warehouse
    ) -> None:
        user_id = new_user(warehouse)
        owner, doomed = new_key(warehouse, user_id), new_key(warehouse, user_id)
        [key_id] = [row["api_key_id"] for row in users.list_keys(warehouse, user_id) if row["prefix"] in str(doomed)]
        assert status(service.second, doomed) == 200
        assert service.first.delete(f"{KEYS}/{key_id}", headers=owner).status_code == 204
        assert status(service.second, doomed) == status(service.first, doomed) == 401
        assert service.first.delete(f"{KEYS}/{key_id}", headers=owner).status_code == 204, "again changes nothing"
        users.disable_user(warehouse, user_id, users.OPERATOR)
        assert status(service.second, owner) == 401

    def test_rotation_overlaps_as_long_as_said(self, service: Service, warehouse: Warehouse) -> None:
        user_id = new_user(warehouse, "entry")
        old = new_key(warehouse, user_id)
        [key_id] = [row["api_key_id"] for row in users.list_keys(warehouse, user_id)]
        answer = service.first.post(f"{KEYS}/{key_id}/rotate", headers=old, json={"overlap_seconds": 2})
        rotated = time.monotonic()
        assert answer.status_code == 201, answer.text
        new = {"X-API-Key": answer.json()["key"]}
        assert answer.json()["replaces"] == key_id and answer.json()["scopes"] == ["read", "write"]
        assert status(service.second, old) == status(service.second, new) == 200
        again = service.second.post(f"{KEYS}/{answer.json()['api_key_id']}/rotate", headers=new)
        assert again.status_code == 409, "a place has two valid keys at most"
        assert service.first.post(KEYS, headers=new, json={"name": "x"}).status_code == 403, "entry has one key"
        time.sleep(max(0.0, 2.1 - (time.monotonic() - rotated)))
        assert (status(service.second, old), status(service.second, new)) == (401, 200)

    def test_others_keys_are_not_there(self, service: Service, warehouse: Warehouse) -> None:
        mine, theirs = new_user(warehouse), new_user(warehouse)
        header, other = new_key(warehouse, mine), new_key(warehouse, theirs)
        [key_id] = [row["api_key_id"] for row in users.list_keys(warehouse, theirs)]
        assert service.first.delete(f"{KEYS}/{key_id}", headers=header).status_code == 404
        assert service.first.post(f"{KEYS}/{key_id}/rotate", headers=header).status_code == 404
        assert service.first.get(KEYS, headers=header).json()["data"][0]["api_key_id"] != key_id
        assert status(service.first, other) == 200
        told = users.activity(warehouse, mine)
        assert [(row["detail"]["method"], row["detail"]["status"]) for row in told[:2]] == [
            ("POST", 404),
            ("DELETE", 404),
        ]

    def test_a_key_makes_no_key_that_may_more(self, service: Service, warehouse: Warehouse) -> None:
        boss = new_user(warehouse, admin=True)
        writer = new_key(warehouse, boss, "read", "write")
        for wanted in (["admin"], ["read", "admin"]):
            answer = service.first.post(KEYS, headers=writer, json={"name": "x", "scopes": wanted})
            assert answer.status_code == 403, answer.text
        admin = new_key(warehouse, boss, "read", "write", "admin")
        [key_id] = [row["api_key_id"] for row in users.list_keys(warehouse, boss) if "admin" in row["scopes"]]
        assert service.first.post(f"{KEYS}/{key_id}/rotate", headers=writer).status_code == 403
        assert service.first.post(KEYS, headers=admin, json={"name": "x", "scopes": ["admin"]}).status_code == 201

    def test_a_key_makes_no_key_that_may_more_often(self, service: Service, warehouse: Warehouse) -> None:
        small = new_key(warehouse, new_user(warehouse), "read", "write", requests_per_hour=7)
        more = service.first.post(KEYS, headers=small, json={"name": "x", "requests_per_hour": 8})
        assert more.status_code == 403 and "at most 7" in more.json()["detail"], more.text
        for asked, given in ((None, 7), (5, 5)):
            made = service.first.post(KEYS, headers=small, json={"name": "x", "requests_per_hour": asked})
            assert (made.status_code, made.json()["requests_per_hour"]) == (201, given), made.text

    @pytest.mark.parametrize(
        "body",
        [
            {"name": "a\r\nX-Injected: 1"},
            {"name": ""},
            {"name": "x", "scopes": ["root"]},
            {"name": "x", "expires_at": "2020-01-01T00:00:00Z"},
            {"name": "x", "user_id": "somebody-else"},
        ],
    )
    def test_a_bad_wish_is_named(self, service: Service, warehouse: Warehouse, body: dict[str, Any]) -> None:
        owner = new_key(warehouse, new_user(warehouse))
        answer = service.first.post(KEYS, headers=owner, json=body)
        assert answer.status_code == 422 and answer.json()["errors"], answer.text

    def test_the_number_of_keys_is_exact_whoever_asks_at_once(self, service: Service, warehouse: Warehouse) -> None:
        user_id = new_user(warehouse, "professional")
        owner = new_key(warehouse, user_id)
        with ThreadPoolExecutor(8) as pool:
            made = [
                pool.submit(lambda c=client: c.post(KEYS, headers=owner, json={"name": "x"}).status_code)
                for client in [service.first, service.second] * 6
            ]
        assert Counter(one.result() for one in made) == {201: 2, 403: 10}
        assert sum(row["live"] for row in users.list_keys(warehouse, user_id)) == 3


class TestLimits:
    def test_exactly_as_many_pass_as_the_tier_has(self, service: Service, warehouse: Warehouse) -> None:
        """100 of 160 in an hour, sixteen at a time at two processes, by a key and another way in the same count."""
        owner = new_key(warehouse, new_user(warehouse, "entry"))
        with ThreadPoolExecutor(16) as pool:
            sent = [pool.submit(status, client, owner) for client in [service.first, service.second] * 80]
        assert Counter(one.result() for one in sent) == {200: 100, 429: 60}
        over = service.second.get(ME, headers=owner)
        assert 3500 < int(over.headers["retry-after"]) <= 3600 and over.headers["ratelimit-limit"] == "100"

    def test_a_key_may_have_less_and_does_not_use_up_the_user(self, service: Service, warehouse: Warehouse) -> None:
        user_id = new_user(warehouse)
        small, large = new_key(warehouse, user_id, requests_per_hour=7), new_key(warehouse, user_id)
        with ThreadPoolExecutor(8) as pool:
            sent = [pool.submit(status, client, small) for client in [service.first, service.second] * 10]
        assert Counter(one.result() for one in sent) == {200: 7, 429: 13}
        answer = service.first.get(ME, headers=large)
        assert answer.headers["ratelimit-policy"].endswith('"user";q=10000;w=3600')
        standing = request_counts.standing(warehouse, Allowance("user", user_id, 10_000, 3600))
        assert standing.used == 8, "what the key was refused was counted for nobody"

    def test_a_key_that_is_rotated_has_no_more_than_before(self, service: Service, warehouse: Warehouse) -> None:
        header = new_key(warehouse, new_user(warehouse), requests_per_hour=7)
        for _ in range(2):
            key_id = service.first.get(KEYS, headers=header).json()["data"][0]["api_key_id"]
            made = service.first.post(f"{KEYS}/{key_id}/rotate", headers=header, json={"overlap_seconds": 0})
            assert made.status_code == 201, made.text
            header = {"X-API-Key": made.json()["key"]}
        sent = [status(client, header) for client in [service.first, service.second] * 2]
        assert sent == [200, 200, 200, 429], "four were spent by the keys before it"

    def test_a_window_ends_and_the_next_begins(self, warehouse: Warehouse) -> None:
        two = Allowance("user", "window", 2, 1)
        passed = [request_counts.count(warehouse, [two])[-1].within for _ in range(4)]
        time.sleep(1.05)
        assert [*passed, request_counts.count(warehouse, [two])[-1].within] == [True, True, False, False, True]
        assert not request_counts.count(warehouse, [Allowance("user", "none", 0, 1)])[-1].within
        assert request_counts.forget(warehouse, 1) == 0

    def test_a_request_counts_for_all_or_for_none(self, warehouse: Warehouse) -> None:
        every = [
            Allowance("address", "whole", 50, 60),
            Allowance("key", "whole", 3, 60),
            Allowance("user", "whole", 1, 60),
        ]
        assert [one.within for one in request_counts.count(warehouse, every)] == [True] * 3
        for _ in range(3):
            *_, last = request_counts.count(warehouse, every)
            assert (last.allowance.scope, last.within, last.used) == ("user", False, 1)
        assert [request_counts.standing(warehouse, one).used for one in every] == [1, 1, 1]
        barred = Allowance("refused", "whole", 1, 60)
        assert request_counts.count(warehouse, every[:1], barred)[-1].within
        request_counts.count(warehouse, [barred])
        assert request_counts.count(warehouse, every[:1], barred)[-1].allowance == barred
        assert request_counts.standing(warehouse, every[0]).used == 2

    @pytest.mark.parametrize("known", [False, True])
    def test_at_once_exactly_as_many_pass_and_count(self, postgres_url: str, known: bool) -> None:
        """Rows that are not there yet cannot be locked; those that are count the refused for nobody."""
        with Warehouse(postgres_url, limits=PoolLimits(8)) as shared, ThreadPoolExecutor(8) as pool:
            for turn in range(20):
                name = f"{known}-{turn}"
                address, user = Allowance("address", name, 100, 60), Allowance("user", name, 3, 60)
                passed = sum(request_counts.count(shared, [address, user])[-1].within for _ in range(known))
                sent = [pool.submit(request_counts.count, shared, [user, address]) for _ in range(8)]
                passed += sum(all(found.within for found in one.result()) for one in sent)
                assert passed == 3
                assert not known or request_counts.standing(shared, address).used == 3

    def test_counting_waits_for_no_snapshot(self, postgres_url: str) -> None:
        """`quiesce` waits for writers, and writers wait behind it: requests must not."""
        with (
            Warehouse(postgres_url) as writer,
            writer.write_pool("signals").connection(),
            Warehouse(postgres_url, limits=PoolLimits(lock_seconds=1.5)) as freezer,
            Warehouse(postgres_url, limits=PoolLimits(lock_seconds=0.5)) as counter,
            ThreadPoolExecutor(1) as pool,
        ):
            waiting = pool.submit(freezer.quiesce)
            time.sleep(0.2)
            assert request_counts.count(counter, [Allowance("user", "quick", 5, 60)])[-1].within
            with pytest.raises(psycopg.errors.LockNotAvailable):
                waiting.result(10)


class TestTokens:
    def test_first_sight_makes_one_user_however_many_requests_come_at_once(
        self, service: Service, warehouse: Warehouse
    ) -> None:
        token = {"Authorization": f"Bearer {service.provider.token(sub='first-sight', email='a@b.test')}"}
        with ThreadPoolExecutor(8) as pool:
            sent = [pool.submit(c.get, ME, headers=token) for c in [service.first, service.second] * 4]
        bodies = [one.result().json() for one in sent]
        assert len({body["user_id"] for body in bodies}) == 1 and bodies[0]["tier"] == "free"
        [row] = [row for row in users.list_users(warehouse) if row["subject"] == "first-sight"]
        assert row["email"] is None, "an address that the provider has not verified is nobody's"
        assert service.first.post(KEYS, headers=token, json={"name": "x"}).status_code == 403, "free has no keys"
        users.set_tier(warehouse, row["user_id"], "entry", users.OPERATOR)
        assert service.second.post(KEYS, headers=token, json={"name": "x"}).status_code == 201


class TestAudit:
    def test_changes_and_refusals_are_told_with_who_and_which_request(
        self, service: Service, warehouse: Warehouse
    ) -> None:
        user_id = new_user(warehouse, "entry")
        owner = new_key(warehouse, user_id)
        reader = {"X-Request-ID": "mine-1"} | owner
        assert service.first.get("/api/v2/backtests/x/artifacts/y", headers=reader).status_code == 403
        refused = users.activity(warehouse, user_id)[0]
        assert (refused["kind"], refused["correlation_id"]) == ("request.refused", "mine-1")
        assert refused["subject"] == "/api/v2/backtests/{run}/artifacts/{name}"
        assert refused["detail"]["by"] == "key" and refused["detail"]["outcome"] == "refused"
        [key_id] = [row["api_key_id"] for row in users.list_keys(warehouse, user_id)]
        gone = service.first.delete(f"{KEYS}/{key_id}", headers={"X-Request-ID": "mine-2"} | owner)
        assert gone.status_code == 204
        told = users.activity(warehouse, user_id)[0]
        assert (told["kind"], told["subject"], told["correlation_id"]) == ("key.revoked", key_id, "mine-2")
        anonymous = service.first.get("/status", headers={"X-Request-ID": "mine-3"})
        assert anonymous.status_code == 401
        newest = users.activity(warehouse)[0]
        assert (newest["user_id"], newest["correlation_id"], newest["subject"]) == (None, "mine-3", "/status")


class TestCommands:
    def test_the_first_administrator_is_made_once(self, make_postgres_url: Any) -> None:
        with Warehouse(make_postgres_url()) as warehouse, ThreadPoolExecutor(4) as pool:
            made = [one for one in pool.map(lambda _: first_key(warehouse), range(4)) if one]
            [row] = users.list_users(warehouse)
            assert len(made) == 1 and row["is_admin"] and row["keys"] == 1

    def test_users_and_keys_from_a_terminal(
        self,
        service: Service,
        warehouse: Warehouse,
        postgres_url: str,
        monkeypatch: pytest.MonkeyPatch,
        tmp_path: Path,
    ) -> None:
        monkeypatch.setenv("SIGNALDELTA_DATABASE_URL", postgres_url)
        monkeypatch.setenv("SIGNALDELTA_HOME", str(tmp_path))

        def run(*arguments: str, code: int = 0) -> str:
            done = CliRunner().invoke(command, arguments)
            assert done.exit_code == code, done.output
            return done.output.strip()

        user_id = run("users", "create", "--tier", "entry", "--name", "desk")
        key = {"X-API-Key": run("keys", "create", user_id, "--scope", "read")}
        assert status(service.first, key) == 200
        assert "2 in use" not in run("keys", "create", user_id, code=2)
        run("users", "set-tier", user_id, "research")
        assert service.first.get(ME, headers=key).json()["tier"] == "research"
        assert "desk" in run("users", "list")
        [key_id] = [row["api_key_id"] for row in users.list_keys(warehouse, user_id)]
        assert key_id in run("keys", "list", "--user", user_id)
        run("keys", "revoke", key_id)
        assert status(service.first, key) == 401
        run("keys", "revoke", "nothing", code=2)
        run("users", "disable", "nobody", code=2)
        assert "/api/v2/users/me/keys" in run("routes", "--markdown") and "public" in run("routes")
