"""What the replay tests share: a small simulated archive, servers over it and over the recorded inputs, clients."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from signaldelta_assets.replay import RecordedArchive, ReplayServer, SimulatedArchive, SimulationPlan, simulate
from tests.paths import DATA

AGENT = {"user-agent": "SignalDelta tests tests@example.org"}
SMALL = SimulationPlan(seed=11, entities=12, days=200, pools=4)


@pytest.fixture(scope="session")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> SimulatedArchive:
    """A small simulated archive."""
    root = tmp_path_factory.mktemp("simulated") / "archive"
    simulate(SMALL, root)
    return SimulatedArchive(root)


@pytest.fixture(scope="session")
def simulated_server(simulated: SimulatedArchive) -> Iterator[ReplayServer]:
    with ReplayServer(simulated, max_logs=40) as server:
        yield server


@pytest.fixture
def client(simulated_server: ReplayServer) -> Iterator[httpx.Client]:
    """A declared client of the simulated archive; faults and log are cleared afterwards."""
    with httpx.Client(base_url=simulated_server.url, headers=AGENT, timeout=20) as made:
        yield made
        made.delete("/__replay__/faults")
        made.delete("/__replay__/log")


@pytest.fixture(scope="session")
def recorded() -> RecordedArchive:
    return RecordedArchive(DATA)


@pytest.fixture(scope="session")
def recorded_client(recorded: RecordedArchive) -> Iterator[httpx.Client]:
    with ReplayServer(recorded) as server, httpx.Client(base_url=server.url, headers=AGENT, timeout=30) as made:
        yield made


@pytest.fixture
def serve() -> Iterator[Callable[[Path], httpx.Client]]:
    """`serve(root)`: a client of a server over the archive at `root`."""
    open_now: list[ReplayServer | httpx.Client] = []

    def make(root: Path) -> httpx.Client:
        server = ReplayServer(RecordedArchive(root)).start()
        made = httpx.Client(base_url=server.url, headers=AGENT, timeout=20)
        open_now.extend((made, server))
        return made

    yield make
    for thing in open_now:
        thing.close() if isinstance(thing, httpx.Client) else thing.stop()
