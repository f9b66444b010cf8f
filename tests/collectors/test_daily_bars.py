"""Daily bars: only of sessions that had closed when they were received, and after the splits."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, date, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from signaldelta_assets.collectors import Batch, CollectContext, Fetched, UniverseEntity, Window, registered_collectors
from signaldelta_assets.collectors.clock import FixedClock
from signaldelta_assets.collectors.polygon.daily_bars import _bar_records
from signaldelta_assets.collectors.polygon.parsers import VendorPage
from signaldelta_assets.contracts import CollectionMode

CLOSE = datetime(2024, 3, 5, 21, tzinfo=UTC)
ENTITY = UniverseEntity("0000000001", "Acme", ("ACM",))


@pytest.mark.parametrize(("late", "sessions"), [(-1, ["2024-03-04"]), (0, ["2024-03-04", "2024-03-05"])])
def test_a_session_that_has_not_closed_gives_no_bar(late: int, sessions: list[str]) -> None:
    observed = CLOSE + timedelta(microseconds=late)
    nothing: Any = None
    desk: Any = SimpleNamespace(entity=lambda record, ticker, day: ENTITY)
    context = CollectContext(
        registered_collectors()["polygon/daily_bars"], "run", CollectionMode.LIVE, nothing, nothing,
        FixedClock(observed), (ENTITY,),
    )  # fmt: skip
    fetched = Fetched("https://x", 200, b"", "0" * 64, observed, None)
    payloads = [{"ticker": "ACM", "session": day, "vintage": "v"} for day in ("2024-03-04", "2024-03-05")]
    window = Window(date(2024, 3, 1), date(2024, 3, 5))
    made = [*_bar_records(context, window, desk, fetched, VendorPage([], None, {}), payloads, Batch())]
    assert [record.payload["session"] for record in made] == sessions
    assert context.counts == Counter({"session_not_closed": 2 - len(sessions)} if late else {})


def test_splits_are_collected_first() -> None:
    names = list(registered_collectors())
    assert names.index("polygon/splits") < names.index("polygon/daily_bars")
