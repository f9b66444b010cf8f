"""The leak audit: inputs cut short at random moments, scored again, and compared byte for byte up to each moment."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from signaldelta_assets.scoring import ScoringModel
from signaldelta_assets.versioning import content_hash

from .evaluation import EvaluationProtocol, alerts_from_grid, audit_moments, first_difference
from .evidence import EngineError, Ints
from .grid import EntityEvents, RunGrid, bounds_of, make_grid

AUDIT_MOMENTS = 3
_TIME: pa.DataType = pa.timestamp("us", tz="UTC")


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
    whole, part, same = grid.starts, again.starts, True
    for low, high in bounds_of(grid.counts):
        counts, fewer = grid.counts[low:high], again.counts[low:high]
        rows, cut_rows = slice(*whole[[low, high]].tolist()), slice(*part[[low, high]].tolist())
        one = grid.scores.slice(rows.start, rows.stop - rows.start)
        other = again.scores.slice(cut_rows.start, cut_rows.stop - cut_rows.start)
        scored = (grid.alert_score[rows].view(np.int64), again.alert_score[cut_rows].view(np.int64))
        pairs = [(_bits(one[name]), _bits(other[name])) for name in one.column_names] + [scored]
        same = all(np.array_equal(_beginnings(bits, counts, fewer), others) for bits, others in pairs)
        if not same:
            break
    if same:
        return None
    return first_difference(grid.scores, again.scores, cut) or first_difference(grid.question(), again.question(), cut)


def _beginnings(values: npt.NDArray[Any], counts: Ints, fewer: Ints) -> npt.NDArray[Any]:
    """Of stretches of `counts` values the first `fewer` of each."""
    if (counts == counts[0]).all() and (fewer == fewer[0]).all():
        return values.reshape(-1, counts[0])[:, : fewer[0]].reshape(-1) if counts[0] else values
    starts, taken = np.cumsum(counts) - counts, np.cumsum(fewer) - fewer
    kept: npt.NDArray[Any] = values[np.arange(fewer.sum()) + np.repeat(starts - taken, fewer)]
    return kept


def _bits(column: Any) -> npt.NDArray[Any]:
    values = column.unify_dictionaries().combine_chunks() if pa.types.is_dictionary(column.type) else column
    values = values.indices if isinstance(values, pa.DictionaryArray) else values
    if pa.types.is_timestamp(values.type):
        values = values.cast(pa.int64())
    bits: npt.NDArray[Any] = values.to_numpy()
    return bits.view(f"u{bits.dtype.itemsize}")
