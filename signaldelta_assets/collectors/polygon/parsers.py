"""Polygon's answers to values: pages in, payloads out. Pure.

Numbers are JSON numbers as received. `t` of a daily bar is midnight New York of its session in milliseconds, of an
hourly bar the start of the hour. `date` and `time` of an earnings row are one moment in UTC, and an absent time leaves
a day of New York.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

from signaldelta_assets.errors import RecordError
from signaldelta_assets.timeline import NEW_YORK

from ..reading import json_object
from .fields import (
    amount,
    an_object,
    day,
    milliseconds,
    number,
    optional_day,
    optional_text,
    price,
    replayed,
    text,
    whole,
)

_TIME = re.compile(r"[0-9]{2}:[0-9]{2}:[0-9]{2}")
_LINK = re.compile(r"https?://[!-~]{1,1990}")
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
    document = json_object(body, record)
    if document.get("status") not in ("OK", "DELAYED"):
        raise RecordError(record, "status", "OK or DELAYED", document.get("status"))
    rows = document.get("results") or []
    if not isinstance(rows, list):
        raise RecordError(record, "results", "a list", type(rows).__name__)
    link = document.get("next_url") or None
    if link is not None and not (isinstance(link, str) and _LINK.fullmatch(link)):
        raise RecordError(record, "next_url", "a URL of at most 2,000 characters", link)
    return VendorPage(rows, link, document)


def bars(page: VendorPage, ticker: str, record: str) -> Iterator[dict[str, Any] | RecordError]:
    """Yield the `daily_bar` payload of each bar, or the RecordError of one that is none."""
    adjusted, vintage = _series(page, ticker, record)
    for place, row in enumerate(page.rows):
        where = f"{record}:{place}"
        try:
            session = _session(where, row).isoformat()
            yield {
                "ticker": ticker,
                "session": session,
                **_prices(where, row),
                "adjusted": adjusted,
                "vintage": vintage,
            }
        except RecordError as error:
            yield error


def hours(page: VendorPage, ticker: str, record: str) -> Iterator[dict[str, Any] | RecordError]:
    """Yield the `hourly_bar` payload of each bar, or the RecordError of one that is none.

    `start` and `end` are an hour apart, in UTC; `session` is the day in New York. Rows that say the same of an hour are
    one bar; rows that say different things of it are none, for nothing tells which of them is right.
    """
    adjusted, vintage = _series(page, ticker, record)
    found: dict[str, dict[str, Any] | RecordError] = {}
    for place, row in enumerate(page.rows):
        where = f"{record}:{place}"
        try:
            start = milliseconds(where, row)
            if (start.second, start.microsecond) != (0, 0) or start.minute % 30:
                raise RecordError(where, "t", "a full or half hour", start.isoformat())
            payload = {
                "ticker": ticker,
                "start": start.isoformat(),
                "end": (start + timedelta(hours=1)).isoformat(),
                "session": start.astimezone(NEW_YORK).date().isoformat(),
                **_prices(where, row),
                "adjusted": adjusted,
                "vintage": vintage,
            }
        except RecordError as error:
            yield error
            continue
        known = found.setdefault(payload["start"], payload)
        if known != payload:
            found[payload["start"]] = RecordError(
                f"{record}:{payload['start']}", "t", "one bar of each hour", "several"
            )
    yield from found.values()


def dividend(row: Any, record: str) -> dict[str, Any]:
    """Return the `dividend` payload of a row: amount per share in `currency`. Raises RecordError."""
    row = an_object(row, record)
    return {
        "ticker": text(record, row, "ticker"),
        "cash_amount": price(record, row, "cash_amount"),
        "currency": optional_text(record, row, "currency") or "USD",
        "dividend_type": optional_text(record, row, "dividend_type"),
        "frequency": whole(record, row, "frequency"),
        "declaration_date": optional_day(record, row, "declaration_date"),
        "ex_dividend_date": day(record, row, "ex_dividend_date"),
        "record_date": optional_day(record, row, "record_date"),
        "pay_date": optional_day(record, row, "pay_date"),
        "vendor_id": optional_text(record, row, "id"),
    }


def split(row: Any, record: str) -> dict[str, Any]:
    """Return the `split` payload of a row. Raises RecordError."""
    row = an_object(row, record)
    return {
        "ticker": text(record, row, "ticker"),
        "execution_date": day(record, row, "execution_date"),
        "split_from": price(record, row, "split_from"),
        "split_to": price(record, row, "split_to"),
    }


def earnings(row: Any, record: str) -> dict[str, Any] | None:
    """Return the `earnings_actual` payload of a row, None where nothing has been reported yet. Raises RecordError."""
    row = an_object(row, record)
    actual = number(record, row, "actual_eps", optional=True)
    if actual is None:
        return None
    announced, clock = day(record, row, "date"), row.get("time") or None
    if clock is not None and not _TIME.fullmatch(str(clock)):
        raise RecordError(record, "time", "HH:MM:SS", clock)
    clock = None if clock == _NO_TIME else clock
    try:
        released = None if clock is None else datetime.fromisoformat(f"{announced}T{clock}").replace(tzinfo=UTC)
    except ValueError:
        raise RecordError(record, "time", "HH:MM:SS", clock) from None
    return {
        "ticker": text(record, row, "ticker"),
        "date": announced,
        "time": clock,
        "released_at": None if released is None else released.isoformat(),
        "fiscal_period": optional_text(record, row, "fiscal_period"),
        "fiscal_year": whole(record, row, "fiscal_year"),
        "actual_eps": actual,
        "estimated_eps": number(record, row, "estimated_eps", optional=True),
        "date_status": optional_text(record, row, "date_status"),
        "currency": optional_text(record, row, "currency") or "USD",
        "vendor_id": optional_text(record, row, "benzinga_id") or optional_text(record, row, "id"),
        "last_updated": optional_text(record, row, "last_updated"),
    }


def _series(page: VendorPage, ticker: str, record: str) -> tuple[bool, str]:
    """Return whether a page of bars is split adjusted, and its vintage."""
    if page.document.get("ticker") not in (ticker, None):
        raise RecordError(record, "ticker", ticker, page.document.get("ticker"))
    adjusted = page.document.get("adjusted")
    if not isinstance(adjusted, bool):
        raise RecordError(record, "adjusted", "true or false", adjusted)
    # One download is one vintage. An archive names the download that it replays; the live service is one vintage.
    vintage = optional_text(record, replayed(page.document, record), "vintage")
    return adjusted, vintage or ("polygon/adjusted" if adjusted else "polygon/unadjusted")


def _prices(record: str, row: dict[str, Any]) -> dict[str, Any]:
    return {
        "open": price(record, row, "o"),
        "high": price(record, row, "h"),
        "low": price(record, row, "l"),
        "close": price(record, row, "c"),
        "volume": amount(record, row, "v"),
        "vwap": number(record, row, "vw", optional=True),
        "transactions": number(record, row, "n", optional=True),
    }


def _session(record: str, row: Any) -> date:
    moment = milliseconds(record, row).astimezone(NEW_YORK)
    if (moment.hour, moment.minute, moment.second) != (0, 0, 0):
        raise RecordError(record, "t", "midnight New York of a session", moment.isoformat())
    return moment.date()
