"""A grid within the coverage alone: the dense grid's rows inside the stretches, for runs, types and ablations alike."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from signaldelta_assets.backtests import ablation
from signaldelta_assets.backtests.audit import leak_audit
from signaldelta_assets.backtests.child import ScoreFile
from signaldelta_assets.backtests.engine import compute, only
from signaldelta_assets.backtests.evaluation import EvaluationProtocol, alerts_from_grid, evaluate
from signaldelta_assets.backtests.evidence import available_events, covered_stretches
from signaldelta_assets.backtests.grid import EntityEvents, make_grid, without
from signaldelta_assets.backtests.warmup import _MODEL, _protocol, _tables
from signaldelta_assets.scoring import ScoringModel
from signaldelta_assets.timeline import LatencyModel

MODEL = ScoringModel.from_dict(_MODEL)
_DOCUMENT = _protocol("none")
PROTOCOL = EvaluationProtocol.from_dict(_DOCUMENT | {"grid": _DOCUMENT["grid"] | {"within": "coverage"}})
LATENCY = LatencyModel.from_dict(
    {"schema": "signaldelta.latency_model/1", "default": {"rule": "lag", "lag_seconds": 60, "processing_seconds": 0}}
)
# Two types that two sources show.
DEFINITIONS: dict[str, Any] = {
    "labels": {"X": {"family_left_out": "F2", "source_types": ["filing"]}, "Y": {"source_types": ["bar"]}}
}
FIRST = datetime.fromtimestamp(PROTOCOL.start // 1_000_000, UTC).date()
NAMES = ["E0", "E1", "E2"]
_TABLES = _tables()
_EVENTS = available_events(_TABLES["signal_events"], _TABLES["signal_frontier"], LATENCY)
_DENSE = make_grid(EntityEvents.of(_EVENTS, NAMES), MODEL, PROTOCOL)
_SPAN = (PROTOCOL.end - PROTOCOL.start) // 1_000_000


def _covered(days: dict[tuple[str, str], tuple[int, int]]) -> dict[str, pa.Table]:
    """The made-up tables, covered from and to these days (counted from the grid's first) by entity and source."""
    schema = _TABLES["coverage"].schema
    rows = [
        {"entity_id": entity, "source_type": source, "records": 1,
         "first_day": FIRST + timedelta(days=low), "last_day": FIRST + timedelta(days=high)}
        for (entity, source), (low, high) in days.items()
    ]  # fmt: skip
    return _TABLES | {"coverage": pa.Table.from_pylist(rows, schema=schema)}


@pytest.fixture(scope="module")
def uneven() -> dict[str, pa.Table]:
    """Each source covers each entity on other days."""
    days = {("E0", "filing"): (0, 5), ("E0", "bar"): (2, 8), ("E1", "filing"): (0, 8), ("E1", "bar"): (0, 8)}
    return _covered({**days, ("E2", "filing"): (3, 4), ("E2", "bar"): (1, 3)})


bounds = st.integers(-2 * 86_400, _SPAN + 2 * 86_400)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(bounds, bounds), min_size=3, max_size=3), st.integers(0, 2**24 - 1))
def test_a_ragged_grid_is_the_dense_one_inside_the_stretches(spans: list[tuple[int, int]], dropped: int) -> None:
    stretches = np.array([sorted(span) for span in spans], dtype=np.int64) * 1_000_000 + PROTOCOL.start
    events = EntityEvents.of(_EVENTS, NAMES, stretches)
    grid = make_grid(events, MODEL, PROTOCOL)
    at, place = _DENSE.moments(), np.repeat(np.arange(3), _DENSE.counts)
    inside = (stretches[place, 0] <= at) & (at < stretches[place, 1])
    assert grid.moments().tobytes() == at[inside].tobytes()
    assert grid.alert_score.tobytes() == _DENSE.alert_score[inside].tobytes()
    assert grid.scores.to_pylist() == _DENSE.scores.filter(pa.array(inside)).to_pylist()
    assert grid.question().to_pylist() == _DENSE.question().filter(pa.array(inside)).to_pylist()
    assert [grid.at(row) for row in range(0, len(at[inside]), 37)] == [
        (NAMES[place[row]], datetime.fromtimestamp(at[row] // 1_000_000, UTC)) for row in np.flatnonzero(inside)[::37]
    ]
    assert leak_audit(events, MODEL, PROTOCOL, grid, alerts_from_grid(grid.question(), PROTOCOL))["equal"]
    left_out = np.array([bool(dropped >> row & 1) for row in range(events.table.num_rows)])
    rest = make_grid(EntityEvents.of(_EVENTS, NAMES).only(~left_out), MODEL, PROTOCOL)
    found = without(events, left_out, MODEL, PROTOCOL, grid)
    assert found.alert_score.tobytes() == rest.alert_score[inside].tobytes()
    some = events.some(NAMES[1:], stretches[1:] + np.array([3_600_000_000, -7_200_000_000]))
    part, again = grid.of(some, PROTOCOL), make_grid(some, MODEL, PROTOCOL)
    assert part.question().to_pylist() == again.question().to_pylist()


def test_a_type_is_asked_about_where_its_own_sources_cover(uneven: dict[str, pa.Table]) -> None:
    """What a source of another type covers makes no negative of this one: the figures are those of its own run."""
    run = compute(uneven, MODEL, LATENCY, PROTOCOL, DEFINITIONS)
    for name in PROTOCOL.event_types:
        own = compute(uneven, MODEL, LATENCY, only(PROTOCOL, name), DEFINITIONS).evaluation
        found = run.evaluation["by_event_type"][name]
        assert found["entities"] == own["entities"]
        for evidence in ("all_evidence", "without_circular_evidence"):
            assert found[evidence]["n_points"] == own["overall"][evidence]["n_points"] > 0
            assert found[evidence] == own["overall"][evidence], (name, evidence)


def test_an_ablation_asks_what_its_runs_ask(uneven: dict[str, pa.Table]) -> None:
    run = compute(uneven, MODEL, LATENCY, PROTOCOL, DEFINITIONS).evaluation["overall"]
    study = ablation.prepare(uneven, LATENCY, PROTOCOL, DEFINITIONS)
    for evidence, found in ablation.evaluations(study, MODEL).items():
        own = run[evidence]
        assert (found.n_points, found.auc, found.recall) == (own["n_points"], own["auc"], own["recall"]), evidence


def test_coverage_outside_the_grid_is_no_coverage_of_it() -> None:
    """Rows before and after the grid neither widen a stretch nor take the grid from one that was seen all the same."""
    days = {("E0", "filing"): (-30, -20), ("E1", "filing"): (-30, -20), ("E1", "bar"): (4, 5), ("E2", "bar"): (1, 2)}
    coverage = _covered(days)["coverage"]
    found = covered_stretches(coverage, NAMES, ["X", "Y"], PROTOCOL, DEFINITIONS)
    day = 86_400_000_000
    midnight = PROTOCOL.start // day * day
    assert found.tolist() == [
        [PROTOCOL.start, PROTOCOL.end + 1],
        [midnight + 4 * day, midnight + 6 * day],
        [midnight + day, midnight + 3 * day],
    ]


def test_a_run_that_asks_about_nobody_writes_its_file(tmp_path: Path) -> None:
    """A grid coarser than the stretches has no point in any of them: a file without rows, and no figure."""
    events = EntityEvents.of(_EVENTS, NAMES, np.full((3, 2), PROTOCOL.start + 1, dtype=np.int64))
    with ScoreFile(tmp_path / "scores.parquet") as file:
        grid = make_grid(events, MODEL, PROTOCOL, keep=file.write)
    assert pq.read_table(tmp_path / "scores.parquet").num_rows == grid.scores.num_rows == 0
    assert evaluate(grid.question(), _TABLES["labeled_events"], PROTOCOL).n_points == 0


def test_alerts_and_nulls_of_a_ragged_grid_stay_in_the_stretches(uneven: dict[str, pa.Table]) -> None:
    """The ragged question is the dense one's rows: so are its figures, and only the stretches can hold an alert."""
    study = ablation.prepare(uneven, LATENCY, PROTOCOL, DEFINITIONS)
    assert study.events.stretches is not None
    ragged = make_grid(study.events, MODEL, PROTOCOL).question()
    at, places = ragged["at"].cast(pa.int64()).to_numpy(), pc.index_in(ragged["entity_id"], pa.array(NAMES)).to_numpy()
    low, high = study.events.stretches[places].T
    assert ((low <= at) & (at < high)).all() and 0 < len(at) < len(_DENSE.alert_score)
    # The order in which the rows come changes nothing.
    shuffled = ragged.take(np.random.Generator(np.random.PCG64(2)).permutation(len(at)))
    one, other = (evaluate(table, study.labels, PROTOCOL).to_document() for table in (ragged, shuffled))
    assert one == other and one["n_alerts"] > 0
