"""From the headers of a request to a principal, or to the reason why not."""

from __future__ import annotations

import hmac
import threading
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from datetime import UTC, datetime

from starlette.datastructures import Headers

from .keys import hash_key, prefix_of
from .principal import SCOPES, Principal
from .stores import StoredKey, User, UserStore
from .tokens import TokenError, TokenVerifier

# A key's last use is noted this often at most: it says which keys are in use, not when each request came.
TOUCH_SECONDS = 60.0
_NO_KEY = "0" * 64
# An integer of the database.
_MOST = 2**31 - 1


class RefusedCredentialError(Exception):
    """What was shown lets nobody in; `reason` is for the log alone: the caller learns only that it does."""

    def __init__(self, reason: str, *, shown: bool = True, user_id: str | None = None) -> None:
        super().__init__(reason)
        self.reason, self.shown, self.user_id = reason, shown, user_id


def _now() -> datetime:
    return datetime.now(UTC)


class Resolver:
    """Resolves a bearer token or an API key over a user store. `tokens`: None where no provider is configured."""

    def __init__(
        self, users: UserStore, tokens: TokenVerifier | None = None, clock: Callable[[], datetime] = _now
    ) -> None:
        self.users, self.tokens, self.clock = users, tokens, clock
        self._touched = _Touched()

    def resolve(self, headers: Headers) -> Generator[str, Sequence[StoredKey], Principal]:
        """Return who asks, by way of yielding the prefix whose keys it is to be sent, if it needs any.

        Raises `RefusedCredentialError`; two credentials at once are none.
        """
        keys, tokens = headers.getlist("x-api-key"), headers.getlist("authorization")
        if not keys and not tokens:
            raise RefusedCredentialError("no credential", shown=False)
        if len(keys) + len(tokens) != 1:
            raise RefusedCredentialError("more than one credential")
        return (yield from self._by_key(keys[0])) if keys else self._by_token(tokens[0])

    def _by_key(self, text: str) -> Generator[str, Sequence[StoredKey], Principal]:
        prefix = prefix_of(text)
        if prefix is None:
            raise RefusedCredentialError("no key")
        hashed, found = hash_key(text), None
        for stored in (*(yield prefix), None):
            # In constant time, and once more than there are keys: how long it takes tells nothing.
            if hmac.compare_digest(hashed, stored.key_hash if stored else _NO_KEY) and stored:
                found = stored
        if found is None:
            raise RefusedCredentialError("unknown key")
        self._require_live(found)
        self._touch(found)
        entitlements = found.user.entitlements
        return Principal(
            found.user.user_id,
            found.user.tier,
            found.user.is_admin and "admin" in found.scopes,
            entitlements,
            "key",
            found.scopes & set(SCOPES),
            found.key_id,
            found.requests_per_hour,
            found.counted_as or found.key_id,
        )

    def _require_live(self, key: StoredKey) -> None:
        now, owner = self.clock(), key.user.user_id
        if key.revoked_at is not None:
            raise RefusedCredentialError("revoked key", user_id=owner)
        if key.expires_at is not None and key.expires_at <= now:
            raise RefusedCredentialError("expired key", user_id=owner)
        self._require_enabled(key.user)
        if not number(key.user.entitlements, "api_keys"):
            raise RefusedCredentialError("the tier has no keys", user_id=owner)

    def _touch(self, key: StoredKey) -> None:
        old = key.last_used_at is None or (self.clock() - key.last_used_at).total_seconds() >= TOUCH_SECONDS
        if old and self._touched.first(key.key_id):
            self.users.touch(key.key_id, TOUCH_SECONDS)

    def _by_token(self, header: str) -> Principal:
        scheme, _, token = header.partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise RefusedCredentialError("no bearer token")
        if self.tokens is None:
            raise RefusedCredentialError("no identity provider is configured")
        try:
            claims = self.tokens.verify(token.strip())
        except TokenError as error:
            raise RefusedCredentialError(f"token: {error}") from error
        user = self.users.user_of_subject(claims.subject, claims.email)
        self._require_enabled(user)
        return Principal(user.user_id, user.tier, user.is_admin, user.entitlements, "token")

    @staticmethod
    def _require_enabled(user: User) -> None:
        if user.disabled:
            raise RefusedCredentialError("disabled user", user_id=user.user_id)


class _Touched:
    """Which keys this process has noted lately, so that a burst on one key asks the store once."""

    def __init__(self) -> None:
        self._at: dict[str, float] = {}
        self._lock = threading.Lock()

    def first(self, key_id: str) -> bool:
        now = time.monotonic()
        with self._lock:
            if now - self._at.get(key_id, -TOUCH_SECONDS) < TOUCH_SECONDS:
                return False
            if len(self._at) > 10_000:
                self._at.clear()
            self._at[key_id] = now
            return True


def number(entitlements: Mapping[str, object], name: str) -> int:
    """Return an entitlement that is a number, at most what a counter holds; 0 where it is not there.

    What nobody gave, nobody has.
    """
    value = entitlements.get(name)
    return int(min(value, _MOST)) if isinstance(value, int | float) and not isinstance(value, bool) else 0
