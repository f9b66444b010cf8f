"""Live scores over a real database: an hour long past is scored as it would have been then."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from signaldelta_assets.backtests import score_live
from signaldelta_assets.contracts import CollectionMode, FrontierEntry, SignalEvent
from signaldelta_assets.scoring import ScoringModel
from signaldelta_assets.timeline import LatencyModel
from signaldelta_assets.versioning import hash_document
from signaldelta_assets.warehouse import Warehouse
from signaldelta_assets.warehouse.stores import signals
from tests.backtests.runs.study import MODEL
from tests.snapshots.world import RULES, START, WINDOW
from tests.warehouse.examples import signal_event

pytestmark = pytest.mark.postgres
LATENCY = {
    "schema": "signaldelta.latency_model/1",
    "default": {"rule": "lag", "lag_seconds": 0, "processing_seconds": 0},
}


def _event(strength: float, known: datetime) -> SignalEvent:
    frontier = (FrontierEntry("ownership", "4", CollectionMode.BACKFILL, known, known + timedelta(days=400)),)
    return signal_event(1, event_time=START, strength_norm=strength, frontier=frontier, definitions_hash=RULES["S001"])


def test_a_past_hour_is_scored_by_the_revision_that_was_available(fresh_postgres_url: str) -> None:
    day = timedelta(days=1)
    first, second = _event(0.4, START), _event(0.9, START + 2 * day)
    with Warehouse(fresh_postgres_url) as warehouse:

        def write(*events: SignalEvent) -> None:
            signals.write_events(warehouse, events, WINDOW, ["S001"], RULES["S001"])

        def scored(at: datetime) -> list[str]:
            events = signals.read_events(warehouse, rules=[RULES["S001"]], window=WINDOW, all_revisions=True)
            found = score_live(events, ScoringModel.from_dict(MODEL), LatencyModel.from_dict(LATENCY), at)
            return [row.input_hash for row in found]

        of_first, of_second = ([hash_document([event.content_hash])] for event in (first, second))
        write(first)
        assert scored(START + day) == of_first
        write(second)
        assert scored(START + day) == of_first
        assert scored(START + 3 * day) == of_second
        assert scored(START - day) == []
        # Withdrawn from when what it says was available, and not before.
        write()
        assert scored(START + day) == of_first
        assert scored(START + 3 * day) == []
        newest = signals.read_events(warehouse, rules=[RULES["S001"]], window=WINDOW)
        assert newest.num_rows == 0
