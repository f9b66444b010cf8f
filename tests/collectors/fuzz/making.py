"""What the readers make: seeds, and records in the name of nobody."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from signaldelta_assets.contracts import CollectionMode, RawRecord
from signaldelta_assets.errors import RecordError

OBSERVED = datetime(2026, 9, 1, 12, tzinfo=UTC)
Out = Iterator[RawRecord | RecordError]
Reader = Callable[[bytes, str], Out]


@dataclass(frozen=True)
class Seed:
    """A good document: which reader takes it, the name it goes by, its bytes."""

    kind: str
    record: str
    body: bytes


def record_of(
    kind: str, key: str, payload: dict[str, Any], moment: datetime | None, form: str | None = None
) -> RawRecord:
    return RawRecord(
        source_type=kind, entity_id="0000000001", natural_key=key, form=form, event_time=moment, observed_time=OBSERVED,
        collection_mode=CollectionMode.BACKFILL, collector="fuzz", collector_version="0" * 64, collector_run_id="r",
        schema_version="1", payload=payload, body_hash="0" * 64, source_url="https://example.invalid/x",
    )  # fmt: skip
