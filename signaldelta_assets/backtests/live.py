"""Live scoring: the kernel of every backtest over what is available now, one sample per entity."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from signaldelta_assets.scoring import ScoringModel, score
from signaldelta_assets.snapshots import frontier_rows
from signaldelta_assets.timeline import LatencyModel, latest_available
from signaldelta_assets.versioning import hash_document
from signaldelta_assets.warehouse.stores.scores import ScoreRow

from .evidence import available_events


def score_live(events: pa.Table, model: ScoringModel, latency: LatencyModel, at: datetime) -> list[ScoreRow]:
    """Return the score at `at` (UTC) of every entity with an event available by then, by entity id.

    events: rows of `signals.read_events` with all revisions; of each event the latest that was available by `at`
    counts, so that an hour long past is scored as it would have been. Signals that the model does not know are left
    out. `input_hash` names the events that the score was computed from, by content.
    """
    known = events.filter(pc.is_in(events["signal_id"], value_set=pa.array(sorted(model.signals))))
    if not known.num_rows:
        return []
    # Revisions of an event may share its id, and each has a frontier of its own.
    place = known.schema.get_field_index("event_id")
    single = known.set_column(place, "event_id", pa.array([str(row) for row in range(known.num_rows)]))
    available = available_events(single, frontier_rows(single), latency)["available_time"]
    keys: Any = known["event_key"].to_pylist()
    revisions: Any = known["revision"].to_pylist()
    times: Any = available.to_pylist()
    latest = pa.array(latest_available(keys, revisions, times, at), pa.int64())
    timed = known.append_column("available_time", available).take(latest)
    timed = timed.filter(timed["active"])
    rows = []
    found: Any = timed["entity_id"].to_pylist()
    entities: list[str] = sorted(set(found))
    for entity in entities:
        mine = timed.filter(pc.equal(timed["entity_id"], pa.scalar(entity)))
        contents: Any = mine["content_hash"].to_pylist()
        digest = hash_document(sorted(contents))
        rows.append(ScoreRow(entity, at, score(mine, model, at), digest))
    return rows
