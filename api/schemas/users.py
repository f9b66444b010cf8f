"""Users and their API keys. The text of a key is in one answer alone, the one that made it."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

from ..moments import Moment
from .base import WHOLE, Entity, Meta, Schema, Text, Time, Ulid

Scope = Literal["read", "write", "admin"]
Scopes = Annotated[list[Scope], Field(min_length=1, max_length=3, examples=[["read"]])]
Printable = Annotated[str, Field(min_length=1, max_length=80, pattern=r"^[^\x00-\x1f\x7f]+$", examples=["notebook"])]
LONGEST_OVERLAP = timedelta(days=30)


class Me(Schema):
    """Who asks, as the API sees them."""

    user_id: Annotated[
        str | None, Field(description="None where access is open.", examples=["01HZFNS0V0QJ5Y8T1J3M8Z6K4D"])
    ]
    tier: Annotated[str, Field(examples=["professional"])]
    is_admin: Annotated[bool, Field(description="Whether this key or token may act as one.", examples=[False])]
    by: Annotated[Literal["key", "token", "open"], Field(examples=["key"])]
    scopes: Scopes
    entitlements: Annotated[dict[str, Any], Field(examples=[{"api_keys": 3, "requests_per_hour": 500}])]


class Key(Schema):
    """An API key without its secret."""

    api_key_id: Ulid
    prefix: Annotated[str, Field(description="The part of the key that may be shown.", examples=["4fK2x9QmZa"])]
    name: Text
    scopes: Scopes
    created_at: Time
    expires_at: Time | None
    revoked_at: Time | None
    last_used_at: Annotated[Time | None, Field(description="To the minute.")]
    replaces: Annotated[
        str | None,
        Field(description="The key that this one was rotated from.", examples=["01HZFNS0V0QJ5Y8T1J3M8Z6K4D"]),
    ]
    requests_per_hour: Annotated[int | None, Field(description="Of this key alone.", examples=[50])]
    live: Annotated[bool, Field(description="Neither revoked nor expired.", examples=[True])]


class KeyList(Schema):
    """Keys, newest first."""

    data: list[Key]


class NewKey(Key):
    """A key that was just made, with its text: shown now and never again."""

    key: Annotated[str, Field(description="Send as X-API-Key.", examples=["sd_4fK2x9QmZa_" + "x" * 43])]


class KeyRequest(Schema):
    """What a new key is to be."""

    model_config = ConfigDict(extra="forbid")

    name: Printable
    scopes: Scopes = Field(default=["read"])
    expires_at: Annotated[
        Moment | None, Field(description="None: until revoked.", examples=["2030-01-01T00:00:00Z"])
    ] = None
    requests_per_hour: Annotated[
        Annotated[int, Field(ge=1, le=1_000_000), WHOLE] | None,
        Field(description="Less than the tier gives.", examples=[50]),
    ] = None


class RotationRequest(Schema):
    """How long the old key goes on working."""

    model_config = ConfigDict(extra="forbid")

    overlap_seconds: Annotated[int, Field(ge=0, le=int(LONGEST_OVERLAP.total_seconds()), examples=[3600]), WHOLE] = (
        86_400
    )


class WatchlistItem(Schema):
    """An entity that the user follows."""

    entity_id: Entity
    note: Annotated[str | None, Field(examples=["after the split"])]
    added_at: Time


class WatchlistPage(Schema):
    """What the user follows, by entity_id."""

    data: list[WatchlistItem]
    meta: Meta


class WatchRequest(Schema):
    """What to remember with it."""

    model_config = ConfigDict(extra="forbid")

    note: Annotated[str | None, Field(max_length=500, pattern=r"^[^\x00]*$", examples=["after the split"])] = None
