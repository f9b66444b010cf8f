"""The service as its readers meet it, beside bare routes with the same queries, in one run."""

from __future__ import annotations

import os
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import psutil
import psycopg

from api.auth import make_key
from signaldelta_assets.warehouse import Warehouse, embedded_server, migrate, partitions, stop_embedded
from signaldelta_assets.warehouse.postgres import plain_url
from signaldelta_assets.warehouse.stores import users
from tests.paths import BIN, ROOT
from tests.ports import free_port

from .load import Load, load, request
from .timing import Row

SERVICE, BARE = ("signaldelta", "api"), ("python", "-m", "tests.benchmarks.served")
ENTITIES, HOURS = 200, 1_000
CONNECTIONS = (1, 16, 64)
ROUNDS, SECONDS = 5, 2.0

_FILL = """
INSERT INTO signaldelta.score_samples (entity_id, at, scoring_model_hash, latency_model_hash, definitions_hash,
  ingest_time, input_hash, evidence, effective_families, magnitude, lean, confidence, quality, diversity, ordering,
  n_events, legacy_score, verdict, chain_probabilities, family_deltas, top_contributors)
SELECT lpad(e::text, 10, '0'), at, repeat('1', 64), repeat('2', 64), repeat('3', 64), at + interval '5 seconds',
  repeat('4', 64), random(), random() * 4, random(), random() * 2 - 1, random(), random(), random(), random(), 12,
  random() * 100, 'HOLD', '{"CT-01": 0.3, "CT-04": 0.2, "UNKNOWN": 0.5}',
  '{"F01": {"magnitude": 0.2, "lean": 0.1, "confidence": 0.05}, "F03": {"magnitude": 0.1, "lean": 0, "confidence": 0}}',
  '[{"event_id": "01HZFNS0V0QJ5Y8T1J3M8Z6K4D", "delta_magnitude": 0.2}]'
FROM generate_series(0, %(entities)s - 1) AS e,
  generate_series(date_trunc('hour', now()) - make_interval(hours => %(hours)s - 1), date_trunc('hour', now()),
                  interval '1 hour') AS at
"""


def entity(number: int) -> str:
    """The id of an entity that has scores."""
    return f"{number:010d}"


def fill(url: str) -> str:
    """Put scores of the last weeks into a migrated database, and a user without limits; return their key."""
    with Warehouse(url) as warehouse:
        now = datetime.now(UTC)
        partitions.ensure(warehouse, "score_samples", {(now - timedelta(hours=n)).date() for n in range(HOURS)})
        user = users.create_user(
            warehouse, tier="research", admin=False, email=None, name="bench", subject=None, actor=users.OPERATOR
        )
        made = make_key()
        users.create_key(warehouse, user, users.NewKey(made.prefix, made.key_hash, "bench", ("read",)), users.OPERATOR)
    with psycopg.connect(plain_url(url), autocommit=True) as connection:
        connection.execute(
            "UPDATE signaldelta.tier_entitlements SET value = '1000000000' WHERE entitlement = 'requests_per_hour'"
        )
        connection.execute(_FILL, {"entities": ENTITIES, "hours": HOURS})
        connection.execute("VACUUM ANALYZE")
    return made.text


@contextmanager
def serving(program: Sequence[str], url: str, home: Path, **more: str) -> Iterator[int]:
    """A server process as the deployment starts it, `SERVICE` or `BARE`; yields its port."""
    port = free_port()
    variables = {
        "SIGNALDELTA_DATABASE_URL": url,
        "SIGNALDELTA_HOME": str(home),
        "SIGNALDELTA_API_CONNECTIONS": "16",
        "SIGNALDELTA_ADDRESS_REQUESTS_PER_HOUR": "1000000000",
        **more,
    }
    line = [BIN / program[0], *program[1:], "--port", str(port)]
    process = subprocess.Popen(line, cwd=ROOT, env=os.environ | variables)
    try:
        for _ in range(600):
            try:
                httpx.get(f"http://127.0.0.1:{port}/nothing", timeout=5)
                break
            except httpx.TransportError:
                time.sleep(0.1)
        yield port
    finally:
        process.terminate()
        process.wait(20)


@dataclass(frozen=True, slots=True)
class Served:
    """A server that is asked: how it is called, its port, the requests, and what came of each round."""

    name: str
    port: int
    requests: dict[str, list[str]]
    loads: list[Load]
    busy: list[float]

    def middle(self, name: str) -> float:
        """The median over rounds of one figure."""
        return statistics.median(getattr(one, name) for one in self.loads)


def _busy(port: int, postmaster: psutil.Process) -> float:
    """Processor seconds that the server of a port and the database have taken so far."""
    server = next(one for one in psutil.Process().children() if str(port) in one.cmdline())
    total = 0.0
    for process in (server, postmaster, *postmaster.children()):
        with suppress(psutil.NoSuchProcess):
            times = process.cpu_times()
            total += times.user + times.system
    return total


def rounds(servers: list[Served], name: str, connections: int, postmaster: psutil.Process) -> None:
    """Ask all servers by turns, and keep what came of each round."""
    for one in servers:
        one.loads.clear()
        one.busy.clear()
        load(one.port, connections, 0.5, one.requests[name])
    for number in range(ROUNDS):
        for one in servers if number % 2 else reversed(servers):
            before = _busy(one.port, postmaster)
            found = load(one.port, connections, SECONDS, one.requests[name])
            one.loads.append(found)
            one.busy.append((_busy(one.port, postmaster) - before) / found.answers)
            assert not found.failed, f"{one.name}: an answer was not 200"


@contextmanager
def database() -> Iterator[str]:
    """A server of its own with fsync off, migrated."""
    with tempfile.TemporaryDirectory(prefix="sdbench-", ignore_cleanup_errors=True) as raw:
        data = Path(raw) / "pg"
        url = embedded_server(data)
        try:
            with psycopg.connect(plain_url(url), autocommit=True) as connection:
                connection.execute("ALTER SYSTEM SET fsync = off")
                connection.execute("SELECT pg_reload_conf()")
            migrate(url)
            yield url
        finally:
            stop_embedded(data)


def measure() -> Iterator[Row]:
    """Yield a row for each question and number of connections; the ratio is that of answers a second to the bare's."""
    names = [entity(number) for number in range(ENTITIES)]
    paths = {"latest score": "/api/v2/signals/scores/{}", "history, 100 rows": "/api/v2/signals/scores/{}/history"}
    plain = {"latest score": "/latest/{}", "history, 100 rows": "/history/{}"}
    with database() as url, tempfile.TemporaryDirectory() as raw:
        home = Path(raw)
        key = {"X-API-Key": fill(url)}
        with psycopg.connect(plain_url(url)) as connection:
            postmaster = psutil.Process(psutil.Process(connection.info.backend_pid).ppid())
        with (
            serving(SERVICE, url, home) as whole,
            serving(SERVICE, url, home, SIGNALDELTA_AUTH="open") as opened,
            serving(BARE, url, home) as bare,
        ):

            def served(name: str, port: int, of: dict[str, str], headers: dict[str, str]) -> Served:
                asked = {what: [request(path.format(one), headers) for one in names] for what, path in of.items()}
                return Served(name, port, asked, [], [])

            ours, free, theirs = servers = [
                served("whole", whole, paths, key), served("without auth", opened, paths, {}),
                served("bare", bare, plain, {}),
            ]  # fmt: skip
            for what in paths:
                for connections in CONNECTIONS:
                    rounds(servers, what, connections, postmaster)
                    each = [
                        f"{one.name} {one.middle('per_second'):,.0f}/s, p50 {one.middle('p50') * 1e3:.1f},"
                        f" p99 {one.middle('p99') * 1e3:.1f} ms, {statistics.median(one.busy) * 1e3:.2f} ms busy"
                        for one in servers
                    ]
                    shares = [one.middle("per_second") / theirs.middle("per_second") for one in (ours, free)]
                    yield Row(
                        f"{what}, {connections} connections",
                        1 / ours.middle("per_second"),
                        1 / theirs.middle("per_second"),
                        1,
                        f"{'; '.join(each)}; {shares[0]:.2f} of bare, {shares[1]:.2f} without auth",
                    )


if __name__ == "__main__":
    for row in measure():
        print(row.what, row.note, sep=": ", flush=True)
