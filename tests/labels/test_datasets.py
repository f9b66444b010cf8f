"""Frozen datasets: the hash is of the content alone, coverage adds up, a diff says what changed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import pytest

from signaldelta_assets.errors import RecordError
from signaldelta_assets.labels import diff, freeze
from signaldelta_assets.versioning import hash_document


def labels(n: int = 40) -> pd.DataFrame:
    start = datetime(2024, 1, 15, tzinfo=UTC)
    return pd.DataFrame(
        {
            "label_id": [f"L{i:03d}" for i in range(n)],
            "revision": 1,
            "content_hash": [hash_document(i) for i in range(n)],
            "event_type": ["EARNINGS_SURPRISE" if i % 4 else "MNA_ANNOUNCEMENT" for i in range(n)],
            "subtype": ["positive" if i % 4 else "target" for i in range(n)],
            "entity_id": [f"E{i % 5}" for i in range(n)],
            "event_time": [start + timedelta(days=3 * i) for i in range(n)],
            "active": True,
        }
    )


def test_hash_is_of_the_set() -> None:
    frame = labels()
    shuffled = frame.iloc[np.random.default_rng(1).permutation(len(frame))]
    assert freeze(frame) == freeze(shuffled) == freeze(pd.concat([frame, frame]))
    assert freeze(frame.iloc[1:]).dataset_hash != freeze(frame).dataset_hash
    other = frame.assign(content_hash=[hash_document(-1), *frame["content_hash"][1:]])
    assert freeze(other).dataset_hash != freeze(frame).dataset_hash


def test_coverage_adds_up_and_flags_what_is_too_little() -> None:
    made = freeze(labels())
    assert made.event_count == 40 and dict(made.event_type_distribution) == {
        "EARNINGS_SURPRISE": 30,
        "MNA_ANNOUNCEMENT": 10,
    }
    assert made.insufficient == ("MNA_ANNOUNCEMENT",)
    for name, n in made.event_type_distribution.items():
        own = made.coverage[name]
        assert own["events"] == n and own["insufficient_for_evaluation"] == (n < 30)
        for part in ("by_month", "by_subtype", "by_asset_class", "by_entity"):
            assert sum(own[part].values()) == n
    assert hash_document(made.to_document()) == hash_document(freeze(labels()).to_document())


def test_latest_revision_counts_and_withdrawn_labels_leave() -> None:
    frame = labels(3)
    again = frame.iloc[[0]].assign(revision=2, content_hash=hash_document("new"))
    gone = frame.iloc[[1]].assign(revision=2, active=False, content_hash=hash_document("gone"))
    new = labels(4).iloc[[3]]
    change = diff(freeze(frame), freeze(pd.concat([frame, again, gone, new])))
    assert (change.added, change.removed, change.revised) == (("L003",), ("L001",), ("L000",))


def test_faults_are_named() -> None:
    frame = labels(2)
    with pytest.raises(RecordError, match="content_hash"):
        freeze(pd.concat([frame, frame.assign(content_hash=hash_document("x"))]))
    with pytest.raises(RecordError, match="subtype"):
        freeze(frame.drop(columns="subtype"))
    with pytest.raises(RecordError, match="event_time"):
        freeze(frame.assign(event_time=pd.NaT))


def test_empty_is_a_dataset_too() -> None:
    made = freeze(labels(0))
    assert made.event_count == 0 and made.coverage == {} and len(made.dataset_hash) == 64
