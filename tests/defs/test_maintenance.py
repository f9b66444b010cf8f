"""The daily job: what it made, moved and removed stands in its materialization; the commands show the same."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest
from rich.console import Console
from typer.testing import CliRunner

from signaldelta_assets.cli import app
from signaldelta_assets.defs.maintenance import MAINTENANCE_KEY, build_maintenance, defs
from signaldelta_assets.defs.platform import Platform
from signaldelta_assets.warehouse.partitions import owner, partitions
from signaldelta_assets.warehouse.tables import split_tables
from tests.warehouse.test_partitions import put_scores

pytestmark = [pytest.mark.postgres, pytest.mark.platform]


def test_the_job_keeps_the_database_in_shape(
    fresh_postgres_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SIGNALDELTA_DATABASE_URL", fresh_postgres_url)
    monkeypatch.setenv("SIGNALDELTA_HOME", str(tmp_path))
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "api-2024-01-01.jsonl").touch()
    now = datetime.now(UTC)
    old = now - timedelta(days=900)
    with owner(fresh_postgres_url) as connection:
        put_scores(connection, old, old, "1 day", 5)
        put_scores(connection, now, now, "1 day", 5)

        def run() -> dict[str, object]:
            done = dg.materialize([build_maintenance()], resources={"platform": Platform()})
            (made,) = done.asset_materializations_for_node("platform__maintenance")
            return {name: value.value for name, value in made.metadata.items()}

        figures = run()
        assert figures["log_files_removed"] == 1
        name = f"score_samples_{old:%Y_%m}"
        assert figures["rows_moved"] == {"score_samples": 10} and figures["rows_pruned"] == {"score_samples": 5}
        assert figures["partitions_dropped"] == [f"{name} (here)"] and figures["waiting"] == []
        far = (now + timedelta(days=700)).date()
        for table in split_tables():
            assert any(
                one.start and one.start <= far < one.stop for one in partitions(connection, str(table.name)) if one.stop
            )
        assert run()["rows_pruned"] == {}
        put_scores(connection, old, old, "1 day", 5)  # collected again, into DEFAULT

    cli = CliRunner()
    # A table in a narrow terminal cuts names short.
    monkeypatch.setattr("signaldelta_assets.cli.db.console", Console(width=200))
    shown = cli.invoke(app, ["db", "partitions"])
    assert shown.exit_code == 0 and "score_samples: 5 rows moved out of DEFAULT" in shown.output
    would = cli.invoke(app, ["db", "prune", "--dry-run"])
    assert would.exit_code == 0 and name in would.output and "would be removed" in would.output
    assert cli.invoke(app, ["db", "prune"]).exit_code == 0
    assert "nothing is past its time" in cli.invoke(app, ["db", "prune"]).output
    monkeypatch.setenv("SIGNALDELTA_KEEP_DAYS", '{"labeled_events": 5}')
    refused = cli.invoke(app, ["db", "prune"])
    assert refused.exit_code == 2


def test_it_runs_daily_by_itself() -> None:
    (schedule,) = defs().schedules or []
    assert isinstance(schedule, dg.ScheduleDefinition)
    assert schedule.default_status == dg.DefaultScheduleStatus.RUNNING and schedule.job_name == "maintain_database"
    assert MAINTENANCE_KEY.path == ["platform", "maintenance"]
