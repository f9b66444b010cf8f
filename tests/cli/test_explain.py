"""`signaldelta backtest explain`: what a person and a program are told, and how it refuses."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from signaldelta_assets.backtests import BacktestRun, run_backtest
from signaldelta_assets.cli.main import app
from signaldelta_assets.versioning import canonical_json
from signaldelta_assets.warehouse import ArtifactStore, Warehouse
from tests.backtests.runs.study import make_spec
from tests.snapshots.world import World, build_world

pytestmark = pytest.mark.postgres


@pytest.fixture(scope="module")
def world(postgres_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A deployment's database and store, and the settings that lead there."""
    home: Path = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch, Warehouse(postgres_url) as warehouse:
        patch.setenv("SIGNALDELTA_HOME", str(home))
        patch.setenv("SIGNALDELTA_DATABASE_URL", postgres_url)
        # A wide terminal: no cell is broken over lines.
        patch.setenv("COLUMNS", "300")
        yield build_world(warehouse, ArtifactStore(home / "artifacts"))


@pytest.fixture(scope="module")
def run(world: World) -> BacktestRun:
    return run_backtest(world.warehouse, world.store, make_spec(world))


@pytest.fixture(scope="module")
def alert(world: World, run: BacktestRun) -> tuple[str, datetime]:
    with world.warehouse.read_pool().connection() as connection:
        row = connection.execute(
            "SELECT entity_id, alert_at FROM backtest_alerts WHERE run_id = %s AND matched_event_time IS NOT NULL"
            " ORDER BY entity_id, alert_at LIMIT 1",
            (run.run_id,),
        ).fetchone()
    assert row is not None
    return row["entity_id"], row["alert_at"]


def _call(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["backtest", "explain", *arguments])


def test_json_is_canonical_and_the_same_every_time(run: BacktestRun, alert: tuple[str, datetime]) -> None:
    entity, at = alert
    first = _call(run.run_id, entity, at.isoformat(), "--json")
    again = _call(run.run_hash, entity, at.strftime("%Y-%m-%dT%H:%M:%SZ"), "--json")
    assert first.exit_code == 0 and first.stdout_bytes == again.stdout_bytes
    document = json.loads(first.stdout)
    assert first.stdout_bytes == canonical_json(document) + b"\n"
    assert document["schema"] == "signaldelta.explanation/1" and document["alert"]["fired"] is not None


def test_people_are_told_the_same(run: BacktestRun, alert: tuple[str, datetime]) -> None:
    entity, at = alert
    document = json.loads(_call(run.run_id, entity, at.isoformat(), "--json").stdout)
    said = _call(run.run_id, entity, at.isoformat(), "--top", "1").stdout
    assert f"{document['score']['magnitude']:.6g}" in said and document["score"]["verdict"] in said
    assert "an alert fired at this moment: it matched MNA_ANNOUNCEMENT" in said
    assert document["alert"]["fired"]["labels"][0]["label_id"] in said
    shown = [item["event_id"] in said for item in document["contributions"]]
    assert shown == [True] + [False] * (len(shown) - 1) and len(shown) > 1
    assert "https://example.test/doc" in said


@pytest.mark.parametrize(
    ("entity", "at", "said"),
    [
        (None, "2024-02-01T00:00:00", "expected a zone"),
        (None, "yesterday", "expected ISO 8601"),
        (None, "2031-02-01T00:00:00Z", "expected a moment of the run's grid"),
        ("0000000099", "2024-02-01T00:00:00Z", "not among the entities"),
    ],
)
def test_a_wrong_question_ends_with_one_line_and_code_2(
    run: BacktestRun, alert: tuple[str, datetime], entity: str | None, at: str, said: str
) -> None:
    result = _call(run.run_id, entity or alert[0], at)
    assert result.exit_code == 2 and result.stdout == ""
    assert result.stderr.startswith("error: ") and said in result.stderr and result.stderr.count("\n") == 1


def test_an_unknown_run_ends_with_code_2(world: World, alert: tuple[str, datetime]) -> None:
    result = _call("01JUNKJUNKJUNKJUNKJUNKJUNK", *alert[:1], alert[1].isoformat())
    assert result.exit_code == 2 and "no such run" in result.stderr


def test_a_changed_file_ends_with_code_1(world: World, run: BacktestRun, alert: tuple[str, datetime]) -> None:
    file_hash = next(item["file_hash"] for item in run.manifest["outputs"] if item["name"] == "scores")
    path = world.store.path(file_hash, ".parquet")
    good = path.read_bytes()
    path.chmod(0o644)
    path.write_bytes(good[:-1])
    try:
        result = _call(run.run_id, alert[0], alert[1].isoformat())
    finally:
        path.write_bytes(good)
    assert result.exit_code == 1 and file_hash in result.stderr
