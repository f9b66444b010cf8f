"""The score grid of a run: scored block by block, kept as it is stored, and scored again where the input ends early.

A block is some whole entities, about a row group of the stored file. Blocks depend on nothing but their own events, so
they are scored beside one another, and no more than a few are ever in memory as the kernel's float64.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from signaldelta_assets.contracts import ScoreSample
from signaldelta_assets.scoring import ScoringModel, compact_grid
from signaldelta_assets.scoring.layout import FIGURES
from signaldelta_assets.versioning import content_hash
from signaldelta_assets.versioning.compiling import threads

from .evaluation import EvaluationProtocol, alerts_from_grid, audit_moments, first_difference
from .evidence import EngineError

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]
Keep = Callable[[pa.Table], object]

AUDIT_MOMENTS = 3
EVENT_COLUMNS = ["entity_id", "event_id", "signal_id", "available_time", "strength_norm", "reliability", "direction"]
_ROWS = 262_144
_TIME: pa.DataType = pa.timestamp("us", tz="UTC")


@dataclass(frozen=True, slots=True)
class EntityEvents:
    """Signal events with available_time, put together by entity: a stretch of entities is a stretch of rows.

    `names` are the entities, ascending, with or without events; `places` the place in them of each row, ascending.
    """

    names: tuple[str, ...]
    table: pa.Table
    places: Ints

    @classmethod
    def of(cls, events: pa.Table, names: Sequence[str]) -> Self:
        """Take the events of the entities `names` (ascending) out of `events`."""
        found = pc.index_in(events["entity_id"], value_set=pa.array(names, pa.string()))
        places = found.fill_null(-1).to_numpy().astype(np.int64)
        order = np.argsort(places, kind="stable")[np.count_nonzero(places < 0) :]
        return cls(tuple(names), events.take(order), places[order])

    def only(self, mask: Mask) -> Self:
        """Keep the events where `mask` is true; the entities stay."""
        return type(self)(self.names, self.table.filter(pa.array(mask)), self.places[mask])

    def between(self, low: int, high: int) -> pa.Table:
        """Return the events of the entities from place `low` to before `high`."""
        start, end = np.searchsorted(self.places, [low, high]).tolist()
        return self.table.slice(start, end - start)


@dataclass(frozen=True, slots=True)
class RunGrid:
    """Every entity at every moment: both ascending, entities first.

    moments: microseconds. scores: the rows as they are stored, figures as float32, entity_id and verdict as
    dictionaries; a chunk per block; None where only the alert score was asked for. alert_score: a(t) = M * C, by row.
    """

    names: tuple[str, ...]
    moments: Ints
    scores: pa.Table
    alert_score: Floats

    def question(self) -> pa.Table:
        """Return what is evaluated: a(t), which the protocol's method calibrates into a probability."""
        alert_score = pa.array(self.alert_score)
        return pa.Table.from_arrays(
            [
                _repeated(self.names, self.moments.size),
                pa.array(np.tile(self.moments, len(self.names))).cast(_TIME),
                alert_score,
                alert_score,
            ],
            names=["entity_id", "at", "alert_score", "probability"],
        )

    def of(self, names: Sequence[str]) -> RunGrid:
        """Return the grid of some of its entities."""
        if tuple(names) == self.names:
            return self
        rows = self.alert_score.reshape(len(self.names), -1)[np.searchsorted(self.names, names)]
        return RunGrid(tuple(names), self.moments, self.scores.slice(0, 0), rows.reshape(-1))

    def check(self, sample: ScoreSample, place: int, step: int) -> None:
        """Raise `EngineError` unless the single score is the grid's: one kernel, one answer."""
        row = place * self.moments.size + step
        found = self.scores.slice(row, 1).to_pylist()[0]
        expected = as_stored(sample) | {"alert_score": sample.magnitude * sample.confidence}
        found["alert_score"] = self.alert_score[row]
        for name, value in expected.items():
            if found[name] != value:
                raise EngineError(
                    f"score of {found['entity_id']} at {found['at'].isoformat()}: field {name!r}: expected {value!r} "
                    f"as by the single score, found {found[name]!r} in the grid"
                )


def as_stored(sample: ScoreSample) -> dict[str, Any]:
    """Return the row of a stored grid that `sample` is, without entity_id and at: figures rounded to float32."""
    figures = {name: getattr(sample, name) for name in FIGURES}
    figures |= {f"p_{name}": value for name, value in sample.chain_probabilities.items()}
    rounded = {name: float(np.float32(value)) for name, value in figures.items()}
    return {**rounded, "n_events": sample.n_events, "verdict": sample.verdict}


def _nothing(block: pa.Table) -> None:
    return None


def make_grid(
    events: EntityEvents,
    model: ScoringModel,
    protocol: EvaluationProtocol,
    *,
    until: datetime | None = None,
    keep: Keep = _nothing,
) -> RunGrid:
    """Score the entities of `events` at the protocol's grid points, or at those up to `until` (inclusive).

    `keep` is given each block as it is stored, in order, while the next ones are scored. The same bits for any number
    of threads.
    """
    moments = _moments(protocol, until)
    scores, alert_scores = [], []
    for block, alert_score in _blocks(events, model, protocol, moments):
        keep(block)
        scores.append(block)
        alert_scores.append(alert_score)
    return RunGrid(events.names, moments, pa.concat_tables(scores), np.concatenate(alert_scores))


def without(events: EntityEvents, left_out: Mask, model: ScoringModel, protocol: EvaluationProtocol,
            grid: RunGrid) -> RunGrid:  # fmt: skip
    """Return `grid` (of all of `events`) as it is without the events of `left_out`; its `scores` are empty.

    Only entities that lose an event are scored again.
    """
    touched = np.unique(events.places[left_out])
    if not touched.size:
        return grid
    again = EntityEvents.of(events.only(~left_out).table, [events.names[place] for place in touched])
    alert_score = grid.alert_score.copy().reshape(len(grid.names), -1)
    alert_score[touched] = make_grid(again, model, protocol).alert_score.reshape(len(touched), -1)
    return RunGrid(grid.names, grid.moments, grid.scores.slice(0, 0), alert_score.reshape(-1))


def leak_audit(
    events: EntityEvents,
    model: ScoringModel,
    protocol: EvaluationProtocol,
    grid: RunGrid,
    alerts: pa.Table,
    moments: int = AUDIT_MOMENTS,
) -> dict[str, Any]:
    """Cut the input at random moments (from the protocol's seed), score again, compare the bytes up to each moment.

    `grid` and `alerts` are those of the whole input. Raises `EngineError` at the first moment where anything differs:
    such a run has seen the future and may not exist.
    """
    report = []
    for cut in audit_moments(protocol, moments):
        known = events.only(pc.less_equal(events.table["available_time"], pa.scalar(cut, _TIME)).to_numpy())
        again = make_grid(known, model, protocol, until=cut)
        found = _first_change(grid, again, cut)
        if found is not None:
            raise EngineError(f"leak audit: scores before {cut.isoformat()} change when the input ends there: {found}")
        fired = alerts_from_grid(again.question(), protocol)
        found = first_difference(alerts, fired, cut)
        if found is not None:
            raise EngineError(f"leak audit: alerts before {cut.isoformat()} change when the input ends there: {found}")
        report.append(
            {"at": cut.isoformat(), "events": known.table.num_rows, "points": again.scores.num_rows,
             "content_hash": content_hash(again.scores)}
        )  # fmt: skip
    return {"seed": protocol.seed, "equal": True, "moments": report}


def _first_change(grid: RunGrid, again: RunGrid, cut: datetime) -> Mapping[str, Any] | None:
    """The first stored figure up to `cut` that differs, or alert score: compared by their bits, block by block."""
    points, fewer = grid.moments.size, again.moments.size
    whole, part = (one.alert_score.view(np.int64).reshape(-1, one.moments.size)[:, :fewer] for one in (grid, again))
    same = np.array_equal(whole, part)
    for low, high in _bounds(len(grid.names), points):
        if not same:
            break
        one = grid.scores.slice(low * points, (high - low) * points)
        other = again.scores.slice(low * fewer, (high - low) * fewer)
        same = all(
            np.array_equal(_bits(one[name]).reshape(-1, points)[:, :fewer], _bits(other[name]).reshape(-1, fewer))
            for name in one.column_names
        )
    if same:
        return None
    return first_difference(grid.scores, again.scores, cut) or first_difference(grid.question(), again.question(), cut)


def _bits(column: Any) -> npt.NDArray[Any]:
    values = column.unify_dictionaries().combine_chunks() if pa.types.is_dictionary(column.type) else column
    values = values.indices if isinstance(values, pa.DictionaryArray) else values
    if pa.types.is_timestamp(values.type):
        values = values.cast(pa.int64())
    bits: npt.NDArray[Any] = values.to_numpy()
    return bits.view(f"u{bits.dtype.itemsize}")


def _moments(protocol: EvaluationProtocol, until: datetime | None) -> Ints:
    end = protocol.end
    if until is not None:
        end = min(end, (until - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1))
    return np.arange(protocol.start, end + 1, protocol.step, dtype=np.int64)


def _bounds(entities: int, points: int) -> list[tuple[int, int]]:
    each = max(1, _ROWS // points)
    return [(low, min(low + each, entities)) for low in range(0, entities, each)]


def _blocks(
    events: EntityEvents, model: ScoringModel, protocol: EvaluationProtocol, moments: Ints
) -> Iterator[tuple[pa.Table, Floats]]:
    start, end = (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=int(at)) for at in moments[[0, -1]])
    step = timedelta(microseconds=protocol.step)

    def score_block(bounds: tuple[int, int]) -> tuple[pa.Table, Floats]:
        low, high = bounds
        names = events.names[low:high]
        own = events.between(low, high).select(EVENT_COLUMNS)
        block, alert_score = compact_grid(own, model, start, end, step, entities=names, threads=1)
        _check(block, names, moments.size)
        return block, alert_score

    with ThreadPoolExecutor(threads()) as pool:
        yield from pool.map(score_block, _bounds(len(events.names), moments.size))


def _check(block: pa.Table, names: Sequence[str], points: int) -> None:
    entities: Any = block["entity_id"].chunk(0)
    if block.num_rows != len(names) * points or entities.dictionary.to_pylist() != list(names):
        raise EngineError(f"grid: expected {points} points of each of {len(names)} entities in order, found others")


def _repeated(names: Sequence[str], points: int) -> Any:
    """Each name `points` times, as a dictionary."""
    places: Any = pa.array(np.repeat(np.arange(len(names), dtype=np.int32), points))
    return pa.DictionaryArray.from_arrays(places, pa.array(names, pa.string()))
