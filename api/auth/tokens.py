"""Bearer tokens of an identity provider: RS256 against its published keys, every claim checked, nothing taken on trust.

The algorithm is ours, never the token's: `none`, or HS256 with the public key as its secret, is refused before any key
is looked at. Keys come from one address of the settings; what a header says of keys (`jwk`, `jku`, `x5u`) is ignored.
"""

from __future__ import annotations

import logging
import re
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import httpx
import jwt
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from signaldelta_assets.versioning import sha256_hex

log = logging.getLogger("signaldelta.api.auth")

ALGORITHM = "RS256"
# Firebase's are about 1 KB; beyond this nobody is let to make us parse.
LONGEST_TOKEN = 8192
_LONGEST_KEYS = 256 * 1024
_SMALLEST_KEY_BITS = 2048
# The provider's clock and ours.
_SKEW_SECONDS = 10.0
_REMEMBERED = 4096
_MAX_AGE = re.compile(r"(?:^|[\s,])max-age=(\d{1,9})(?:$|[\s,])")


class TokenError(Exception):
    """A token that is not valid; the text says why, for the log, and holds nothing of the token."""


class KeysUnavailableError(Exception):
    """The provider's keys cannot be had, so that no token can be judged."""


@dataclass(frozen=True, slots=True)
class _Keys:
    by_kid: dict[str, RSAPublicKey]
    fetched: float
    max_age: float


class KeySource:
    """The provider's keys (a JWKS over HTTP), kept as long as it says, and asked for anew when a key is not known.

    max-age of the answer is kept within a minute and a day. A key that is not known is asked for at most every
    `again_seconds`, whatever is thrown at us. Where the provider does not answer, old keys serve `stale_seconds` more.
    """

    def __init__(
        self,
        url: str,
        *,
        again_seconds: float = 10.0,
        stale_seconds: float = 3600.0,
        timeout_seconds: float = 5.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._url, self._clock = url, clock
        self._again, self._stale, self._timeout = again_seconds, stale_seconds, timeout_seconds
        self._keys: _Keys | None = None
        self._tried: float | None = None
        self._lock = threading.Lock()

    def key(self, kid: str) -> RSAPublicKey | None:
        """Return the key, None where the provider has none of that name. `KeysUnavailableError` where it is silent."""
        keys = self._keys
        known = None if keys is None else keys.by_kid.get(kid)
        if keys is not None and known is not None and self._clock() < keys.fetched + keys.max_age:
            return known
        # One asks; who has an old key that will do need not wait for it.
        if not self._lock.acquire(blocking=known is None):
            return known
        try:
            keys = self._refreshed(kid)
        finally:
            self._lock.release()
        if keys is None or self._clock() > keys.fetched + keys.max_age + self._stale:
            raise KeysUnavailableError
        return keys.by_kid.get(kid)

    def _refreshed(self, kid: str) -> _Keys | None:
        """The keys after asking, where it is time to ask; the lock is held."""
        keys, now = self._keys, self._clock()
        if keys is not None and kid in keys.by_kid and now < keys.fetched + keys.max_age:
            return keys
        if self._tried is not None and now < self._tried + self._again:
            return keys
        self._tried = now
        try:
            self._keys = self._fetch()
        except (httpx.HTTPError, ValueError, jwt.PyJWTError) as error:
            log.warning("the identity provider's keys could not be fetched: %s", type(error).__name__)
        return self._keys

    def _fetch(self) -> _Keys:
        with (
            httpx.Client(timeout=self._timeout, follow_redirects=False) as client,
            client.stream("GET", self._url) as answer,
        ):
            answer.raise_for_status()
            body = b""
            for part in answer.iter_bytes():
                body += part
                if len(body) > _LONGEST_KEYS:
                    raise ValueError("the key document is too long")
            control = answer.headers.get("cache-control", "")
        found: dict[str, RSAPublicKey] = {}
        for item in jwt.PyJWKSet.from_json(body.decode()).keys:
            usable = isinstance(item.key, RSAPublicKey) and item.public_key_use in (None, "sig")
            if usable and item.key_id and item.algorithm_name == ALGORITHM and item.key.key_size >= _SMALLEST_KEY_BITS:
                found[item.key_id] = item.key
        if not found:
            raise ValueError("the key document has no key that can be used")
        stated = _MAX_AGE.search(control.lower())
        return _Keys(found, self._clock(), min(max(float(stated[1]) if stated else 3600.0, 60.0), 86_400.0))


@dataclass(frozen=True, slots=True)
class Claims:
    """What a verified token says: whom, their e-mail where the provider has verified it, and until when (Unix time)."""

    subject: str
    email: str | None
    expires: float


class TokenVerifier:
    """Verifies tokens of one issuer for one audience, and remembers verified ones until they expire, at most.

    What is remembered is that the signature and claims held, not who the user is: that is asked every time. A token
    whose key the provider has withdrawn or exchanged is not remembered either.
    """

    def __init__(self, keys: KeySource, *, issuer: str, audience: str, clock: Callable[[], float] = time.time) -> None:
        self._keys, self._issuer, self._audience, self._clock = keys, issuer, audience, clock
        self._seen: OrderedDict[str, tuple[Claims, RSAPublicKey]] = OrderedDict()
        self._lock = threading.Lock()

    def verify(self, token: str) -> Claims:
        """Return the claims. Raises `TokenError`, or `KeysUnavailableError` where the keys cannot be had."""
        if len(token) > LONGEST_TOKEN:
            raise TokenError("too long")
        key = self._key(token)
        name = sha256_hex(token.encode("utf-8", "surrogateescape"))
        with self._lock:
            seen = self._seen.get(name)
            if seen is not None:
                if seen[0].expires > self._clock() and seen[1] == key:
                    self._seen.move_to_end(name)
                    return seen[0]
                del self._seen[name]
        claims = self._checked(token, key)
        with self._lock:
            self._seen[name] = (claims, key)
            while len(self._seen) > _REMEMBERED:
                self._seen.popitem(last=False)
        return claims

    def _key(self, token: str) -> RSAPublicKey:
        try:
            header = jwt.get_unverified_header(token)
        except (jwt.PyJWTError, ValueError, RecursionError) as error:
            raise TokenError("malformed") from error
        kid = header.get("kid")
        if header.get("alg") != ALGORITHM:
            raise TokenError("algorithm")
        if not isinstance(kid, str) or not 0 < len(kid) <= 200 or "crit" in header:
            raise TokenError("header")
        key = self._keys.key(kid)
        if key is None:
            raise TokenError("unknown key")
        return key

    def _checked(self, token: str, key: RSAPublicKey) -> Claims:
        now = self._clock()
        try:
            # The clock is ours to give, so the times are checked below.
            claims: dict[str, Any] = jwt.decode(
                token,
                key,
                algorithms=[ALGORITHM],
                audience=self._audience,
                issuer=self._issuer,
                options={
                    "require": ["exp", "iat", "aud", "iss", "sub", "auth_time"],
                    "verify_exp": False,
                    "verify_iat": False,
                    "verify_nbf": False,
                    "strict_aud": True,
                },
            )
        except (jwt.PyJWTError, ValueError, RecursionError) as error:
            raise TokenError(type(error).__name__) from error
        expires, issued, authenticated = (_seconds(claims, name) for name in ("exp", "iat", "auth_time"))
        if expires <= now:
            raise TokenError("expired")
        if max(issued, authenticated, _seconds(claims, "nbf") if "nbf" in claims else issued) > now + _SKEW_SECONDS:
            raise TokenError("not yet valid")
        subject = claims["sub"]
        if not isinstance(subject, str) or not 0 < len(subject) <= 128 or not subject.isprintable():
            raise TokenError("subject")
        email = claims.get("email") if claims.get("email_verified") is True else None
        return Claims(
            subject, email if isinstance(email, str) and len(email) <= 320 and email.isprintable() else None, expires
        )


def _seconds(claims: dict[str, Any], name: str) -> float:
    value = claims[name]
    # Infinity is a float, too, and a token that never expires is not what was meant.
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e11:
        raise TokenError(name)
    return float(value)
