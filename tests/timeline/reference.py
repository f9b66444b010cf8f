"""A slow, plain reference of time.md, one record at a time, written apart from the room it checks."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo

import pandas as pd
from pandas.tseries.holiday import USFederalHolidayCalendar

from signaldelta_assets.timeline import EDGAR_CLOSINGS

EASTERN = ZoneInfo("America/New_York")


@lru_cache(maxsize=1)
def closed_days() -> frozenset[date]:
    """Federal holidays by pandas (a source of its own) and EDGAR's extra closings."""
    federal = USFederalHolidayCalendar().holidays("1990-01-01", "2040-12-31")
    return frozenset({day.date() for day in federal} | set(EDGAR_CLOSINGS))


def business_day(day: date) -> bool:
    return day.weekday() < 5 and day not in closed_days()


def keeps_the_evening(form: object, day: date) -> bool:
    if not isinstance(form, str):
        return False
    base = form.removesuffix("/A")
    if base in ("3", "4", "5"):
        return day >= date(2003, 7, 28)
    if base == "144":
        return day >= date(2023, 3, 20)
    if base in ("SC 13D", "SC 13G", "SCHEDULE 13D", "SCHEDULE 13G"):
        return day >= date(2024, 2, 5)
    return (form.endswith("MEF") or form == "POS 462B") and day >= date(1995, 6, 7)


def dissemination(accepted: datetime, form: object) -> datetime:
    local = accepted.astimezone(EASTERN)
    last = time(22) if keeps_the_evening(form, local.date()) else time(17, 30)
    if business_day(local.date()) and time(6) <= local.time() <= last:
        return accepted
    day = local.date() if local.time() < time(6) else local.date() + timedelta(days=1)
    while not business_day(day):
        day += timedelta(days=1)
    return datetime.combine(day, time(6), EASTERN).astimezone(UTC)


def available_time(document: dict[str, Any], record: dict[str, Any]) -> datetime:
    rule = document["sources"].get(record["source_type"], document["default"])
    processing = timedelta(seconds=rule["processing_seconds"])
    event = None if pd.isna(record["event_time"]) else record["event_time"].to_pydatetime()
    seen = record["observed_time"].to_pydatetime() + processing
    if event is None:
        return seen
    if rule["rule"] == "observed":
        return max(seen, event)
    if rule["rule"] == "lag":
        available = event + timedelta(seconds=rule["lag_seconds"]) + processing
    else:
        available = dissemination(event, record["form"]) + processing
    return max(available, seen) if record["collection_mode"] == "live" else available
