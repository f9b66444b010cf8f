"""Runs over a real database: determinism, completeness, and that a run exists whole or not at all."""

from __future__ import annotations

import io
import json
import re
from contextlib import nullcontext
from dataclasses import replace
from datetime import date
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from signaldelta_assets.backtests import (
    BacktestFailedError,
    BacktestSpec,
    BacktestSpecError,
    RunManifestError,
    check_manifest,
    diff_runs,
    run_backtest,
    run_hash,
    verify_run,
)
from signaldelta_assets.backtests import runs as runs_module
from signaldelta_assets.backtests.manifest import manifest_hash
from signaldelta_assets.backtests.runs import load_inputs
from signaldelta_assets.backtests.sandbox import execute
from signaldelta_assets.backtests.verify import _figure
from signaldelta_assets.warehouse import IntegrityError
from signaldelta_assets.warehouse.stores import backtests, documents
from signaldelta_assets.warehouse.stores.reading import Window
from tests.backtests.runs.study import MODEL, PROTOCOL, changed, make_spec
from tests.snapshots.world import WINDOW, World

pytestmark = pytest.mark.postgres


@pytest.fixture(scope="module")
def spec(world: World) -> BacktestSpec:
    return make_spec(world)


@pytest.fixture(scope="module")
def run(world: World, spec: BacktestSpec):
    told: list[tuple[int, int, str]] = []
    done = run_backtest(world.warehouse, world.store, spec, progress=lambda *step: told.append(step))
    assert told[-1][0] == told[-1][1] and all(done <= total for done, total, _ in told)
    return done


def _artifact(world: World, run: Any, name: str) -> Any:
    output = next(output for output in run.manifest["outputs"] if output["name"] == name)
    if output["media_type"] == "application/json":
        return json.loads(world.store.read_bytes(output["file_hash"], ".json"))
    return pq.read_table(io.BytesIO(world.store.read_bytes(output["file_hash"], ".parquet")))


def test_a_run_recovers_the_planted_effect_and_shows_what_is_circular(world: World, run) -> None:
    assert run.created and run.status == "complete"
    both = run.evaluation["overall"]
    assert all(both[name]["auc"] > 0.6 for name in ("all_evidence", "without_circular_evidence"))
    # The filing that carries the label fires a signal after the event: it can only make false alerts.
    assert both["circular_evidence"]["families"] == ["F06"]
    assert both["circular_evidence"]["events_by_family"] == len(world.labels)
    assert both["without_circular_evidence"]["precision"] > both["all_evidence"]["precision"]
    assert 20 < both["without_circular_evidence"]["lead_time_hours"]["median"] <= 30
    difference = both["difference"]["precision"]
    assert difference["value"] > 0 and difference["interval"] is not None
    audit = run.evaluation["leak_audit"]
    assert audit["equal"] and len(audit["moments"]) == 3 and audit["seed"] == PROTOCOL["bootstrap"]["seed"]


def test_the_manifest_names_everything_and_the_artifacts_are_there(world: World, spec: BacktestSpec, run) -> None:
    manifest = check_manifest(run.manifest)
    assert manifest.spec == spec.document and manifest.spec_hash == spec.hash
    assert {item.kind for item in manifest.inputs} == {
        "signal_events", "signal_frontier", "labeled_events", "entities", "identifiers", "coverage",
        "definitions"}  # fmt: skip
    assert sorted(output.name for output in manifest.outputs) == [
        "alerts", "evaluation", "events", "matches", "samples", "scores"]  # fmt: skip
    scores = _artifact(world, run, "scores")
    points = (PROTOCOL["grid"]["end"] - PROTOCOL["grid"]["start"]) // PROTOCOL["grid"]["step_seconds"] + 1
    assert scores.num_rows == 4 * points and scores.schema.field("magnitude").type == pa.float32()
    assert _artifact(world, run, "evaluation") == run.evaluation
    stored = backtests.read_artifacts(world.warehouse, run.run_id)
    assert [(row["name"], row["file_hash"]) for row in stored] == [(o.name, o.file_hash) for o in manifest.outputs]
    with world.warehouse.read_pool().connection() as connection:
        alerts = connection.execute("SELECT * FROM backtest_alerts WHERE run_id = %s", (run.run_id,)).fetchall()
    overall = run.evaluation["overall"]["all_evidence"]
    assert len(alerts) == overall["n_alerts"] + overall["censored_alerts"]
    assert sum(row["matched_event_time"] is not None for row in alerts) == len(overall["matches"])
    metrics = {(row["evidence"], row["slice_kind"], row["metric"]): row
               for row in backtests.read_metrics(world.warehouse, run.run_id)}  # fmt: skip
    auc = metrics["all_evidence", "all", "auc"]
    assert auc["value"] == overall["auc"] and auc["low"] <= auc["value"] <= auc["high"]
    assert all(row["value"] is not None or row["reason"] for row in metrics.values())


def test_no_id_and_no_clock_enters_what_is_hashed(world: World, run) -> None:
    hashed = [world.store.read_bytes(output["file_hash"], runs_module.SUFFIXES[output["media_type"]])
              for output in run.manifest["outputs"]]  # fmt: skip
    for name in (run.run_id, run.manifest["snapshot"]["id"], run.manifest["dataset"]["id"]):
        assert not any(name.encode() in data for data in hashed)
    renamed = {**run.manifest, "run_id": "0" * 26, "hypothesis": {"family": "planted lead", "trial_number": 9}}
    assert manifest_hash(renamed) == manifest_hash(run.manifest)
    assert manifest_hash({**run.manifest, "evaluation_hash": "0" * 64}) != manifest_hash(run.manifest)


def test_the_same_spec_gives_the_run_that_exists(world: World, spec: BacktestSpec, run) -> None:
    again = run_backtest(world.warehouse, world.store, spec)
    assert not again.created and (again.run_id, again.manifest) == (run.run_id, run.manifest)
    assert again.trial_number == run.trial_number == 1
    other = BacktestSpec(**{**{k: v for k, v in spec.document.items() if k != "schema"}, "hypothesis_family": "other"})
    # The same bytes asked as another question: the same run, and a trial of that question too.
    asked = run_backtest(world.warehouse, world.store, other)
    assert (asked.run_id, asked.trial_number) == (run.run_id, 1)
    with world.warehouse.read_pool().connection() as connection:
        assert connection.execute("SELECT count(*) AS n FROM hypothesis_trials").fetchone() == {"n": 2}


def test_running_it_again_gives_every_byte_again(world: World, spec: BacktestSpec, run, tmp_path) -> None:
    """The determinism test of the meta-plan: hash, metrics, score vectors and top contributors are identical."""
    inputs = load_inputs(world.warehouse, world.store, spec)
    folder = tmp_path / "another place"
    folder.mkdir()
    again = execute(folder, inputs.files, inputs.documents)
    assert [output.to_document() for output in again.outputs] == run.manifest["outputs"]
    assert again.evaluation == run.evaluation
    assert run_hash(spec, inputs.definitions_hash, run.manifest["environment_hash"]) == run.run_hash
    samples = _artifact(world, run, "samples")
    assert json.loads((folder / "samples.json").read_bytes()) == samples
    assert any(sample["score"]["top_contributors"] for sample in samples["samples"])

    report = verify_run(world.warehouse, world.store, run.run_id)
    assert report.equal and report.environment_equal and report.differences == ()


def test_verify_finds_an_artifact_that_was_touched(world: World, run) -> None:
    output = next(output for output in run.manifest["outputs"] if output["name"] == "alerts")
    path = world.store.path(output["file_hash"], ".parquet")
    good = path.read_bytes()
    path.chmod(0o644)
    path.write_bytes(good[:-1] + bytes([good[-1] ^ 1]))
    report = verify_run(world.warehouse, world.store, run.run_hash)
    path.write_bytes(good)
    assert not report.equal and len(report.differences) == 1 and "artifact alerts" in report.differences[0]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("UPDATE backtest_metrics SET value = value + 0.1 WHERE run_id = %s AND metric = 'auc' AND slice_kind = 'all'"
         " AND evidence = 'all_evidence'", r"^backtest_metrics\.all_evidence/all/all/auc\[0\]: expected 0\.\d+, found"),
        ("UPDATE backtest_runs SET evaluation = jsonb_set(evaluation, '{overall,all_evidence,precision}', '0.99')"
         " WHERE run_id = %s", r"^evaluation\.overall\.all_evidence\.precision: expected 0\.\d+, found 0\.99$"),
        ("DELETE FROM backtest_alerts WHERE run_id = %s AND (entity_id, alert_at) = (SELECT entity_id, alert_at"
         " FROM backtest_alerts ORDER BY 1, 2 LIMIT 1)", r"^backtest_alerts\.0000000001 at .*found '\(absent\)'$"),
        ("UPDATE backtest_artifacts SET rows = rows + 1 WHERE run_id = %s AND name = 'events'",
         r"^backtest_artifacts\.events\.rows: expected"),
        ("UPDATE backtest_runs SET manifest_hash = repeat('0', 64) WHERE run_id = %s", "^manifest_hash: expected"),
    ],
)  # fmt: skip
def test_verify_finds_a_row_that_was_touched(world: World, run, change: str, said: str) -> None:
    # What only an owner of the database can do, whom the triggers do not stop; undone at the end.
    with world.warehouse.write_pool("backtests").connection() as connection:
        connection.execute("SET LOCAL ROLE NONE")
        connection.execute("SET LOCAL session_replication_role = replica")
        assert connection.execute(change, (run.run_id,)).rowcount == 1
        touched = SimpleNamespace(read_pool=lambda: SimpleNamespace(connection=lambda: nullcontext(connection)))
        report = verify_run(touched, world.store, run.run_id)
        connection.rollback()
    assert not report.equal and len(report.differences) == 1, report.differences
    assert re.search(said, report.differences[0]), report.differences


def test_another_input_is_another_run_and_the_diff_names_it(world: World, spec: BacktestSpec, run) -> None:
    other_spec = make_spec(world, model=changed(MODEL, "magnitude.theta", 0.9))
    assert other_spec.snapshot_hash == spec.snapshot_hash
    other = run_backtest(world.warehouse, world.store, other_spec)
    assert other.run_hash != run.run_hash and other.trial_number == 2
    found = diff_runs(world.warehouse, run.run_id, other.run_hash)
    assert [(item.path, item.a, item.b) for item in found.inputs] == [("scoring_model.magnitude.theta", 0.8, 0.9)]
    moved = {item.path for item in found.figures}
    assert "all_evidence/all/all/precision" in moved or "all_evidence/all/all/brier" in moved
    assert not any(path.endswith("/n_events") for path in moved)
    # Those that moved most come first, each with its intervals as both runs store them.
    sizes = [item.relative for item in found.figures if item.relative is not None]
    assert len(sizes) > 5 and sizes == sorted(sizes, reverse=True) and sizes[5] > 0
    figure = next(item for item in found.figures if item.path == "all_evidence/all/all/brier")
    stored = [
        next(row for row in backtests.read_metrics(world.warehouse, one.run_id)
             if (row["evidence"], row["slice_kind"], row["metric"]) == ("all_evidence", "all", "brier"))
        for one in (run, other)
    ]  # fmt: skip
    assert (figure.a, figure.b) == (stored[0]["value"], stored[1]["value"])
    assert figure.change == figure.b - figure.a and figure.relative == abs(figure.change) / max(figure.a, figure.b)
    assert [figure.a_interval, figure.b_interval] == [(row["low"], row["high"]) for row in stored]
    assert figure.apart == (stored[0]["high"] < stored[1]["low"] or stored[1]["high"] < stored[0]["low"])
    assert diff_runs(world.warehouse, run.run_id, run.run_id).equal


def test_a_snapshot_of_another_window_with_the_same_rows_is_another_input(
    world: World, spec: BacktestSpec, run
) -> None:
    longer = world.freeze(window=Window(WINDOW.start, date(2024, 8, 1)))
    asked = replace(spec, snapshot_hash=longer.snapshot_hash)
    other = run_backtest(world.warehouse, world.store, asked)
    assert other.run_hash != run.run_hash
    inputs = {item.path: (item.a, item.b) for item in diff_runs(world.warehouse, run.run_id, other.run_id).inputs}
    assert inputs["snapshot.window.end"] == ("2024-07-01T00:00:00+00:00", "2024-08-01T00:00:00+00:00")
    assert not any("signal_events" in path for path in inputs)


def test_a_figure_that_only_one_run_has_comes_first(world: World, run) -> None:
    spec = make_spec(world, protocol=changed(PROTOCOL, "alert.threshold", 0.99), family="no alert")
    silent = run_backtest(world.warehouse, world.store, spec)
    found = diff_runs(world.warehouse, run.run_id, silent.run_id)
    assert [(item.path, item.a, item.b) for item in found.inputs] == [
        ("evaluation_protocol.alert.threshold", 0.15, 0.99)
    ]
    gone = [item for item in found.figures if item.relative is None]
    assert found.figures[: len(gone)] == tuple(gone)
    precision = next(item for item in gone if item.path == "all_evidence/all/all/precision")
    assert precision.a == run.evaluation["overall"]["all_evidence"]["precision"] and precision.b is None
    assert (precision.change, precision.b_interval, precision.apart) == (None, None, None)
    alerts = next(item for item in found.figures if item.path == "all_evidence/all/all/n_alerts")
    assert alerts.b == 0 and alerts.change == -alerts.a and alerts.relative == 1.0


def test_other_draws_move_the_interval_and_the_null_alone(world: World, run) -> None:
    drawn = changed(changed(PROTOCOL, "bootstrap.seed", 4711), "nulls.seed", 4712)
    other = run_backtest(world.warehouse, world.store, make_spec(world, protocol=drawn))
    found = diff_runs(world.warehouse, run.run_id, other.run_id)
    assert {item.path for item in found.inputs} == {
        "evaluation_protocol.bootstrap.seed", "evaluation_protocol.nulls.seed"
    }  # fmt: skip
    brier = next(item for item in found.figures if item.path == "all_evidence/all/all/brier")
    assert (brier.a, brier.change, brier.relative) == (brier.b, 0.0, 0.0)
    assert brier.a_interval != brier.b_interval and brier.a_null != brier.b_null
    assert not brier.same


def test_apart_is_said_of_intervals_that_do_not_touch() -> None:
    def row(value: float, low: float | None, high: float | None) -> dict[str, Any]:
        return {"value": value, "low": low, "high": high, "null_value": None}

    one = row(0.5, 0.4, 0.6)
    assert _figure("x", one, row(0.7, 0.65, 0.8)).apart is True
    assert _figure("x", row(0.7, 0.65, 0.8), one).apart is True
    assert _figure("x", one, row(0.6, 0.6, 0.7)).apart is False
    assert _figure("x", one, row(0.9, None, None)).apart is None
    assert _figure("x", row(-0.1, None, None), row(0.1, None, None)).relative == 2.0
    assert _figure("x", one, None).a == 0.5 and _figure("x", one, None).relative is None


def test_below_the_minimum_dataset_there_are_counts_and_no_metrics(world: World) -> None:
    spec = make_spec(world, protocol=changed(PROTOCOL, "minimum_dataset.events", 5000), family="too little")
    short = run_backtest(world.warehouse, world.store, spec)
    overall = short.evaluation["overall"]["all_evidence"]
    assert short.status == "insufficient" and overall["auc"] is None
    assert any("5000" in warning for warning in overall["warnings"])
    assert backtests.read_metrics(world.warehouse, short.run_id) == []


def test_several_event_types_are_evaluated_alone_too(world: World) -> None:
    protocol = changed(PROTOCOL, "event_types", ["MNA_ANNOUNCEMENT", "EARNINGS_SURPRISE"])
    run = run_backtest(world.warehouse, world.store, make_spec(world, protocol=protocol, family="two types"))
    alone = run.evaluation["by_event_type"]
    assert alone["MNA_ANNOUNCEMENT"]["without_circular_evidence"]["status"] == "evaluated"
    assert alone["EARNINGS_SURPRISE"]["all_evidence"]["status"] == "insufficient"
    assert alone["EARNINGS_SURPRISE"]["without_circular_evidence"] is None
    slices = {(row["slice_kind"], row["slice_value"]) for row in backtests.read_metrics(world.warehouse, run.run_id)}
    assert ("event_type", "MNA_ANNOUNCEMENT") in slices and ("all", "all") in slices


def _rows(world: World) -> dict[str, int]:
    with world.warehouse.read_pool().connection() as connection:
        return {
            table: connection.execute(f"SELECT count(*) AS n FROM {table}").fetchone()["n"]
            for table in ("backtest_runs", "backtest_metrics", "backtest_alerts", "backtest_artifacts",
                          "hypothesis_trials")
        }  # fmt: skip


def test_a_damaged_part_stops_the_run_before_it_reads(world: World, run) -> None:
    spec = make_spec(world, model=changed(MODEL, "magnitude.theta", 0.7))
    part = run.manifest["inputs"][0]
    path = world.store.path(part["file_hash"], ".parquet")
    good, before = path.read_bytes(), _rows(world)
    path.chmod(0o644)
    path.write_bytes(good[:100] + bytes([good[100] ^ 1]) + good[101:])
    with pytest.raises(IntegrityError, match=f"{part['kind']}/{part['partition']}"):
        run_backtest(world.warehouse, world.store, spec)
    path.write_bytes(good)
    assert _rows(world) == before


@pytest.mark.parametrize("missing", ["environment_hash", "signal_definitions_hash", "inputs", "evaluation_hash"])
def test_a_manifest_without_a_hash_refuses_the_whole_run(world: World, run, monkeypatch, missing: str) -> None:
    with pytest.raises(RunManifestError, match=missing):
        check_manifest({key: value for key, value in run.manifest.items() if key != missing})
    if missing != "environment_hash":
        return
    spec = make_spec(world, model=changed(MODEL, "magnitude.theta", 0.6))
    before = _rows(world)
    check = runs_module.check_manifest
    monkeypatch.setattr(runs_module, "check_manifest", lambda doc: check({**doc, missing: None}))
    with pytest.raises(RunManifestError, match=missing):
        run_backtest(world.warehouse, world.store, spec)
    assert _rows(world) == before


def test_missing_data_fails_the_run(world: World) -> None:
    before = _rows(world)
    unknown = changed(MODEL, "signals", {"S001": MODEL["signals"]["S001"]})
    with pytest.raises(BacktestFailedError, match="S033"):
        run_backtest(world.warehouse, world.store, make_spec(world, model=unknown))
    spec = make_spec(world)
    with pytest.raises(documents.UnknownDocumentError):
        absent = {**spec.document, "protocol_hash": "0" * 64}
        run_backtest(world.warehouse, world.store, BacktestSpec.from_dict(absent))
    assert _rows(world) == before


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"schema": "x"}, "schema"),
        ({"snapshot_hash": "abc"}, "snapshot_hash"),
        ({"hypothesis_family": " "}, "hypothesis_family"),
        ({"tempo_model_hash": "0" * 64}, "tempo_model_hash"),
    ],
)
def test_a_spec_names_its_wrong_field(spec: BacktestSpec, change: dict[str, Any], field: str) -> None:
    with pytest.raises(BacktestSpecError, match=field):
        BacktestSpec.from_dict(spec.document | change)
    with pytest.raises(BacktestSpecError, match="protocol_hash"):
        BacktestSpec.from_dict({key: value for key, value in spec.document.items() if key != "protocol_hash"})
    assert BacktestSpec.from_dict(spec.document) == spec
