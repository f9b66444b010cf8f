"""A client made from the description alone: whole, well typed, and right about the real server."""

from __future__ import annotations

import importlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import httpx
import pytest

from api import specification
from tests.paths import ROOT
from tests.readside import ENTITIES

pytestmark = [pytest.mark.postgres, pytest.mark.platform]

# What a reader writes; the type checker reads it with the client.
USE = '''
from signaldelta_client import AuthenticatedClient
from signaldelta_client.api.backtests import get_run, list_runs
from signaldelta_client.api.signals import list_signals
from signaldelta_client.models import Problem, Run, RunPage, SignalPage
from signaldelta_client.types import UNSET, Unset


def signals_of(client: AuthenticatedClient, entity: str) -> list[str]:
    """Every event of an entity, page by page."""
    found: list[str] = []
    cursor: str | Unset = UNSET
    while True:
        page = list_signals.sync(client=client, entity_id=entity, limit=7, cursor=cursor)
        assert isinstance(page, SignalPage), page
        found += [event.event_id for event in page.data if event.strength_norm >= 0]
        following = page.meta.next_cursor
        if not isinstance(following, str):
            return found
        cursor = following


def newest_run(client: AuthenticatedClient) -> Run:
    page = list_runs.sync(client=client)
    assert isinstance(page, RunPage)
    run = get_run.sync(page.data[0].run_id, client=client)
    assert isinstance(run, Run)
    return run


def trouble(client: AuthenticatedClient, run: str) -> tuple[int, str, str]:
    answer = get_run.sync_detailed(run, client=client)
    assert isinstance(answer.parsed, Problem)
    return answer.status_code, answer.parsed.type_, answer.parsed.request_id
'''


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the client was generated, without a warning."""
    made = tmp_path_factory.mktemp("client")
    command = [
        str(Path(sys.executable).with_name("openapi-python-client")), "generate", "--meta", "none",
        "--path", str(specification.CURRENT), "--config", str(ROOT / "docs/client.yaml"), "--fail-on-warning",
        "--output-path", str(made / "signaldelta_client"),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, cwd=made)
    assert done.returncode == 0, done.stdout
    (made / "use.py").write_text(USE)
    return made


@pytest.fixture(scope="module")
def use(folder: Path) -> Iterator[ModuleType]:
    sys.path.insert(0, str(folder))
    yield importlib.import_module("use")
    sys.path.remove(str(folder))
    for name in [name for name in sys.modules if name == "use" or name.startswith("signaldelta_client")]:
        del sys.modules[name]


def test_the_client_and_its_use_are_well_typed(folder: Path) -> None:
    command = [sys.executable, "-m", "mypy", "--strict", "--config-file=", "use.py"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder)
    assert done.returncode == 0, done.stdout
    wrong = folder / "wrong.py"
    wrong.write_text(USE.replace("event.strength_norm", "event.strength"))
    done = subprocess.run([*command[:-1], "wrong.py"], capture_output=True, text=True, cwd=folder)
    assert done.returncode == 1 and '"SignalEvent" has no attribute "strength"' in done.stdout


def test_the_client_reads_from_the_real_server(use: ModuleType, client: httpx.Client) -> None:
    made = importlib.import_module("signaldelta_client").AuthenticatedClient
    generated = made(base_url=str(client.base_url), token="none-asked", prefix="", auth_header_name="X-API-Key")
    plain = client.get("/api/v2/signals", params={"entity_id": ENTITIES[0], "limit": 1000}).json()["data"]
    assert use.signals_of(generated, ENTITIES[0]) == [one["event_id"] for one in plain] and len(plain) > 14
    run = use.newest_run(generated)
    assert run.run_hash == client.get("/api/v2/backtests").json()["data"][0]["run_hash"]
    assert run.artifacts[0].name == "scores.parquet"
    status, kind, request_id = use.trouble(generated, "none")
    assert (status, kind, len(request_id)) == (404, "urn:signaldelta:problem:not-found", 26)
