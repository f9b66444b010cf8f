"""The room without a database and without our routes: tokens and keys, good and hostile, tiers, limits, the log."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from fastapi import FastAPI
from fastapi.testclient import TestClient

from api import problems
from api.auth import (
    TIERS,
    Access,
    AccessMiddleware,
    KeySource,
    Limits,
    PrincipalOf,
    TokenVerifier,
    admit_scraper,
    client_address,
    make_key,
    prefix_of,
    public,
    require_admin,
    require_feature,
    require_tier,
)
from api.auth.resolving import Resolver
from api.auth.stores import AuditLogError
from api.auth.tokens import KeysUnavailableError, TokenError
from api.correlation import CorrelationMiddleware
from signaldelta_assets.warehouse.tables import users as tables
from tests.api.auth.provider import AUDIENCE, ISSUER, MemoryUsers, Provider, serving, user

NOW = datetime.now(UTC)


@pytest.fixture(scope="module")
def provider() -> Iterator[Provider]:
    with serving(Provider()) as running:
        yield running


@pytest.fixture
def verifier(provider: Provider) -> TokenVerifier:
    return TokenVerifier(KeySource(provider.url), issuer=ISSUER, audience=AUDIENCE)


@pytest.fixture
def store() -> MemoryUsers:
    return MemoryUsers()


def nothing() -> dict[str, str]:
    return {}


def application(store: MemoryUsers, verifier: TokenVerifier | None = None, limits: Limits | None = None) -> FastAPI:
    app = FastAPI()
    access = Access(Resolver(store, verifier), store, store, limits or Limits())
    app.state.access = access
    app.add_middleware(AccessMiddleware, access=access)
    problems.install(app)

    @app.get("/me", dependencies=[require_tier("free")])
    def me(principal: PrincipalOf) -> dict[str, Any]:
        return {"user_id": principal.user_id, "tier": principal.tier, "by": principal.by, "admin": principal.is_admin}

    for path, dependency in {
        "/entry": require_tier("entry"), "/research": require_tier("research"), "/admin": require_admin(),
        "/bulk": require_feature("bulk_export"), "/open": public("for the test"),
    }.items():  # fmt: skip
        app.add_api_route(path, nothing, dependencies=[dependency])
    app.add_api_route("/change", nothing, methods=["POST"], dependencies=[require_tier("free")])
    return app


@pytest.fixture
def client(store: MemoryUsers, verifier: TokenVerifier) -> TestClient:
    return TestClient(application(store, verifier))


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def _segment(document: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(document).encode()).rstrip(b"=").decode()


def _unsigned(provider: Provider) -> str:
    return f"{_segment({'alg': 'none', 'kid': 'one'})}.{_segment(provider.claims())}."


def _signed_with_the_public_key(provider: Provider) -> str:
    """HS256 whose secret is the published key: what a library does that lets the token choose the algorithm."""
    pem = provider.keys["one"].public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )  # fmt: skip
    head = f"{_segment({'alg': 'HS256', 'kid': 'one'})}.{_segment(provider.claims())}"
    signature = hmac.digest(pem, head.encode(), hashlib.sha256)
    return f"{head}.{base64.urlsafe_b64encode(signature).rstrip(b'=').decode()}"


_STRANGER = rsa.generate_private_key(65537, 2048)
LATER, BEFORE = int(time.time()) + 3600, int(time.time()) - 3600
HOSTILE = {
    "alg none": _unsigned,
    "alg none in capitals": lambda p: _unsigned(p).replace(_segment({"alg": "none", "kid": "one"}), _segment({"alg": "NONE", "kid": "one"})),  # noqa: E501
    "hs256 with the public key": _signed_with_the_public_key,
    "another algorithm of ours": lambda p: jwt.encode(p.claims(), p.keys["one"], algorithm="RS512", headers={"kid": "one"}),  # noqa: E501
    "wrong key": lambda p: p.token(signer=_STRANGER),
    "its own key in the header": lambda p: p.token(
        signer=_STRANGER, header={"jwk": json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(_STRANGER.public_key()))}
    ),
    "unknown kid": lambda p: p.token(signer=_STRANGER, header={"kid": "two"}),
    "kid that is a path": lambda p: p.token(header={"kid": "../../etc/passwd"}),
    "no kid": lambda p: jwt.encode(p.claims(), p.keys["one"], algorithm="RS256"),
    "critical header": lambda p: p.token(header={"crit": ["exp"]}),
    "expired": lambda p: p.token(exp=BEFORE),
    "expires never": lambda p: p.token(exp=None),
    "expires in words": lambda p: p.token(exp="tomorrow"),
    "not yet issued": lambda p: p.token(iat=LATER),
    "not yet valid": lambda p: p.token(nbf=LATER),
    "authenticated later": lambda p: p.token(auth_time=LATER),
    "never authenticated": lambda p: p.token(auth_time=None),
    "wrong audience": lambda p: p.token(aud="another-project"),
    "audiences": lambda p: p.token(aud=[AUDIENCE, "another-project"]),
    "wrong issuer": lambda p: p.token(iss=f"{ISSUER}.evil.test"),
    "no subject": lambda p: p.token(sub=None),
    "empty subject": lambda p: p.token(sub=""),
    "long subject": lambda p: p.token(sub="x" * 129),
    "truncated": lambda p: p.token()[:-20],
    "half": lambda p: p.token().rpartition(".")[0],
    "changed": lambda p: p.token().replace(p.token().split(".")[1], _segment(p.claims(sub="admin"))),
    "huge": lambda p: p.token(note="x" * 20_000),
    "nonsense": lambda _: "a.b.c",
    "deep": lambda p: f"{base64.urlsafe_b64encode(b'[' * 4000).decode()}.e30.e30",
}  # fmt: skip


class TestTokens:
    def test_a_good_token_is_a_user_free_at_first_sight(self, client: TestClient, provider: Provider) -> None:
        answer = client.get("/me", headers=bearer(provider.token(sub="new-here")))
        assert answer.json() == {"user_id": "new-here", "tier": "free", "by": "token", "admin": False}

    @pytest.mark.parametrize("kind", HOSTILE)
    def test_a_hostile_token_is_refused_and_shown_nowhere(
        self, client: TestClient, store: MemoryUsers, provider: Provider, kind: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        token = HOSTILE[kind](provider)
        answer = client.get("/me", headers=bearer(token))
        assert answer.status_code == 401 and answer.json()["type"].endswith(":unauthenticated"), answer.text
        assert "Bearer" in answer.headers["www-authenticate"] and not store.subjects
        [line] = store.lines
        assert (line["kind"], line["status"], line["subject"]) == ("request.refused", 401, "/me")
        for part in (part for part in token.split(".") if len(part) > 8):
            assert part not in f"{answer.text} {line} {caplog.text}"

    def test_keys_are_fetched_once_and_again_when_one_is_not_known(self, provider: Provider) -> None:
        clock = [0.0]
        source = KeySource(provider.url, clock=lambda: clock[0])
        verifier = TokenVerifier(source, issuer=ISSUER, audience=AUDIENCE)
        before = provider.asked
        for _ in range(5):
            verifier.verify(provider.token())
        assert provider.asked == before + 1
        # Unknown names, as many as one likes: asked for once in ten seconds.
        for name in range(20):
            with pytest.raises(TokenError, match="unknown key"):
                verifier.verify(provider.token(header={"kid": f"k{name}"}))
        assert provider.asked == before + 1
        clock[0] += 11
        provider.rotate("two", keep=True)
        verifier.verify(provider.token("two"))
        assert provider.asked == before + 2
        provider.rotate("one")

    def test_a_withdrawn_key_ends_its_tokens_when_the_keys_are_asked_for_again(self, provider: Provider) -> None:
        clock = [0.0]
        provider.rotate("one", "two")
        verifier = TokenVerifier(KeySource(provider.url, clock=lambda: clock[0]), issuer=ISSUER, audience=AUDIENCE)
        old, exchanged = provider.token("two"), provider.token("one")
        verifier.verify(old), verifier.verify(exchanged)
        provider.rotate("one")
        clock[0] += provider.max_age + 1
        with pytest.raises(TokenError, match="unknown key"):
            verifier.verify(old)
        with pytest.raises(TokenError, match="InvalidSignature"):
            verifier.verify(exchanged)  # of the same name, with another key: what was remembered does not count

    def test_a_silent_provider(self, provider: Provider, store: MemoryUsers) -> None:
        clock, token = [0.0], provider.token()
        verifier = TokenVerifier(KeySource(provider.url, clock=lambda: clock[0]), issuer=ISSUER, audience=AUDIENCE)
        verifier.verify(token)
        provider.status = 500
        try:
            clock[0] += provider.max_age + 60
            verifier.verify(token)  # old keys serve for an hour more
            clock[0] += 3600
            with pytest.raises(KeysUnavailableError):
                verifier.verify(token)
            answer = TestClient(application(store, verifier)).get("/me", headers=bearer(token))
            assert answer.status_code == 503 and answer.headers["retry-after"]
        finally:
            provider.status = 200

    def test_a_verified_token_is_remembered_no_longer_than_it_lives(
        self, provider: Provider, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        clock = [time.time()]
        verifier = TokenVerifier(KeySource(provider.url), issuer=ISSUER, audience=AUDIENCE, clock=lambda: clock[0])
        token, decoded = provider.token(), []
        decode = jwt.decode
        monkeypatch.setattr(jwt, "decode", lambda *a, **k: decoded.append(1) or decode(*a, **k))
        for _ in range(5):
            verifier.verify(token)
        assert len(decoded) == 1
        clock[0] += 700
        with pytest.raises(TokenError, match="expired"):
            verifier.verify(token)

    def test_a_disabled_user_is_not_let_in_by_a_token_that_was_good(
        self, client: TestClient, store: MemoryUsers, provider: Provider
    ) -> None:
        token = provider.token(sub="leaver")
        assert client.get("/me", headers=bearer(token)).status_code == 200
        store.subjects["leaver"] = user("leaver", disabled=True)
        assert client.get("/me", headers=bearer(token)).status_code == 401
        assert store.lines[-1]["user_id"] == "leaver" and store.lines[-1]["reason"] == "disabled user"


class TestKeys:
    def test_a_key_has_256_bits_and_no_trace_of_itself(self) -> None:
        made = make_key()
        assert prefix_of(made.text) == made.prefix and made.text not in repr(made)
        secret = made.text.rpartition("_")[2]
        assert len(secret) == 43 and 62**43 > 2**256 and len({make_key().text for _ in range(100)}) == 100

    @pytest.mark.parametrize(
        ("more", "owner", "reason"),
        [
            ({"revoked_at": NOW}, user("u"), "revoked key"),
            ({"expires_at": NOW - timedelta(seconds=1)}, user("u"), "expired key"),
            ({}, user("u", disabled=True), "disabled user"),
            ({}, user("u", "free"), "the tier has no keys"),
        ],
    )
    def test_a_key_that_has_ended(
        self, client: TestClient, store: MemoryUsers, more: dict[str, Any], owner: Any, reason: str
    ) -> None:
        text = store.add(make_key(), owner, **more)
        answer = client.get("/me", headers={"X-API-Key": text})
        unknown = client.get("/me", headers={"X-API-Key": make_key().text})
        same = ("type", "detail", "status")
        assert [answer.json()[name] for name in same] == [unknown.json()[name] for name in same]
        assert (store.lines[0]["reason"], store.lines[0]["user_id"]) == (reason, "u")
        assert text not in str(store.lines) + answer.text

    def test_the_comparison_is_in_constant_time_and_of_hashes(
        self, client: TestClient, store: MemoryUsers, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        compared: list[tuple[str, str]] = []
        real = hmac.compare_digest
        monkeypatch.setattr(
            "api.auth.resolving.hmac.compare_digest", lambda a, b: compared.append((a, b)) or real(a, b)
        )
        text = store.add(make_key(), user("u"))
        assert client.get("/me", headers={"X-API-Key": text}).status_code == 200
        assert client.get("/me", headers={"X-API-Key": make_key().text}).status_code == 401
        assert (
            client.get("/me", headers={"X-API-Key": text[:-1] + ("a" if text[-1] != "a" else "b")}).status_code == 401
        )
        assert len(compared) == 5 and all(len(a) == len(b) == 64 for a, b in compared)

    @pytest.mark.parametrize(
        "headers",
        [
            [("x-api-key", "")],
            [("x-api-key", "sd_x")],
            [("x-api-key", "sd_aaaaaaaaaa_" + "x" * 43 + "\t")],
            [("x-api-key", "sd_aaaaaaaaaa_" + "ü" * 43)],
            [("x-api-key", "sd_%" + "' OR 1=1 --")],
            [("authorization", "Basic dXNlcjpwYXNz")],
            [("authorization", "Bearer")],
        ],
    )
    def test_what_is_no_key_asks_no_store(self, store: MemoryUsers, headers: list[tuple[str, str]]) -> None:
        store.keys_of_prefix = None  # type: ignore[assignment,method-assign]
        sent = [(name, value.encode("latin-1")) for name, value in headers]
        assert TestClient(application(store)).get("/me", headers=sent).status_code == 401  # type: ignore[arg-type]

    def test_two_credentials_are_none(self, client: TestClient, store: MemoryUsers, provider: Provider) -> None:
        text = store.add(make_key(), user("u"))
        for headers in (
            [("X-API-Key", text), ("Authorization", f"Bearer {provider.token()}")],
            [("X-API-Key", text), ("X-API-Key", text)],
        ):
            assert client.get("/me", headers=headers).status_code == 401

    def test_scopes(self, client: TestClient, store: MemoryUsers) -> None:
        boss = user("boss", "research", is_admin=True)
        reader, writer, admin = (
            {"X-API-Key": store.add(make_key(), boss, scopes)}
            for scopes in (["read"], ["read", "write"], ["read", "write", "admin"])
        )
        assert client.post("/change", headers=reader).status_code == 403
        assert store.lines[-1]["reason"] == "scope write" and store.lines[-1]["user_id"] == "boss"
        assert client.post("/change", headers=writer).status_code == 200
        assert [client.get("/admin", headers=one).status_code for one in (reader, writer, admin)] == [403, 403, 200]

    def test_last_use_is_noted_once_a_minute(self, client: TestClient, store: MemoryUsers) -> None:
        text = store.add(make_key(), user("u"))
        lately = store.add(make_key(), user("u"), last_used_at=datetime.now(UTC))
        for _ in range(5):
            client.get("/me", headers={"X-API-Key": text})
            client.get("/me", headers={"X-API-Key": lately})
        assert len(store.touched) == 1


class TestRequirements:
    def test_tiers_are_those_of_the_tables(self) -> None:
        assert TIERS == tables.TIERS
        for wrong in (lambda: require_tier("gold"), lambda: public("")):
            with pytest.raises(ValueError):
                wrong()

    @pytest.mark.parametrize(
        ("tier", "admin", "expected"),
        [
            ("entry", False, {"/me": 200, "/entry": 200, "/research": 403, "/admin": 403, "/bulk": 403, "/open": 200}),
            ("research", True, {"/me": 200, "/entry": 200, "/research": 200, "/admin": 200, "/bulk": 200}),
        ],
    )
    def test_what_a_tier_may(
        self, client: TestClient, store: MemoryUsers, tier: str, admin: bool, expected: dict[str, int]
    ) -> None:
        text = store.add(make_key(), user("u", tier, is_admin=admin), ["read", "admin"])
        assert {path: client.get(path, headers={"X-API-Key": text}).status_code for path in expected} == expected
        assert {path: client.get(path).status_code for path in expected if path != "/open"} == {
            path: 401 for path in expected if path != "/open"
        }
        told = [line for line in store.lines if line["status"] == 403]
        assert [line["subject"] for line in told] == [path for path, status in expected.items() if status == 403]


class TestLimits:
    def test_headers_and_the_problem(self, client: TestClient, store: MemoryUsers) -> None:
        headers = {"X-API-Key": store.add(make_key(), user("u"), requests_per_hour=2)}
        first = client.get("/me", headers=headers)
        assert (first.headers["ratelimit-limit"], first.headers["ratelimit-remaining"]) == ("2", "1")
        assert '"user";q=100;w=3600' in first.headers["ratelimit-policy"] and int(first.headers["ratelimit-reset"]) > 0
        assert client.get("/me", headers=headers).headers["ratelimit-remaining"] == "0"
        over = client.get("/me", headers=headers)
        assert over.status_code == 429 and over.headers["content-type"] == "application/problem+json"
        assert over.json()["type"].endswith(":rate-limited") and over.headers["retry-after"] == "3600"
        assert over.headers["ratelimit-remaining"] == "0" and store.counts["user", "u"] == 2

    def test_guesses_are_limited_per_address_and_then_a_right_one_tells_nothing(self, store: MemoryUsers) -> None:
        right = store.add(make_key(), user("u"))
        client = TestClient(application(store, limits=Limits(refused=5)))
        wrong = [client.get("/me", headers={"X-API-Key": make_key().text}).status_code for _ in range(8)]
        assert wrong == [401] * 5 + [429] * 3
        assert client.get("/me", headers={"X-API-Key": right}).status_code == 429
        elsewhere = TestClient(application(store, limits=Limits(refused=5)), client=("192.0.2.7", 1))
        assert elsewhere.get("/me", headers={"X-API-Key": right}).status_code == 200

    def test_a_header_changes_no_address(self, store: MemoryUsers) -> None:
        client = TestClient(application(store, limits=Limits(address_per_hour=3)))
        statuses = [
            client.get("/me", headers={"X-Forwarded-For": f"192.0.2.{n}", "Forwarded": f"for=192.0.2.{n}"}).status_code
            for n in range(5)
        ]
        assert statuses == [401] * 3 + [429] * 2

    def test_a_flood_of_refusals_is_accounted_for_in_few_lines(self, store: MemoryUsers) -> None:
        client = TestClient(application(store, limits=Limits(address_per_hour=1)))
        for _ in range(30):
            client.get("/me")
        time.sleep(1.05)
        client.get("/me")
        told = [line["times"] for line in store.lines if line["status"] == 429]
        assert sum(told) == 30 and len(told) <= 3

    def test_refusals_that_no_limit_holds_are_few_lines_too(self, store: MemoryUsers) -> None:
        """Nobody is counted at `/metrics`, and each line would be a row: whoever cannot be let in could fill a disk."""
        app = application(store)
        app.state.scrape_token = "sesame"
        app.add_api_route("/metrics", nothing, dependencies=[public("for the test"), admit_scraper()])
        client = TestClient(app)
        assert {client.get("/metrics").status_code for _ in range(30)} == {401}
        time.sleep(1.05)
        client.get("/metrics")
        told = [line["times"] for line in store.lines]
        assert sum(told) == 31 and len(told) <= 3

    @pytest.mark.parametrize(
        ("client", "expected"),
        [
            (("192.0.2.1", 5), "192.0.2.1"), (("::ffff:192.0.2.1", 5), "192.0.2.1"), (("::1", 5), "::1"),
            (("2001:db8:1:2:3:4:5:6", 5), "2001:db8:1:2::/64"), (("fe80::1%eth0", 5), "fe80::/64"),
            (("testclient", 5), "local"), (None, "local"),
        ],
    )  # fmt: skip
    def test_addresses(self, client: Any, expected: str) -> None:
        assert client_address({"type": "http", "client": client}) == expected


def test_open_access_is_for_this_machine_alone(store: MemoryUsers) -> None:
    app = application(store)
    app.state.access = Access.open()
    near = TestClient(app, client=("127.0.0.1", 1), base_url="http://127.0.0.1:8787")
    assert near.get("/admin").status_code == 200
    assert TestClient(app, client=("192.0.2.7", 1), base_url="http://127.0.0.1").get("/me").status_code == 403
    # A page elsewhere whose name leads here, and a server that listens to the network.
    assert near.get("/me", headers={"Host": "rebound.example"}).status_code == 403
    assert TestClient(app, client=("127.0.0.1", 1), base_url="http://192.0.2.8").get("/me").status_code == 403


def test_a_path_writes_no_line_of_the_log(store: MemoryUsers, caplog: pytest.LogCaptureFixture) -> None:
    app = application(store)
    app.add_middleware(CorrelationMiddleware)
    with caplog.at_level("INFO", "signaldelta.api.access"):
        TestClient(app).get("/open%0a%0dforged", headers={"X-Request-ID": "a\tb"})
    [line] = [record.getMessage() for record in caplog.records if record.name == "signaldelta.api.access"]
    assert len(line.splitlines()) == 1 and "%0a%0dforged" in line and "a\tb" not in line


def test_the_provider_is_a_real_server(provider: Provider) -> None:
    assert "max-age" in httpx.get(provider.url).headers["cache-control"]


def test_a_log_that_cannot_be_kept_changes_no_answer_and_is_told(
    store: MemoryUsers, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A refusal stays one; its line is in the log of the process."""

    def fail(*_: Any) -> None:
        raise AuditLogError("the database is away")

    monkeypatch.setattr(store, "note", fail)
    with TestClient(application(store)) as client:
        answer = client.get("/me", headers={"X-API-Key": "sd_wrong"})
    assert answer.status_code == 401
    assert "not in the audit log: request.refused" in caplog.text and "the database is away" in caplog.text
