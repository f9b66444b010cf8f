"""Does the service's memory stay flat? ``make soak MINUTES=10``: the mix of routes, streams too, without a pause.

Prints the server's resident memory once a minute. What a leak looks like is a line that goes up; the first minute is
that of caches being filled and of code being loaded.
"""

from __future__ import annotations

import argparse
import itertools
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import httpx
import psutil

from signaldelta_assets.warehouse import ArtifactStore, Warehouse
from tests.readside import fill as fill_small
from tests.readside import insert, score_row

from .service import ENTITIES, SERVICE, database, entity, fill, serving

WORKERS = 4
API = "/api/v2"
HEADS = ("minute", "memory", "answers", "refused")


def _paths(number: int, run: str) -> list[str]:
    one = entity(number % ENTITIES)
    return [
        f"{API}/signals/scores/{one}",
        f"{API}/signals/scores/{one}/history?limit=200",
        f"{API}/signals/scores/{one}/history?limit=200&format=arrow",
        f"{API}/signals/scores/latest?format=csv",
        f"{API}/signals/scores/export?entity_id={one}",
        f"{API}/signals/scores/export?entity_id={one}&format=parquet",
        f"{API}/signals?limit=50",
        f"{API}/signals/export",
        f"{API}/labels?format=arrow",
        f"{API}/market/securities",
        f"{API}/backtests/{run}/grid?format=csv",
        f"{API}/backtests/{run}/alerts",
        f"{API}/backtests/{run}/metrics?format=parquet",
        f"{API}/backtests/none",
        f"{API}/labels?limit=9999",
        "/openapi.json",
    ]


def _leave_early(client: httpx.Client, path: str) -> int:
    """Read the beginning of an answer and leave."""
    with client.stream("GET", path) as answer:
        next(answer.iter_raw(), b"")
        return answer.status_code


def hammer(url: str, key: str, run: str, until: Callable[[], bool], seen: Counter[int], seed: int) -> None:
    """Ask for the mix, over and over, until it is time."""
    with httpx.Client(base_url=url, timeout=60, headers={"X-API-Key": key}) as client:
        for number in itertools.count(seed):
            for place, path in enumerate(_paths(number, run)):
                if until():
                    return
                leaves = "export" in path and (number + place) % 3 == 0
                seen[_leave_early(client, path) if leaves else client.get(path).status_code] += 1
            # A live stream now and then, for as long as its first event.
            with (
                suppress(httpx.ReadTimeout),
                client.stream("GET", f"{API}/signals/scores/{entity(number % ENTITIES)}/events", timeout=3) as answer,
            ):
                next(answer.iter_lines(), "")
                seen[answer.status_code] += 1
            if number % 50 == 0:
                client.get(f"{API}/signals", headers={"X-API-Key": "sd_aaaaaaaaaa_" + "x" * 43})


def server_of(port: int) -> psutil.Process:
    """Return the process that serves a port, a child of this one."""
    return next(one for one in psutil.Process().children() if str(port) in one.cmdline())


def soak(minutes: float, tell: Callable[[str], object] = print) -> list[int]:
    """Return the server's resident memory in bytes, after each minute."""
    with database() as url, tempfile.TemporaryDirectory() as raw:
        home = Path(raw)
        store = ArtifactStore(home / "artifacts")
        with Warehouse(url) as warehouse:
            fill_small(warehouse, store, home)
            insert(warehouse, "score_samples", [score_row("leaving", datetime.now(UTC))])
        key = fill(url)
        found: list[int] = []
        with serving(SERVICE, url, home) as port:
            address, process = f"http://127.0.0.1:{port}", server_of(port)
            with httpx.Client(base_url=address, headers={"X-API-Key": key}, timeout=60) as client:
                run = client.get(f"{API}/backtests").json()["data"][0]["run_id"]
            ends = time.monotonic() + minutes * 60
            seen: Counter[int] = Counter()
            threads = [
                threading.Thread(
                    target=hammer, args=(address, key, run, lambda: time.monotonic() > ends, seen, seed * 7)
                )
                for seed in range(WORKERS)
            ]
            for thread in threads:
                thread.start()
            tell(" | ".join(HEADS))
            while time.monotonic() < ends:
                time.sleep(max(min(60.0, ends - time.monotonic()), 0.1))
                found.append(process.memory_info().rss)
                good = sum(count for status, count in seen.items() if status < 400)
                bad = {status: count for status, count in sorted(seen.items()) if status >= 400}
                tell(f"{len(found)} | {found[-1] / 2**20:.0f} MB | {good:,} | {bad}")
            for thread in threads:
                thread.join()
        return found


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("minutes", type=float, nargs="?", default=10.0)
    soak(parser.parse_args().minutes)
