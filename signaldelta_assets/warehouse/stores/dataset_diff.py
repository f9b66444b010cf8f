"""What distinguishes two frozen datasets: labels added, withdrawn and changed, with the fields that changed.

A label is the same in both where its type, entity and key are: its definitions may be others.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import orjson
import psycopg

FIELDS = ("subtype", "event_time", "time_precision", "known_at", "confidence", "raw_record_ids", "source_url",
          "classifier_version", "attributes")  # fmt: skip

# The key without the definitions it was made under: the label's identity across definitions.
_DIFFERENT = """
WITH first AS (SELECT e.*, (e.label_key::jsonb - 3)::text AS identity FROM labeled_event_dataset_members AS m
               JOIN labeled_events AS e USING (label_id, revision) WHERE m.dataset_id = %(first)s),
     second AS (SELECT e.*, (e.label_key::jsonb - 3)::text AS identity FROM labeled_event_dataset_members AS m
                JOIN labeled_events AS e USING (label_id, revision) WHERE m.dataset_id = %(second)s)
SELECT identity, to_jsonb(first) AS before, to_jsonb(second) AS after
FROM first FULL JOIN second USING (identity)
WHERE first.content_hash IS DISTINCT FROM second.content_hash
ORDER BY identity
"""


@dataclass(frozen=True, slots=True)
class LabelChange:
    """One label that is not alike in both. `fields`: (name, before, after) of a changed one, in the order of FIELDS."""

    change: Literal["added", "withdrawn", "changed"]
    event_type: str
    entity_id: str
    key: tuple[str, ...]
    event_time: str
    fields: tuple[tuple[str, Any, Any], ...]


@dataclass(frozen=True, slots=True)
class DatasetDiff:
    """The changes by type, entity and key; `counts` by event type and kind of change, unchanged ones included."""

    changes: tuple[LabelChange, ...]
    counts: Mapping[str, Mapping[str, int]]


def diff_datasets(connection: psycopg.Connection[Any], first: str, second: str) -> DatasetDiff:
    """Return what is different in dataset `second` (by dataset_id) against `first`; the connection gives dict rows."""
    rows = connection.execute(_DIFFERENT, {"first": first, "second": second}).fetchall()
    changes = tuple(found for row in rows if (found := _change(row)) is not None)
    sizes = connection.execute(
        "SELECT e.event_type, count(*) FILTER (WHERE m.dataset_id = %(first)s) AS before FROM "
        "labeled_event_dataset_members AS m JOIN labeled_events AS e USING (label_id, revision) "
        "WHERE m.dataset_id IN (%(first)s, %(second)s) GROUP BY 1 ORDER BY 1",
        {"first": first, "second": second},
    ).fetchall()
    counts = {}
    for row in sizes:
        own = Counter(str(one.change) for one in changes if one.event_type == row["event_type"])
        kinds = {kind: own[kind] for kind in ("added", "withdrawn", "changed")}
        counts[row["event_type"]] = {**kinds, "unchanged": row["before"] - kinds["withdrawn"] - kinds["changed"]}
    return DatasetDiff(changes, counts)


def _change(row: Mapping[str, Any]) -> LabelChange | None:
    before, after = row["before"], row["after"]
    event_type, entity_id, key = orjson.loads(row["identity"])
    newest = after if after is not None else before
    fields: tuple[tuple[str, Any, Any], ...] = ()
    if before is not None and after is not None:
        fields = tuple((name, before[name], after[name]) for name in FIELDS if before[name] != after[name])
        if not fields:
            return None
    kind: Literal["added", "withdrawn", "changed"] = (
        "added" if before is None else "withdrawn" if after is None else "changed"
    )
    return LabelChange(kind, event_type, entity_id, tuple(key), newest["event_time"], fields)
