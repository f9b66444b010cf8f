"""Answers packed small: zstd, brotli or gzip, whichever the caller takes, for JSON, pages and text of some size.

Not packed: files that are compressed in themselves, ranges of bytes, streams of events, and what says `no-store`:
there a secret may stand beside text of the caller's choosing, and the length would tell of it.

A strong ETag names bytes, and packed bytes are others: a packed answer has the same tag, weak (RFC 9110, section
8.8.3). `If-None-Match` compares weakly, so either form is answered 304, in the form that the caller has.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette_compress import CompressMiddleware, add_compress_type

from ..wire import add_vary, headers_of

MINIMUM_BYTES = 1024
_LEAVE = "x-leave"


class CompressionMiddleware:
    """starlette-compress with our types, and ETags that stay true."""

    def __init__(self, app: ASGIApp, minimum_size: int = MINIMUM_BYTES) -> None:
        # The library's list is its own and global: said again, it is the same.
        add_compress_type("text/csv")
        self.plain = app
        self.packing = CompressMiddleware(_Marked(app), minimum_size=minimum_size, zstd_level=3, brotli_quality=4)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.plain(scope, receive, send)
            return
        given = dict(scope["headers"])
        known = _weak_tags(Headers(scope=scope).getlist("if-none-match")) if b"if-none-match" in given else set()
        if b"accept-encoding" not in given:
            await self.plain(scope, receive, _unpacked(send, known))
            return

        async def tagged(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                if headers.get("content-encoding") == _LEAVE:
                    del headers["content-encoding"]
                tag, packed = headers.get("etag", ""), "content-encoding" in headers
                if tag.startswith('"') and (packed or (message["status"] == 304 and tag in known)):
                    headers["ETag"] = f"W/{tag}"
                if message["status"] == 304:
                    headers.add_vary_header("Accept-Encoding")
            await send(message)

        await self.packing(scope, receive, tagged)


def _unpacked(send: Send, known: Collection[str]) -> Send:
    """Return what sends an answer to a caller who takes none packed: nothing is looked into but its headers."""

    async def sent(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = headers_of(message)
            own = dict(headers)
            tag = own.get(b"etag", b"").decode("latin-1")
            if message["status"] == 304 and tag in known:
                headers[:] = [
                    (name, f"W/{tag}".encode("latin-1") if name == b"etag" else told) for name, told in headers
                ]
            # Another caller may get it packed.
            if b"content-encoding" not in own and not _left(own):
                add_vary(headers, b"Accept-Encoding")
        await send(message)

    return sent


def _left(own: Mapping[bytes, bytes]) -> bool:
    """Whether an answer with these headers must not be packed."""
    return own.get(b"content-type", b"").startswith(b"text/event-stream") or b"no-store" in own.get(
        b"cache-control", b""
    )


def _weak_tags(given: Iterable[str]) -> set[str]:
    """Return the opaque tags that the caller knows in their weak form."""
    tags = {tag.strip() for line in given for tag in line.split(",")}
    return {tag.removeprefix("W/") for tag in tags if tag.startswith("W/")}


class _Marked:
    """Marks what must not be packed, until it is past the library, which leaves alone what says its encoding."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def marked(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = headers_of(message)
                own = dict(headers)
                if b"content-encoding" not in own and _left(own):
                    headers.append((b"content-encoding", _LEAVE.encode()))
            await send(message)

        await self.app(scope, receive, marked)
