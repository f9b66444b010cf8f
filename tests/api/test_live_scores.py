"""Live scores over a real server: what arrives, what is told again, and what open streams hold."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from queue import Empty, Queue
from typing import Any

import httpx
import psycopg
import pytest
from fastapi import FastAPI

from api.livescores import score_feed
from signaldelta_assets.warehouse import Warehouse
from tests.readside import ENTITIES, insert, score_row

pytestmark = [pytest.mark.postgres, pytest.mark.platform]
PATH = "/api/v2/signals/scores"
Event = tuple[str | None, str | None, Any]


@contextmanager
def following(client: httpx.Client, path: str, last: str | None = None, **given: str) -> Iterator[Queue[Event]]:
    """The events of a stream as they come, in a thread of their own."""
    events: Queue[Event] = Queue()
    opened: Queue[socket.socket] = Queue()

    def run() -> None:
        headers = {} if last is None else {"Last-Event-ID": last}
        found: dict[str, str] = {}
        with client.stream("GET", f"{PATH}/{path}", params=given, headers=headers) as answer:
            opened.put(answer.extensions["network_stream"].get_extra_info("socket"))
            assert answer.headers["content-type"].startswith("text/event-stream"), answer.status_code
            with suppress(httpx.TransportError):
                for line in answer.iter_lines():
                    name, _, value = line.partition(": ")
                    if line:
                        found[name] = value
                    elif "data" in found:
                        events.put((found.get("event"), found.get("id"), json.loads(found["data"])))
                        found = {}

    thread = threading.Thread(target=run)
    thread.start()
    connection = opened.get(timeout=10)
    try:
        yield events
    finally:
        with suppress(OSError):
            connection.shutdown(socket.SHUT_RDWR)
        thread.join()


def test_a_new_score_arrives_at_all_who_follow(client: httpx.Client, filled: Warehouse, postgres_url: str) -> None:
    some = ",".join(ENTITIES[:2])
    with (
        following(client, f"{ENTITIES[0]}/events") as one,
        following(client, "events", entities=some) as both,
    ):
        name, _, data = one.get(timeout=6)
        assert name == "score" and data["entity_id"] == ENTITIES[0]
        first = [both.get(timeout=6) for _ in range(2)]
        assert {event[2]["entity_id"] for event in first} == set(ENTITIES[:2])
        # Between two questions nothing is held.
        with psycopg.connect(postgres_url, autocommit=True) as connection:
            held = connection.execute(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
                " AND xact_start < clock_timestamp() - interval '300 ms'"
            ).fetchone()
            assert held == (0,)
        at = datetime.now(UTC) - timedelta(minutes=1)
        insert(filled, "score_samples", [score_row(ENTITIES[0], at, 0.875, ingest=datetime.now(UTC))])
        began = time.monotonic()
        told = [events.get(timeout=6) for events in (one, both)]
        assert time.monotonic() - began < 3
        assert [event[2]["magnitude"] for event in told] == [0.875, 0.875]
        last = told[1][1]
    same = client.get(f"{PATH}/{ENTITIES[0]}").json()["data"]
    # A moment's last zeros are written by the one and not by the other.
    for said in (told[0][2], same):
        said |= {name: datetime.fromisoformat(said[name]) for name in ("at", "ingest_time")}
    assert told[0][2] == same, "as the route for one says it"
    # Who comes again with what was seen last is told what is new, and nothing else.
    with following(client, "events", last, entities=some) as again:
        with pytest.raises(Empty):
            again.get(timeout=1.3)
        insert(filled, "score_samples", [score_row(ENTITIES[1], datetime.now(UTC), 0.125, ingest=datetime.now(UTC))])
        assert again.get(timeout=6)[2]["entity_id"] == ENTITIES[1]


def test_no_more_than_may(client: httpx.Client, app: FastAPI, filled: Warehouse) -> None:
    kept = app.state.scores
    app.state.scores = score_feed(app.state.warehouse, every_seconds=0.2, most=2)
    try:
        with following(client, f"{ENTITIES[0]}/events") as one, following(client, f"{ENTITIES[0]}/events") as two:
            assert one.get(timeout=6) and two.get(timeout=6)
            refused = client.get(f"{PATH}/{ENTITIES[0]}/events")
            assert refused.status_code == 503 and refused.headers["retry-after"]
            assert refused.json()["type"].endswith("too-many-streams")
        # That a reader has left is noticed by the server when it comes round.
        until = time.monotonic() + 6
        while app.state.scores._followed and time.monotonic() < until:
            time.sleep(0.01)
        with following(client, f"{ENTITIES[0]}/events") as free:
            assert free.get(timeout=6)
    finally:
        app.state.scores = kept


def test_whom_one_cannot_follow(client: httpx.Client) -> None:
    for entities in ("", ",", ",".join(map(str, range(51)))):
        assert client.get(f"{PATH}/events", params={"entities": entities}).status_code == 422
    assert client.get(f"{PATH}/events").status_code == 422
    for path in (f"{PATH}/{ENTITIES[0]}/events", "/api/v2/platform/jobs/none/events"):
        assert client.get(path, headers={"Last-Event-ID": "a\tb"}).status_code == 422, "as the description says"
