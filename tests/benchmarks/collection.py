"""From documents to signal events: ownership XML beside edgartools, COPY beside a plain one, a month of a market."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

import httpx

from signaldelta_assets.catalogue import load_definitions
from signaldelta_assets.cli.environment import CONTACT
from signaldelta_assets.collectors import registered_collectors
from signaldelta_assets.collectors.edgar.parsers import parse_ownership
from signaldelta_assets.contracts import CollectionMode, RawRecord
from signaldelta_assets.defs.signals import extract_window
from signaldelta_assets.errors import RecordError
from signaldelta_assets.replay import SimulationPlan, simulate
from signaldelta_assets.versioning import new_ulid
from signaldelta_assets.warehouse import Warehouse, embedded_server, migrate, stop_embedded
from signaldelta_assets.warehouse.stores import collection
from signaldelta_assets.warehouse.stores.collection import ArchivedDocument, BatchRows
from signaldelta_assets.warehouse.stores.reading import Window
from tests.paths import DATA
from tests.platform import pipeline
from tests.platform.deployment import make_deployment, serving, short_folder

from .timing import Row, best, seconds

START = datetime(2024, 7, 1, tzinfo=UTC)
BODY = "a" * 64


def documents() -> list[tuple[str, str]]:
    """The recorded ownership documents that can be read."""
    found = []
    for path in sorted(DATA.glob("sec/form4_xml/*/*.xml")):
        try:
            parse_ownership(path.read_bytes(), path.name)
        except RecordError:
            continue
        found.append((path.name, path.read_text("utf-8")))
    return found


def bench_ownership() -> Row:
    """Every recorded document, by this parser and by edgartools'; the latter's call to the service is cut off."""
    from edgar.ownership import Ownership

    texts = documents()
    bodies = [(name, text.encode()) for name, text in texts]
    fast = best(lambda: [parse_ownership(body, name) for name, body in bodies], 5)
    answer = SimpleNamespace(data=SimpleNamespace(is_company=True))
    with mock.patch("edgar.ownership.owners.Entity", lambda cik: answer):
        other = seconds(lambda: [Ownership.parse_xml(text) for _, text in texts])
    return Row("ownership XML beside edgartools", fast, other, float(len(texts)), "one core; recorded documents")


def _records(run: str, batch: int, size: int) -> list[RawRecord]:
    return [
        RawRecord(
            source_type="daily_bar", entity_id=f"{n % 1500:010d}", natural_key=f"T{n % 1500}|{batch}|{n}", form=None,
            event_time=START + timedelta(seconds=61 * n), observed_time=START + timedelta(days=400),
            collection_mode=CollectionMode.BACKFILL, collector="bench", collector_version="1", collector_run_id=run,
            schema_version="daily_bar/1", body_hash=BODY, source_url="https://example.test/v2/aggs/ticker/T/range/1/day",
            payload={"ticker": f"T{n % 1500}", "session": "2024-07-01", "open": "12.5", "high": "13.1", "low": "12.2",
                     "close": "12.9", "volume": "123456", "vintage": "unadjusted"},
        )
        for n in range(size)
    ]  # fmt: skip


def bench_copy(size: int = 50_000) -> Row:
    """New raw records as collectors write them, beside COPY into a table without keys, checks or indexes."""
    with tempfile.TemporaryDirectory(prefix="sdbench-", ignore_cleanup_errors=True) as raw:
        data = Path(raw) / "pg"
        url = embedded_server(data)
        migrate(url)
        try:
            with Warehouse(url) as warehouse:
                run = new_ulid()
                body = ArchivedDocument(BODY, 1, None, "https://example.test", 200, START)
                window = {"collector_run_id": run, "collector": "bench", "collector_version": "1",
                          "collection_mode": "backfill", "window_start": START.date(), "window_end": START.date(),
                          "dagster_run_id": None}  # fmt: skip
                with collection.running(warehouse, window, ["daily_bar"], "never"):
                    collection.write_batch(warehouse, run, "bench", BatchRows(documents=[body]))
                    batches = [BatchRows(records=_records(run, number, size)) for number in range(3)]
                    numbers = count()
                    fast = best(
                        lambda: collection.write_batch(warehouse, run, "bench", batches[next(numbers)]), len(batches)
                    )
                rows = [collection._record_row(record) for record in batches[0].records]
                columns = ", ".join(collection._RECORD)
                with warehouse.write_pool("collection").connection() as connection:
                    connection.execute("CREATE TEMP TABLE plain (LIKE raw_records INCLUDING DEFAULTS) ON COMMIT DROP")

                    def plain() -> None:
                        with connection.cursor() as cursor, cursor.copy(f"COPY plain ({columns}) FROM STDIN") as copy:
                            for row in rows:
                                copy.write_row(row)

                    other = best(plain)
        finally:
            stop_embedded(data)
    return Row("new raw records, keys and parents checked", fast, other, float(size), "beside COPY into a bare table")


MONTH = SimulationPlan(entities=1_500, days=120, pools=0)


def bench_month() -> Row:
    """A month of 1,500 issuers from the archive behind HTTP to stored signal events; the server's own limit beside it.

    Beside it: the same answers, fetched again one by one by a bare client that throws them away.
    """
    window = (MONTH.end - timedelta(days=29), MONTH.end)
    with short_folder() as folder, mock.patch.dict(os.environ, clear=False):
        simulate(MONTH, folder / "archive")
        data = folder / "pg"
        url = embedded_server(data)
        migrate(url)
        try:
            with serving(folder / "archive", folder) as address, Warehouse(url) as warehouse:
                os.environ.update(make_deployment(folder / "home", url, address, MONTH).variables)
                names = [name for name in registered_collectors() if not name.startswith("ethereum/")]

                def work() -> None:
                    pipeline.collect(warehouse, *window, names)
                    definitions = load_definitions()
                    days = Window(window[0], window[1] + timedelta(days=1))
                    extract_window(warehouse, definitions, list(definitions.active_signals()), days)

                took = seconds(work)
                with httpx.Client(base_url=address, headers={"User-Agent": CONTACT}, timeout=60) as client:
                    asked = client.get("/__replay__/log").json()["entries"]
                    alone = seconds(lambda: [client.get(f"{entry['path']}?{entry['query']}") for entry in asked])
                with warehouse.read_pool().connection() as connection:
                    counts = connection.execute(
                        "SELECT (SELECT count(*) FROM raw_records) AS records,"
                        " (SELECT count(*) FROM iald_signals) AS events"
                    ).fetchone()
        finally:
            stop_embedded(data)
    assert counts is not None
    note = f"{len(asked):,} answers, {counts['records']:,} records, {counts['events']:,} signal events"
    return Row("a month of 1,500 issuers, from HTTP to signal events", took, alone, float(len(asked)), note)


def measure() -> Iterator[Row]:
    """Yield the rows."""
    if DATA.is_dir():
        yield bench_ownership()
    yield bench_copy()
    yield bench_month()
