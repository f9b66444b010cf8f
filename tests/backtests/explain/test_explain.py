"""A stored run explained: the same score, its parts, its sources; and what was touched since is found."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from signaldelta_assets.backtests import (
    BacktestRun,
    EvaluationProtocol,
    ExplanationError,
    StoredScoreError,
    check_manifest,
    explain_run,
    run_backtest,
)
from signaldelta_assets.backtests import explain as explain_module
from signaldelta_assets.backtests.explain import load_stored
from signaldelta_assets.backtests.explanation import Stored, explain
from signaldelta_assets.scoring import score
from signaldelta_assets.versioning import canonical_json
from signaldelta_assets.warehouse import ArtifactStore, IntegrityError, Warehouse
from signaldelta_assets.warehouse.stores.backtests import UnknownRunError
from tests.backtests.runs.study import PROTOCOL, make_spec
from tests.snapshots.world import World, build_world

pytestmark = pytest.mark.postgres
STEP = timedelta(seconds=PROTOCOL["grid"]["step_seconds"])
FIRST = datetime.fromtimestamp(PROTOCOL["grid"]["start"], UTC)
LAST = datetime.fromtimestamp(PROTOCOL["grid"]["end"], UTC)


@pytest.fixture(scope="module")
def world(postgres_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    root: Path = tmp_path_factory.mktemp("artifacts")
    with Warehouse(postgres_url) as warehouse:
        yield build_world(warehouse, ArtifactStore(root))


@pytest.fixture(scope="module")
def run(world: World) -> BacktestRun:
    return run_backtest(world.warehouse, world.store, make_spec(world))


@pytest.fixture(scope="module")
def alerts(world: World, run: BacktestRun) -> list[dict[str, Any]]:
    """The run's alerts, straight from its file."""
    return _file(world, run, "alerts").to_pylist()


def _file(world: World, run: BacktestRun, name: str) -> pa.Table:
    output = next(output for output in run.manifest["outputs"] if output["name"] == name)
    return pq.read_table(io.BytesIO(world.store.read_bytes(output["file_hash"], ".parquet")))


def _explained(world: World, run: BacktestRun, entity: str, at: datetime) -> dict[str, Any]:
    return explain_run(world.warehouse, world.store, run.run_id, entity, at)


def _stored(world: World, run: BacktestRun, entity: str) -> Stored:
    return load_stored(world.warehouse, world.store, check_manifest(run.manifest), entity)


def test_an_alert_is_explained_down_to_its_records(
    world: World, run: BacktestRun, alerts: list[dict[str, Any]]
) -> None:
    first = alerts[0]["entity_id"]
    matched = [alert for alert in alerts if alert["entity_id"] == first and alert["matched_event_time"]][-1]
    found = _explained(world, run, matched["entity_id"], matched["alert_at"])
    (row,) = (
        row
        for row in _file(world, run, "scores").to_pylist()
        if (row["entity_id"], row["at"]) == (matched["entity_id"], matched["alert_at"])
    )
    assert found["on_grid"]
    assert np.float32(found["score"]["magnitude"]) == row["magnitude"] > 0
    assert found["score"]["chain_probabilities"].keys() == {"CT-01", "UNKNOWN"}
    fired = found["alert"]["fired"]
    assert fired["alert_score"] == matched["alert_score"] == found["alert"]["score"] >= found["alert"]["threshold"]
    assert fired["matched_event_time"] == matched["matched_event_time"].isoformat() and not fired["censored"]
    earlier = [alert["alert_at"].isoformat() for alert in alerts
               if alert["entity_id"] == matched["entity_id"] and alert["alert_at"] < matched["alert_at"]]  # fmt: skip
    assert found["alert"]["previous"]["alert_at"] == max(earlier)
    # The event it matched is the world's own, with the filing that the label rests on.
    (label,) = fired["labels"]
    event = (matched["entity_id"], matched["matched_event_time"])
    (truth,) = (label for label in world.labels if (label.entity_id, label.event_time) == event)
    assert label["label_id"] == truth.label_id and tuple(label["raw_record_ids"]) == truth.raw_record_ids
    # Every contributing event is one of the world's with its own strength, known before the moment of the score.
    known = {event.event_id: event for event in world.events}
    assert found["contributions"]
    for item in found["contributions"]:
        event = known[item["event_id"]]
        assert (item["signal_id"], item["strength_norm"], item["reliability"]) == (
            event.signal_id, event.strength_norm, event.reliability)  # fmt: skip
        assert datetime.fromisoformat(item["event_time"]) == event.event_time
        assert event.event_time <= datetime.fromisoformat(item["available_time"]) <= matched["alert_at"]
        assert tuple(item["raw_record_ids"]) == event.raw_record_ids
        assert item["circular"] == (event.signal_id == "S033")
        for name in item["raw_record_ids"]:
            source = found["sources"][name]
            assert source["url"] == "https://example.test/doc" and source["natural_key"].startswith("key-")


def test_the_parts_sum_to_the_whole(world: World, run: BacktestRun) -> None:
    scores = _file(world, run, "scores")
    both = scores.filter(pc.greater(scores["effective_families"], 1.2)).slice(0, 1).to_pylist()[0]
    found = _explained(world, run, both["entity_id"], both["at"])
    families = {item["family"]: item for item in found["families"]}
    assert families.keys() == {"F01", "F06"} and {item["name"] for item in families.values()} == {"a", "b"}
    assert {(item["signal_id"], item["circular"]) for item in found["contributions"]} == {
        ("S001", False), ("S033", True)}  # fmt: skip
    magnitude = found["score"]["magnitude"]
    assert sum(item["shapley"]["magnitude"] for item in families.values()) == pytest.approx(magnitude, abs=1e-12)
    # Of two families, by hand: half of what it adds to nothing and half of what it adds to the other.
    for family, other in (("F01", "F06"), ("F06", "F01")):
        alone = magnitude - families[other]["magnitude"]
        assert families[family]["shapley"]["magnitude"] == pytest.approx(
            (alone + families[family]["magnitude"]) / 2, abs=1e-12
        )
    # A delta is the score minus the score of the other family's events alone.
    stored = _stored(world, run, both["entity_id"])
    own = stored.events.filter(pc.equal(stored.events["family"], pa.scalar("F01")))
    others = replace(stored, events=own, frontier=stored.frontier.filter(
        pc.is_in(stored.frontier["event_id"], value_set=own["event_id"].combine_chunks())))  # fmt: skip
    without = explain(others, both["entity_id"], both["at"] + timedelta(microseconds=1))
    whole = explain(stored, both["entity_id"], both["at"] + timedelta(microseconds=1))
    delta = next(item for item in whole.families if item.family == "F06")
    assert delta.magnitude == pytest.approx(whole.sample.magnitude - without.sample.magnitude, abs=1e-12)
    assert delta.confidence == pytest.approx(whole.sample.confidence - without.sample.confidence, abs=1e-12)


def test_the_same_question_gives_the_same_bytes(world: World, run: BacktestRun, alerts: list[dict[str, Any]]) -> None:
    alert = alerts[0]
    # By hash or id, in any zone: one moment is one moment.
    elsewhere = alert["alert_at"].astimezone(ZoneInfo("America/New_York"))
    one = explain_run(world.warehouse, world.store, run.run_id, alert["entity_id"], alert["alert_at"])
    other = explain_run(world.warehouse, world.store, run.run_hash, alert["entity_id"], elsewhere)
    assert canonical_json(one) == canonical_json(other)
    assert one["run"]["run_id"] == run.run_id and one["run"]["snapshot_hash"] == run.manifest["snapshot"]["hash"]


def test_between_the_points_there_is_a_score_and_no_alert(
    world: World, run: BacktestRun, alerts: list[dict[str, Any]]
) -> None:
    alert = alerts[0]
    at = alert["alert_at"] + STEP / 2
    found = _explained(world, run, alert["entity_id"], at)
    assert not found["on_grid"] and found["alert"]["fired"] is None
    assert found["alert"]["previous"]["alert_at"] == alert["alert_at"].isoformat()
    stored = _stored(world, run, alert["entity_id"])
    assert 0 < found["score"]["magnitude"] < 1 and stored.scores.num_rows == (LAST - FIRST) // STEP + 1


def test_without_evidence_there_is_nothing_to_explain(world: World, run: BacktestRun) -> None:
    scores = _file(world, run, "scores")
    rows = scores.filter(pc.equal(scores["n_events"], 0)).to_pylist()
    assert rows, "the world has an entity whose first signal comes after the grid's start"
    found = _explained(world, run, rows[0]["entity_id"], rows[0]["at"])
    assert (found["families"], found["contributions"], found["sources"]) == ([], [], {})
    assert found["score"]["magnitude"] == 0 and found["score"]["chain_probabilities"]["UNKNOWN"] == 1


@pytest.mark.parametrize(
    ("entity", "at", "said"),
    [
        ("0000000001", FIRST.replace(tzinfo=None), "expected a zone"),
        ("0000000001", FIRST - timedelta(microseconds=1), "expected a moment of the run's grid"),
        ("0000000001", LAST + timedelta(microseconds=1), "expected a moment of the run's grid"),
        ("0000000099", FIRST, "'0000000099': not among"),
        ("' OR true --", FIRST, "not among"),
    ],
)
def test_what_was_not_scored_is_refused(world: World, run: BacktestRun, entity: str, at: datetime, said: str) -> None:
    with pytest.raises(ExplanationError, match=said):
        _explained(world, run, entity, at)


def test_within_its_coverage_an_entity_is_explained_where_it_was_asked_about_alone(
    world: World, run: BacktestRun
) -> None:
    """Outside its stretch no row is stored, which is no sign of a file that was touched; inside it is one."""
    stored = _stored(world, run, "0000000001")
    protocol = EvaluationProtocol.from_dict(PROTOCOL | {"grid": PROTOCOL["grid"] | {"within": "coverage"}})
    asked = replace(stored, protocol=protocol, scores=stored.scores.slice(10, 20))
    first, last = FIRST + 10 * STEP, FIRST + 29 * STEP
    for inside in (first, last, last + STEP / 2):
        assert explain(asked, "0000000001", inside).sample == explain(stored, "0000000001", inside).sample
    for outside in (FIRST, first - STEP, first - STEP / 2, last + STEP, LAST):
        with pytest.raises(ExplanationError, match="expected a moment of the run's grid"):
            explain(asked, "0000000001", outside)
    gone = pa.concat_tables([asked.scores.slice(0, 5), asked.scores.slice(6)])
    with pytest.raises(StoredScoreError, match="expected one row, found 0"):
        explain(replace(asked, scores=gone), "0000000001", first + 5 * STEP)


def test_an_unknown_run_is_refused(world: World) -> None:
    with pytest.raises(UnknownRunError, match="no such run"):
        explain_run(world.warehouse, world.store, "0" * 64, "0000000001", FIRST)


@pytest.mark.parametrize("column", ["magnitude", "p_UNKNOWN", "n_events", "verdict"])
def test_a_stored_figure_that_was_changed_is_found(
    world: World, run: BacktestRun, alerts: list[dict[str, Any]], column: str
) -> None:
    entity, at = alerts[0]["entity_id"], alerts[0]["alert_at"]
    stored = _stored(world, run, entity)
    explain(stored, entity, at)
    values = stored.scores[column].to_pylist()
    place = stored.scores["at"].to_pylist().index(at)
    kind = stored.scores.schema.field(column).type
    # The least change there is: one unit in the last place of a float32, one event, another word.
    values[place] = {
        "verdict": lambda old: "SELL" if old != "SELL" else "HOLD",
        "n_events": lambda old: old + 1,
    }.get(column, lambda old: float(np.nextafter(np.float32(old), np.float32(2))))(values[place])
    touched = stored.scores.set_column(stored.scores.schema.get_field_index(column), column, pa.array(values, kind))
    with pytest.raises(StoredScoreError, match=f"field '{column}'"):
        explain(replace(stored, scores=touched), entity, at)
    # Another point of the same grid is as it was.
    explain(replace(stored, scores=touched), entity, at + STEP)


def test_a_run_of_other_code_is_named_as_such(
    world: World, run: BacktestRun, alerts: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A kernel that has changed since gives other figures too: then nobody need have touched a file."""
    entity, at = alerts[0]["entity_id"], alerts[0]["alert_at"]
    stored = _stored(world, run, entity)
    none = pa.array([99] * stored.scores.num_rows, pa.int64())
    touched = stored.scores.set_column(stored.scores.schema.get_field_index("n_events"), "n_events", none)
    monkeypatch.setattr(explain_module, "load_stored", lambda *_: replace(stored, scores=touched))
    with pytest.raises(StoredScoreError, match="n_events") as here:
        _explained(world, run, entity, at)
    assert "environment" not in str(here.value)
    monkeypatch.setattr(explain_module, "run_environment", lambda: {"code": "another"})
    with pytest.raises(StoredScoreError, match=r"n_events.*made in another environment or by other code"):
        _explained(world, run, entity, at)


def test_a_stored_alert_that_was_changed_is_found(world: World, run: BacktestRun, alerts: list[dict[str, Any]]) -> None:
    entity, at = alerts[0]["entity_id"], alerts[0]["alert_at"]
    stored = _stored(world, run, entity)
    place = stored.alerts["alert_at"].to_pylist().index(at)
    scores = stored.alerts["alert_score"].to_pylist()
    scores[place] = float(np.nextafter(scores[place], 2))
    index = stored.alerts.schema.get_field_index("alert_score")
    with pytest.raises(StoredScoreError, match="alert_score"):
        explain(replace(stored, alerts=stored.alerts.set_column(index, "alert_score", pa.array(scores))), entity, at)


@pytest.mark.parametrize("what", ["scores", "signal_events"])
def test_a_file_that_was_touched_is_found(world: World, run: BacktestRun, what: str) -> None:
    entries = run.manifest["outputs"] if what == "scores" else run.manifest["inputs"]
    file_hash = next(entry["file_hash"] for entry in entries if what in (entry.get("name"), entry.get("kind")))
    path = world.store.path(file_hash, ".parquet")
    good = path.read_bytes()
    path.chmod(0o644)
    path.write_bytes(good[:200] + bytes([good[200] ^ 1]) + good[201:])
    try:
        with pytest.raises(IntegrityError, match=file_hash):
            _explained(world, run, "0000000001", FIRST)
    finally:
        path.write_bytes(good)
    assert _explained(world, run, "0000000001", FIRST)["entity_id"] == "0000000001"


def test_the_figures_are_those_of_the_single_score(world: World, run: BacktestRun) -> None:
    from signaldelta_assets.backtests.evidence import available_events

    stored = _stored(world, run, "0000000002")
    at = FIRST + 40 * STEP
    timed = available_events(stored.events, stored.frontier, stored.latency)
    own = timed.filter(pc.equal(timed["entity_id"], pa.scalar("0000000002")))
    columns = ["event_id", "signal_id", "available_time", "strength_norm", "reliability", "direction"]
    expected = score(own.select(columns), stored.model, at, top_k=3)
    found = explain(stored, "0000000002", at, top=3)
    assert found.sample == expected
    assert [item.event_id for item in found.contributions] == [item.event_id for item in expected.top_contributors]
