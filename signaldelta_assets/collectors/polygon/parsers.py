"""Polygon's answers to values: pages in, payloads out. Pure.

Numbers are JSON numbers as received. `t` of a daily bar is midnight New York of its session in milliseconds; `date`
and `time` of an earnings row are one moment in UTC, and an absent time leaves a day of New York.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

import orjson

from signaldelta_assets.errors import RecordError
from signaldelta_assets.timeline import NEW_YORK

_TIME = re.compile(r"\d{2}:\d{2}:\d{2}")
# The vendor's placeholder where it knows the day only: nothing is released at midnight UTC to the second.
_NO_TIME = "00:00:00"


@dataclass(frozen=True, slots=True)
class VendorPage:
    """One page: its rows as received, the link to the next, and the rest of the document."""

    rows: list[Any]
    next_url: str | None
    document: dict[str, Any]


def parse_page(body: bytes, record: str) -> VendorPage:
    """Read the envelope of any list endpoint. Raises RecordError."""
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise RecordError(record, "body", "a JSON document", error) from error
    if not isinstance(document, dict) or document.get("status") not in ("OK", "DELAYED"):
        found = document.get("status") if isinstance(document, dict) else type(document).__name__
        raise RecordError(record, "status", "OK or DELAYED", found)
    rows = document.get("results") or []
    if not isinstance(rows, list):
        raise RecordError(record, "results", "a list", type(rows).__name__)
    return VendorPage(rows, document.get("next_url") or None, document)


def bars(page: VendorPage, ticker: str, record: str) -> Iterator[dict[str, Any] | RecordError]:
    """Yield the `daily_bar` payload of each bar, or the RecordError of one that is none."""
    if page.document.get("ticker") not in (ticker, None):
        raise RecordError(record, "ticker", ticker, page.document.get("ticker"))
    adjusted = page.document.get("adjusted")
    if not isinstance(adjusted, bool):
        raise RecordError(record, "adjusted", "true or false", adjusted)
    # One download is one vintage. An archive names the download that it replays; the live service is one vintage.
    vintage = (page.document.get("signaldelta") or {}).get("vintage") or (
        "polygon/adjusted" if adjusted else "polygon/unadjusted"
    )
    for number, row in enumerate(page.rows):
        where = f"{record}:{number}"
        try:
            yield {
                "ticker": ticker,
                "session": _session(where, row).isoformat(),
                "open": _price(where, row, "o"),
                "high": _price(where, row, "h"),
                "low": _price(where, row, "l"),
                "close": _price(where, row, "c"),
                "volume": _number(where, row, "v"),
                "vwap": _number(where, row, "vw", optional=True),
                "transactions": _number(where, row, "n", optional=True),
                "adjusted": adjusted,
                "vintage": vintage,
            }
        except RecordError as error:
            yield error


def split(row: dict[str, Any], record: str) -> dict[str, Any]:
    """Return the `split` payload of a row. Raises RecordError."""
    return {
        "ticker": _text(record, row, "ticker"),
        "execution_date": _day(record, row, "execution_date"),
        "split_from": _price(record, row, "split_from"),
        "split_to": _price(record, row, "split_to"),
    }


def earnings(row: dict[str, Any], record: str) -> dict[str, Any] | None:
    """Return the `earnings_actual` payload of a row, None where nothing has been reported yet. Raises RecordError."""
    actual = _number(record, row, "actual_eps", optional=True)
    if actual is None:
        return None
    day, clock = _day(record, row, "date"), row.get("time") or None
    if clock is not None and not _TIME.fullmatch(str(clock)):
        raise RecordError(record, "time", "HH:MM:SS", clock)
    clock = None if clock == _NO_TIME else clock
    try:
        released = None if clock is None else datetime.fromisoformat(f"{day}T{clock}").replace(tzinfo=UTC)
    except ValueError:
        raise RecordError(record, "time", "HH:MM:SS", clock) from None
    vendor_id = row.get("benzinga_id") or row.get("id")
    year = _number(record, row, "fiscal_year", optional=True)
    return {
        "ticker": _text(record, row, "ticker"),
        "date": day,
        "time": clock,
        "released_at": None if released is None else released.isoformat(),
        "fiscal_period": row.get("fiscal_period") or None,
        "fiscal_year": None if year is None else int(year),
        "actual_eps": actual,
        "estimated_eps": _number(record, row, "estimated_eps", optional=True),
        "date_status": row.get("date_status") or None,
        "currency": row.get("currency") or "USD",
        "vendor_id": None if vendor_id is None else str(vendor_id),
        "last_updated": row.get("last_updated") or None,
    }


def _session(record: str, row: Any) -> date:
    stamp = row.get("t") if isinstance(row, dict) else None
    if not isinstance(stamp, int) or isinstance(stamp, bool):
        raise RecordError(record, "t", "milliseconds of the epoch", stamp)
    moment = datetime.fromtimestamp(stamp / 1000, UTC).astimezone(NEW_YORK)
    if (moment.hour, moment.minute, moment.second) != (0, 0, 0):
        raise RecordError(record, "t", "midnight New York of a session", moment.isoformat())
    return moment.date()


def _number(record: str, row: dict[str, Any], field: str, *, optional: bool = False) -> float | int | None:
    value = row.get(field)
    if value is None and optional:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise RecordError(record, field, "a finite number", value)
    return value


def _price(record: str, row: dict[str, Any], field: str) -> float | int:
    value = _number(record, row, field)
    if value is None or value <= 0:
        raise RecordError(record, field, "a number above 0", value)
    return value


def _text(record: str, row: dict[str, Any], field: str) -> str:
    value = row.get(field)
    if not isinstance(value, str) or not value:
        raise RecordError(record, field, "a non-empty text", value)
    return value


def _day(record: str, row: dict[str, Any], field: str) -> str:
    try:
        return date.fromisoformat(str(row.get(field))).isoformat()
    except ValueError:
        raise RecordError(record, field, "a date YYYY-MM-DD", row.get(field)) from None
