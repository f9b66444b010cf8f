"""Two homes under load: a day of a market written offsite while the API reads at AWS; COPY at either home."""

from __future__ import annotations

import os
import random
import statistics
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

import httpx
import psycopg

from signaldelta_assets.versioning import new_ulid
from signaldelta_assets.warehouse import (
    Warehouse,
    embedded_server,
    migrate,
    migrate_homes,
    receiving,
    replication,
    stop_embedded,
)
from signaldelta_assets.warehouse.bulk import copy_new
from signaldelta_assets.warehouse.stores import collection, documents, scores, signals
from signaldelta_assets.warehouse.stores.collection import ArchivedDocument, BatchRows
from signaldelta_assets.warehouse.stores.reading import Window
from signaldelta_assets.warehouse.stores.scores import ScoreRow
from signaldelta_assets.warehouse.tables import Place
from tests.paths import BIN, ROOT
from tests.platform.deployment import short_folder
from tests.warehouse.examples import DEFINITIONS, DEFINITIONS_DOCUMENT, score_sample, signal_event

from .collection import BODY, _records
from .timing import Row, best, seconds

ENTITIES = 1_500
DAY = datetime(2024, 3, 4, tzinfo=UTC)
# Daily and hourly bars, index entries and ownership documents of a day of 1,500 issuers.
RECORDS = 13_500
EVENTS = 2_000
HOURS = 24
LIMITS = {"scoring_model_hash": "1" * 64, "latency_model_hash": "2" * 64, "definitions_hash": "3" * 64}


def entity(number: int) -> str:
    """The identifier of an issuer."""
    return f"{number % ENTITIES:010d}"


class Day:
    """What is written in a day, made beforehand: the time of making it is not that of writing it."""

    def __init__(self) -> None:
        self.run = new_ulid()
        self.records = _records(self.run, 0, RECORDS)
        self.events = [
            signal_event(number, entity_id=entity(number), event_time=DAY + timedelta(seconds=40 * number))
            for number in range(EVENTS)
        ]
        drawn = random.Random(7)
        self.passes = [
            [
                ScoreRow(entity(number), DAY + timedelta(hours=hour), score_sample(drawn.random()), "4" * 64)
                for number in range(ENTITIES)
            ]
            for hour in range(HOURS)
        ]

    @property
    def rows(self) -> int:
        """How many rows of records, events and samples it has."""
        return RECORDS + EVENTS + HOURS * ENTITIES

    def write(self, warehouse: Warehouse) -> None:
        """Write it as collectors, extractors and the scorer do: in batches of a second, by day, by hour."""
        documents.put_document(warehouse, "signal_definitions", "bench", DEFINITIONS_DOCUMENT)
        body = ArchivedDocument(BODY, 1, None, "https://example.test", 200, DAY)
        window = {"collector_run_id": self.run, "collector": "bench", "collector_version": "1",
                  "collection_mode": "backfill", "window_start": DAY.date(), "window_end": DAY.date(),
                  "dagster_run_id": None}  # fmt: skip
        with collection.running(warehouse, window, ["daily_bar"], "never"):
            collection.write_batch(warehouse, self.run, "bench", BatchRows(documents=[body]))
            for first in range(0, RECORDS, 1_000):
                batch = BatchRows(records=self.records[first : first + 1_000])
                collection.write_batch(warehouse, self.run, "bench", batch)
        days = Window(DAY.date(), DAY.date() + timedelta(days=1))
        signals.write_events(
            warehouse, [event for event in self.events if event.event_time.date() in days], days, ["S001"], DEFINITIONS
        )
        for hour in self.passes:
            scores.write_score_samples(warehouse, hour, **LIMITS)


@contextmanager
def paired(folder: Path) -> Iterator[dict[Place, str]]:
    """Two embedded servers, migrated and replicating."""
    folders: dict[Place, Path] = {"aws": folder / "aws", "offsite": folder / "offsite"}
    try:
        urls = replication.embedded_homes(folders)
        migrate_homes(urls)
        replication.pair(urls)
        receiving.wait_until_received(urls)
        yield urls
    finally:
        for data in folders.values():
            stop_embedded(data)


@contextmanager
def api(url: str, home: Path) -> Iterator[str]:
    """The real server over the database of AWS."""
    address = "http://127.0.0.1:8899"
    settings = {"HOME": str(home), "DATABASE_URL": url, "PLACE": "aws", "AUTH": "open"}
    environment = os.environ | {f"SIGNALDELTA_{name}": value for name, value in settings.items()}
    command = [BIN / "signaldelta", "api", "--port", "8899"]
    process = subprocess.Popen(command, cwd=ROOT, env=environment)
    try:
        deadline = time.monotonic() + 60
        while True:
            try:
                httpx.get(f"{address}/health").raise_for_status()
                break
            except httpx.HTTPError:
                if time.monotonic() > deadline or process.poll() is not None:
                    raise
                time.sleep(0.2)
        yield address
    finally:
        process.terminate()
        process.wait(20)


@contextmanager
def meanwhile(work: Callable[[], None], pause: float) -> Iterator[None]:
    """Repeat `work` in a thread with a pause in between, at least once, until the end."""
    over = threading.Event()

    def run() -> None:
        while True:
            work()
            if over.wait(pause):
                return

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


class Reader:
    """Reads the history of an entity at a time, and keeps how long each answer took."""

    def __init__(self, address: str) -> None:
        self.client = httpx.Client(base_url=address, timeout=60)
        self.drawn = random.Random(11)
        self.took: list[float] = []

    def read(self) -> None:
        """One request."""
        path = f"/api/v2/signals/scores/{entity(self.drawn.randrange(ENTITIES))}/history"
        began = time.perf_counter()
        self.client.get(path, params={"limit": 100}).raise_for_status()
        self.took.append(time.perf_counter() - began)

    def told(self) -> str:
        """Median and 99th percentile in milliseconds, and how many."""
        found = sorted(self.took)
        high = found[min(len(found) - 1, int(0.99 * len(found)))]
        return f"{statistics.median(found) * 1e3:.0f} ms, p99 {high * 1e3:.0f} ms of {len(found)}"


def bench_day() -> Iterator[Row]:
    """A day written as fast as it goes; beside it the same into a server that replicates to nobody."""
    with short_folder() as folder:
        alone = embedded_server(folder / "alone")
        migrate(alone)
        try:
            with Warehouse(alone) as warehouse:
                other = _written(Day(), warehouse)
        finally:
            stop_embedded(folder / "alone")
        with paired(folder) as urls, api(urls["aws"], folder / "home") as address:
            day, before, during = Day(), Reader(address), Reader(address)
            worst: dict[str, tuple[float, int]] = {}

            def sample() -> None:
                for lag in receiving.lag(urls):
                    known = worst.get(lag.group, (0.0, 0))
                    worst[lag.group] = (max(known[0], lag.seconds or 0.0), max(known[1], lag.bytes or 0))

            with Warehouse(urls["offsite"], place="offsite") as warehouse:
                yesterday = [replace(row, at=row.at - timedelta(days=1)) for row in day.passes[0]]
                scores.write_score_samples(warehouse, yesterday, **LIMITS)
                receiving.wait_until_received(urls)
                with meanwhile(before.read, 0.0):
                    time.sleep(3)
                with meanwhile(during.read, 0.0), meanwhile(sample, 0.25):
                    took = _written(day, warehouse)
                    rest = seconds(lambda: receiving.wait_until_received(urls, 300))
            told = {group: f"{group} {worst[group][0]:.1f} s and {worst[group][1] / 1e6:.1f} MB" for group in worst}
            note = f"{told['signals']}, {told['collection']}"
            yield Row(
                "a day of 1,500 issuers written offsite, the API reading at AWS", took, other, float(day.rows),
                f"beside a server without a reader; most behind: {note}; equal {rest:.1f} s after the last commit",
            )  # fmt: skip
            yield Row(
                "an entity's history by the API at AWS meanwhile", statistics.median(during.took),
                statistics.median(before.took), 1.0, f"median {during.told()}; at rest {before.told()}",
            )  # fmt: skip


def _written(day: Day, warehouse: Warehouse) -> float:
    return seconds(lambda: day.write(warehouse))


def _copies(url: str, place: Place, name: str, rows: Callable[[int], list[tuple[Any, ...]]], columns: str) -> Row:
    """COPY of new rows into a table of the schema beside COPY into a bare one on the same server."""
    size = 100_000
    numbers = count()
    batches = [rows(size * number) for number in range(3)]
    table = "user_activity" if place == "aws" else "raw_records"
    group = "users" if place == "aws" else "collection"
    key = "activity_id" if place == "aws" else "raw_record_id"

    def ours() -> None:
        with warehouse.write_pool(group).connection() as connection:
            copy_new(connection, table, columns.split(", "), batches[next(numbers)], key=key)

    def plain(like: str) -> None:
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("DROP TABLE IF EXISTS public.plain")
            connection.execute(f"CREATE TABLE public.plain (LIKE signaldelta.{table} {like})")  # type: ignore[call-overload]
            began = time.perf_counter()
            with connection.cursor() as cursor, cursor.copy(f"COPY public.plain ({columns}) FROM STDIN") as copy:  # type: ignore[call-overload]
                for row in batches[0]:
                    copy.write_row(row)
            taken[like] = min(taken.get(like, float("inf")), time.perf_counter() - began)

    taken: dict[str, float] = {}
    with Warehouse(url, place=place) as warehouse:
        fast = best(ours, len(batches))
        for like in ("INCLUDING ALL", "INCLUDING DEFAULTS") * 3:
            plain(like)
    bare = taken["INCLUDING DEFAULTS"] / fast
    note = (
        f"both homes replicating; beside COPY into a like table that nobody reads; {bare:.2f} of a table without keys"
    )
    return Row(name, fast, taken["INCLUDING ALL"], float(size), note)


def bench_copy() -> Iterator[Row]:
    """COPY at each home while it replicates."""
    with short_folder() as folder, paired(folder) as urls:
        run = new_ulid()
        with psycopg.connect(urls["offsite"], autocommit=True) as connection:
            connection.execute(
                "INSERT INTO signaldelta.collector_runs (collector_run_id, collector, collector_version,"
                " collection_mode, window_start, window_end, status)"
                " VALUES (%s, 'bench', '1', 'backfill', %s, %s, 'complete')",
                (run, DAY.date(), DAY.date()),
            )
            connection.execute(
                "INSERT INTO signaldelta.raw_documents (body_hash, size_bytes, source_url, http_status, observed_time)"
                " VALUES (%s, 1, 'https://example.test', 200, %s)",
                (BODY, DAY),
            )

        def records(first: int) -> list[tuple[Any, ...]]:
            return [collection._record_row(record) for record in _records(run, first, 100_000)]

        def activity(first: int) -> list[tuple[Any, ...]]:
            return [
                (new_ulid(), f"U{n % 500}", DAY, "read", f"/api/v2/signals/scores/{n}", "{}") for n in range(100_000)
            ]

        yield _copies(urls["offsite"], "offsite", "COPY of raw records offsite", records, ", ".join(collection._RECORD))
        yield _copies(
            urls["aws"], "aws", "COPY of user activity at AWS", activity,
            "activity_id, user_id, event_time, kind, subject, detail",
        )  # fmt: skip


def measure() -> Iterator[Row]:
    """Both."""
    yield from bench_copy()
    yield from bench_day()
