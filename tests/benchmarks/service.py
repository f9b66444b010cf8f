"""The service as its readers meet it, beside bare routes with the same queries, in one run."""

from __future__ import annotations

import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import psycopg

from api.auth import make_key
from signaldelta_assets.warehouse import Warehouse, embedded_server, migrate, partitions, stop_embedded
from signaldelta_assets.warehouse.postgres import plain_url
from signaldelta_assets.warehouse.stores import users
from tests.paths import ROOT

from .load import Load, load, request
from .timing import Row

ENTITIES, HOURS = 200, 1_000
CONNECTIONS = (1, 16, 64)
ROUNDS, SECONDS = int(os.environ.get("R", "3")), float(os.environ.get("S", "1.5"))

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
def serving(factory: str, url: str, home: Path, **more: str) -> Iterator[int]:
    """A server process as the deployment starts it; yields its port."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    variables = {
        "SIGNALDELTA_DATABASE_URL": url,
        "SIGNALDELTA_HOME": str(home),
        "SIGNALDELTA_API_CONNECTIONS": "16",
        "SIGNALDELTA_ADDRESS_REQUESTS_PER_HOUR": "1000000000",
        **more,
    }
    line = [sys.executable, "-m", "uvicorn", "--factory", factory, "--port", str(port), "--no-access-log",
            "--log-level", "warning"]  # fmt: skip
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


def rounds(whole: int, bare: int, key: str, name: str, connections: int) -> tuple[list[Load], list[Load]]:
    """Ask both servers by turns; return what came of each round."""
    paths = {
        "latest": ("/api/v2/signals/scores/{}", "/latest/{}"),
        "history": ("/api/v2/signals/scores/{}/history", "/history/{}"),
    }[name]
    entities = [entity(number) for number in range(ENTITIES)]
    ours = [request(paths[0].format(one), {"X-API-Key": key}) for one in entities]
    theirs = [request(paths[1].format(one)) for one in entities]
    found: tuple[list[Load], list[Load]] = ([], [])
    for number in range(ROUNDS):
        turns = [(whole, ours, 0), (bare, theirs, 1)]
        for port, asked, into in turns if number % 2 else reversed(turns):
            found[into].append(load(port, connections, SECONDS, asked))
    return found


def middle(loads: list[Load], name: str) -> float:
    """The median over rounds of one figure."""
    return statistics.median(getattr(one, name) for one in loads)


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
    """Yield the rows."""
    with database() as url, tempfile.TemporaryDirectory() as home:
        key = fill(url)
        with (
            serving("api.app:create", url, Path(home)) as whole,
            serving("tests.benchmarks.served:bare", url, Path(home)) as bare,
        ):
            for name in ("latest", "history"):
                for connections in CONNECTIONS:
                    ours, theirs = rounds(whole, bare, key, name, connections)
                    assert not sum(one.failed for one in (*ours, *theirs)), "an answer was not 200"
                    ratio = middle(ours, "per_second") / middle(theirs, "per_second")
                    yield Row(
                        f"{name}, {connections} connections",
                        1 / middle(ours, "per_second"),
                        1 / middle(theirs, "per_second"),
                        1,
                        f"{middle(ours, 'per_second'):,.0f} a second beside {middle(theirs, 'per_second'):,.0f} bare,"
                        f" {ratio:.2f}; p50 {middle(ours, 'p50') * 1e3:.1f} ({middle(theirs, 'p50') * 1e3:.1f}) ms,"
                        f" p99 {middle(ours, 'p99') * 1e3:.1f} ({middle(theirs, 'p99') * 1e3:.1f}) ms",
                    )


if __name__ == "__main__":
    for row in measure():
        print(row.what, row.note, flush=True)
