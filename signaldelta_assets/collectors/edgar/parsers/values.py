"""Small readings that several EDGAR parsers share."""

from __future__ import annotations

import re
from datetime import date

from signaldelta_assets.errors import RecordError

_ISO_DATE = re.compile(r"(\d{4}-\d{2}-\d{2})(?:Z|[+-]\d{2}:\d{2})?")
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


def compact_date(record: str, field: str, text: str | None) -> str | None:
    """Return the header's YYYYMMDD as YYYY-MM-DD, None for an absent value."""
    if not text:
        return None
    if len(text) < 8 or not text[:8].isdigit():
        raise RecordError(record, field, "a date YYYYMMDD", text)
    return iso_date(record, field, f"{text[:4]}-{text[4:6]}-{text[6:8]}")


def folded(text: str) -> str:
    """Return `text` with runs of blanks folded to one and control characters removed; newlines stay."""
    return _BLANKS.sub(" ", text.translate(_CONTROLS)).strip()
