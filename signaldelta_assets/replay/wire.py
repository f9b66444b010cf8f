"""What all routes share on the wire: documents with validators, conditional requests, vendor cursors and filters."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Mapping, Sequence
from email.utils import formatdate, parsedate_to_datetime
from typing import Any
from urllib.parse import parse_qsl, urlencode

from starlette.requests import Request
from starlette.responses import Response

from ..versioning import sha256_hex
from .archive import Document

# A comparison of the vendor's filters: `field`, `field.any_of`, `field.gt` and so on.
_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "": lambda a, b: bool(a == b),
    "gt": lambda a, b: bool(a > b),
    "gte": lambda a, b: bool(a >= b),
    "lt": lambda a, b: bool(a < b),
    "lte": lambda a, b: bool(a <= b),
}


class BadRequest(Exception):
    """A parameter the upstream would refuse; the text is the upstream's `error`."""


def base_url(request: Request) -> str:
    """Return scheme and authority as the client wrote them: links in answers must lead back here."""
    return f"{request.url.scheme}://{request.url.netloc}"


def serve(request: Request, document: Document) -> Response:
    """Return `document` with ETag and Last-Modified, or 304 where the client's copy is still right (RFC 9110)."""
    headers = {"ETag": f'"{sha256_hex(document.body)[:32]}"', "x-replay-source": document.source}
    if document.assembled:
        headers["x-replay-assembled"] = "1"
    if document.modified is not None:
        headers["Last-Modified"] = formatdate(int(document.modified), usegmt=True)
    if _unchanged(request, headers, document.modified):
        return Response(status_code=304, headers=headers)
    return Response(document.body, media_type=document.media_type, headers=headers)


def _unchanged(request: Request, headers: Mapping[str, str], modified: float | None) -> bool:
    tags = request.headers.get("if-none-match")
    if tags is not None:
        return tags.strip() == "*" or headers["ETag"] in [tag.strip().removeprefix("W/") for tag in tags.split(",")]
    since = request.headers.get("if-modified-since")
    if since is None or modified is None:
        return False
    try:
        return int(modified) <= parsedate_to_datetime(since).timestamp()
    except ValueError:
        return False


def write_cursor(parameters: Mapping[str, str]) -> str:
    """Return an opaque cursor that carries `parameters`, in the vendor's form: base64 of a query string."""
    return base64.urlsafe_b64encode(urlencode(parameters).encode()).decode().rstrip("=")


def read_cursor(cursor: str) -> dict[str, str]:
    """Return what a cursor carries; `BadRequest` for one that was not issued here."""
    try:
        text = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True).decode()
        return dict(parse_qsl(text, strict_parsing=True))
    except (ValueError, binascii.Error) as error:
        raise BadRequest("cursor is invalid") from error


def whole(parameters: Mapping[str, str], name: str, default: int, highest: int) -> int:
    """Return an integer parameter from 1 to `highest`."""
    text = parameters.get(name, str(default))
    if not text.isdigit() or not 1 <= int(text) <= highest:
        raise BadRequest(f"{name} must be between 1 and {highest}")
    return int(text)


def select(
    rows: Sequence[Mapping[str, Any]], parameters: Mapping[str, str], fields: Mapping[str, Callable[[str], Any]]
) -> list[Mapping[str, Any]]:
    """Return the rows that pass the filters among `parameters`; `fields` gives each field's reader.

    A row without the field never passes a filter on it.
    """
    kept = list(rows)
    for name, text in parameters.items():
        field, _, suffix = name.partition(".")
        if field not in fields:
            continue
        read = fields[field]
        try:
            if suffix == "any_of":
                wanted = {read(part) for part in text.split(",")}
                kept = [row for row in kept if row.get(field) in wanted]
            elif suffix in _COMPARE:
                compare, bound = _COMPARE[suffix], read(text)
                kept = [row for row in kept if row.get(field) is not None and compare(row[field], bound)]
            else:
                raise BadRequest(f"{name} is not a known filter")
        except ValueError as error:
            raise BadRequest(f"{name} has an invalid value") from error
    return kept
