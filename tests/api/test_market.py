"""Bars, insiders and filings as they could have been known, held against a record-by-record answer."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import httpx
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from signaldelta_assets.timeline import LatencyModel
from signaldelta_assets.versioning import content_ulid
from signaldelta_assets.warehouse import Warehouse
from tests.api.test_formats import read
from tests.api.test_point_in_time import everything
from tests.readside import INGESTED, LATENCY, T0, insert

pytestmark = [pytest.mark.postgres, pytest.mark.platform]
ENTITY = "0000000042"
SPLIT = date(2024, 3, 6)
RUN = content_ulid(T0, b"collector-run")
MOMENTS = st.datetimes(datetime(2024, 3, 1), datetime(2024, 4, 20)).map(lambda t: t.replace(tzinfo=UTC))


def record(
    source: str, key: str, event: datetime | None, observed: datetime, payload: dict[str, Any], **more: Any
) -> dict[str, Any]:
    name = f"{source}{key}{observed}{more}".encode()
    return {
        "raw_record_id": content_ulid(event, name), "source_type": source, "entity_id": ENTITY, "natural_key": key,
        "form": None, "event_time": event, "observed_time": observed, "partition_date": (event or observed).date(),
        "collection_mode": "live", "collector": source, "collector_version": "v1", "collector_run_id": RUN,
        "schema_version": "1", "payload_hash": "d" * 64, "payload": payload, "body_hash": "b" * 64,
        "source_url": "https://example.test/x", "ingest_time": INGESTED, **more,
    }  # fmt: skip


def bar(day: date, close: float, observed: datetime, **more: Any) -> dict[str, Any]:
    at = datetime(day.year, day.month, day.day, 21, tzinfo=UTC)
    payload = {"ticker": "ZZZ", "session": day.isoformat(), "open": close - 1, "high": close + 1, "low": close - 2,
               "close": close, "volume": 1000, "vwap": None, "transactions": 17, "adjusted": False,
               "vintage": "unadjusted"}  # fmt: skip
    return record("daily_bar", f"ZZZ|{day}|unadjusted", at, observed, payload, **more)


@pytest.fixture(scope="module")
def records(filled: Warehouse) -> list[dict[str, Any]]:
    days = [date(2024, 3, 1) + timedelta(days=n) for n in range(10)]
    seen = {day: datetime(day.year, day.month, day.day, 22, tzinfo=UTC) for day in days}
    found = [bar(day, 100.0 + n, seen[day]) for n, day in enumerate(days)]
    # The vendor corrected a bar, twelve days later; and our own reading of another was corrected by a new version.
    found.append(bar(days[2], 999.0, seen[days[2]] + timedelta(days=12)))
    found.append(
        bar(
            days[3],
            103.5,
            seen[days[3]] + timedelta(hours=1),
            collector_version="v2",
            ingest_time=INGESTED + timedelta(days=1),
        )
    )
    # Collected years after: available from its event all the same.
    found.append(bar(date(2024, 2, 28), 99.0, INGESTED, collection_mode="backfill"))
    found.append(
        record(
            "split",
            f"ZZZ|{SPLIT}",
            datetime(2024, 3, 6, 5, tzinfo=UTC),
            datetime(2024, 3, 5, tzinfo=UTC),
            {"ticker": "ZZZ", "execution_date": SPLIT.isoformat(), "split_from": 1, "split_to": 4},
        )
    )
    line = {
        "line": 1,
        "security_title": "Common",
        "transaction_date": "2024-03-04",
        "code": "P",
        "shares": "1000.5",
        "price": "12.25",
        "acquired_disposed": "A",
        "shares_owned_following": "5000",
        "direct_indirect": "D",
    }
    owner = {"cik": "0000000777", "name": "=DOE JANE", "is_director": True, "is_officer": True, "officer_title": "CEO"}
    for number in (1, 2):
        # The second was accepted at half past ten in the evening of New York: sent out the next business day.
        at = datetime(2024, 3, 5, 15, tzinfo=UTC) + timedelta(hours=12.5) * (number - 1)
        accession = f"0000000042-24-00000{number}"
        found.append(
            record(
                "ownership",
                accession,
                at,
                at + timedelta(days=30),
                {
                    "accession": accession,
                    "document_type": "4",
                    "owners": [owner],
                    "aff10b5_one": None,
                    "non_derivative_transactions": [line, line | {"line": 2, "code": "S", "price": None}],
                },
                form="4",
                collection_mode="backfill",
            )
        )
        found.append(record(
            "filing_index", accession, at, at, {
                "accession": accession, "form": "8-K", "items": ["2.02", "9.01"], "filing_date": "2024-03-05",
                "report_date": None, "primary_document": "x.htm",
            }, form="8-K",
        ))  # fmt: skip
    insert(filled, "raw_records", found)
    return found


def expected(records: list[dict[str, Any]], source: str, as_of: datetime, known: datetime) -> list[str]:
    """One record at a time: the last version's readings, the first seen of them, if it was available."""
    model, shown = LatencyModel.from_dict(LATENCY), []
    rows = [row for row in records if row["source_type"] == source and row["ingest_time"] <= known]
    for key in sorted({row["natural_key"] for row in rows}):
        of_key = [row for row in rows if row["natural_key"] == key]
        version = max(of_key, key=lambda row: (row["ingest_time"], row["collector_version"]))["collector_version"]
        first = min(
            (row for row in of_key if row["collector_version"] == version), key=lambda row: row["observed_time"]
        )
        frame = pd.DataFrame([{name: first[name] for name in
                               ("source_type", "form", "event_time", "observed_time", "collection_mode")}])  # fmt: skip
        for name in ("event_time", "observed_time"):
            frame[name] = pd.to_datetime(frame[name], utc=True).dt.as_unit("us")
        if model.available_time(frame).iloc[0].to_pydatetime() <= as_of:
            shown.append(first["raw_record_id"])
    return sorted(shown)


@settings(max_examples=20, deadline=None)
@given(as_of=MOMENTS, known=st.sampled_from([INGESTED, INGESTED + timedelta(days=2)]),
       limit=st.sampled_from([3, 1000]), order=st.sampled_from(["asc", "desc"]))  # fmt: skip
def test_exactly_what_was_available(
    client: httpx.Client, records: list[dict[str, Any]], as_of: datetime, known: datetime, limit: int, order: str
) -> None:
    for path, source in (("bars", "daily_bar"), ("insiders", "ownership"), ("filings", "filing_index")):
        rows = everything(client, f"market/entities/{ENTITY}/{path}", as_of=as_of, known_as_of=known, limit=limit,
                          order=order)  # fmt: skip
        assert sorted({row["raw_record_id"] for row in rows}) == expected(records, source, as_of, known)
        assert all(datetime.fromisoformat(row["available_time"]) <= as_of for row in rows)
        keys = [(datetime.fromisoformat(row["event_time"]), row["raw_record_id"]) for row in rows]
        assert keys == sorted(keys, reverse=order == "desc")


def test_bars_are_as_traded_and_a_split_is_stated(client: httpx.Client, records: list[dict[str, Any]]) -> None:
    path = f"market/entities/{ENTITY}/bars"
    given = {"as_of": "2024-04-01T00:00:00Z", "known_as_of": INGESTED.isoformat(), "order": "asc"}
    rows = everything(client, path, **given)
    assert [row["close"] for row in rows] == [99.0, *(100.0 + n for n in range(10))], "no correction, nothing divided"
    assert [row["session"] for row in rows if row["split_ratio"] == 4.0] == [SPLIT.isoformat()]
    assert sum(row["split_ratio"] is not None for row in rows) == 1
    later = everything(client, path, **given | {"known_as_of": "2024-10-01T00:00:00Z"})
    assert [row["close"] for row in later if row["session"] == "2024-03-04"] == [103.5], "our reading, corrected"
    few = everything(client, path, **given, start="2024-03-02T00:00:00Z", end="2024-03-04T00:00:00Z")
    assert [row["session"] for row in few] == ["2024-03-02", "2024-03-03"]
    assert everything(client, path, **given, interval="hour") == []
    content = client.get(f"/api/v2/{path}", params=given | {"format": "csv"}).content
    assert {"open_usd", "close_usd", "volume_shares", "session"} <= set(read("csv", content)[0])
    assert client.get(f"/api/v2/{path}", params={"interval": "week"}).status_code == 422
    assert client.get("/api/v2/market/entities/nobody/bars").json()["data"] == []


def test_what_is_filed_late_is_of_the_next_day(client: httpx.Client, records: list[dict[str, Any]]) -> None:
    path = f"/api/v2/market/entities/{ENTITY}/insiders"
    evening = {"as_of": "2024-03-06T04:00:00Z"}
    told = client.get(path, params=evening).json()
    assert {row["accession"] for row in told["data"]} == {"0000000042-24-000001"}
    assert told["meta"]["latency_model"]["chosen_by"] == "definitions"
    morning = client.get(path, params={"as_of": "2024-03-06T14:00:00Z", "limit": 1}).json()
    assert [(row["line"], row["transaction_code"], row["price"]) for row in morning["data"]] == [
        (1, "P", 12.25), (2, "S", None)
    ]  # fmt: skip
    assert morning["meta"]["next_cursor"], "limit counts documents"
    first = morning["data"][0]
    assert (first["shares"], first["roles"], first["owner_names"]) == (1000.5, ["director", "officer"], ["=DOE JANE"])
    line = read("csv", client.get(path, params=evening | {"format": "csv"}).content)[0]
    assert line["owner_names"] == "'=DOE JANE" and line["roles"] == "director;officer"
    rows = client.get(path.replace("insiders", "filings"), params={"as_of": "2024-03-06T14:00:00Z"}).json()["data"]
    assert [row["items"] for row in rows] == [["2.02", "9.01"]] * 2
