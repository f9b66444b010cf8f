"""The two tables an evaluation reads, checked and laid out as sorted arrays.

Whatever order, container (pandas or Arrow) or timestamp unit they come in, what leaves here is the same.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from signaldelta_assets.errors import RecordError
from signaldelta_assets.versioning.compiling import jit

from .protocol import EvaluationProtocol

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Table = pa.Table | pd.DataFrame

_ERROR = "time_error_seconds"
TIMESTAMP = pa.timestamp("us", tz="UTC")


class EvaluationInputError(RecordError):
    """A grid or event row that cannot be evaluated: which one, which field, what was expected."""


@dataclass(frozen=True)
class Panel:
    """Grid and events of every entity, in the order (entity_id, time).

    `names`: the entities of either table, sorted; an entity is its place in it. Rows of entity i are
    ``grid_starts[i]:grid_starts[i + 1]`` of `at` (microseconds), `score`, `probability`, and
    ``event_starts[i]:event_starts[i + 1]`` of `event_at` and `event_type` (place in protocol.event_types). Only
    target events up to the grid's end are here; `left_out` counts what is not, by reason. `event_error`: how far
    the event's time may be off, in microseconds, 0 where the table has no `time_error_seconds`.
    """

    names: npt.NDArray[np.object_]
    grid_starts: Ints
    at: Ints
    score: Floats
    probability: Floats
    event_starts: Ints
    event_at: Ints
    event_type: Ints
    event_error: Ints
    left_out: dict[str, int]

    @cached_property
    def grid_entity(self) -> Ints:
        """The entity of each grid row."""
        return np.repeat(np.arange(len(self.names)), np.diff(self.grid_starts))

    @cached_property
    def event_entity(self) -> Ints:
        """The entity of each event."""
        return np.repeat(np.arange(len(self.names)), np.diff(self.event_starts))


@dataclass(frozen=True, slots=True)
class _Coded:
    codes: Ints
    labels: list[str]


def read_panel(grid: Table, events: Table, protocol: EvaluationProtocol) -> Panel:
    """Return both tables as a Panel; rows outside the protocol's grid, or of other types, are counted, not kept.

    Raises EvaluationInputError for a missing column, a null, a stamp without zone, a score that is not finite, a
    probability outside [0, 1], a point off the grid's steps, or a point given twice.
    """
    left_out: dict[str, int] = {}
    grid_id, at, score, probability = _read_grid(grid, protocol, left_out)
    event_id, event_at, event_type, event_error = _read_events(events, protocol, left_out)

    both = {*grid_id.labels, *event_id.labels}
    names = np.array(sorted(both), dtype=object)
    place, event_place = _places(grid_id, names), _places(event_id, names)

    order = _order(place, at)
    if order is not None:
        place, at, score, probability = place[order], at[order], score[order], probability[order]
    row = _first_at_most(place, at, 0)
    if row >= 0:
        raise EvaluationInputError(f"grid {names[place[row]]}", "at", "each grid point once", _stamp(at[row]))
    order = np.lexsort((event_type, event_at, event_place))
    everyone = np.arange(len(names) + 1)
    return Panel(
        names=names,
        grid_starts=np.searchsorted(place, everyone),
        at=at,
        score=score,
        probability=probability,
        event_starts=np.searchsorted(event_place[order], everyone),
        event_at=event_at[order],
        event_type=event_type[order],
        event_error=event_error[order],
        left_out=left_out,
    )


def _read_grid(
    grid: Table, protocol: EvaluationProtocol, left_out: dict[str, int]
) -> tuple[_Coded, Ints, Floats, Floats]:
    table = _arrow("grid", grid, ["entity_id", "at", "alert_score", "probability"])
    at = _moments("grid", table, "at")
    inside = (at >= protocol.start) & (at <= protocol.end)
    left_out["grid points outside the protocol's grid"] = int((~inside).sum())
    if not inside.all():
        table, at = table.filter(pa.array(inside)), at[inside]
    off = (at - protocol.start) % protocol.step != 0
    if off.any():
        raise _bad("grid", table, "at", f"a step of {protocol.step // 1_000_000} s from grid.start", off)
    score = _floats("grid", table, "alert_score")
    probability = _floats("grid", table, "probability")
    outside = (probability < 0.0) | (probability > 1.0)
    if outside.any():
        raise _bad("grid", table, "probability", "a number in [0, 1]", outside)
    return _identifiers("grid", table, "entity_id"), at, score, probability


def _read_events(
    events: Table, protocol: EvaluationProtocol, left_out: dict[str, int]
) -> tuple[_Coded, Ints, Ints, Ints]:
    columns = ["entity_id", "event_type", "event_time"] + (["subtype"] if protocol.targets else [])
    if _ERROR in (events.column_names if isinstance(events, pa.Table) else events.columns):
        columns.append(_ERROR)
    table = _arrow("events", events, columns)
    kinds = _identifiers("events", table, "event_type")
    at = _moments("events", table, "event_time")
    of = {name: place for place, name in enumerate(protocol.event_types)}
    kind = np.array([of.get(name, -1) for name in kinds.labels], dtype=np.int64)[kinds.codes]
    target = kind >= 0
    left_out["events of other types"] = int((~target).sum())
    if protocol.targets:
        wanted = _wanted_subtypes(table, kind, protocol)
        left_out["events of other subtypes"] = int((target & ~wanted).sum())
        target &= wanted
    late = target & (at > protocol.end)
    left_out["events after the grid's end"] = int(late.sum())
    keep = target & ~late
    return _identifiers("events", table.filter(pa.array(keep)), "entity_id"), at[keep], kind[keep], _errors(table)[keep]


def _errors(table: pa.Table) -> Ints:
    """How far each event's time may be off, in microseconds."""
    if _ERROR not in table.column_names:
        return np.zeros(len(table), dtype=np.int64)
    seconds = _floats("events", table, _ERROR)
    if (seconds < 0.0).any():
        raise _bad("events", table, _ERROR, "0 or more seconds", seconds < 0.0)
    return np.ceil(seconds * 1_000_000).astype(np.int64)


def _wanted_subtypes(table: pa.Table, kind: Ints, protocol: EvaluationProtocol) -> npt.NDArray[np.bool_]:
    subtype = np.asarray(table.column("subtype").to_pylist(), dtype=object)
    wanted = np.ones(len(table), dtype=np.bool_)
    for name, subtypes in protocol.targets.items():
        of_type = kind == protocol.event_types.index(name)
        wanted[of_type] = [value in subtypes for value in subtype[of_type]]
    return wanted


def _arrow(name: str, table: Table, columns: Iterable[str]) -> pa.Table:
    for column in columns:
        present = table.column_names if isinstance(table, pa.Table) else list(table.columns)
        if column not in present:
            raise EvaluationInputError(name, column, "a column of this name", present)
    if isinstance(table, pa.Table):
        return table.select(list(columns))
    return pa.Table.from_pandas(table[list(columns)], preserve_index=False)


def _column(name: str, table: pa.Table, column: str) -> pa.ChunkedArray[Any]:
    values = table.column(column)
    if values.null_count:
        raise _bad(name, table, column, "a value", values.is_null().to_numpy())
    return values


def _identifiers(name: str, table: pa.Table, column: str) -> _Coded:
    """The column as codes into the strings that occur in it."""
    values = _column(name, table, column)
    if pa.types.is_dictionary(values.type):
        values = values.cast(values.type.value_type)
    if pa.types.is_null(values.type) or len(values) == 0:
        values = pa.chunked_array([], type=pa.string())
    if not (pa.types.is_string(values.type) or pa.types.is_large_string(values.type)):
        raise EvaluationInputError(name, column, "a column of strings", values.type)
    # By runs: tables mostly come sorted by entity, and then only the first of a run has to be looked up.
    runs: Any = pc.run_end_encode(values.cast(pa.string()).combine_chunks())  # type: ignore[attr-defined]
    encoded = runs.values.dictionary_encode()
    lengths = np.diff(runs.run_ends.to_numpy(), prepend=0)
    return _Coded(np.repeat(encoded.indices.to_numpy().astype(np.int64), lengths), encoded.dictionary.to_pylist())


def _moments(name: str, table: pa.Table, column: str) -> Ints:
    """The column as microseconds since the epoch. Whole numbers are seconds, as in the protocol document."""
    values = _column(name, table, column)
    if len(values) == 0:
        return np.zeros(0, dtype=np.int64)
    if pa.types.is_integer(values.type):
        return values.to_numpy().astype(np.int64) * 1_000_000
    if not pa.types.is_timestamp(values.type) or values.type.tz is None:
        raise EvaluationInputError(name, column, "timestamps with a time zone", values.type)
    # A copy of its own: compiled functions tell writable arrays from Arrow's read-only ones.
    moments: Ints = np.array(values.cast(TIMESTAMP).cast(pa.int64()).to_numpy())
    return moments


def _floats(name: str, table: pa.Table, column: str) -> Floats:
    values = _column(name, table, column)
    if len(values) == 0:
        return np.zeros(0)
    if not (pa.types.is_floating(values.type) or pa.types.is_integer(values.type)):
        raise EvaluationInputError(name, column, "a column of numbers", values.type)
    numbers: Floats = values.to_numpy().astype(np.float64)
    if not np.isfinite(numbers).all():
        raise _bad(name, table, column, "a finite number", ~np.isfinite(numbers))
    return numbers


def _places(values: _Coded, names: npt.NDArray[np.object_]) -> Ints:
    of = {name: place for place, name in enumerate(names)}
    place = np.array([of[label] for label in values.labels], dtype=np.int64)
    # Mostly the labels come in order, and the codes are the places.
    return values.codes if (place == np.arange(len(place))).all() else place[values.codes]


@jit
def _first_at_most(place: Ints, at: Ints, step: int) -> int:
    """Return the first row whose next one is of an entity before, or of its own at most `step` later; -1: none."""
    for row in range(len(place) - 1):
        if place[row + 1] < place[row] or (place[row + 1] == place[row] and at[row + 1] - at[row] <= step):
            return row
    return -1


def _order(place: Ints, at: Ints) -> Ints | None:
    """The order (entity, time); None in the usual case, already sorted."""
    return None if _first_at_most(place, at, -1) < 0 else np.lexsort((at, place))


def _stamp(microseconds: int) -> str:
    return str(pd.Timestamp(int(microseconds), unit="us", tz="UTC"))


def _bad(name: str, table: pa.Table, column: str, expected: str, rows: Any) -> EvaluationInputError:
    row = int(np.argmax(rows))
    entity: Any = table.column("entity_id")[row].as_py()
    return EvaluationInputError(f"{name} row {row} ({entity})", column, expected, table.column(column)[row].as_py())
