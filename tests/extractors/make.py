"""Handmade raw records of every source type the extractors read, as the frame that a loader would hand over."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime, timedelta
from functools import cache
from typing import Any

import pandas as pd

from signaldelta_assets.catalogue import SignalDefinitions, load_definitions
from signaldelta_assets.contracts import Security, SecurityContext
from signaldelta_assets.extractors import Extraction, run_extractor
from signaldelta_assets.timeline import session_close
from signaldelta_assets.versioning import canonical_json, content_ulid

ACME = "0000000001"
OTHER = "0000000002"
FETCHED = datetime(2026, 6, 1, tzinfo=UTC)
COLUMNS = ["raw_record_id", "source_type", "entity_id", "natural_key", "form", "event_time", "observed_time",
           "collection_mode", "payload"]  # fmt: skip


@cache
def definitions() -> SignalDefinitions:
    return load_definitions()


def at(text: str) -> datetime:
    """Return "2024-03-01 18:00" as UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def record(
    source: str,
    key: str,
    when: datetime | None,
    payload: Mapping[str, Any],
    *,
    form: str | None = None,
    entity: str = ACME,
    observed: datetime = FETCHED,
    mode: str = "backfill",
) -> dict[str, Any]:
    name = content_ulid(when, canonical_json([source, entity, key, dict(payload)]))
    return dict(zip(COLUMNS, [name, source, entity, key, form, when, observed, mode, dict(payload)], strict=True))


def frame(records: Iterable[Mapping[str, Any]]) -> pd.DataFrame:
    made = pd.DataFrame(list(records), columns=COLUMNS)
    made["event_time"] = pd.to_datetime(made["event_time"], utc=True)
    made["observed_time"] = pd.to_datetime(made["observed_time"], utc=True)
    return made


def context(*entities: str) -> SecurityContext:
    return SecurityContext(
        {entity: Security(entity, f"Company {entity}", sic="3571") for entity in entities or (ACME, OTHER)}
    )


def run(
    signal: str, records: Iterable[Mapping[str, Any]], start: date = date(1995, 1, 1), end: date = date(2027, 1, 1)
) -> Extraction:
    return run_extractor(signal, frame(records), context(), definitions(), start, end)


def index(
    accession: str,
    when: datetime,
    form: str = "8-K",
    items: Iterable[str] = (),
    report: str | None = "2024-03-01",
    *,
    filed: str | None = None,
    file_number: str | None = "001-00001",
    is_xbrl: bool = False,
    **more: Any,
) -> dict[str, Any]:
    payload = {"accession": accession, "cik": ACME, "form": form, "items": list(items), "report_date": report,
               "filing_date": filed or str(when.date()), "file_number": file_number, "is_xbrl": is_xbrl}  # fmt: skip
    return record("filing_index", accession, when, payload, form=form, **more)


def eight_k(
    accession: str,
    when: datetime,
    items: Iterable[str],
    text: str,
    form: str = "8-K",
    report: str | None = "2024-03-01",
    **more: Any,
) -> dict[str, Any]:
    payload = {"accession": accession, "form": form, "items": list(items), "period_of_report": report, "text": text}
    return record("form_8k", accession, when, payload, form=form, **more)


def facts(
    accession: str,
    when: datetime,
    stated: Mapping[tuple[str, str, str], float],
    form: str = "10-Q",
    unit: str = "USD",
    **more: Any,
) -> dict[str, Any]:
    """One filing's facts: (concept, start or "", end) -> value."""
    concepts: dict[str, dict[str, list[list[Any]]]] = {}
    for (concept, start, end), value in stated.items():
        concepts.setdefault(concept, {}).setdefault(unit, []).append([start or None, end, value])
    payload = {"accession": accession, "form": form, "facts": {"us-gaap": concepts}}
    return record("xbrl_facts", accession, when, payload, form=form, **more)


def line(code: str, shares: float, price: float | None, day: str, **more: Any) -> dict[str, Any]:
    made = {
        "line": 1,
        "security_title": "Common Stock",
        "transaction_date": day,
        "code": code,
        "equity_swap_involved": False,
        "shares": str(shares),
        "price": None if price is None else str(price),
        "acquired_disposed": "D" if code in ("S", "F") else "A",
        "shares_owned_following": None,
        "direct_indirect": "D",
        "nature_of_ownership": None,
        "footnote_ids": [],
        "price_footnote_ids": [],
    }
    return made | more


def form4(
    accession: str,
    when: datetime,
    lines: Iterable[Mapping[str, Any]],
    owners: Iterable[str] = ("101",),
    *,
    document_type: str = "4",
    title: str | None = None,
    box: bool | None = False,
    footnotes: Mapping[str, str] | None = None,
    ten_percent_only: bool = False,
    **more: Any,
) -> dict[str, Any]:
    people = [
        {"cik": owner.zfill(10), "name": f"Owner {owner}", "is_director": title is None and not ten_percent_only,
         "is_officer": title is not None, "is_ten_percent_owner": ten_percent_only, "is_other": False,
         "officer_title": title, "other_text": None}
        for owner in owners
    ]  # fmt: skip
    payload = {
        "accession": accession,
        "document_type": document_type,
        "owners": people,
        "aff10b5_one": box,
        "non_derivative_transactions": [dict(one) for one in lines],
        "footnotes": dict(footnotes or {}),
    }
    return record("ownership", accession, when, payload, form=document_type, **more)


def bar(
    day: date, close: float, volume: float, ticker: str = "ACM", vintage: str = "v1", adjusted: bool = True, **more: Any
) -> dict[str, Any]:
    when = session_close(pd.DatetimeIndex([pd.Timestamp(day)]))[0].to_pydatetime()
    payload = {"ticker": ticker, "session": day.isoformat(), "open": close, "high": close * 1.01, "low": close * 0.99,
               "close": close, "volume": volume, "adjusted": adjusted, "vintage": vintage}  # fmt: skip
    return record("daily_bar", f"{ticker}|{day}|{vintage}", when, payload, **more)


def earnings(
    day: str, actual: float | None, estimate: float | None, time: str | None = "21:05", fiscal: str = "", **more: Any
) -> dict[str, Any]:
    when = None if time is None else at(f"{day} {time}")
    payload = {"ticker": "ACM", "date": day, "time": None if time is None else f"{time}:00", "actual_eps": actual,
               "estimated_eps": estimate, "fiscal_year": int(day[:4]) if fiscal else None,
               "fiscal_period": fiscal or None, "currency": "USD"}  # fmt: skip
    return record("earnings_actual", f"ACM|{day}|{fiscal}|{estimate}|{actual}", when, payload, **more)


def days(start: str, n: int, step: int = 1) -> list[datetime]:
    return [at(start) + timedelta(days=i * step) for i in range(n)]
