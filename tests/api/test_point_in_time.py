"""What a question with clocks may show, held against a row-by-row answer made from the tables."""

from __future__ import annotations

import io
import random
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any

import httpx
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from psycopg.types.json import Jsonb

from signaldelta_assets.timeline import LatencyModel
from signaldelta_assets.versioning import content_ulid, hash_document
from signaldelta_assets.warehouse import Warehouse
from tests.readside import (
    ENTITIES,
    HASH,
    INGESTED,
    LATENCY,
    OLD_DEFINITIONS,
    OLD_RULE,
    RULE,
    SLOW,
    T0,
    entry,
    insert,
    label_row,
    score_row,
    signal_event,
    signal_row,
)

pytestmark = [pytest.mark.postgres, pytest.mark.platform]
MOMENTS = st.datetimes(datetime(2024, 2, 28), datetime(2024, 10, 15)).map(lambda t: t.replace(tzinfo=UTC))


def read(form: str, content: bytes) -> list[dict[str, Any]]:
    """Rows of an Arrow stream or a Parquet file, instants as text."""
    table = pa.ipc.open_stream(content).read_all() if form == "arrow" else pq.read_table(io.BytesIO(content))
    rows: list[dict[str, Any]] = table.to_pylist()
    return [{k: v.isoformat() if isinstance(v, datetime) else v for k, v in row.items()} for row in rows]


def pages(client: httpx.Client, path: str, **parameters: Any) -> Iterator[dict[str, Any]]:
    given = {name: value.isoformat() if isinstance(value, datetime) else value for name, value in parameters.items()}
    cursor: dict[str, str] = {}
    while True:
        response = client.get(f"/api/v2/{path}", params=given | cursor)
        assert response.status_code == 200, response.text
        body = response.json()
        yield body
        if body["meta"]["next_cursor"] is None:
            return
        cursor = {"cursor": body["meta"]["next_cursor"]}


def everything(client: httpx.Client, path: str, **parameters: Any) -> list[dict[str, Any]]:
    return [row for page in pages(client, path, **parameters) for row in page["data"]]


def available(row: dict[str, Any], model: LatencyModel) -> datetime:
    """The row-by-row reference: one frontier entry at a time, then the latest."""
    moments = []
    for item in row["frontier"]:
        times = {
            name: pd.to_datetime(pd.Series([item[name]]), utc=True).astype("datetime64[us, UTC]")
            for name in ("event_time", "observed_time")
        }
        moments.append(model.available_time(pd.DataFrame({**{k: [v] for k, v in item.items()}, **times})).iloc[0])
    return max(moments).to_pydatetime()


@pytest.fixture(scope="module")
def stored(filled: Warehouse) -> list[dict[str, Any]]:
    """Every stored revision of the catalogue's events with its available_time by the reference."""
    model = LatencyModel.from_dict(LATENCY)
    with filled.read_pool().connection() as connection:
        rows = connection.execute("SELECT * FROM iald_signals WHERE definitions_hash = %s", (RULE,)).fetchall()
    return [row | {"available": available(row, model)} for row in rows]


def expected(stored: list[dict[str, Any]], as_of: datetime, known: datetime) -> dict[str, int]:
    latest: dict[str, dict[str, Any]] = {}
    for row in sorted(stored, key=lambda row: row["revision"]):
        if row["available"] <= as_of and row["ingest_time"] <= known:
            latest[row["event_key"]] = row
    return {row["event_id"]: row["revision"] for row in latest.values() if row["active"]}


@settings(max_examples=25, deadline=None)
@given(as_of=MOMENTS, known=st.sampled_from([INGESTED - timedelta(days=2), INGESTED, INGESTED + timedelta(days=2)]),
       limit=st.sampled_from([7, 50, 1000]), order=st.sampled_from(["asc", "desc"]))  # fmt: skip
def test_exactly_the_signals_that_were_available(
    client: httpx.Client,
    stored: list[dict[str, Any]],
    as_of: datetime,
    known: datetime,
    limit: int,
    order: str,
) -> None:
    rows = everything(client, "signals", as_of=as_of, known_as_of=known, limit=limit, order=order)
    assert all(datetime.fromisoformat(row["available_time"]) <= as_of for row in rows)
    assert {row["event_id"]: row["revision"] for row in rows} == expected(stored, as_of, known)
    assert len({row["event_id"] for row in rows}) == len(rows)
    keys = [(datetime.fromisoformat(row["event_time"]), row["event_id"]) for row in rows]
    assert keys == sorted(keys, reverse=order == "desc")


def test_edge_of_availability_is_inclusive(client: httpx.Client, stored: list[dict[str, Any]]) -> None:
    corrected = {row["event_key"] for row in stored if row["revision"] == 2}
    row = next(row for row in stored if row["event_key"] not in corrected)
    before = everything(
        client, "signals", as_of=row["available"] - timedelta(microseconds=1), entity_id=row["entity_id"]
    )
    at = everything(client, "signals", as_of=row["available"], entity_id=row["entity_id"])
    assert row["event_id"] not in {item["event_id"] for item in before}
    assert row["event_id"] in {item["event_id"] for item in at}


def test_the_answer_names_its_latency_model(client: httpx.Client) -> None:
    default = next(pages(client, "signals", limit=1))["meta"]
    assert default["latency_model"] == {
        "hash": hash_document(LATENCY), "name": "availability_basis", "chosen_by": "definitions",
    }  # fmt: skip
    assert default["definitions_hash"] == HASH, "the newest definitions that have events"
    by_name = next(pages(client, "signals", limit=1, latency_model="slow"))["meta"]["latency_model"]
    by_hash = next(pages(client, "signals", limit=1, latency_model=hash_document(SLOW)))["meta"]["latency_model"]
    assert by_name == by_hash == {"hash": hash_document(SLOW), "name": "slow", "chosen_by": "parameter"}
    moment = T0 + timedelta(days=5)
    fast = everything(client, "signals", as_of=moment)
    assert fast and not everything(client, "signals", as_of=moment, latency_model="slow")
    assert client.get("/api/v2/signals", params={"latency_model": "none such"}).status_code == 404


def test_definitions_stand_for_the_rules_they_hold(client: httpx.Client) -> None:
    """Events carry the hash of their own rule: asked for by the whole hash, by the rule's, or through one event."""
    moment, old = INGESTED - timedelta(days=1), hash_document(OLD_DEFINITIONS)
    asked = {name: everything(client, "signals", as_of=moment, definitions=name) for name in (HASH, RULE, old)}
    assert asked[HASH] == asked[RULE] and {row["definitions_hash"] for row in asked[HASH]} == {RULE}
    assert [row["definitions_hash"] for row in asked[old]] == [OLD_RULE]
    for event, definitions in ((asked[HASH][0], HASH), (asked[old][0], old)):
        assert client.get(f"/api/v2/signals/{event['event_id']}").json()["meta"]["definitions_hash"] == definitions
    # Both definitions have the same rules of labels, and so the same labels.
    truth = everything(client, "labels", as_of=moment, definitions=HASH)
    assert truth and truth == everything(client, "labels", as_of=moment, definitions=old)
    assert everything(client, "signals", as_of=moment, definitions="e" * 64) == []


def test_one_event_shows_the_revisions_of_its_time(client: httpx.Client, stored: list[dict[str, Any]]) -> None:
    first = {row["event_key"]: row["available"] for row in stored if row["revision"] == 1}
    second = next(row for row in stored if row["revision"] == 2 and row["available"] > first[row["event_key"]])
    path = f"/api/v2/signals/{second['event_id']}"
    late = client.get(path, params={"as_of": second["available"].isoformat()}).json()
    assert [row["revision"] for row in late["data"]] == [1, 2]
    early = client.get(path, params={"as_of": (second["available"] - timedelta(microseconds=1)).isoformat()}).json()
    assert [row["revision"] for row in early["data"]] == [1]
    assert client.get(path, params={"as_of": "2024-01-01T00:00:00Z"}).status_code == 404


@settings(max_examples=15, deadline=None)
@given(as_of=MOMENTS)
def test_scores_are_never_later(client: httpx.Client, as_of: datetime) -> None:
    rows = everything(client, "signals/scores/latest", as_of=as_of, limit=2)
    hours = (as_of - T0) // timedelta(hours=1)
    expected = {
        entity: T0 + timedelta(hours=min(hours, 39)) for number, entity in enumerate(ENTITIES) if hours >= number * 10
    }
    assert {row["entity_id"]: datetime.fromisoformat(row["at"]) for row in rows} == expected
    for entity in ENTITIES:
        one = client.get(f"/api/v2/signals/scores/{entity}", params={"as_of": as_of.isoformat()})
        if entity in expected:
            assert datetime.fromisoformat(one.json()["data"]["at"]) == expected[entity]
        else:
            assert one.status_code == 404
    history = everything(client, f"signals/scores/{ENTITIES[0]}/history", as_of=as_of, limit=9)
    assert len(history) == max(0, min(hours, 39) + 1)


def test_scores_as_this_database_had_them(client: httpx.Client) -> None:
    """A score is written some seconds after its moment: as we had it, the one before was the latest."""
    at = T0 + timedelta(hours=20)
    body = client.get(
        f"/api/v2/signals/scores/{ENTITIES[0]}", params={"as_of": at.isoformat(), "known_as_of": at.isoformat()}
    ).json()
    assert datetime.fromisoformat(body["data"]["at"]) == at - timedelta(hours=1)


@settings(max_examples=15, deadline=None)
@given(as_of=MOMENTS, limit=st.sampled_from([3, 100]))
def test_exactly_the_labels_that_were_known(
    client: httpx.Client, filled: Warehouse, as_of: datetime, limit: int
) -> None:
    rows = everything(client, "labels", as_of=as_of, limit=limit)
    with filled.read_pool().connection() as connection:
        stored = connection.execute("SELECT * FROM labeled_events ORDER BY revision").fetchall()
    latest = {row["label_key"]: row for row in stored if row["known_at"] <= as_of}
    assert {row["label_id"]: row["confidence"] for row in rows} == {
        row["label_id"]: row["confidence"] for row in latest.values() if row["active"]
    }
    assert len(rows) == len({row["label_id"] for row in rows})


def test_pages_hold_still_while_rows_are_added(client: httpx.Client, filled: Warehouse) -> None:
    """Rows arrive before, between and after the pages' keys, revisions too: the walk sees the state it began with."""
    rng = random.Random(3)
    for path, order in (
        ("signals", "asc"),
        ("signals", "desc"),
        ("labels", "asc"),
        ("signals/scores/0000000001/history", "asc"),
    ):
        identity = "at" if path.startswith("signals/scores") else "label_id" if path == "labels" else "event_id"
        before = [row[identity] for row in everything(client, path, order=order, limit=1000)]
        seen: list[str] = []
        for number, page in enumerate(pages(client, path, order=order, limit=13)):
            seen += [row[identity] for row in page["data"]]
            moment = T0 + timedelta(minutes=rng.randint(-5000, 100000))
            unique = rng.randint(1000, 10**9)
            if path == "signals":
                added = signal_event(unique, moment, (entry("ownership", moment, moment, form="4"),))
                old = signal_event(number, T0, (entry("ownership", T0, T0, form="4"),), strength=rng.random())
                rows = [signal_row(added, 1, datetime.now(UTC)), signal_row(old, unique, datetime.now(UTC))]
                insert(filled, "iald_signals", rows)
            elif path == "labels":
                insert(filled, "labeled_events", [label_row(unique, moment, moment, ingest=datetime.now(UTC))])
            else:
                at = T0 + timedelta(microseconds=unique)
                insert(filled, "score_samples", [score_row(ENTITIES[0], at, ingest=datetime.now(UTC))])
        assert seen == before


def test_a_write_under_way_is_not_half_shown(client: httpx.Client, filled: Warehouse) -> None:
    """A row stamped before the question but committed after its first page belongs to no page of it."""
    moment = T0 + timedelta(days=40)
    event = signal_event(10**10, moment, (entry("ownership", moment, moment, form="4"),), signal_id="S002")
    row = signal_row(event)
    del row["ingest_time"]
    with filled.write_pool("signals").connection() as connection:
        values = {
            key: Jsonb(value) if isinstance(value, dict) or key == "frontier" else value for key, value in row.items()
        }
        names = ", ".join(values)
        marks = ", ".join(f"%({name})s" for name in values)
        connection.execute(f"INSERT INTO iald_signals ({names}) VALUES ({marks})", values)  # type: ignore[arg-type]
        body = next(pages(client, "signals", signal_id="S002"))
        stamped = connection.execute("SELECT ingest_time FROM iald_signals WHERE signal_id = 'S002'").fetchone()
    assert stamped is not None and body["data"] == []
    known = datetime.fromisoformat(body["meta"]["known_as_of"])
    assert known < stamped["ingest_time"], "or the same question would have another answer now"
    assert everything(client, "signals", signal_id="S002", known_as_of=known) == []
    assert len(everything(client, "signals", signal_id="S002")) == 1


# What each row says of when it could have been known, and until when it must have been written.
_FORMS = {
    "signals": ("available_time", "ingest_time"), "signals/export": ("available_time", "ingest_time"),
    "labels": ("known_at", "ingest_time"), "labels/export": ("known_at", "ingest_time"),
    "signals/scores/latest": ("at", "ingest_time"), "signals/scores/export": ("at", "ingest_time"),
    f"signals/scores/{ENTITIES[0]}/history": ("at", "ingest_time"),
}  # fmt: skip


# Scores are of the first two days alone: half of the questions are about those.
_SOON = st.integers(-1, 41 * 60).map(lambda minutes: T0 + timedelta(minutes=minutes))


@settings(max_examples=10, deadline=None)
@given(as_of=MOMENTS | _SOON, known=MOMENTS | _SOON | st.just(INGESTED + timedelta(days=2)),
       form=st.sampled_from(["arrow", "parquet"]))  # fmt: skip
@example(as_of=T0 + timedelta(hours=20), known=INGESTED + timedelta(days=2), form="arrow")
@example(as_of=T0 + timedelta(days=90), known=T0 + timedelta(hours=20), form="parquet")
def test_no_form_of_an_answer_holds_a_later_fact(
    client: httpx.Client, as_of: datetime, known: datetime, form: str
) -> None:
    for path, (public, written) in _FORMS.items():
        asked = {"as_of": as_of.isoformat(), "known_as_of": known.isoformat(), "format": form}
        answer = client.get(f"/api/v2/{path}", params=asked)
        assert answer.status_code == 200, answer.text
        for row in read(form, answer.content):
            assert datetime.fromisoformat(row[public]) <= as_of, path
            assert datetime.fromisoformat(row[written]) <= known, path


@settings(max_examples=8, deadline=None)
@given(minutes=st.integers(-5, 5))
def test_lists_of_what_is_kept_show_what_was_kept_then(client: httpx.Client, filled: Warehouse, minutes: int) -> None:
    known = INGESTED + timedelta(minutes=minutes)
    for path, table, identity in (
        ("backtests", "backtest_runs", "run_id"),
        ("backtests/documents", "documents", "document_hash"),
        ("backtests/snapshots", "backtest_snapshots", "snapshot_id"),
        ("labels/datasets", "labeled_event_datasets", "dataset_id"),
        ("platform/collectors/edgar/ownership/quarantine", "quarantined_records", "quarantine_id"),
    ):
        rows = everything(client, path, known_as_of=known, limit=2)
        with filled.read_pool().connection() as connection:
            kept = connection.execute(
                f"SELECT {identity} AS id FROM {table} WHERE ingest_time <= %s",
                (known,),  # type: ignore[arg-type]
            ).fetchall()
        assert sorted(row[identity] for row in rows) == sorted(row["id"] for row in kept), path


def test_a_refusal_was_open_until_it_was_read(client: httpx.Client, filled: Warehouse) -> None:
    path = "platform/collectors/edgar/ownership/quarantine"
    now = {row["quarantine_id"]: row["open"] for row in everything(client, path)}
    then = {
        row["quarantine_id"]: row["open"] for row in everything(client, path, known_as_of=INGESTED + timedelta(days=1))
    }
    assert sorted(now.values()) == [False, True] and then == dict.fromkeys(now, True)


def test_runs_of_a_collector_as_they_had_ended(client: httpx.Client, filled: Warehouse) -> None:
    names = [content_ulid(T0, b"ended%d" % number) for number in range(3)]
    rows = [
        {"collector_run_id": name, "collector": "edgar/ownership", "collector_version": "v",
         "collection_mode": "live", "window_start": T0.date(), "window_end": T0.date(), "status": "complete",
         "started_at": T0, "finished_at": T0 + timedelta(hours=number), "documents_read": number}
        for number, name in enumerate(names)
    ]  # fmt: skip
    insert(filled, "collector_runs", rows)
    path = "platform/collectors/edgar/ownership/runs"
    shown = everything(client, path, known_as_of=T0 + timedelta(hours=1), limit=1)
    assert [row["collector_run_id"] for row in shown] == [names[1], names[0]]
    assert [row["documents_read"] for row in shown] == [1, 0]
    assert client.get("/api/v2/platform/collectors/edgar/nothing/runs").status_code == 404


def test_a_security_is_shown_as_of_the_day(client: httpx.Client, filled: Warehouse) -> None:
    entity = "0000000077"
    insert(filled, "securities", [
        {"entity_id": entity, "asset_class": "equity", "cik": entity, "name": "New Name", "sic": "1", "currency": "USD",
         "fiscal_year_end": None, "primary_ticker": "NEW", "listed_on": date(2010, 1, 4), "first_seen_at": INGESTED,
         "delisted_on": date(2024, 5, 6)},
    ])  # fmt: skip
    old = {"entity_id": entity, "source": "t", "valid_from": date(2010, 1, 4), "valid_to": date(2020, 3, 2)}
    new = old | {"valid_from": date(2020, 3, 2), "valid_to": date(2024, 5, 7)}
    insert(filled, "security_identifiers", [
        {**span, "kind": kind, "value": value, "ingest_time": INGESTED + timedelta(days=late), "superseded_at": gone,
         "is_primary": True}
        for span, kind, value, late, gone in (
            (old, "name", "Old Name", 0, None), (new, "name", "New Name", 0, None), (old, "ticker", "OLD", 0, None),
            (new, "ticker", "WRONG", 0, INGESTED + timedelta(days=3)), (new, "ticker", "NEW", 3, None),
        )
    ])  # fmt: skip

    def shown(**asked: str) -> list[tuple[Any, ...]]:
        one = client.get(f"/api/v2/market/securities/{entity}", params=asked)
        rows = client.get("/api/v2/market/securities", params={"cik": entity, **asked}).json()["data"]
        if one.status_code == 404:
            assert rows == []
            return []
        assert {name: one.json()[name] for name in rows[0]} == rows[0]
        return [(row["name"], row["primary_ticker"], row["delisted_on"]) for row in rows]

    assert shown(as_of="2015-01-05") == [("Old Name", "OLD", None)], "its later name and end were not known"
    assert shown(as_of="2024-05-03") == [("New Name", "NEW", None)]
    assert shown(as_of="2024-05-06") == [("New Name", "NEW", "2024-05-06")]
    before = (INGESTED + timedelta(days=1)).isoformat()
    assert shown(as_of="2024-05-03", known_as_of=before) == [("New Name", "WRONG", None)], "what was said then"
    assert shown(known_as_of=(INGESTED - timedelta(days=1)).isoformat()) == []
    held = client.get(f"/api/v2/market/securities/{entity}", params={"as_of": "2024-05-03"}).json()["identifiers"]
    assert {one["valid_to"] for one in held} == {None}, "an end that is still to come"
