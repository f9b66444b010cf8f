"""What the collectors' tests share: a replay server over the recorded inputs, settings that point at it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from signaldelta_assets.collectors import Collector, UniverseEntity, Window, registered_collectors, run_collector
from signaldelta_assets.replay.recorded import RecordedArchive
from signaldelta_assets.replay.server import ReplayServer
from signaldelta_assets.settings import Settings
from signaldelta_assets.warehouse import ArtifactStore, Warehouse
from tests.paths import DATA

OBSERVED = datetime(2026, 9, 1, 12, tzinfo=UTC)

# Entities with submissions, 8-Ks, Form 4s, prices and earnings among the recorded inputs.
UNIVERSE = (
    UniverseEntity("0000320193", "Apple Inc.", ("AAPL",)),
    UniverseEntity("0001045810", "NVIDIA CORP", ("NVDA",)),
    UniverseEntity("0001318605", "Tesla, Inc.", ("TSLA",)),
)


@pytest.fixture(scope="session")
def replay() -> Iterator[ReplayServer]:
    """The recorded inputs behind the upstreams' own endpoints."""
    with ReplayServer(RecordedArchive(DATA)) as server:
        yield server


@pytest.fixture
def clean_replay(replay: ReplayServer) -> Iterator[ReplayServer]:
    """The replay server without faults and with an empty log."""
    httpx.delete(f"{replay.url}/__replay__/faults")
    httpx.delete(f"{replay.url}/__replay__/log")
    yield replay
    httpx.delete(f"{replay.url}/__replay__/faults")


def settings_for(url: str, **more: Any) -> Settings:
    """Settings whose upstreams are all at `url`; nothing is read from the environment's values given here."""
    values: dict[str, Any] = {
        "edgar_www_url": f"{url}/www.sec.gov",
        "edgar_data_url": f"{url}/data.sec.gov",
        "polygon_url": f"{url}/api.polygon.io",
        "ethereum_url": f"{url}/ethereum",
        "edgar_contact": "SignalDelta tests tests@example.com",
        "polygon_api_key": "not-a-secret",
        "polygon_requests_per_second": 1000.0,
        "fixed_clock": OBSERVED,
        "http_attempts": 3,
    }
    return Settings(**(values | more))


@pytest.fixture
def no_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let requests to EDGAR's stand-in go as fast as they can: the limit has tests of its own."""
    monkeypatch.setattr("signaldelta_assets.collectors.limiter.SharedLimiter.acquire", lambda self: None)
    monkeypatch.setattr("signaldelta_assets.collectors.limiter.SharedLimiter.hold", lambda self, seconds: None)


@pytest.fixture
def archive(tmp_path: Path) -> ArtifactStore:
    """An empty archive of bodies."""
    return ArtifactStore(tmp_path / "archive")


@pytest.fixture
def collectors() -> dict[str, Collector]:
    """The registered collectors, by name."""
    return registered_collectors()


Run = Callable[..., Any]


@pytest.fixture
def run(warehouse: Warehouse, archive: ArtifactStore, replay: ReplayServer, no_limit: None) -> Run:
    """`run(name, start, end)`: run a registered collector against the replay server, without waiting."""

    def go(name: str, start: Any, end: Any, universe: Any = UNIVERSE, on: Warehouse = warehouse, **more: Any) -> Any:
        return run_collector(
            registered_collectors()[name],
            on,
            archive,
            settings_for(replay.url, **more),
            Window(start, end),
            universe=universe,
            sleep=lambda seconds: None,
        )

    return go


def rows_of(warehouse: Warehouse, table: str, columns: str, order: str) -> list[dict[str, Any]]:
    """Return rows of a table of the schema, in order."""
    with warehouse.read_pool().connection() as connection:
        return connection.execute(f"SELECT {columns} FROM {table} ORDER BY {order}").fetchall()  # type: ignore[arg-type]
