"""The stores that `auth` asks for, over the warehouse: users and keys at their home, counts and the log."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import psycopg
from psycopg_pool import PoolTimeout

from signaldelta_assets.errors import SignalDeltaError
from signaldelta_assets.settings import Settings
from signaldelta_assets.warehouse import Warehouse
from signaldelta_assets.warehouse.stores import request_counts, users
from signaldelta_assets.warehouse.tables import written_at

from .auth import Access, Allowance, Counted, KeySource, Limits, StoredKey, TokenVerifier, User
from .auth.resolving import Resolver
from .auth.stores import Asked, AuditLogError, Keys

log = logging.getLogger("signaldelta.api.auth")
# Of the registry: the longest window is an hour.
_KEPT_DAYS = 2


def _user(row: Mapping[str, Any]) -> User:
    return User(row["user_id"], row["tier"], row["is_admin"], row["disabled_at"] is not None, row["entitlements"])


class _Hourly:
    """Says once an hour that it is time, to one caller; first an hour from now."""

    def __init__(self) -> None:
        self._next, self._lock = time.monotonic() + 3600, threading.Lock()

    def due(self) -> bool:
        if time.monotonic() < self._next or not self._lock.acquire(blocking=False):
            return False
        self._next = time.monotonic() + 3600
        self._lock.release()
        return True


@dataclass(frozen=True, slots=True)
class Accounts:
    """Users, keys, counts and the audit log of a warehouse (`auth.UserStore`, `RequestCounter`, `AuditLog`)."""

    warehouse: Warehouse
    tidying: _Hourly = field(default_factory=_Hourly, repr=False)

    def keys_of_prefix(self, prefix: str) -> Sequence[StoredKey]:
        """The keys with this prefix, with their users."""
        found = self.keys_of_prefixes([prefix]).get(prefix)
        return found.found if found else ()

    def keys_of_prefixes(self, prefixes: Sequence[str]) -> dict[str, Keys]:
        """The keys with these prefixes, by prefix."""
        found: dict[str, list[StoredKey]] = {}
        versions: dict[str, str] = {}
        for row in users.keys_of_prefixes(self.warehouse, prefixes):
            key = StoredKey(
                row["api_key_id"],
                row["key_hash"],
                _user(row),
                frozenset(row["scopes"]),
                row["expires_at"],
                row["revoked_at"],
                row["last_used_at"],
                row["requests_per_hour"],
                row["first_key_id"],
            )
            found.setdefault(row["prefix"], []).append(key)
            versions[row["prefix"]] = row["version"]
        # Where requests are counted elsewhere than keys are kept, no statement sees both.
        here = written_at(users.GROUP, self.warehouse.place)
        return {prefix: Keys(keys, versions[prefix] if here else None) for prefix, keys in found.items()}

    def user_of_subject(self, subject: str, email: str | None) -> User:
        """The user of a token; made at first sight."""
        row = users.user_of_subject(self.warehouse, subject) or users.first_sight(self.warehouse, subject, email)
        return _user(row)

    def touch(self, key_id: str, seconds: float) -> None:
        """Note that a key is in use. Where that cannot be written, the request goes on."""
        try:
            users.touch_key(self.warehouse, key_id, seconds)
        except (psycopg.Error, SignalDeltaError, PoolTimeout) as error:
            log.warning("the last use of key %s was not noted: %s", key_id, type(error).__name__)

    def count(self, allowances: Sequence[Allowance], barred: Allowance | None = None) -> list[Counted]:
        """Count a request, for all processes at once."""
        return self.count_all([(allowances, barred)])[0]

    def count_all(self, asked: Sequence[Asked]) -> list[list[Counted]]:
        """Count several requests, each as if alone."""
        self._tidy()
        return _told(request_counts.count_all(self.warehouse, _stored(asked)))

    def count_all_held(self, asked: Sequence[Asked], versions: Mapping[str, str]) -> list[list[Counted]] | None:
        """Count several requests, if their keys are still what they were and all of them pass."""
        self._tidy()
        found = request_counts.count_all_held(self.warehouse, _stored(asked), versions)
        return None if found is None else _told(found)

    def _tidy(self) -> None:
        if self.tidying.due():
            request_counts.forget(self.warehouse, _KEPT_DAYS)

    def note(self, user_id: str | None, kind: str, subject: str | None, detail: Mapping[str, Any]) -> None:
        """Add a line to the audit log. Raises `AuditLogError` where the database does not take it."""
        try:
            users.note(self.warehouse, user_id, kind, subject, detail)
        except (psycopg.Error, PoolTimeout, SignalDeltaError) as error:
            raise AuditLogError(f"{kind} of {user_id}: {error}") from error


def _stored(asked: Sequence[Asked]) -> list[request_counts.Asked]:
    def one(allowance: Allowance) -> request_counts.Allowance:
        return request_counts.Allowance(allowance.scope, allowance.subject, allowance.allowed, allowance.seconds)

    return [
        ([one(each) for each in allowances], None if barred is None else one(barred)) for allowances, barred in asked
    ]


def _told(found: Sequence[Sequence[request_counts.Counted]]) -> list[list[Counted]]:
    def told(one: request_counts.Counted) -> Counted:
        of = one.allowance
        allowance = Allowance(of.scope, of.subject, of.allowed, of.seconds)
        return Counted(allowance, one.used, one.reset_seconds, one.within)

    return [[told(one) for one in each] for each in found]


def open_access(warehouse: Warehouse) -> Access:
    """Return the way in that asks nobody who they are, for this machine alone."""
    return Access.open(audit=Accounts(warehouse))


def required_access(warehouse: Warehouse, tokens: TokenVerifier | None = None, limits: Limits | None = None) -> Access:
    """Return the way in that asks for a key or token, with users, counts and the log in `warehouse`."""
    accounts = Accounts(warehouse)
    return Access(Resolver(accounts, tokens), accounts, accounts, limits or Limits())


def access_of(settings: Settings, warehouse: Warehouse) -> Access:
    """Return the way in that the settings ask for."""
    if settings.auth == "open":
        return open_access(warehouse)
    tokens = None
    if settings.firebase_project is not None:
        tokens = TokenVerifier(
            KeySource(settings.firebase_keys_url),
            issuer=f"{settings.firebase_issuer.rstrip('/')}/{settings.firebase_project}",
            audience=settings.firebase_project,
        )
    limits = Limits(settings.address_requests_per_hour, settings.refused_credentials)
    return required_access(warehouse, tokens, limits)
