"""The job that scores past hours, asked for hours that are not."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest

from signaldelta_assets.defs.jobs import build_rescoring
from signaldelta_assets.defs.platform import Platform
from signaldelta_assets.jobs import RESCORE_JOB, job_op, newest_rescored

NOW = datetime(2025, 7, 1, 12, 34, 56, tzinfo=UTC)


def test_only_an_hour_whose_own_score_was_made_is_scored_again() -> None:
    assert newest_rescored(NOW) == datetime(2025, 7, 1, 11, tzinfo=UTC)
    assert newest_rescored(NOW.astimezone(datetime.strptime("+0530", "%z").tzinfo)) == newest_rescored(NOW)


@pytest.mark.parametrize("later", [timedelta(0), timedelta(hours=1), timedelta(days=90)])
def test_an_hour_to_come_is_refused_by_whoever_asks(
    later: timedelta, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the clock of the platform, and before anything is opened."""
    monkeypatch.setenv("SIGNALDELTA_HOME", str(tmp_path / "none"))
    monkeypatch.setenv("SIGNALDELTA_FIXED_CLOCK", NOW.isoformat())
    last = NOW.replace(minute=0, second=0) + later
    config = {"first": (last - timedelta(hours=1)).isoformat(), "last": last.isoformat()}
    with pytest.raises(dg.Failure, match="expected an hour no later than 2025-07-01T11:00:00"):
        build_rescoring().execute_in_process(
            run_config={"ops": {job_op(RESCORE_JOB): {"config": config}}}, resources={"platform": Platform()}
        )
    assert not (tmp_path / "none").exists()
