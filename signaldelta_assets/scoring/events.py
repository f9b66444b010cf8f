"""Signal events on their way into the kernel: put in total order, grouped by entity and signal, and anchored."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from .columns import NUMBERS, OPTIONAL_NUMBERS, Columns
from .decay import anchor
from .errors import ScoringInputError
from .layout import STATE_COLUMNS, Floats, Integers
from .model import ScoringModel


@dataclass(frozen=True, slots=True)
class Evidence:
    """Events of known signals in the kernel's order, with their anchored sums.

    Entities ascending; within one entity its signals in the model's order (a group each); within a group by
    available_time, then event_id. `entity_groups` (E + 1,) and `group_start` (G + 1,) are offsets.
    """

    entities: pa.Array[Any]
    event_ids: pa.Array[Any]
    entity_groups: Integers
    group_start: Integers
    group_signal: Integers
    times: Integers
    state: Floats


def gather(
    events: pa.Table | pd.DataFrame,
    model: ScoringModel,
    entities: Sequence[str] = (),
    *,
    ignore_unknown_signals: bool = False,
    entity_optional: bool = False,
) -> Evidence:
    """Check `events` (columns as in scoring.md, `context_weight` optional) and return them ready for the kernel.

    `entities` are added to those of the events; where entity_id is optional and absent, all events are of the first
    of them. Raises `ScoringInputError` as `Columns` does, and for signals the model does not have, unless those
    are to be ignored: then their events do not exist, not even in `n_events`.
    """
    columns = Columns(events, entity_optional=entity_optional)
    signal_ids = columns.texts("signal_id")
    names: Any = pa.array(list(entities), pa.string())
    if "entity_id" in columns.names:
        entity_ids = columns.texts("entity_id")
        names = pc.unique(pa.concat_arrays([entity_ids, names]))
        # Arrow sorts strings by their bytes: no locale has a say.
        names = names.take(pc.sort_indices(names))
        entity = _indices(entity_ids, names)
    else:
        entity = np.zeros(columns.rows, np.int64)
    known = pa.array(list(model.signals), pa.string())
    signal = _indices(signal_ids, known)
    if not ignore_unknown_signals and (signal < 0).any():
        unknown: list[Any] = pc.unique(signal_ids.filter(pa.array(signal < 0))).to_pylist()
        raise ScoringInputError("events", "signal_id", "signals of the model", ", ".join(sorted(unknown)))
    times = columns.times()
    values = {name: columns.floats(name) for name in (*NUMBERS, *OPTIONAL_NUMBERS) if name in columns.names}

    group = entity * len(known) + signal
    keys = pa.table([pa.array(group), pa.array(times), columns.event_ids], ["group", "time", "id"])
    order = pc.sort_indices(keys, sort_keys=[(name, "ascending") for name in keys.column_names]).to_numpy()
    order = order[signal[order] >= 0].astype(np.int64)
    values = {name: column[order] for name, column in values.items()}
    group, entity, signal, times = group[order], entity[order], signal[order], times[order]
    starts = np.flatnonzero(np.diff(group, prepend=-1))
    group_start = np.append(starts, order.size).astype(np.int64)
    group_signal = signal[starts]
    entity_groups = np.searchsorted(entity[starts], np.arange(len(names) + 1)).astype(np.int64)

    weights = model.parameters.coefficient[signal] * (values["strength_norm"] * values["reliability"])
    if "context_weight" in values:
        weights = weights * values["context_weight"]
    state = np.empty((order.size, STATE_COLUMNS))
    anchor(
        times, weights, values["direction"], values["reliability"], group_start, group_signal,
        model.parameters.decay_rate, state,
    )  # fmt: skip
    event_ids = columns.event_ids.take(pa.array(order))
    return Evidence(names, event_ids, entity_groups, group_start, group_signal, times, state)


def _indices(column: Any, known: Any) -> Integers:
    """Return each value's place in `known`, -1 where it is not there."""
    indices: Any = pc.index_in(column, value_set=known)
    found: Integers = indices.fill_null(-1).to_numpy().astype(np.int64)
    return found
