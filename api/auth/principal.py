"""The one answer to who asks, whichever way they showed it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

# From least to most: who has a tier has what the ones before it have.
TIERS = ("free", "entry", "professional", "analyst", "research")
# What a key may do: read, change, use its owner's rights as an administrator. A token may all of it.
SCOPES = ("read", "write", "admin")


@dataclass(frozen=True, slots=True)
class Principal:
    """A user as the request showed them; `is_admin` already says whether this key or token may act as one.

    user_id: None where access is open. by: what showed it. requests_per_hour: the key's own limit, None for none.
    counted_as: under which name it is held to that limit, for whoever rotates a key has no more of it.
    """

    user_id: str | None
    tier: str
    is_admin: bool
    entitlements: Mapping[str, Any]
    by: Literal["key", "token", "open"]
    scopes: frozenset[str] = frozenset(SCOPES)
    key_id: str | None = None
    requests_per_hour: int | None = None
    counted_as: str | None = None

    def has_tier(self, tier: str) -> bool:
        """Whether this is that tier or one above it."""
        return TIERS.index(self.tier) >= TIERS.index(tier)


OPEN = Principal(None, TIERS[-1], True, {}, "open")
