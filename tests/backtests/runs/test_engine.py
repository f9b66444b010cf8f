"""The pure engine on made-up tables: what it refuses, what is circular, and that the audit finds a leak."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from signaldelta_assets.backtests import grid as grid_module
from signaldelta_assets.backtests.audit import leak_audit
from signaldelta_assets.backtests.engine import compute
from signaldelta_assets.backtests.evaluation import EvaluationProtocol, alerts_from_grid
from signaldelta_assets.backtests.evidence import EngineError, available_events, circular_evidence, covered_entities
from signaldelta_assets.backtests.grid import EntityEvents, make_grid, without
from signaldelta_assets.backtests.metrics import metric_rows
from signaldelta_assets.backtests.warmup import _DEFINITIONS as DEFINITIONS
from signaldelta_assets.backtests.warmup import _MODEL, _protocol, _tables
from signaldelta_assets.scoring import ScoringModel, score, score_grid
from signaldelta_assets.timeline import LatencyModel
from signaldelta_assets.versioning import canonical_json, content_hash

MODEL = ScoringModel.from_dict(_MODEL)
PROTOCOL = EvaluationProtocol.from_dict(_protocol("none"))
LATENCY = LatencyModel.from_dict(
    {
        "schema": "signaldelta.latency_model/1",
        "default": {"rule": "lag", "lag_seconds": 60, "processing_seconds": 0},
    }
)
STEPS = (*(datetime.fromtimestamp(at // 1_000_000, UTC) for at in (PROTOCOL.start, PROTOCOL.end)), timedelta(hours=1))


@pytest.fixture(scope="module")
def tables() -> dict[str, pa.Table]:
    return _tables()


def _run(tables: dict[str, pa.Table]) -> Any:
    return compute(tables, MODEL, LATENCY, PROTOCOL, DEFINITIONS)


def test_the_order_of_rows_changes_no_byte(tables: dict[str, pa.Table]) -> None:
    one = _run(tables)
    random = np.random.Generator(np.random.PCG64(3))
    other = _run({kind: table.take(random.permutation(table.num_rows)) for kind, table in tables.items()})
    assert canonical_json(one.evaluation) == canonical_json(other.evaluation)
    assert canonical_json(one.samples) == canonical_json(other.samples)
    assert all(one.tables[name].equals(other.tables[name]) for name in one.tables)
    assert one.tables["alerts"].num_rows > 0 and one.status == "complete"


def test_the_target_events_say_what_was_missed_and_what_was_censored(tables: dict[str, pa.Table]) -> None:
    run = _run(tables)
    whole = run.evaluation["overall"]["all_evidence"]
    events, matches = run.tables["events"].to_pylist(), run.tables["matches"].to_pylist()
    assert len(events) == whole["n_events"] + whole["censored_events"]
    assert sum(row["censored"] for row in events) == whole["censored_events"] > 0
    counted = [row for row in events if not row["censored"]]
    hits = sum(row["matched_alert_at"] is not None for row in counted)
    assert hits / len(counted) == whole["recall"] and hits > 0
    pairs = {(row["entity_id"], row["event_time"], row["matched_alert_at"]) for row in events}
    assert {(row["entity_id"], row["event_time"], row["alert_at"]) for row in matches} == {
        pair for pair in pairs if pair[2] is not None
    }
    # A type's other subtypes are no targets.
    assert {row["event_type"] for row in events} == {"X", "Y"}
    place = tables["labeled_events"].schema.get_field_index("subtype")
    other = tables["labeled_events"].set_column(
        place, tables["labeled_events"].schema.field(place), pa.array(["b"] * 24, pa.string())
    )
    left = _run(tables | {"labeled_events": other}).tables["events"]
    assert set(left["event_type"].to_pylist()) == {"Y"}


def test_of_two_events_at_one_moment_each_alert_has_its_own(tables: dict[str, pa.Table]) -> None:
    labels = tables["labeled_events"]
    twin = labels.set_column(
        labels.schema.get_field_index("event_type"),
        labels.schema.field("event_type"),
        pa.array(["Y"] * 24, pa.string()),
    )
    twin = twin.filter(pc.equal(labels["event_type"], pa.scalar("X")))
    run = _run(tables | {"labeled_events": pa.concat_tables([labels, twin])})
    found = [row["matched_alert_at"] for row in run.tables["events"].to_pylist() if row["matched_alert_at"]]
    assert len(found) == run.tables["matches"].num_rows > 0


def test_every_top_contributor_names_its_signal(tables: dict[str, pa.Table]) -> None:
    signals = dict(zip(*(tables["signal_events"][name].to_pylist() for name in ("event_id", "signal_id")), strict=True))
    named = [item for sample in _run(tables).samples["samples"] for item in sample["score"]["top_contributors"]]
    assert {item["signal_id"] for item in named} == {"S1", "S2"}
    assert all(item["signal_id"] == signals[item["event_id"]] for item in named)


def test_available_time_is_the_latest_over_the_frontier(tables: dict[str, pa.Table]) -> None:
    events, frontier = tables["signal_events"], tables["signal_frontier"]
    later = frontier.set_column(
        frontier.schema.get_field_index("event_time"),
        frontier.schema.field("event_time"),
        pc.add(frontier["event_time"], pa.scalar(7_200_000_000, pa.duration("us"))),
    )
    found = available_events(events, pa.concat_tables([later, frontier]), LATENCY)
    lag = pc.subtract(found["available_time"], found["event_time"])
    live = pa.scalar("live")
    assert set(lag.filter(pc.not_equal(frontier["collection_mode"], live)).cast(pa.int64()).to_pylist()) == {7260000000}
    with pytest.raises(EngineError, match="expected at least one row"):
        available_events(events, frontier.slice(1), LATENCY)
    with pytest.raises(EngineError, match="expected rows of 23 events"):
        available_events(events.slice(1), frontier, LATENCY)


def test_evidence_is_circular_by_family_or_by_record(tables: dict[str, pa.Table]) -> None:
    events, labels = tables["signal_events"], tables["labeled_events"]
    none = labels.slice(0, 0)
    by_family = circular_evidence(events, none, ["X"], PROTOCOL, DEFINITIONS)
    assert by_family.mask.tolist() == [family == "F2" for family in events["family"].to_pylist()]
    assert (by_family.families, by_family.by_record) == (("F2",), 0)
    both = circular_evidence(events, labels.slice(0, 1), ["X"], PROTOCOL, DEFINITIONS)
    assert both.mask.sum() == by_family.mask.sum() + 1 and both.mask[0] and both.by_record == 1
    # Neither family nor record of another event type counts.
    assert circular_evidence(events, labels.slice(0, 1), ["Y"], PROTOCOL, DEFINITIONS).mask.sum() == 0
    named = EvaluationProtocol.from_dict(_protocol("none") | {"circularity": {"Y": ["F1"]}})
    assert circular_evidence(events, none, ["Y"], named, DEFINITIONS).families == ("F1",)


def _evidence(tables: dict[str, pa.Table]) -> EntityEvents:
    events = available_events(tables["signal_events"], tables["signal_frontier"], LATENCY)
    names = covered_entities(tables["coverage"], tables["labeled_events"], ["X", "Y"], PROTOCOL, DEFINITIONS)
    return EntityEvents.of(events, names)


def test_the_audit_finds_a_score_that_has_seen_the_future(tables: dict[str, pa.Table]) -> None:
    events = _evidence(tables)
    grid = make_grid(events, MODEL, PROTOCOL)
    alerts = alerts_from_grid(grid.question(), PROTOCOL)
    report = leak_audit(events, MODEL, PROTOCOL, grid, alerts)
    assert report["equal"]
    # Its hashes are those of what is stored up to each moment.
    for moment in report["moments"]:
        cut = pa.scalar(datetime.fromisoformat(moment["at"]), pa.timestamp("us", "UTC"))
        before = grid.scores.filter(pc.less_equal(grid.scores["at"], cut))
        assert (moment["points"], moment["content_hash"]) == (before.num_rows, content_hash(before))
    # Every event twenty hours early: at some moment the whole input shows what the shortened one cannot have.
    early = pc.subtract(events.table["available_time"], pa.scalar(3_600_000_000 * 20, pa.duration("us")))
    place = events.table.schema.get_field_index("available_time")
    seen = make_grid(replace(events, table=events.table.set_column(place, "available_time", early)), MODEL, PROTOCOL)
    with pytest.raises(EngineError, match="leak audit: scores before"):
        leak_audit(events, MODEL, PROTOCOL, seen, alerts)
    with pytest.raises(EngineError, match="leak audit: alerts before"):
        leak_audit(events, MODEL, PROTOCOL, grid, alerts.slice(1))


def test_one_bit_of_one_figure_fails_the_audit(tables: dict[str, pa.Table]) -> None:
    events = _evidence(tables)
    grid = make_grid(events, MODEL, PROTOCOL)
    alerts = alerts_from_grid(grid.question(), PROTOCOL)
    quality = grid.scores["quality"].to_numpy().copy()
    quality[5] = np.nextafter(quality[5], np.float32(2))
    other = grid.scores.set_column(grid.scores.schema.get_field_index("quality"), "quality", pa.array(quality))
    with pytest.raises(EngineError, match="'column': 'quality'"):
        leak_audit(events, MODEL, PROTOCOL, replace(grid, scores=other), alerts)
    finer = grid.alert_score.copy()
    finer[5] = np.nextafter(finer[5], 2)
    with pytest.raises(EngineError, match="'column': 'alert_score'"):
        leak_audit(events, MODEL, PROTOCOL, replace(grid, alert_score=finer), alerts)


def test_blocks_change_no_bit_and_come_in_order(tables: dict[str, pa.Table], monkeypatch: pytest.MonkeyPatch) -> None:
    events = _evidence(tables)
    whole = make_grid(events, MODEL, PROTOCOL)
    kept: list[pa.Table] = []
    monkeypatch.setattr(grid_module, "_ROWS", 1)
    cut = make_grid(events, MODEL, PROTOCOL, keep=kept.append)
    assert len(kept) == len(events.names) > 1 and pa.concat_tables(kept).equals(cut.scores)
    assert content_hash(cut.scores) == content_hash(whole.scores)
    assert cut.alert_score.tobytes() == whole.alert_score.tobytes()
    plain = score_grid(events.table.select(grid_module.EVENT_COLUMNS), MODEL, *STEPS, entities=events.names)
    assert plain.num_rows == whole.scores.num_rows
    for name in ("magnitude", "p_C", "legacy_score"):
        assert whole.scores[name].to_numpy().tobytes() == plain[name].to_numpy().astype(np.float32).tobytes()
    assert whole.scores["verdict"].to_pylist() == plain["verdict"].to_pylist()


def test_only_entities_that_lose_evidence_are_scored_again(tables: dict[str, pa.Table]) -> None:
    events = _evidence(tables)
    grid = make_grid(events, MODEL, PROTOCOL)
    left_out = (events.places == 1) & (np.arange(len(events.places)) % 2 == 0)
    assert left_out.any()
    rest = without(events, left_out, MODEL, PROTOCOL, grid)
    assert rest.alert_score.tobytes() == make_grid(events.only(~left_out), MODEL, PROTOCOL).alert_score.tobytes()
    assert rest.alert_score.tobytes() != grid.alert_score.tobytes()
    assert without(events, left_out & False, MODEL, PROTOCOL, grid) is grid


def test_the_single_score_must_be_the_grids(tables: dict[str, pa.Table]) -> None:
    events = _evidence(tables)
    grid = make_grid(events, MODEL, PROTOCOL)
    at = datetime.fromtimestamp(PROTOCOL.start // 1_000_000 + 100 * 3600, UTC)
    sample = score(events.between(1, 2).select(grid_module.EVENT_COLUMNS), MODEL, at)
    grid.check(sample, 1, at)
    # Every column of the grid is compared.
    assert {*grid_module.as_stored(sample), "entity_id", "at"} == {*grid.scores.column_names}
    for wrong in ({"quality": sample.quality + 1e-3}, {"n_events": sample.n_events + 1}, {"verdict": "none"},
                  {"magnitude": np.nextafter(sample.magnitude, 2.0)},
                  {"chain_probabilities": {**sample.chain_probabilities, "C": 0.123}}):  # fmt: skip
        with pytest.raises(EngineError, match="single score"):
            grid.check(replace(sample, **wrong), 1, at)


def test_nobody_covered_is_an_error_and_insufficient_has_no_figures(tables: dict[str, pa.Table]) -> None:
    old = tables["coverage"].set_column(
        tables["coverage"].schema.get_field_index("last_day"),
        tables["coverage"].schema.field("last_day"),
        pa.array([0, 0, 0], pa.int32()).cast(pa.date32()),
    )
    with pytest.raises(EngineError, match="coverage"):
        _run(tables | {"coverage": old, "labeled_events": tables["labeled_events"].slice(0, 0)})
    short = _run(tables | {"labeled_events": tables["labeled_events"].slice(0, 0)})
    assert short.status == "insufficient" and list(metric_rows(short.evaluation)) == []
    rows = list(metric_rows(_run(tables).evaluation))
    assert len({row[:4] for row in rows}) == len(rows) and {row[1] for row in rows} == {"all", "month", "event_type"}


def test_a_negative_is_covered_by_a_source_of_the_label(tables: dict[str, pa.Table]) -> None:
    """E9 has bars and no filings: whether it had an X nobody could see. E2 has only the source of Y."""
    coverage = tables["coverage"]
    rows = [row for row in coverage.to_pylist() if row["entity_id"] != "E2"]
    day = rows[0]
    rows += [{**day, "entity_id": "E9", "source_type": "bar"}, {**day, "entity_id": "E2", "source_type": "earnings"}]
    labels = tables["labeled_events"].filter(pc.not_equal(tables["labeled_events"]["entity_id"], pa.scalar("E2")))
    seen = tables | {"coverage": pa.Table.from_pylist(rows, schema=coverage.schema), "labeled_events": labels}
    definitions = {"labels": {"X": {"source_types": ["filing"]}, "Y": {"source_types": ["earnings"]}}}
    run = compute(seen, MODEL, LATENCY, PROTOCOL, definitions)
    assert set(run.tables["scores"]["entity_id"].to_pylist()) == {"E0", "E1", "E2"}
    assert run.evaluation["entities"] == 3
    assert run.evaluation["left_out"]["entities covered by no source of the target labels"] == 1
    # Alone, X is not asked of E2; Y keeps E0 and E1, which had one.
    assert {name: part["entities"] for name, part in run.evaluation["by_event_type"].items()} == {"X": 2, "Y": 3}
    with pytest.raises(EngineError, match=r"labels\.Y"):
        compute(seen, MODEL, LATENCY, PROTOCOL, {"labels": {"X": definitions["labels"]["X"]}})


def test_what_happened_before_the_grid_is_evidence_at_its_first_point(tables: dict[str, pa.Table]) -> None:
    early = pa.scalar(24 * 3_600_000_000, pa.duration("us"))
    moved = dict(tables)
    for kind, name in (("signal_events", "event_time"), ("signal_frontier", "event_time"),
                       ("signal_frontier", "observed_time")):  # fmt: skip
        table = moved[kind]
        place = table.schema.get_field_index(name)
        moved[kind] = table.set_column(place, table.schema.field(place), pc.subtract(table[name], early))
    first = _run(moved).tables["scores"].slice(0, 1).to_pylist()[0]
    assert first["at"].timestamp() == _protocol("none")["grid"]["start"]
    assert first["n_events"] > 0 and first["magnitude"] > 0


def _with_errors(tables: dict[str, pa.Table], seconds: float) -> dict[str, pa.Table]:
    """The labels of type X with interpolated times."""
    labels = tables["labeled_events"].to_pylist()
    for row in labels:
        if row["event_type"] == "X":
            row |= {"time_precision": "interpolated", "attributes": f'{{"time_error_seconds":{seconds}}}'}
    return tables | {"labeled_events": pa.Table.from_pylist(labels, schema=tables["labeled_events"].schema)}


def test_interpolated_events_are_reported_apart(tables: dict[str, pa.Table]) -> None:
    """Of the 24 events one of type X is matched."""
    plain, none, long = _run(tables), _run(_with_errors(tables, 0)), _run(_with_errors(tables, 10**9))
    assert "by_time_precision" not in plain.evaluation
    name = "leads shorter than the error of the event's time"
    whole, cut = (run.evaluation["overall"]["all_evidence"] for run in (plain, long))
    assert name not in whole["left_out"] and cut["left_out"][name] == 1
    assert whole["lead_time_hours"] is not None and cut["lead_time_hours"] is None
    assert cut["reasons"]["lead_time_hours"] == "every lead is shorter than the error of its event's time"
    for figure in ("precision", "recall", "auc", "brier", "n_events", "n_alerts"):
        assert cut[figure] == whole[figure]
    apart, told = long.evaluation["by_time_precision"], none.evaluation["by_time_precision"]
    assert set(apart) == {"interpolated", "second"}
    own = apart["interpolated"]
    assert (own["matched"], own["leads_shorter_than_error"], own["lead_time_hours"]) == (1, 1, None)
    assert sum(row["events"] for row in told.values()) == whole["n_events"]
    assert told["interpolated"]["leads_shorter_than_error"] == 0
    assert told["interpolated"]["lead_time_hours"]["median"] == whole["lead_time_hours"]["median"]
    assert none.evaluation["overall"]["all_evidence"]["lead_time_hours"] == whole["lead_time_hours"]


def test_too_small_a_dataset_is_told_before_anything_is_scored(
    tables: dict[str, pa.Table], monkeypatch: pytest.MonkeyPatch
) -> None:
    class StoppedError(Exception):
        pass

    def stop(*arguments: Any, **more: Any) -> Any:
        raise StoppedError

    said: list[str] = []
    monkeypatch.setattr("signaldelta_assets.backtests.engine.make_grid", stop)
    few = tables | {"labeled_events": tables["labeled_events"].slice(0, 0)}
    for given in (few, tables):
        with pytest.raises(StoppedError):
            compute(given, MODEL, LATENCY, PROTOCOL, DEFINITIONS, lambda done, total, text: said.append(text))
    monkeypatch.undo()
    (warned,) = [text for text in said if "below the minimum dataset" in text]
    assert "no metrics" in warned and "0 events of" in warned
    overall = _run(few).evaluation["overall"]["all_evidence"]
    assert overall["warnings"] == [warned.partition("no metrics, ")[2]] and overall["auc"] is None


def test_within_its_coverage_an_entity_is_asked_about_and_nowhere_else(tables: dict[str, pa.Table]) -> None:
    """E0 is covered on the third and fourth day only: grid points, alerts and nulls outside are no question."""
    document = _protocol("none")
    protocol = EvaluationProtocol.from_dict(document | {"grid": document["grid"] | {"within": "coverage"}})
    assert protocol.hash != PROTOCOL.hash
    whole, third = _run(tables), datetime.fromtimestamp(PROTOCOL.start // 1_000_000, UTC).date() + timedelta(days=2)
    rows = [row for row in tables["coverage"].to_pylist() if row["entity_id"] != "E0"]
    short = next(row for row in tables["coverage"].to_pylist() if row["entity_id"] == "E0")
    rows.append(short | {"first_day": third, "last_day": third + timedelta(days=1)})
    coverage = pa.Table.from_pylist(rows, schema=tables["coverage"].schema)
    run = compute(tables | {"coverage": coverage}, MODEL, LATENCY, protocol, DEFINITIONS)
    # Of 201 points 48 are left; the others' scores are what they were.
    points = [Counter(one.tables["scores"]["entity_id"].to_pylist()) for one in (whole, run)]
    assert {name: (points[0][name], points[1][name]) for name in points[0]} == {
        "E0": (201, 48), "E1": (201, 201), "E2": (201, 201)}  # fmt: skip
    rows = run.tables["scores"].to_pylist()
    everything = {(row["entity_id"], row["at"]): row for row in whole.tables["scores"].to_pylist()}
    assert all(everything[row["entity_id"], row["at"]] == row for row in rows)
    days = {row["at"].date() for row in rows if row["entity_id"] == "E0"}
    assert days == {third, third + timedelta(days=1)}
    lost = [one.evaluation["overall"]["all_evidence"]["n_points"] for one in (whole, run)]
    assert lost[0] - lost[1] == 201 - 48 - 5  # the last five points are censored by the horizon either way
    # It starts armed where it is first asked about, not where the grid begins.
    (alert,) = [row for row in run.tables["alerts"].to_pylist() if row["entity_id"] == "E0"]
    (before,) = [row for row in whole.tables["alerts"].to_pylist() if row["entity_id"] == "E0"]
    assert before["alert_at"].date() < third and alert["alert_at"].date() == third
    others = [[row for row in one.tables["alerts"].to_pylist() if row["entity_id"] != "E0"] for one in (run, whole)]
    assert others[0] == others[1]


def test_an_entity_that_is_never_asked_about_changes_nothing(tables: dict[str, pa.Table]) -> None:
    """Covered on one day before the grid, it is no entity of the question; on the last, the grid's end may miss it."""
    document = _protocol("none")
    protocol = EvaluationProtocol.from_dict(document | {"grid": document["grid"] | {"within": "coverage"}})
    day = datetime.fromtimestamp(PROTOCOL.start // 1_000_000, UTC).date()
    rows = [row | {"first_day": day, "last_day": day} for row in tables["coverage"].to_pylist()]
    coverage = pa.Table.from_pylist(rows, schema=tables["coverage"].schema)
    run = compute(tables | {"coverage": coverage}, MODEL, LATENCY, protocol, DEFINITIONS)
    assert {row.date() for row in run.tables["scores"]["at"].to_pylist()} == {day}
    assert run.evaluation["leak_audit"]["equal"]
