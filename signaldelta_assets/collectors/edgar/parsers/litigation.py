"""The SEC's litigation releases: the feed of the newest, the list of a year, and the page of one release.

What a release says of its own date stands in its header beside its own number; a header with another number is that of
an earlier release which the text refers to. Whom it is about, and whether it opens a case, is for the classifier.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from lxml import etree, html

from signaldelta_assets.errors import RecordError

from .text import decode, document_text
from .values import folded
from .xml import xml_root

_MONTHS = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)
_DAY = rf"({'|'.join(_MONTHS)})\s+(\d{{1,2}}),?\s+(\d{{4}})"
_HEADER = re.compile(rf"Litigation\s+Release\s*(?:No\.?|Number)?\s*(?:LR-?)?\s*(\d+)[^A-Za-z0-9]{{1,12}}{_DAY}", re.I)
_ON = re.compile(rf"\bon\s+(?:or\s+about\s+)?{_DAY}", re.I)
_CAPTION = re.compile(
    r"(?:Securities\s+and\s+Exchange\s+Commission|\bS\.?E\.?C\.?)\s*(?:,\s*Plaintiff,?)?\s*vs?[.,]\s", re.I
)
_CAPTION_END = re.compile(
    r"\bCiv(?:il|\.)|\bCase\s+No|\bC\.\s?A\.|\bDocket|\bNo\.\s|\bUnited\s+States\s+District|\bU\.S\.\s?D|\bIn\s+the\s+Matter"
    r"|\b\d+:\d|\b\d\d[ -]C[IV]|\bLitigation\s+Release|\bThe\s+(?:United\s+States\s+)?Securities\s+and\s+Exchange"
    r"|\bThe\s+Commission|;\s*(?:Securities\s+and\s+Exchange\s+Commission|SEC)\s+v|[\[\]]",
    re.I,
)
_NUMBER = re.compile(r"LR-?\s?0*([1-9][0-9]{0,5})", re.I)
_LINK = re.compile(r"/lr-?0*([1-9][0-9]{0,5})(?:\.s?html?|\.txt)?$", re.I)
# What becomes part of a URL: nothing in it that means something to one.
_PATH = re.compile(r"(?:/[A-Za-z0-9._~-]+)+")
_LOOKS_HTML = re.compile(rb"<(?:html|body|p|h\d)\b", re.I)
# Where the header and the caption stand, and how long a caption is at most, in characters.
_HEAD, _CAPTION_LENGTH = 1_500, 600
# The commission opened in 1934: an earlier date is a slip of the pen.
_FIRST_YEAR = 1934


@dataclass(frozen=True, slots=True)
class FeedItem:
    """One entry of the feed: number, respondents as titled, the moment of publication in UTC, link."""

    number: str
    title: str
    published: datetime
    link: str | None


@dataclass(frozen=True, slots=True)
class ListedRelease:
    """One line of a year's list: number and path on the SEC's own host."""

    number: str
    path: str


def parse_litigation_feed(body: bytes, record: str) -> Iterator[FeedItem | RecordError]:
    """Yield the entries of the RSS feed, and a RecordError for each that lacks its number or moment.

    Raises RecordError where the body is no feed. Entities and the network are off.
    """
    root = xml_root(body, record)
    if root.tag != "rss":
        raise RecordError(record, "rss", "an RSS feed", root.tag)
    for place, item in enumerate(root.iter("item"), 1):
        try:
            yield _feed_item(item, f"{record}:{place}")
        except RecordError as error:
            yield error


def _feed_item(item: Any, record: str) -> FeedItem:
    creator = _text(item, "{http://purl.org/dc/elements/1.1/}creator")
    number = _NUMBER.fullmatch(creator)
    if number is None:
        raise RecordError(record, "dc:creator", "a release number LR-n", creator)
    stamp = _text(item, "pubDate")
    try:
        published = parsedate_to_datetime(stamp)
    except (ValueError, TypeError, OverflowError) as error:
        raise RecordError(record, "pubDate", "a date as RFC 2822 has it", stamp) from error
    # An offset of -0000 says that the zone is not known.
    if published.tzinfo is None or not _FIRST_YEAR <= published.year < 9999:
        raise RecordError(record, "pubDate", f"a moment with its zone, from {_FIRST_YEAR} on", stamp)
    return FeedItem(number[1], _text(item, "title"), published.astimezone(UTC), _text(item, "link") or None)


def _text(item: Any, tag: str) -> str:
    return folded(item.findtext(tag) or "").strip()


def parse_litigation_list(body: bytes, record: str) -> list[ListedRelease]:
    """Return the releases that a year's list links to, by number. Raises RecordError where the body is no page."""
    parser = html.HTMLParser(encoding="utf-8", no_network=True, remove_comments=True, remove_pis=True)
    try:
        root = html.document_fromstring(decode(body).encode("utf-8", errors="replace"), parser=parser)
    except (etree.ParserError, etree.XMLSyntaxError, ValueError) as error:
        raise RecordError(record, "list", "an HTML document", error) from error
    found: dict[str, str] = {}
    for link in root.iter("a"):
        path = re.sub(r"^https?://www\.sec\.gov(?=/)", "", (link.get("href") or "").strip())
        number = _LINK.search(path)
        if number is not None and _PATH.fullmatch(path) and ".." not in path:
            found.setdefault(number[1], path)
    return [ListedRelease(number, found[number]) for number in sorted(found, key=lambda text: (len(text), text))]


def release_payload(body: bytes, number: str) -> dict[str, Any]:
    """Return the payload of a release's page.

    `released_on`: its header's date, None without one; `first_on`: the first date that the text names after "on", with
    its place in `text`; `caption`: the parties after "v.", None without a caption. Raises RecordError where the page
    has no text.
    """
    text = document_text(body, f"LR-{number}")
    if not text:
        raise RecordError(f"LR-{number}", "text", "the text of the release", body[:80])
    header = next((m for m in _HEADER.finditer(text[:_HEAD]) if m[1].lstrip("0") == number), None)
    start = 0 if header is None else header.end()
    mentioned = _ON.search(text, start)
    on = None if mentioned is None else _day(*mentioned.groups())
    released = None if header is None else _day(*header.groups()[1:])
    return {
        "number": number,
        "released_on": None if released is None else released.isoformat(),
        "first_on": None
        if on is None or mentioned is None
        else {"date": on.isoformat(), "at": mentioned.start() - start},
        "caption": _caption(text, paragraphs=_LOOKS_HTML.search(body) is not None),
        "text": text,
    }


def _caption(text: str, *, paragraphs: bool) -> str | None:
    """Return the parties after "v."; of a page with paragraphs to the end of theirs, of plain text over its lines."""
    found = _CAPTION.search(text[:_HEAD])
    if found is None:
        return None
    rest = text[found.end() : found.end() + _CAPTION_LENGTH]
    rest = rest.split("\n", 1)[0] if paragraphs else rest
    end = _CAPTION_END.search(rest)
    return re.sub(r"\s+", " ", rest[: end.start()] if end else rest).strip(" ,;(") or None


def _day(month: str, day: str, year: str) -> date | None:
    try:
        found = date(int(year), _MONTHS.index(month.capitalize()) + 1, int(day))
    except ValueError:
        return None
    return found if found.year >= _FIRST_YEAR else None
