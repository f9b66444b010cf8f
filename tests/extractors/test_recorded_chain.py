"""The chain's rules on the recorded pools, against the counts of the design (signals.md 6).

687 pools have one known quote side and at least two Syncs. S045: the design has 186 of 380 pools; two of these were
emptied before a header showed the 300 blocks to be over. S044: 151 in the design, the cause of the difference is not
known. RUG_PULL: the design's 309 are first drains that never come back; here a pool may be drained again, the window
is 6,500 blocks, and 5 drains stand too near the end of the recordings.
"""

from __future__ import annotations

import pytest

from signaldelta_assets.contracts import TimePrecision
from signaldelta_assets.extractors import run_extractor
from signaldelta_assets.labels import run_classifier
from tests.extractors import recorded_chain
from tests.extractors.make import definitions
from tests.extractors.recorded import WHOLE
from tests.paths import needs_data

pytestmark = [pytest.mark.archive, needs_data]


@pytest.mark.parametrize(
    ("signal", "events", "pools"),
    [("S044", 152, 150), ("S045", 212, 184), ("S049", 60, 32), ("S050", 43, 43), ("S054", 310, 293)],
)
def test_counts_are_the_designs(signal: str, events: int, pools: int) -> None:
    made = run_extractor(signal, recorded_chain.records(), recorded_chain.context(), definitions(), *WHOLE)
    assert (len(made.events), len({event.entity_id for event in made.events})) == (events, pools)
    assert len({event.event_key for event in made.events}) == events


def test_drains() -> None:
    made = run_classifier("RUG_PULL", recorded_chain.records(), recorded_chain.context(), definitions(), *WHOLE)
    assert (len(made.events), len({one.entity_id for one in made.events})) == (320, 315)
    exact = [one for one in made.events if one.time_precision is TimePrecision.SECOND]
    assert len(exact) == 6 and all("time_error_seconds" not in one.attributes for one in exact)
    assert all(one.attributes["time_error_seconds"] > 0 for one in made.events if one not in exact)
    assert made.counts["recovered"] == 59 and made.counts["recovery_not_over"] == 5
