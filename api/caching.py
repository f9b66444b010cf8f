"""Strong ETags, conditional requests, and what may be cached for ever."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from fastapi import Request
from fastapi.responses import FileResponse, Response
from pydantic import BaseModel

from signaldelta_assets.versioning import sha256_hex

from .problems import ProblemError

# A year is what RFC 9111 calls for ever in practice; `immutable` (RFC 8246) spares the revalidation. Private: a cache
# that others share would hand on without asking who they are.
IMMUTABLE = "private, max-age=31536000, immutable"
REVALIDATE = "no-cache"
# Of a range of bytes: from the first on, up to the last or the end; or the last so many.
_PART = re.compile(r"(?=-?[0-9])(?P<first>[0-9]{0,18})-(?P<last>[0-9]{0,18})")


def tag_headers(etag: str, immutable: bool) -> dict[str, str]:
    """Return the headers of an answer with a strong ETag."""
    return {"ETag": f'"{etag}"', "Cache-Control": IMMUTABLE if immutable else REVALIDATE}


def _matches(request: Request, etag: str) -> bool:
    """Whether If-None-Match names `etag`: weak comparison, as RFC 9110 section 13.1.2 asks of it."""
    given = request.headers.get("if-none-match")
    if given is None:
        return False
    tags = {tag.strip().removeprefix("W/") for tag in given.split(",")}
    return "*" in tags or f'"{etag}"' in tags


def not_modified(request: Request, etag: str, headers: Mapping[str, str]) -> Response | None:
    """Return the 304 where the caller has what `etag` names, else None."""
    return Response(status_code=304, headers=dict(headers)) if _matches(request, etag) else None


def answer_bytes(
    request: Request,
    body: bytes,
    *,
    immutable: bool,
    media_type: str = "application/json",
    etag: str | None = None,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """Return `body`, or 304 where the caller has it. The ETag is the SHA-256 of the bytes."""
    tag = etag or sha256_hex(body)
    told = {**(headers or {}), **tag_headers(tag, immutable)}
    return not_modified(request, tag, told) or Response(body, media_type=media_type, headers=told)


def answer(request: Request, model: BaseModel, *, immutable: bool = False) -> Response:
    """Return `model` as JSON with its ETag, or 304."""
    return answer_bytes(request, model.model_dump_json().encode(), immutable=immutable)


def answer_file(request: Request, path: Path, *, name: str, filename: str, media_type: str) -> Response:
    """Stream a file named by its hash: Range and If-Range are honoured; 304 where the caller has it.

    Raises the problem (416) for ranges that all begin beyond its end.
    """
    headers = tag_headers(name, immutable=True)
    kept = not_modified(request, name, headers)
    if kept is not None:
        return kept
    if not _ranged(request, path.stat().st_size, name):
        # The response reads them by itself, and refuses what is to be passed over.
        request.scope["headers"] = [one for one in request.scope["headers"] if one[0] != b"range"]
    return FileResponse(path, headers=headers, media_type=media_type, filename=filename)


def _ranged(request: Request, size: int, etag: str) -> bool:
    """Whether ranges of the file are asked for, all of which it has (RFC 9110, section 14.2)."""
    asked = request.headers.getlist("range")
    if len(asked) != 1 or request.headers.get("if-range", f'"{etag}"') != f'"{etag}"':
        return False
    unit, _, given = asked[0].partition("=")
    parts = [_PART.fullmatch(part.strip()) for part in given.split(",")]
    if unit.strip().lower() != "bytes" or not all(parts):
        return False
    found = [(one["first"], one["last"]) for one in parts if one is not None]
    if any(first and last and int(first) > int(last) for first, last in found):
        return False
    there = [int(first) < size if first else int(last) > 0 for first, last in found]
    if not any(there):
        words = f"Range: expected bytes of the {size} there are"
        raise ProblemError(416, "range-not-satisfiable", words, headers={"Content-Range": f"bytes */{size}"})
    return all(there)
