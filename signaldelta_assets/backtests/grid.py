"""The score grid of a run: scored block by block, kept as it is stored, and scored again where the input ends early.

A block is some whole entities, about a row group of the stored file. Blocks depend on nothing but their own events, so
they are scored beside one another, and no more than a few are ever in memory as the kernel's float64.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from signaldelta_assets.contracts import ScoreSample
from signaldelta_assets.scoring import ScoringModel, compact_grid
from signaldelta_assets.scoring.layout import FIGURES
from signaldelta_assets.versioning.compiling import threads

from .evaluation import EvaluationProtocol
from .evidence import EngineError, Ints

Floats = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]
Keep = Callable[[pa.Table], object]

EVENT_COLUMNS = ["entity_id", "event_id", "signal_id", "available_time", "strength_norm", "reliability", "direction"]
_ROWS = 262_144
_TIME: pa.DataType = pa.timestamp("us", tz="UTC")


@dataclass(frozen=True, slots=True)
class EntityEvents:
    """Signal events with available_time, put together by entity: a stretch of entities is a stretch of rows.

    `names` are the entities, ascending, with or without events; `places` the place in them of each row, ascending.
    `stretches`: by entity, from when and to before when (microseconds) it is asked about; None: always.
    """

    names: tuple[str, ...]
    table: pa.Table
    places: Ints
    stretches: Ints | None = None

    @classmethod
    def of(cls, events: pa.Table, names: Sequence[str], stretches: Ints | None = None) -> Self:
        """Take the events of the entities `names` (ascending) out of `events`."""
        found = pc.index_in(events["entity_id"], value_set=pa.array(names, pa.string()))
        places = found.fill_null(-1).to_numpy().astype(np.int64)
        order = np.argsort(places, kind="stable")[np.count_nonzero(places < 0) :]
        return cls(tuple(names), events.take(order), places[order], stretches)

    def some(self, names: Sequence[str], stretches: Ints | None = None) -> Self:
        """Keep some of the entities (ascending), with their events; of their stretches what lies in `stretches`."""
        kept = None if self.stretches is None else self.stretches[np.searchsorted(self.names, names)]
        if kept is not None and stretches is not None:
            low, high = np.maximum(kept[:, 0], stretches[:, 0]), np.minimum(kept[:, 1], stretches[:, 1])
            kept = np.column_stack([low, np.maximum(low, high)])
        return self.of(self.table, names, kept)

    def only(self, mask: Mask) -> Self:
        """Keep the events where `mask` is true; the entities stay."""
        return type(self)(self.names, self.table.filter(pa.array(mask)), self.places[mask], self.stretches)

    def between(self, low: int, high: int) -> pa.Table:
        """Return the events of the entities from place `low` to before `high`."""
        start, end = np.searchsorted(self.places, [low, high]).tolist()
        return self.table.slice(start, end - start)


@dataclass(frozen=True, slots=True)
class RunGrid:
    """Every entity at each moment at which it is asked about: entities first, both ascending.

    first, counts: by entity, its first step of the protocol's grid and how many it has; start, step: of that grid, in
    microseconds. scores: the rows as they are stored, figures as float32, entity_id and verdict as dictionaries; a
    chunk per block; empty where only the alert score was asked for. alert_score: a(t) = M * C, by row.
    """

    names: tuple[str, ...]
    first: Ints
    counts: Ints
    start: int
    step: int
    scores: pa.Table
    alert_score: Floats

    @property
    def starts(self) -> Ints:
        """The first row of each entity, and the number of rows."""
        return np.append(0, np.cumsum(self.counts))

    def moments(self) -> Ints:
        """Return the moment of each row, in microseconds."""
        steps = np.arange(self.alert_score.size) + np.repeat(self.first - self.starts[:-1], self.counts)
        return self.start + self.step * steps

    def question(self) -> pa.Table:
        """Return what is evaluated: a(t), which the protocol's method calibrates into a probability."""
        alert_score = pa.array(self.alert_score)
        return pa.Table.from_arrays(
            [
                _repeated(self.names, self.counts),
                pa.array(self.moments()).cast(_TIME),
                alert_score,
                alert_score,
            ],
            names=["entity_id", "at", "alert_score", "probability"],
        )

    def of(self, events: EntityEvents, protocol: EvaluationProtocol) -> RunGrid:
        """Return the grid of `events`, which are `some` of those that this grid is of."""
        first, counts = _steps(events, protocol, None)
        if events.names == self.names and np.array_equal(counts, self.counts):
            return self
        places = np.searchsorted(self.names, events.names)
        low = self.starts[places] + first - self.first[places]
        return replace(
            self,
            names=events.names,
            first=first,
            counts=counts,
            scores=self.scores.slice(0, 0),
            alert_score=self.alert_score[_rows(low, counts)],
        )

    def rows(self, places: Ints) -> Ints:
        """Return the rows of the entities at `places`, entity by entity."""
        return _rows(self.starts[places], self.counts[places])

    def at(self, row: int) -> tuple[str, datetime]:
        """Return entity and moment of a row."""
        place = int(np.searchsorted(self.starts, row, side="right")) - 1
        moment = self.start + self.step * (int(self.first[place]) + row - int(self.starts[place]))
        return self.names[place], datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=moment)

    def check(self, sample: ScoreSample, place: int, at: datetime) -> None:
        """Raise `EngineError` unless the single score is the grid's: one kernel, one answer."""
        moment = (at - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
        row = int(self.starts[place] + (moment - self.start) // self.step - self.first[place])
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


def _rows(low: Ints, counts: Ints) -> Ints:
    """Return the rows of stretches that begin at `low` and have `counts` rows, one after another."""
    found: Ints = np.arange(counts.sum()) + np.repeat(low - (np.cumsum(counts) - counts), counts)
    return found


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
    first, counts = _steps(events, protocol, until)
    scores, alert_scores = [], []
    for block, alert_score in _blocks(events, model, protocol, first, counts):
        keep(block)
        scores.append(block)
        alert_scores.append(alert_score)
    whole = pa.concat_tables(scores)
    return RunGrid(events.names, first, counts, protocol.start, protocol.step, whole, np.concatenate(alert_scores))


def without(events: EntityEvents, left_out: Mask, model: ScoringModel, protocol: EvaluationProtocol,
            grid: RunGrid) -> RunGrid:  # fmt: skip
    """Return `grid` (of all of `events`) as it is without the events of `left_out`; its `scores` are empty.

    Only entities that lose an event are scored again.
    """
    touched = np.unique(events.places[left_out])
    # One that is never asked about has no row to score again.
    touched = touched[grid.counts[touched] > 0]
    if not touched.size:
        return grid
    again = events.only(~left_out).some([events.names[place] for place in touched])
    alert_score = grid.alert_score.copy()
    alert_score[grid.rows(touched)] = make_grid(again, model, protocol).alert_score
    return replace(grid, scores=grid.scores.slice(0, 0), alert_score=alert_score)


def _steps(events: EntityEvents, protocol: EvaluationProtocol, until: datetime | None) -> tuple[Ints, Ints]:
    """Return the first step of the protocol's grid at which each entity is asked about, and the number of its steps."""
    end = protocol.end
    if until is not None:
        end = min(end, (until - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1))
    points = max((end - protocol.start) // protocol.step + 1, 0)
    if events.stretches is None:
        return np.zeros(len(events.names), np.int64), np.full(len(events.names), points, np.int64)
    # The first step at or after each bound.
    steps = np.clip(-((protocol.start - events.stretches) // protocol.step), 0, None)
    first, last = steps[:, 0], np.minimum(steps[:, 1], points)
    return first, np.maximum(last - first, 0)


def bounds_of(counts: Ints) -> list[tuple[int, int]]:
    """Cut the entities into stretches of about a row group."""
    bounds, low, rows = [], 0, 0
    for place, count in enumerate(counts.tolist()):
        if place > low and rows + count > _ROWS:
            bounds.append((low, place))
            low, rows = place, 0
        rows += count
    return [*bounds, (low, len(counts))] if len(counts) else bounds


def _alike(first: Ints, counts: Ints) -> list[tuple[int, int]]:
    """Cut the entities into stretches that are asked about at the same moments, each of a row group at most."""
    bounds = []
    for low, high in bounds_of(counts):
        moved = np.flatnonzero((np.diff(first[low:high]) != 0) | (np.diff(counts[low:high]) != 0)) + 1 + low
        edges = [low, *moved.tolist(), high]
        bounds += [(one, other) for one, other in pairwise(edges) if counts[one]]
    return bounds


def _blocks(
    events: EntityEvents, model: ScoringModel, protocol: EvaluationProtocol, first: Ints, counts: Ints
) -> Iterator[tuple[pa.Table, Floats]]:
    stretches = _alike(first, counts)
    if not stretches:
        # Nobody is asked about: a table without rows has columns all the same.
        block, alert_score = _score(events, model, protocol, (0, 1), 0, 1)
        yield block.slice(0, 0), alert_score[:0]
        return
    with ThreadPoolExecutor(threads()) as pool:
        yield from pool.map(
            lambda bounds: _score(events, model, protocol, bounds, int(first[bounds[0]]), int(counts[bounds[0]])),
            stretches,
        )


def _score(
    events: EntityEvents, model: ScoringModel, protocol: EvaluationProtocol, bounds: tuple[int, int], first: int,
    count: int,
) -> tuple[pa.Table, Floats]:  # fmt: skip
    """Score the entities within `bounds` at `count` steps of the grid, from its `first` on."""
    low, high = bounds
    names = events.names[low:high]
    start, end = (
        datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=protocol.start + protocol.step * step)
        for step in (first, first + count - 1)
    )
    own = events.between(low, high).select(EVENT_COLUMNS)
    step = timedelta(microseconds=protocol.step)
    block, alert_score = compact_grid(own, model, start, end, step, entities=names, threads=1)
    _check(block, names, count)
    return block, alert_score


def _check(block: pa.Table, names: Sequence[str], points: int) -> None:
    entities: Any = block["entity_id"].chunk(0)
    if block.num_rows != len(names) * points or entities.dictionary.to_pylist() != list(names):
        raise EngineError(f"grid: expected {points} points of each of {len(names)} entities in order, found others")


def _repeated(names: Sequence[str], counts: Ints) -> Any:
    """Each name as often as it has rows, as a dictionary."""
    places: Any = pa.array(np.repeat(np.arange(len(names), dtype=np.int32), counts))
    return pa.DictionaryArray.from_arrays(places, pa.array(names, pa.string()))
