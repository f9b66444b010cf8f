"""The feed of current filings (browse-edgar?action=getcurrent, Atom): one entry per filing and party, newest first.

An entry's title says form, name, CIK and role; `updated` is the acceptance with its offset (on the recorded pages it is
the acceptance of the submissions API in every case that can be compared). Past its end the feed answers with a page for
people, which `is_feed` tells.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

from signaldelta_assets.errors import RecordError

from .sgml import Party
from .values import EDGAR_SINCE, filed_date, form_type, padded_cik
from .xml import xml_root

_ATOM = "{http://www.w3.org/2005/Atom}"
_ACCESSION = re.compile(r"urn:tag:sec\.gov,2008:accession-number=([0-9]{10}-[0-9]{2}-[0-9]{6})")
_PARTY = re.compile(r"(.*) \(([0-9]{1,10})\) \(([^()]{1,60})\)", re.DOTALL)
_FILED = re.compile(r"Filed:(?:</b>)?\s*(\S+)")
# What the header calls the same roles. Others (depositors and securitizers of ABS-15G) keep the feed's word.
_ROLES = {
    "Filer": "filer",
    "Issuer": "issuer",
    "Reporting": "reporting-owner",
    "Subject": "subject",
    "Filed by": "filed-by",
    "Filed for": "filed-for",
}


@dataclass(frozen=True, slots=True)
class CurrentEntry:
    """One entry: a filing under one of its parties. `accepted_at` is in UTC."""

    accession: str
    form: str
    party: Party
    accepted_at: datetime
    filed: date


def is_feed(body: bytes) -> bool:
    """Return whether a body is a page of the feed at all, not EDGAR's page for people."""
    return b"<feed" in body[:1000]


def parse_current_feed(body: bytes, record: str) -> Iterator[CurrentEntry | RecordError]:
    """Yield the entries of a page in its order, and a RecordError for each that cannot be read.

    Raises RecordError where the body is no feed. Entities and the network are off.
    """
    root = xml_root(body, record)
    if root.tag != f"{_ATOM}feed":
        raise RecordError(record, "root", "an Atom feed", root.tag)
    for place, element in enumerate(root.iter(f"{_ATOM}entry"), 1):
        try:
            yield _entry(element, f"{record}:{place}")
        except RecordError as error:
            yield error


def _entry(element: Any, record: str) -> CurrentEntry:
    accession = _ACCESSION.fullmatch(_text(element, "id"))
    if accession is None:
        raise RecordError(record, "id", "a tag with an accession number", _text(element, "id"))
    # Not by its place: the feed moves on, and the next reading finds the entry elsewhere.
    name = accession[1]
    category = element.find(f"{_ATOM}category")
    form = form_type(name, "category", "" if category is None else str(category.get("term") or "").strip())
    title = _text(element, "title")
    found = _PARTY.fullmatch(title.removeprefix(f"{form} - "))
    if not title.startswith(f"{form} - ") or found is None:
        raise RecordError(name, "title", f"{form} - name (CIK) (role)", title)
    party = Party(_ROLES.get(found[3], found[3]), padded_cik(name, "title", found[2]), found[1].strip())
    filed = _FILED.search(_text(element, "summary"))
    day = filed_date(name, "summary", filed[1] if filed else None)
    return CurrentEntry(accession[1], form, party, _moment(name, _text(element, "updated")), day)


def _moment(record: str, stamp: str) -> datetime:
    try:
        moment = datetime.fromisoformat(stamp)
    except ValueError as error:
        raise RecordError(record, "updated", "a moment as ISO 8601 has it", stamp) from error
    if moment.tzinfo is None or not EDGAR_SINCE.year <= moment.year < 9999:
        raise RecordError(record, "updated", f"a moment with its offset, from {EDGAR_SINCE.year} on", stamp)
    return moment.astimezone(UTC)


def _text(element: Any, tag: str) -> str:
    return str(element.findtext(f"{_ATOM}{tag}") or "").strip()
