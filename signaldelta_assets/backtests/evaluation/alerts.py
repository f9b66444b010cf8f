"""The alert rule: where an armed entity fires, and when it is armed again (backtests.md, Evaluation protocol)."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from signaldelta_assets.versioning.compiling import jit

from .inputs import TIMESTAMP, Floats, Ints, Table, read_panel
from .protocol import EvaluationProtocol

_NO_EVENTS = pa.table(
    {
        "entity_id": pa.array([], pa.string()),
        "event_type": pa.array([], pa.string()),
        "event_time": pa.array([], TIMESTAMP),
        "subtype": pa.array([], pa.string()),
    }
)


@jit
def fire(starts: Ints, at: Ints, score: Floats, threshold: float, rearm_below: float, refractory: int) -> Ints:
    """Return the grid rows that fire. Rows of entity i are ``starts[i]:starts[i + 1]``, in time order.

    An armed entity with score >= threshold fires and is disarmed; a disarmed one with score < rearm_below, at
    least `refractory` microseconds after its last alert, is armed again. It starts armed.
    """
    fired = np.empty(len(at), dtype=np.int64)
    count = 0
    for entity in range(len(starts) - 1):
        armed = True
        last = 0
        for row in range(starts[entity], starts[entity + 1]):
            if armed:
                if score[row] >= threshold:
                    fired[count] = row
                    count += 1
                    armed = False
                    last = at[row]
            elif score[row] < rearm_below and at[row] - last >= refractory:
                armed = True
    return fired[:count].copy()


def alerts_from_grid(grid: Table, protocol: EvaluationProtocol) -> pa.Table:
    """Return the alert episodes of a score grid: entity_id, at (timestamp[us, UTC]), alert_score; sorted.

    `grid` has entity_id, at, alert_score; only points of the protocol's grid count. An alert depends on nothing
    after it: on a grid cut at t, the alerts up to t are the same.
    """
    if isinstance(grid, pa.Table):
        grid = grid.select([name for name in grid.column_names if name != "probability"])
        grid = grid.append_column("probability", pa.array(np.zeros(len(grid))))
    else:
        grid = grid.assign(probability=0.0)
    panel = read_panel(grid, _NO_EVENTS, protocol)
    rows = fire(panel.grid_starts, panel.at, panel.score, protocol.threshold, protocol.rearm_below, protocol.refractory)
    return pa.table(
        {
            "entity_id": pa.array(panel.names[panel.grid_entity[rows]], pa.string()),
            "at": pa.array(panel.at[rows], pa.int64()).cast(TIMESTAMP),
            "alert_score": pa.array(panel.score[rows]),
        }
    )
