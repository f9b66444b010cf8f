"""How the application is put together: what it imports, and the factory a server calls."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from api.app import create


def test_importing_the_api_brings_in_no_skin() -> None:
    """The API never imports `defs`; a process that serves reads need not load the orchestrator."""
    probe = (
        "import sys, api.app; "
        "print(sorted(n for n in sys.modules if n in ('dagster', 'dbt') or n.startswith('signaldelta_assets.defs')))"
    )
    found = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


@pytest.mark.postgres
def test_factory_serves_by_the_settings(postgres_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIGNALDELTA_DATABASE_URL", postgres_url)
    monkeypatch.setenv("SIGNALDELTA_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("SIGNALDELTA_AUTH", "open")
    monkeypatch.setenv("SIGNALDELTA_WEBSERVER_PORT", "9")  # discard: nothing listens there
    with TestClient(create()) as client:
        body = client.get("/status").json()
        assert body["schema_version"]["matches"] and body["dagster"] == "unreachable"
        assert body["status"] == "degraded" and body["reasons"] == ["dagster: unreachable"]
        empty = client.get("/api/v2/signals").json()
        assert empty["data"] == [] and empty["meta"]["latency_model"] is None
        assert [disk["folder"] for disk in body["disks"]] == ["home", "archive", "artifacts"]
        assert all(0 < disk["used_ratio"] < 1 for disk in body["disks"])
    assert not (tmp_path / "home").exists(), "reading makes no state"
