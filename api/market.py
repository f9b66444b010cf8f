"""What the market showed of an entity: bars, insiders' trades and filings, each from when it was available.

As for signals, a fact is there once, in the reading that signals are made from: that of the collector version which
wrote last under its key, and of those the one observed first; what an upstream corrected later changes nothing that
was known before.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date, datetime
from typing import Any, Literal

import pandas as pd
from psycopg import Connection

from signaldelta_assets.timeline import LatencyModel

from . import queries
from .pointintime import Basis, Clocks, needed

Row = dict[str, Any]
Key = tuple[datetime, str]
Interval = Literal["day", "hour"]
_BARS = {"day": "daily_bar", "hour": "hourly_bar"}


def standing(found: list[Row], model: LatencyModel, as_of: datetime) -> list[Row]:
    """Return the readings that stand and were available at `as_of`, with their available_time, oldest event first.

    One for each natural_key. A record without event_time is of no moment, and not shown.
    """
    last: dict[str, tuple[datetime, str]] = {}
    for row in found:
        written = (row["ingest_time"], row["collector_version"])
        last[row["natural_key"]] = max(last.get(row["natural_key"], written), written)
    first: dict[str, Row] = {}
    for row in sorted(found, key=lambda row: (row["observed_time"], row["collection_mode"] != "live",
                                              row["raw_record_id"])):  # fmt: skip
        if row["event_time"] is not None and row["collector_version"] == last[row["natural_key"]][1]:
            first.setdefault(row["natural_key"], row)
    chosen = list(first.values())
    if not chosen:
        return []
    frame = pd.DataFrame(chosen, columns=["source_type", "form", "event_time", "observed_time", "collection_mode"])
    for name in ("event_time", "observed_time"):
        frame[name] = pd.to_datetime(frame[name], utc=True).dt.as_unit("us")
    times = [moment.to_pydatetime() for moment in model.available_time(frame)]
    shown = [row | {"available_time": at} for row, at in zip(chosen, times, strict=True) if at <= as_of]
    return sorted(shown, key=_key)


def _key(row: Row) -> Key:
    return (row["event_time"], row["raw_record_id"])


def records_page(
    connection: Connection[Row],
    entity_id: str,
    source_type: str,
    clocks: Clocks,
    basis: Basis | None,
    *,
    start: datetime | None,
    end: datetime | None,
    after: Key | None,
    descending: bool,
    limit: int,
) -> tuple[list[Row], Key | None]:
    """Return (records with available_time and payload, key to go on from or None), by (event_time, raw_record_id).

    409 where there are records and no latency model.
    """
    readings = queries.raw_readings(connection, entity_id, source_type, clocks.known_as_of)
    shown = standing(readings, needed(basis).model, clocks.as_of) if readings else []
    shown = [
        row
        for row in shown
        if (start is None or row["event_time"] >= start) and (end is None or row["event_time"] < end)
    ]
    if descending:
        shown.reverse()
    if after is not None:
        shown = [row for row in shown if (_key(row) < after if descending else _key(row) > after)]
    page = shown[:limit]
    content = queries.raw_payloads(connection, [row["raw_record_id"] for row in page])
    return (
        [row | content[row["raw_record_id"]] | {"entity_id": entity_id} for row in page],
        _key(page[-1]) if len(shown) > limit else None,
    )


def source_of(interval: Interval) -> str:
    """Return the source type of bars of that length."""
    return _BARS[interval]


def splits(
    connection: Connection[Row], entity_id: str, clocks: Clocks, basis: Basis | None
) -> dict[tuple[str, str], float]:
    """Return by ticker and day (ISO) how many shares one became, of the splits known then."""
    readings = queries.raw_readings(connection, entity_id, "split", clocks.known_as_of)
    found = standing(readings, needed(basis).model, clocks.as_of) if readings else []
    content = queries.raw_payloads(connection, [row["raw_record_id"] for row in found])
    ratios: dict[tuple[str, str], float] = {}
    for row in content.values():
        payload = row["payload"]
        day = str(payload["ticker"]), str(payload["execution_date"])
        ratios[day] = ratios.get(day, 1.0) * float(payload["split_to"]) / float(payload["split_from"])
    return ratios


def bars(records: list[Row], ratios: Mapping[tuple[str, str], float]) -> Iterator[Row]:
    """Yield bars from their records. Prices as traded: a split is stated at the bars of its day, never applied."""
    for row in records:
        payload = row["payload"]
        session = str(payload["session"])
        yield {
            **row,
            "ticker": payload["ticker"],
            "session": date.fromisoformat(session),
            **{name: _number(payload.get(name)) for name in ("open", "high", "low", "close", "volume", "vwap")},
            "transactions": _whole(payload.get("transactions")),
            "split_ratio": ratios.get((str(payload["ticker"]), session)),
            "adjusted": bool(payload["adjusted"]),
            "vintage": payload["vintage"],
        }


def insider_lines(records: list[Row]) -> Iterator[Row]:
    """Yield the lines of the non-derivative table of ownership documents, each with its filing."""
    for row in records:
        payload = row["payload"]
        owners = payload.get("owners") or []
        roles = ("is_director", "is_officer", "is_ten_percent_owner", "is_other")
        for line in payload.get("non_derivative_transactions") or []:
            yield {
                **row,
                "accession": payload["accession"],
                "form": payload["document_type"],
                "line": int(line["line"]),
                "owner_ciks": [str(owner["cik"]) for owner in owners],
                "owner_names": [str(owner["name"] or "") for owner in owners],
                "roles": [name.removeprefix("is_") for name in roles if any(owner.get(name) for owner in owners)],
                "officer_title": next((owner["officer_title"] for owner in owners if owner.get("officer_title")), None),
                "security_title": line.get("security_title"),
                "transaction_date": _day(line.get("transaction_date")),
                "transaction_code": line.get("code"),
                "acquired_disposed": line.get("acquired_disposed"),
                "shares": _number(line.get("shares")),
                "price": _number(line.get("price")),
                "shares_owned_following": _number(line.get("shares_owned_following")),
                "direct_indirect": line.get("direct_indirect"),
                "plan_10b5_1": payload.get("aff10b5_one"),
            }


def filings(records: list[Row]) -> Iterator[Row]:
    """Yield the rows of a filer's list of submissions."""
    for row in records:
        payload = row["payload"]
        yield {
            **row,
            "accession": payload["accession"],
            "form": payload["form"],
            "items": list(payload.get("items") or []),
            "filing_date": _day(payload.get("filing_date")),
            "report_date": _day(payload.get("report_date")),
            "primary_document": payload.get("primary_document") or None,
        }


def _number(value: Any) -> float | None:
    return None if value is None or value == "" else float(value)


def _whole(value: Any) -> int | None:
    return None if value is None else int(float(value))


def _day(value: Any) -> date | None:
    return date.fromisoformat(str(value)[:10]) if value else None
