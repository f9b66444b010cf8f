"""Small readings that several EDGAR parsers share."""

from __future__ import annotations

import re
from datetime import date

from signaldelta_assets.errors import RecordError

ACCESSION = re.compile(r"[0-9]{10}-[0-9]{2}-[0-9]{6}")
_ISO_DATE = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2})(?:Z|[+-][0-9]{2}:[0-9]{2})?")
# A sign of plus and blanks are the only freedom; no class has 10**20 shares.
_DECIMAL = re.compile(r"\+?(?:[0-9]{1,20}(?:\.[0-9]{0,20})?|\.[0-9]{1,20})")
# The longest form type on record has 16 characters.
_FORM = re.compile(r"[!-~](?:[ -~]{0,38}[!-~])?")
# EDGAR opened to filers in 1993: what it dates earlier is a slip, and no event.
EDGAR_SINCE = date(1993, 1, 1)
_CONTROLS = dict.fromkeys(set(range(32)) - {9, 10})
_BLANKS = re.compile(r"[ \t\r\f\v\u00a0\u2000-\u200b\u202f\u3000]+")


def padded_cik(record: str, field: str, value: object) -> str:
    """Return a CIK as 10 digits, zero padded. Raises RecordError for anything but 1 to 10 digits."""
    text = str(value if value is not None else "").strip()
    if not text.isascii() or not text.isdigit() or len(text) > 10:
        raise RecordError(record, field, "a CIK of 1 to 10 digits", value)
    return text.zfill(10)


def iso_date(record: str, field: str, text: str | None) -> str | None:
    """Return YYYY-MM-DD, None for an absent value. An xs:date may carry a zone, which says nothing here."""
    if not text:
        return None
    found = _ISO_DATE.fullmatch(text)
    try:
        if found is None:
            raise ValueError(text)
        return date.fromisoformat(found.group(1)).isoformat()
    except ValueError:
        raise RecordError(record, field, "a date YYYY-MM-DD", text) from None


def filed_date(record: str, field: str, text: str | None) -> date:
    """Return the day of a filing, given as YYYY-MM-DD. Raises RecordError, also where EDGAR was not open yet."""
    day = iso_date(record, field, text)
    if day is None or date.fromisoformat(day) < EDGAR_SINCE:
        raise RecordError(record, field, f"a date YYYY-MM-DD from {EDGAR_SINCE} on", text)
    return date.fromisoformat(day)


def form_type(record: str, field: str, text: object) -> str:
    """Return a form type. Raises RecordError for anything but up to 40 printable characters."""
    if not isinstance(text, str) or not _FORM.fullmatch(text):
        raise RecordError(record, field, "a form type", text)
    return text


def decimal(record: str, field: str, text: str | None) -> str | None:
    """Return a number of these forms as the text it is, None for an absent value.

    None of them can be negative: acquired and disposed, bought and sold are told by codes. Of 31,504 lines in the SEC's
    own tables of the ownership documents of a quarter not one is.
    """
    if text is not None and not _DECIMAL.fullmatch(text):
        raise RecordError(record, field, "a decimal number, not negative", text)
    return text


def compact_date(record: str, field: str, text: str | None) -> str | None:
    """Return the header's YYYYMMDD as YYYY-MM-DD, None for an absent value."""
    if not text:
        return None
    if len(text) < 8 or not (text[:8].isascii() and text[:8].isdigit()):
        raise RecordError(record, field, "a date YYYYMMDD", text)
    return iso_date(record, field, f"{text[:4]}-{text[4:6]}-{text[6:8]}")


def folded(text: str) -> str:
    """Return `text` with runs of blanks folded to one and control characters removed; newlines stay."""
    return _BLANKS.sub(" ", text.translate(_CONTROLS)).strip()
