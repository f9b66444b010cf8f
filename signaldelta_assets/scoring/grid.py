"""Grids: the kernel over many entities and moments, whole, streamed, scored again, and without each family."""

from __future__ import annotations

import bisect
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from ..versioning import compiling
from . import kernel
from .errors import ScoringInputError
from .events import Evidence, gather
from .layout import EXPLAINED, FIGURES, Floats, Integers, Singles
from .model import UNKNOWN, ScoringModel
from .moments import Moment, Moments, Step, irregular_grid, regular_grid

VERDICTS = ("STRONG_SELL", "SELL", "HOLD", "BUY", "STRONG_BUY")
_TIME = pa.timestamp("us", "UTC")


def score_grid(
    events: pa.Table | pd.DataFrame,
    model: ScoringModel,
    start: Moment | None = None,
    end: Moment | None = None,
    step: Step | None = None,
    *,
    at: Moments | None = None,
    entities: Sequence[str] = (),
    ignore_unknown_signals: bool = False,
    threads: int | None = None,
) -> pa.Table:
    """Score every entity of `events` and `entities` at start, start + step, ..., end inclusive, or at the moments `at`.

    Returns one row per entity and moment, sorted by both: entity_id (string), at (timestamp[us, UTC]), the figures of
    `ScoreSample` by name (float64), n_events (int64), verdict (dictionary of strings), `p_<chain type>` and `p_UNKNOWN`
    (float64). An entity without events has no evidence: M = 0, p_UNKNOWN = 1. Memory: about 200 bytes a row.

    `threads` defaults to numba's own setting (NUMBA_NUM_THREADS) and changes no bit. Raises `ScoringInputError`.
    """
    moments = _moments(start, end, step, at)
    evidence = gather(events, model, _names(entities), ignore_unknown_signals=ignore_unknown_signals)
    return _scored(evidence, model, moments, threads)


def compact_grid(
    events: pa.Table | pd.DataFrame,
    model: ScoringModel,
    start: Moment,
    end: Moment,
    step: Step,
    *,
    entities: Sequence[str] = (),
    threads: int | None = None,
) -> tuple[pa.Table, Floats]:
    """Return `score_grid` in half its memory, as a backtest stores it, and the alert score a(t) = M * C by row.

    Figures are rounded to float32 as they leave the kernel, entity_id is a dictionary of the entities in their order,
    and the alert score is that of the figures before rounding. Raises `ScoringInputError`.
    """
    moments = regular_grid(start, end, step)
    evidence = gather(events, model, _names(entities))
    result = run(evidence, model, moments, threads, single=True)
    places: Any = pa.array(np.repeat(np.arange(len(evidence.entities), dtype=np.int32), moments.size))
    keys = {"entity_id": pa.DictionaryArray.from_arrays(places, evidence.entities), "at": _at(evidence, moments)}
    columns = keys | _columns(result, model)
    schema = pa.schema([pa.field(name, column.type, nullable=False) for name, column in columns.items()])
    return pa.table(columns, schema), result.alert_score


def stream_grid(
    batches: Iterable[pa.Table | pd.DataFrame],
    model: ScoringModel,
    start: Moment | None = None,
    end: Moment | None = None,
    step: Step | None = None,
    *,
    at: Moments | None = None,
    ignore_unknown_signals: bool = False,
    threads: int | None = None,
) -> Iterator[pa.Table]:
    """Yield `score_grid` of each batch of events: joined, the grid of all of them, in the memory of the largest.

    A batch holds all events of its entities, and batches ascend by entity. Raises `ScoringInputError` for one that
    does not, since its entities would be scored on a part of their evidence.
    """
    last = ""
    for batch in batches:
        grid = score_grid(
            batch, model, start, end, step, at=at, ignore_unknown_signals=ignore_unknown_signals, threads=threads
        )
        if not grid.num_rows:
            continue
        first: str = grid["entity_id"][0].as_py()
        # By bytes, as Arrow sorts.
        if last and first.encode() <= last.encode():
            raise ScoringInputError("batches", "entity_id", f"entities after {last!r}", first)
        last = grid["entity_id"][-1].as_py()
        yield grid


def score_again(
    grid: pa.Table, events: pa.Table | pd.DataFrame, model: ScoringModel, *, ignore_unknown_signals: bool = False
) -> pa.Table:
    """Return `grid`, made by `score_grid` with this model, with the rows of one entity scored anew.

    `events` holds all events of that entity, the late one among them; everyone else's rows stay where they are in
    memory. The result has the bits of the whole grid scored again. Raises `ScoringInputError` for events of no or of
    several entities, or of one that the grid does not have, and for a grid of other columns.
    """
    evidence = gather(events, model, ignore_unknown_signals=ignore_unknown_signals)
    if len(evidence.entities) != 1:
        raise ScoringInputError("events", "entity_id", "one entity", evidence.entities.to_pylist()[:5])
    name = str(evidence.entities[0])
    rows = _Rows(grid["entity_id"])
    first, after = bisect.bisect_left(rows, name.encode()), bisect.bisect_right(rows, name.encode())
    if first == after:
        raise ScoringInputError("events", "entity_id", "an entity of the grid", name)
    new = _scored(evidence, model, irregular_grid(grid["at"].slice(first, after - first)), threads=1)
    if new.schema != grid.schema:
        raise ScoringInputError("grid", "columns", f"those of model {model.hash[:12]}", ", ".join(grid.column_names))
    return pa.concat_tables([grid.slice(0, first), new, grid.slice(after)])


def family_counterfactuals(
    events: pa.Table | pd.DataFrame,
    model: ScoringModel,
    start: Moment | None = None,
    end: Moment | None = None,
    step: Step | None = None,
    *,
    at: Moments | None = None,
    entities: Sequence[str] = (),
    ignore_unknown_signals: bool = False,
    threads: int | None = None,
) -> pa.Table:
    """Return what each family adds to M, L and C at every point of the grid (section 15): all of it less the same
    recomputed without that family.

    Rows and arguments as in `score_grid`; columns entity_id, at, and `magnitude_<family>`, `lean_<family>`,
    `confidence_<family>` (float64), 0 where a family has no evidence. The bits are those of `score(...).family_deltas`.
    """
    moments = _moments(start, end, step, at)
    evidence = gather(events, model, _names(entities), ignore_unknown_signals=ignore_unknown_signals)
    result = run(evidence, model, moments, threads, counterfactuals=True)
    return pa.table(
        _keys(evidence, moments)
        | {
            f"{figure}_{family}": pa.array(column)
            for family, columns in zip(model.families, result.deltas, strict=True)
            for figure, column in zip(EXPLAINED, columns, strict=True)
        }
    )


def _scored(evidence: Evidence, model: ScoringModel, moments: Integers, threads: int | None) -> pa.Table:
    return pa.table(_keys(evidence, moments) | _columns(run(evidence, model, moments, threads), model))


@dataclass(frozen=True, slots=True)
class Result:
    """What the kernel says, row by row of the grid.

    figures (9, rows) and chains (C + 1, rows), as float32 where that was asked for; alert_score (rows,) then, (0,)
    otherwise; counts and verdicts (rows,); deltas (F or 0, 3, rows).
    """

    figures: Floats | Singles
    chains: Floats | Singles
    alert_score: Floats
    counts: Integers
    verdicts: np.ndarray[Any, np.dtype[np.int8]]
    deltas: Floats


def run(
    evidence: Evidence,
    model: ScoringModel,
    moments: Integers,
    threads: int | None,
    *,
    counterfactuals: bool = False,
    single: bool = False,
) -> Result:
    """Run the kernel over all entities and moments; `single`: figures as float32, and the alert score besides."""
    if threads is not None and threads < 1:
        raise ScoringInputError("grid", "threads", "at least one", threads)
    if threads is None:
        threads = compiling.threads()
    n_entities = len(evidence.entities)
    rows = n_entities * moments.size
    kind: Any = np.float32 if single else np.float64
    result = Result(
        np.empty((len(FIGURES), rows), kind),
        np.empty((len(model.chain_types) + 1, rows), kind),
        np.empty(rows if single else 0),
        np.empty(rows, np.int64),
        np.empty(rows, np.int8),
        np.empty((len(model.families), 3, rows) if counterfactuals else (0, 3, 0)),
    )

    def block(low: int, high: int) -> None:
        kernel.grid(
            low, high, evidence.entity_groups, evidence.group_start, evidence.group_signal, evidence.times,
            evidence.state, moments, model.parameters, result.figures, result.chains, result.alert_score, result.counts,
            result.verdicts, result.deltas,
        )  # fmt: skip

    # Python threads, not numba's: its layers abort the process on concurrent callers or after a fork, and the kernel
    # releases the interpreter lock anyway.
    if threads == 1 or n_entities == 1:
        block(0, n_entities)
    else:
        bounds = np.linspace(0, n_entities, min(8 * threads, n_entities) + 1).astype(np.int64).tolist()
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(lambda pair: block(*pair), pairwise(bounds)))
    return result


class _Rows(Sequence[bytes]):
    """A sorted column of texts as bytes, for bisection."""

    def __init__(self, column: pa.ChunkedArray[Any]) -> None:
        self._column = column

    def __len__(self) -> int:
        return len(self._column)

    def __getitem__(self, row: Any) -> Any:
        return self._column[row].as_py().encode()


def _keys(evidence: Evidence, moments: Integers) -> dict[str, Any]:
    n_entities = len(evidence.entities)
    ends: Any = pa.array(np.arange(1, n_entities + 1) * moments.size)
    # Three times as fast as taking each text by its index; the stubs do not know the function.
    decode: Any = pc.run_end_decode  # type: ignore[attr-defined]
    runs = pa.RunEndEncodedArray.from_arrays(ends, evidence.entities)
    return {
        "entity_id": decode(runs) if n_entities else evidence.entities,
        "at": _at(evidence, moments),
    }


def _at(evidence: Evidence, moments: Integers) -> Any:
    return pa.array(np.tile(moments, len(evidence.entities))).cast(_TIME)


def _columns(result: Result, model: ScoringModel) -> dict[str, Any]:
    chains = (*model.chain_types, UNKNOWN)
    return (
        {name: pa.array(column) for name, column in zip(FIGURES, result.figures, strict=True)}
        | {
            "n_events": pa.array(result.counts),
            "verdict": pa.DictionaryArray.from_arrays(pa.array(result.verdicts), pa.array(VERDICTS)),
        }
        | {f"p_{name}": pa.array(column) for name, column in zip(chains, result.chains, strict=True)}
    )


def _moments(start: Moment | None, end: Moment | None, step: Step | None, at: Moments | None) -> Integers:
    if at is not None:
        if not (start is None and end is None and step is None):
            raise ScoringInputError("grid", "at", "either at, or start, end and step", "both")
        return irregular_grid(at)
    if start is None or end is None or step is None:
        raise ScoringInputError("grid", "start, end, step", "all three, or at", (start, end, step))
    return regular_grid(start, end, step)


def _names(entities: Sequence[str]) -> Sequence[str]:
    if isinstance(entities, str) or not all(isinstance(name, str) and name for name in entities):
        raise ScoringInputError("grid", "entities", "a sequence of non-empty texts", entities)
    return entities
