"""An identity provider of our own: RSA keys, a JWKS served on loopback, and tokens made with them.

And `MemoryUsers`, a user store that is a dictionary: the room of auth needs no database.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm

from api.auth import Allowance, Counted, StoredKey, User

ISSUER, AUDIENCE = "https://issuer.test/signaldelta-test", "signaldelta-test"
GIVES = {
    "free": {"api_keys": 0, "requests_per_hour": 60, "bulk_export": False},
    "entry": {"api_keys": 1, "requests_per_hour": 100, "bulk_export": False},
    "research": {"api_keys": 10, "requests_per_hour": 10_000, "bulk_export": True},
}


def user(name: str, tier: str = "entry", **more: Any) -> User:
    return User(name, tier, more.pop("is_admin", False), more.pop("disabled", False), GIVES[tier])


@dataclass
class Provider:
    """Its keys by kid, what its server answers and how often it was asked."""

    url: str = ""
    keys: dict[str, rsa.RSAPrivateKey] = field(default_factory=dict)
    max_age: int = 3600
    status: int = 200
    asked: int = 0

    def rotate(self, *kids: str, keep: bool = False) -> None:
        """New keys of these names; the old ones are withdrawn unless kept."""
        fresh = {kid: rsa.generate_private_key(65537, 2048) for kid in kids}
        self.keys = (self.keys if keep else {}) | fresh

    def document(self) -> bytes:
        keys = [
            json.loads(RSAAlgorithm.to_jwk(key.public_key())) | {"kid": kid, "use": "sig", "alg": "RS256"}
            for kid, key in self.keys.items()
        ]
        return json.dumps({"keys": keys}).encode()

    def claims(self, **changed: Any) -> dict[str, Any]:
        now = int(time.time())
        base = {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "sub": "somebody",
            "iat": now - 5,
            "auth_time": now - 60,
            "exp": now + 600,
        }
        return {name: value for name, value in {**base, **changed}.items() if value is not None}

    def token(
        self, kid: str = "one", *, signer: Any = None, header: Mapping[str, Any] | None = None, **changed: Any
    ) -> str:
        key = signer or self.keys[kid]
        return jwt.encode(self.claims(**changed), key, algorithm="RS256", headers={"kid": kid, **(header or {})})


@contextmanager
def serving(provider: Provider) -> Iterator[Provider]:
    """The provider's JWKS over HTTP on a loopback port."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            provider.asked += 1
            body = provider.document()
            self.send_response(provider.status)
            self.send_header("Cache-Control", f"public, max-age={provider.max_age}, must-revalidate")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    provider.url = f"http://127.0.0.1:{server.server_port}/keys"
    provider.rotate("one")
    yield provider
    server.shutdown()
    server.server_close()


@dataclass
class MemoryUsers:
    """Users, keys, counts and the log in dictionaries."""

    keys: dict[str, list[StoredKey]] = field(default_factory=dict)
    subjects: dict[str, User] = field(default_factory=dict)
    counts: dict[tuple[str, str], int] = field(default_factory=dict)
    touched: list[str] = field(default_factory=list)
    lines: list[dict[str, Any]] = field(default_factory=list)

    def keys_of_prefix(self, prefix: str) -> Sequence[StoredKey]:
        return self.keys.get(prefix, [])

    def user_of_subject(self, subject: str, email: str | None) -> User:
        return self.subjects.setdefault(subject, user(subject, "free"))

    def touch(self, key_id: str, seconds: float) -> None:
        self.touched.append(key_id)

    def count(self, allowances: Sequence[Allowance], barred: Allowance | None = None) -> list[Counted]:
        found = []
        if barred is not None and self.counts.get((barred.scope, barred.subject), 0) >= barred.allowed:
            return [Counted(barred, barred.allowed, barred.seconds, False)]
        for one in allowances:
            used = self.counts.get((one.scope, one.subject), 0)
            found.append(Counted(one, min(used + 1, one.allowed), one.seconds, used < one.allowed))
            if used >= one.allowed:
                return found
        for one in allowances:
            self.counts[one.scope, one.subject] = self.counts.get((one.scope, one.subject), 0) + 1
        return found

    def note(self, user_id: str | None, kind: str, subject: str | None, detail: Mapping[str, Any]) -> None:
        self.lines.append({"user_id": user_id, "kind": kind, "subject": subject, **detail})

    def add(self, text: Any, owner: User, scopes: Sequence[str] = ("read",), **more: datetime | int | None) -> str:
        """Keep a made key; return its text."""
        stored = StoredKey(f"id-{text.prefix}", text.key_hash, owner, frozenset(scopes), **more)  # type: ignore[arg-type]
        self.keys.setdefault(text.prefix, []).append(stored)
        return str(text.text)
