"""ULIDs: random ones for what merely happened, content-derived ones where a repeat must give the same id."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime

from ulid import ULID

_MAX_MILLISECONDS = 2**48 - 1


def new_ulid() -> str:
    """Return a fresh ULID (26 characters): now in milliseconds, then 80 random bits. For runs and snapshots."""
    return str(ULID())


def content_ulid(moment: datetime | None, key: bytes) -> str:
    """Return the ULID of `moment` (48 bits, milliseconds, UTC) and `key` (80 bits of its SHA-256).

    The same moment and key give the same id on every machine, so that a tie broken by id is broken the same
    way everywhere (signals.md 4.0). `moment` None, or before 1970, counts as the epoch.
    """
    milliseconds = 0
    if moment is not None:
        if moment.tzinfo is None:
            raise ValueError("content_ulid: moment must carry a time zone")
        delta = moment.astimezone(UTC) - datetime(1970, 1, 1, tzinfo=UTC)
        milliseconds = (delta.days * 86_400 + delta.seconds) * 1000 + delta.microseconds // 1000
        milliseconds = min(max(milliseconds, 0), _MAX_MILLISECONDS)
    return str(ULID.from_bytes(milliseconds.to_bytes(6, "big") + hashlib.sha256(key).digest()[:10]))


def ulid_time(identifier: str) -> datetime:
    """Return the moment (UTC, millisecond precision) inside a ULID."""
    return ULID.from_str(identifier).datetime
