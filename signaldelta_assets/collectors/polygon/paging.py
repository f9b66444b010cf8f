"""Following `next_url` through the pages of a list endpoint."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from signaldelta_assets.errors import RecordError

from ..base import POLYGON, CollectContext, DocumentRecordError
from ..transport import Fetched
from .parsers import VendorPage, parse_page


def pages(context: CollectContext, path: str, params: Mapping[str, str]) -> Iterator[tuple[Fetched, VendorPage]]:
    """Yield every page. Raises UpstreamError, and DocumentRecordError where a page cannot be read or comes twice."""
    seen: set[str] = set()
    following: tuple[str, Mapping[str, str]] | None = (path, params)
    while following is not None:
        fetched = context.transport.get(POLYGON, *following)
        context.upstream_answered()
        if fetched is None:
            return
        if fetched.url in seen:
            error = RecordError(path, "next_url", "a page not read before", fetched.url)
            raise DocumentRecordError(error, fetched)
        seen.add(fetched.url)
        try:
            page = parse_page(fetched.body, path)
        except RecordError as error:
            raise DocumentRecordError(error, fetched) from error
        yield fetched, page
        following = context.transport.follow(POLYGON, page.next_url) if page.next_url else None
