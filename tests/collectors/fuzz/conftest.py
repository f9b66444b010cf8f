"""A warehouse, an archive and runs into them whose upstreams send something else than they have."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from signaldelta_assets.collectors import (
    CollectorRunReport,
    UniverseEntity,
    Window,
    parse_universe,
    registered_collectors,
    run_collector,
)
from signaldelta_assets.collectors.transport import Transport
from signaldelta_assets.replay import ReplayServer, SimulatedArchive, SimulationPlan, simulate
from signaldelta_assets.warehouse import ArtifactStore, Warehouse
from signaldelta_assets.warehouse.stores import quarantine
from tests.collectors.conftest import rows_of, settings_for

PLAN = SimulationPlan(seed=7, entities=10, days=300, pools=1)
WINDOW = Window(PLAN.end - timedelta(days=290), PLAN.end)
# Where a test needs fewer days.
MONTH = Window(PLAN.end - timedelta(days=30), PLAN.end)
# What an upstream sends in place of a body, by its public URL.
Sent = Callable[[str, bytes], bytes]


class Desk:
    """One warehouse and archive, and runs into them over a server whose answers are spoiled by `sent`."""

    def __init__(self, warehouse: Warehouse, archive: ArtifactStore, server: ReplayServer) -> None:
        self.warehouse, self.archive, self._server = warehouse, archive, server
        self.sent: Sent = lambda url, body: body
        self.bodies: dict[str, bytes] = {}
        self.window = WINDOW
        with httpx.Client(base_url=server.url) as client:
            self.universe: tuple[UniverseEntity, ...] = parse_universe(
                client.get("/__replay__/universe").json()["entities"]
            )

    def forget(self) -> None:
        """Let everything be asked for again, as if for the first time."""
        with self.warehouse.write_pool("collection").connection() as connection:
            connection.execute("DELETE FROM http_validators")

    def run(self, *names: str, **more: Any) -> list[CollectorRunReport]:
        return [
            run_collector(
                registered_collectors()[name], self.warehouse, self.archive, settings_for(self._server.url, **more),
                self.window, universe=self.universe, sleep=lambda seconds: None,
            )
            for name in names
        ]  # fmt: skip

    def records(self, *sources: str) -> list[dict[str, Any]]:
        wanted = ", ".join(f"'{source}'" for source in sources)
        columns = "source_type, entity_id, natural_key, raw_record_id, payload, body_hash, event_time"
        return rows_of(
            self.warehouse, f"raw_records WHERE source_type IN ({wanted})", columns, "natural_key, raw_record_id"
        )

    def refused(self) -> list[dict[str, Any]]:
        with self.warehouse.read_pool().connection() as connection:
            return quarantine.page(connection, None, open_only=True, limit=10_000)


@pytest.fixture(scope="module")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> SimulatedArchive:
    root = tmp_path_factory.mktemp("fuzz") / "archive"
    simulate(PLAN, root)
    return SimulatedArchive(root)


@pytest.fixture(scope="module")
def server(simulated: SimulatedArchive) -> Iterator[ReplayServer]:
    with ReplayServer(simulated) as running:
        yield running


@pytest.fixture
def desk(
    fresh_postgres_url: str, tmp_path: Path, server: ReplayServer, no_limit: None, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Desk]:
    with Warehouse(fresh_postgres_url) as warehouse:
        made = Desk(warehouse, ArtifactStore(tmp_path / "archive"), server)
        honest = Transport._read

        def read(self: Transport, address: str, url: str, headers: Any, content: bytes | None) -> httpx.Response:
            answer = honest(self, address, url, headers, content)
            if answer.status_code != 200:
                return answer
            body = made.sent(url, answer.content)
            made.bodies[url] = body
            kept = [(name, value) for name, value in answer.headers.items() if name != "content-length"]
            return httpx.Response(200, headers=kept, content=body)

        monkeypatch.setattr(Transport, "_read", read)
        yield made


def accessions(rows: list[dict[str, Any]]) -> Counter[str]:
    return Counter(row["natural_key"] for row in rows)
