"""What this room asks of whoever keeps users, counts requests and keeps the log."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from signaldelta_assets.errors import SignalDeltaError


@dataclass(frozen=True, slots=True)
class User:
    """A user, with what their tier gives: numbers and features by name."""

    user_id: str
    tier: str
    is_admin: bool
    disabled: bool
    entitlements: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class StoredKey:
    """A key as it is kept: by its hash. Times are UTC. counted_as: the first of the keys that were rotated into it."""

    key_id: str
    key_hash: str
    user: User
    scopes: frozenset[str]
    expires_at: datetime | None = None
    revoked_at: datetime | None = None
    last_used_at: datetime | None = None
    requests_per_hour: int | None = None
    counted_as: str | None = None


class UserStore(Protocol):
    """Users and keys. Asked at every request and never cached: what is revoked or disabled is so at the next one."""

    def keys_of_prefix(self, prefix: str) -> Sequence[StoredKey]:
        """Every key with this prefix, revoked and expired ones too."""

    def user_of_subject(self, subject: str, email: str | None) -> User:
        """The user whom the identity provider calls so; on first sight one of the tier `free` is made."""

    def touch(self, key_id: str, seconds: float) -> None:
        """Note that a key is in use, unless that was noted within the last `seconds`."""


@dataclass(frozen=True, slots=True)
class Allowance:
    """At most `allowed` requests of `subject` in a window of `seconds` that begins with the first."""

    scope: str
    subject: str
    allowed: int
    seconds: int


@dataclass(frozen=True, slots=True)
class Counted:
    """Where a subject stands: `used` in the window, which ends in `reset_seconds`; whether this request passed."""

    allowance: Allowance
    used: int
    reset_seconds: int
    within: bool


class RequestCounter(Protocol):
    """Counts requests exactly, whoever else counts at the same time."""

    def count(self, allowances: Sequence[Allowance], barred: Allowance | None = None) -> Sequence[Counted]:
        """Count a request under every allowance or, where one is used up, under none; the last told is the refusing.

        `barred` is not counted, but refuses where it is used up already.
        """


@dataclass(frozen=True, slots=True)
class Keys:
    """The keys of a prefix, and the version of all that was read of them; None where it cannot be asked for again."""

    found: Sequence[StoredKey]
    version: str | None = None


Asked = tuple[Sequence[Allowance], Allowance | None]


class Several(Protocol):
    """What a store may offer besides: the questions of several requests in one."""

    def keys_of_prefixes(self, prefixes: Sequence[str]) -> Mapping[str, Keys]:
        """`UserStore.keys_of_prefix` of each."""

    def count_all(self, asked: Sequence[Asked]) -> Sequence[Sequence[Counted]]:
        """`RequestCounter.count` of each, to the same result as one after the other."""

    def count_all_held(self, asked: Sequence[Asked], versions: Mapping[str, str]) -> Sequence[Sequence[Counted]] | None:
        """`count_all` where the keys of these prefixes still have these versions; else None, and none is counted.

        It may be None for any other reason too.
        """


class AuditLogError(SignalDeltaError):
    """A line that the log could not keep."""


class AuditLog(Protocol):
    """Keeps what was done and refused."""

    def note(self, user_id: str | None, kind: str, subject: str | None, detail: Mapping[str, Any]) -> None:
        """Keep one line, under the correlation id of the request. Raises `AuditLogError` where that cannot be."""
