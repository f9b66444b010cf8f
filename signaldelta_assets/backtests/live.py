"""Live scoring: the kernel of every backtest over what is available now, one sample per entity."""

from __future__ import annotations

from datetime import datetime
from typing import Any

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
    found: Any = timed["entity_id"].to_pylist()
    entities: list[str] = sorted(set(found))
    for entity in entities:
        mine = timed.filter(pc.equal(timed["entity_id"], pa.scalar(entity)))
        contents: Any = mine["content_hash"].to_pylist()
        digest = hash_document(sorted(contents))
        rows.append(ScoreRow(entity, at, score(mine, model, at), digest))
    return rows
