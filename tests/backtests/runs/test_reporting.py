"""Reports of stored runs: fetched and checked, the same bytes on another machine, trials corrected, files whole."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from typer.testing import CliRunner

from signaldelta_assets.backtests import BacktestRun, run_backtest
from signaldelta_assets.backtests.reporting import (
    ReportError,
    corrected_trials,
    report_material,
    run_verdict,
    write_report,
)
from signaldelta_assets.cli import app
from signaldelta_assets.defs.backtests import build_run
from signaldelta_assets.defs.partitions import backtest_specs
from signaldelta_assets.defs.platform import Platform
from signaldelta_assets.reports import report_html, verdict_of
from signaldelta_assets.versioning import sha256_file, sha256_hex
from signaldelta_assets.warehouse import IntegrityError
from signaldelta_assets.warehouse.stores import backtests, documents
from signaldelta_assets.warehouse.stores.backtests import UnknownRunError
from tests.reports.documents import with_p_value
from tests.reports.page import check_page
from tests.snapshots.world import World

from .study import PROTOCOL, changed, make_spec

pytestmark = pytest.mark.postgres


@pytest.fixture(scope="module")
def run(world: World) -> BacktestRun:
    return run_backtest(world.warehouse, world.store, make_spec(world))


def test_the_report_of_a_run_is_written_whole_under_its_hash(world: World, run: BacktestRun, tmp_path: Any) -> None:
    folder = tmp_path / "not yet there"
    written = write_report(world.warehouse, world.store, run.run_id, folder)
    assert written.path == folder / f"{run.run_hash}.html" and [path.name for path in folder.iterdir()] == [
        written.path.name
    ]
    assert written.content_hash == sha256_file(written.path) and written.size_bytes == written.path.stat().st_size
    text = " ".join(check_page(written.path.read_bytes()).text)
    # The study's signal leads its event by a day; the world says how much of it is there to be found.
    assert run.manifest["snapshot"]["hash"] in text and run.evaluation_hash in text
    overall = run.evaluation["overall"]["without_circular_evidence"]
    assert f"{overall['n_alerts']} alerts" in text
    named = write_report(world.warehouse, world.store, run.run_hash, tmp_path / "named.html")
    assert named.path == tmp_path / "named.html" and named.content_hash == written.content_hash
    assert named.markdown.startswith("**") and "| Precision |" in named.markdown


def test_a_planted_lead_is_better_than_chance(world: World, run: BacktestRun) -> None:
    found = verdict_of(report_material(world.warehouse, world.store, run.run_id))
    assert found.grade == "better", found.headline
    assert run_verdict(world.warehouse, run.run_id) == found, "the row alone gives the same verdict"


@pytest.fixture
def home(world: World, postgres_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A deployment's home over the world's database and artifacts."""
    (tmp_path / "artifacts").symlink_to(world.store.root)
    monkeypatch.setenv("SIGNALDELTA_HOME", str(tmp_path))
    monkeypatch.setenv("SIGNALDELTA_DATABASE_URL", postgres_url)
    return tmp_path


def test_the_command_writes_it_and_says_the_verdict(run: BacktestRun, home: Path) -> None:
    told = CliRunner().invoke(app, ["backtest", "report", run.run_id])
    written = home / "reports" / f"{run.run_hash}.html"
    assert told.exit_code == 0, told.output
    assert "Better than chance" in told.output and sha256_file(written) in told.output
    other = CliRunner().invoke(app, ["backtest", "report", run.run_hash, "--output", str(home / "x" / "named.html")])
    assert other.exit_code == 0 and (home / "x" / "named.html").read_bytes() == written.read_bytes()
    shown = CliRunner().invoke(app, ["backtest", "show", run.run_id])
    assert shown.exit_code == 0 and shown.output.startswith("Better than chance: "), "the verdict comes first"


def test_the_asset_writes_it_with_path_hash_and_verdict(world: World, run: BacktestRun, home: Path) -> None:
    spec = documents.put_document(world.warehouse, "backtest_spec", "study", run.manifest["spec"])
    with dg.instance_for_test() as instance:
        instance.add_dynamic_partitions(str(backtest_specs.name), [spec])
        result = dg.materialize(
            [build_run()], partition_key=spec, resources={"platform": Platform()}, instance=instance
        )
    (event,) = result.get_asset_materialization_events()
    metadata = event.materialization.metadata
    path = Path(str(metadata["report"].value))
    assert path == home / "reports" / f"{run.run_hash}.html"
    assert metadata["report_hash"].value == sha256_file(path)
    assert str(metadata["verdict"].value).startswith("**Better than chance: ")


def test_no_id_of_this_installation_is_in_it(world: World, run: BacktestRun) -> None:
    data = report_html(report_material(world.warehouse, world.store, run.run_id)).decode()
    names = [run.run_id, *(run.manifest[kind]["id"] for kind in ("snapshot", "dataset"))]
    assert all(len(name) == 26 for name in names) and not any(name in data for name in names)


def test_an_insufficient_run_has_a_report_too(world: World, tmp_path: Any) -> None:
    spec = make_spec(world, protocol=changed(PROTOCOL, "minimum_dataset.events", 10_000), family="too few")
    short = run_backtest(world.warehouse, world.store, spec)
    assert short.status == "insufficient"
    written = write_report(world.warehouse, world.store, short.run_id, tmp_path)
    text = " ".join(check_page(written.path.read_bytes()).text)
    assert "Not enough data to say" in text and written.markdown.count("|") == 0


def test_a_second_spec_of_the_question_corrects_the_first_ones_bar(world: World, run: BacktestRun) -> None:
    spec = make_spec(world, protocol=changed(PROTOCOL, "alert.threshold", 0.2))
    second = run_backtest(world.warehouse, world.store, spec)
    trials = report_material(world.warehouse, world.store, second.run_id).trials
    assert [trial.run_hash for trial in trials] == [run.run_hash, second.run_hash]
    assert [trial.number for trial in trials] == [1, 2]
    smallest = min(trial.p_value for trial in trials if trial.p_value is not None)
    assert min(trial.holm for trial in trials) == pytest.approx(min(1.0, 2 * smallest))
    first = report_material(world.warehouse, world.store, run.run_id)
    assert len(first.trials) == 1, "a later trial changes no earlier report"


def test_what_is_missing_or_touched_makes_no_report(world: World, run: BacktestRun, tmp_path: Any) -> None:
    with pytest.raises(UnknownRunError, match="no such run"):
        write_report(world.warehouse, world.store, "0" * 64, tmp_path)
    output = next(item for item in run.manifest["outputs"] if item["name"] == "events")
    path = world.store.path(output["file_hash"], ".parquet")
    good = path.read_bytes()
    path.chmod(0o644)
    try:
        path.write_bytes(good[:-1] + bytes([good[-1] ^ 1]))
        with pytest.raises(IntegrityError):
            write_report(world.warehouse, world.store, run.run_id, tmp_path)
    finally:
        path.write_bytes(good)
    assert list(tmp_path.iterdir()) == []


def test_a_run_without_its_events_says_so(
    world: World, run: BacktestRun, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = copy.deepcopy(backtests.get_run(world.warehouse, run.run_id))
    row["manifest"]["outputs"] = [item for item in row["manifest"]["outputs"] if item["name"] != "events"]
    monkeypatch.setattr(backtests, "get_run", lambda *_: row)
    with pytest.raises(ReportError, match="'events'"):
        write_report(world.warehouse, world.store, run.run_id, tmp_path)


def test_a_spec_run_again_is_one_trial_and_no_p_value_counts_as_one() -> None:
    def row(number: int, spec: str, p: float | None) -> dict[str, Any]:
        return {"trial_number": number, "run_hash": sha256_hex(b"%d" % number), "spec_hash": spec,
                "evaluation": with_p_value(p)}  # fmt: skip

    found = corrected_trials([row(1, "a", 0.2), row(2, "b", None), row(3, "a", 0.01), row(4, "c", 0.04)])
    assert [(trial.number, trial.p_value) for trial in found] == [(2, None), (3, 0.01), (4, 0.04)]
    assert [trial.holm for trial in found] == pytest.approx([1.0, 0.03, 0.08])
    assert [trial.benjamini_hochberg for trial in found] == pytest.approx([1.0, 0.03, 0.06])
