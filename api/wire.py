"""Headers as they are on the wire, for what adds some to every answer: pairs of bytes, names in small letters."""

from __future__ import annotations

from starlette.types import Message

Header = tuple[bytes, bytes]


def headers_of(message: Message) -> list[Header]:
    """Return the headers of the beginning of an answer, in a list of this answer alone, which may be added to."""
    headers: list[Header] = list(message.get("headers", ()))
    message["headers"] = headers
    return headers


def add_vary(headers: list[Header], names: bytes) -> None:
    """Say that the answer depends on these headers of the request too."""
    for place, (name, value) in enumerate(headers):
        if name == b"vary":
            headers[place] = (name, value + b", " + names)
            return
    headers.append((b"vary", names))
