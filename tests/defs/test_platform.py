"""The resource of all assets: what a run writes belongs to that run."""

from __future__ import annotations

import dagster as dg
import pytest

from signaldelta_assets.correlation import correlation_id
from signaldelta_assets.defs.platform import Platform

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
