"""Live scoring: the kernel of every backtest over what is available now, one sample per entity."""

from __future__ import annotations

from datetime import datetime

import pyarrow as pa
import pyarrow.compute as pc

from signaldelta_assets.scoring import ScoringModel, score
from signaldelta_assets.snapshots import frontier_rows
from signaldelta_assets.timeline import LatencyModel
from signaldelta_assets.versioning import hash_document
from signaldelta_assets.warehouse.stores.scores import ScoreRow

from .evidence import available_events


def score_live(events: pa.Table, model: ScoringModel, latency: LatencyModel, at: datetime) -> list[ScoreRow]:
    """Return the score at `at` (UTC) of every entity with an event available by then, by entity id.

    events: rows of `signals.read_events`. Signals that the model does not know are left out. `input_hash` names the
    events that the score was computed from, by content.
    """
    known = events.filter(pc.is_in(events["signal_id"], value_set=pa.array(sorted(model.signals))))
    if not known.num_rows:
        return []
    timed = available_events(known, frontier_rows(known), latency)
    timed = timed.filter(pc.less_equal(timed["available_time"], pa.scalar(at, pa.timestamp("us", "UTC"))))
    rows = []
    for entity in sorted(pc.unique(timed["entity_id"]).to_pylist()):
        mine = timed.filter(pc.equal(timed["entity_id"], entity))
        digest = hash_document(sorted(mine["content_hash"].to_pylist()))
        rows.append(ScoreRow(entity, at, score(mine, model, at), digest))
    return rows
