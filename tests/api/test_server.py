"""`signaldelta api`: where it listens, whose word it takes for who asks, and how it goes on without a worker."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import psutil
import psycopg
import pytest

from signaldelta_assets.versioning import new_ulid
from signaldelta_assets.warehouse.postgres import plain_url
from tests.paths import BIN
from tests.platform.deployment import kill, wait_until
from tests.ports import free_port

pytestmark = [pytest.mark.postgres, pytest.mark.platform]
ELSEWHERE = "203.0.113.7"


@contextmanager
def served(url: str, home: Path, *more: str, **variables: str) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """The command in a process of its own; its address and process."""
    address = f"http://127.0.0.1:{(port := free_port())}"
    given = {"SIGNALDELTA_DATABASE_URL": url, "SIGNALDELTA_HOME": str(home), **variables}
    with (home / "api.log").open("wb") as log:
        process = subprocess.Popen(
            [BIN / "signaldelta", "api", "--port", str(port), *more],
            env=os.environ | given, stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip

    def answers() -> bool:
        try:
            return httpx.get(f"{address}/health").is_success
        except httpx.TransportError:
            return False

    try:
        wait_until(answers, 150, "the API", process)
        yield address, process
    finally:
        kill(process)


@pytest.mark.parametrize(
    ("trusted", "seen"),
    [
        (None, "127.0.0.1"),
        ('["192.0.2.0/24"]', "127.0.0.1"),
        ('["127.0.0.1"]', ELSEWHERE),
        ('["198.51.100.1", "127.0.0.0/8"]', ELSEWHERE),
    ],
)
def test_who_asks_is_taken_from_trusted_proxies_alone(
    postgres_url: str, tmp_path: Path, trusted: str | None, seen: str
) -> None:
    variables = {} if trusted is None else {"SIGNALDELTA_TRUSTED_PROXIES": trusted}
    # What uvicorn would read for itself says nothing here.
    with served(postgres_url, tmp_path, FORWARDED_ALLOW_IPS="*", **variables) as (address, _):
        # The first of the list is what the caller claims; the last is whom the proxy heard it from.
        claimed = {"X-Forwarded-For": f"192.0.2.200, {ELSEWHERE}", "X-Request-ID": (asked := new_ulid())}
        assert httpx.get(f"{address}/api/v2/signals", headers=claimed).status_code == 401
    with psycopg.connect(plain_url(postgres_url)) as connection:
        found = connection.execute(
            "SELECT detail ->> 'address' FROM signaldelta.user_activity WHERE correlation_id = %s", [asked]
        ).fetchall()
    assert found == [(seen,)]


@pytest.mark.parametrize(
    ("arguments", "variables", "words"),
    [
        (["--host", "0.0.0.0"], {"SIGNALDELTA_AUTH": "open"}, r"auth=open: an API beyond this machine .*'0\.0\.0\.0'"),
        ([], {"SIGNALDELTA_AUTH": "open", "SIGNALDELTA_TRUSTED_PROXIES": '["127.0.0.1"]'}, "auth=open: .*proxies"),
        ([], {"SIGNALDELTA_TRUSTED_PROXIES": '["*"]'}, "trusted_proxies: expected an address or a network"),
        ([], {"SIGNALDELTA_TRUSTED_PROXIES": '["proxy.example"]'}, "trusted_proxies: expected an address"),
    ],
)
def test_what_would_let_in_anybody_does_not_start(
    tmp_path: Path, arguments: list[str], variables: dict[str, str], words: str
) -> None:
    environment = os.environ | {"SIGNALDELTA_HOME": str(tmp_path)} | variables
    ended = subprocess.run(
        [BIN / "signaldelta", "api", *arguments], env=environment, capture_output=True, text=True, timeout=60
    )
    assert ended.returncode == 2 and re.search(words, ended.stderr), ended.stderr
    assert len(ended.stderr.splitlines()) == 1 and not any(tmp_path.iterdir())


def test_it_listens_on_loopback_alone_unless_told(postgres_url: str, tmp_path: Path) -> None:
    with served(postgres_url, tmp_path) as (_, process):
        [listening] = [one for one in psutil.Process(process.pid).net_connections() if one.status == "LISTEN"]
        assert listening.laddr.ip == "127.0.0.1"
        assert httpx.get(f"http://127.0.0.1:{listening.laddr.port}/docs").status_code == 200
        process.terminate()
        assert process.wait(20) in (0, -15)


def test_two_workers_answer_behind_one_port_and_a_killed_one_comes_again(postgres_url: str, tmp_path: Path) -> None:
    with served(postgres_url, tmp_path, "--workers", "2") as (address, process):
        seen: set[str] = set()

        def answering(number: int) -> bool:
            found = httpx.get(f"{address}/metrics").text
            seen.update(re.findall(r'target_info\{.*?service_instance_id="([^"]+)"', found))
            return len(seen) >= number

        wait_until(lambda: answering(2), 60, "both workers", process)
        workers = [one for one in psutil.Process(process.pid).children() if "spawn_main" in " ".join(one.cmdline())]
        assert len(workers) == 2
        workers[0].kill()
        wait_until(lambda: answering(3), 60, "another worker", process)
