"""The resource of all assets: what a run writes belongs to that run."""

from __future__ import annotations

import logging
from pathlib import Path

import dagster as dg
import pytest

from signaldelta_assets.correlation import RUN_TAG, correlation_id
from signaldelta_assets.defs.platform import Platform
from signaldelta_assets.observability.logfiles import files, lines_of

pytestmark = [pytest.mark.platform, pytest.mark.postgres]


def test_what_a_run_writes_carries_its_id(fresh_postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIGNALDELTA_DATABASE_URL", fresh_postgres_url)
    seen = []

    @dg.asset
    def writer(platform: Platform) -> dg.MaterializeResult:
        with platform.warehouse():
            seen.append(correlation_id())
        return dg.MaterializeResult()

    result = dg.materialize([writer], resources={"platform": Platform()})
    assert seen == [result.run_id] and correlation_id() is None
    # Of a run that was launched for a request, what it writes is the request's.
    dg.materialize([writer], resources={"platform": Platform()}, tags={RUN_TAG: "a-request"})
    assert seen[1:] == ["a-request"]


def test_what_a_run_logs_is_in_its_file_under_one_id(
    fresh_postgres_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Within the warehouse's block and outside of it; and nothing more once the run is over."""
    monkeypatch.setenv("SIGNALDELTA_DATABASE_URL", fresh_postgres_url)
    monkeypatch.setenv("SIGNALDELTA_HOME", str(tmp_path))
    log = logging.getLogger("signaldelta_assets.test")

    @dg.asset
    def writer(platform: Platform) -> dg.MaterializeResult:
        log.info("outside")
        with platform.warehouse():
            log.info("inside")
        return dg.MaterializeResult()

    dg.materialize([writer], resources={"platform": Platform()}, tags={RUN_TAG: "a-request"})
    log.warning("after the run")
    found = [line for line in lines_of(tmp_path / "logs", ["a-request"]) if line["logger"] == log.name]
    assert [(line["service"], line["message"]) for line in found] == [
        ("dagster-run", "outside"), ("dagster-run", "inside")
    ]  # fmt: skip
    assert "after the run" not in "".join(path.read_text() for _, _, path in files(tmp_path / "logs"))
