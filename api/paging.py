"""Keyset paging: an opaque cursor that carries the last key, the pinned clocks, and which question it belongs to."""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Annotated, Any

import rfc8785
from fastapi import Query

from signaldelta_assets.versioning import canonical_json, hash_document

from .problems import bad_parameter

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
Limit = Annotated[int, Query(ge=1, le=1000, description="Rows of a page.", examples=[100])]
CursorText = Annotated[
    str | None,
    Query(
        max_length=2000,
        description="`meta.next_cursor` of the page before, with the same filters; the clocks stay pinned.",
        examples=["eyJrIjpbXX0"],
    ),
]


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat()
    return value.isoformat() if isinstance(value, date) else value


def question(route: str, filters: Mapping[str, Any]) -> str:
    """Return a short name of a route with its filters: a cursor is good for that question only."""
    return hash_document([route, {name: _plain(value) for name, value in filters.items()}])[:16]


def encode(asked: str, key: tuple[Any, ...], pinned: Mapping[str, Any] | None = None) -> str:
    """Return the cursor after the row with `key`; `pinned` is what the following pages must not decide anew."""
    pins = {name: _plain(value) for name, value in (pinned or {}).items()}
    body = canonical_json({"q": asked, "k": [_plain(part) for part in key], "p": pins})
    return base64.urlsafe_b64encode(body).decode().rstrip("=")


def cut(
    rows: Sequence[Mapping[str, Any]],
    limit: int,
    asked: str,
    key: Sequence[str],
    pinned: Mapping[str, Any] | None = None,
) -> tuple[list[Mapping[str, Any]], str | None]:
    """Return (the page, the cursor after it or None) of rows that were asked for with one more than `limit`."""
    page = list(rows[:limit])
    if len(rows) <= limit:
        return page, None
    return page, encode(asked, tuple(page[-1][name] for name in key), pinned)


def decode(asked: str, cursor: str | None, kinds: tuple[type, ...]) -> tuple[tuple[Any, ...] | None, dict[str, Any]]:
    """Return (key or None for the first page, pins). 422 for a cursor that is damaged or of another question."""
    if cursor is None:
        return None, {}
    try:
        body = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
        parts, pins, of = body["k"], body["p"], body["q"]
        if len(parts) != len(kinds) or not isinstance(pins, dict):
            raise ValueError("wrong shape")
        for pin in pins.values():
            _ = None if pin is None else _checked(pin, str)
        key = tuple(
            datetime.fromisoformat(part) if kind is datetime else _checked(part, kind)
            for part, kind in zip(parts, kinds, strict=True)
        )
        # A cursor made by hand must not smuggle in other bytes than ours.
        if encode(of, key, pins) != cursor.rstrip("="):
            raise ValueError("not canonical")
    except (
        ValueError, KeyError, TypeError, OverflowError, RecursionError, binascii.Error, rfc8785.CanonicalizationError,
    ) as error:  # fmt: skip
        raise bad_parameter("cursor", "a next_cursor this API gave out", cursor) from error
    if of != asked:
        raise bad_parameter("cursor", "the cursor of a page with the same filters", cursor)
    return key, pins


def _checked(value: Any, kind: type) -> Any:
    """The value, where it could be one of ours. Exactly of its kind: to Python, True is a number."""
    if type(value) is not kind or (isinstance(value, int) and not 0 <= value < 2**31):
        raise ValueError(f"expected {kind.__name__}")
    if isinstance(value, str) and (len(value) > 500 or _CONTROL.search(value)):
        raise ValueError("expected text without control characters")
    return value


def pinned_moment(pins: Mapping[str, Any], name: str, asked: datetime | None) -> datetime | None:
    """Return the moment the first page pinned under `name`, else the one asked for. 422 for a damaged pin."""
    if name not in pins:
        return asked
    try:
        return datetime.fromisoformat(pins[name]).astimezone(UTC)
    except (TypeError, ValueError, OverflowError) as error:
        raise bad_parameter("cursor", "a next_cursor this API gave out", pins[name]) from error
