"""Frozen datasets of labels: which labels in which revision, the hash that names the set, and what it covers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from ..errors import RecordError
from ..versioning import hash_document

SCHEMA = "signaldelta.labeled_event_dataset/1"
# Below this many events of a type no evaluation is made (meta-plan, Minimum Viable Dataset).
LEAST_EVENTS = 30
COLUMNS = ("label_id", "revision", "content_hash", "event_type", "subtype", "entity_id", "event_time", "active")


@dataclass(frozen=True, slots=True)
class DatasetDocument:
    """One frozen dataset. `labels`: (label_id, revision, content_hash), ascending; `dataset_hash` covers just them."""

    labels: tuple[tuple[str, int, str], ...]
    dataset_hash: str
    event_type_distribution: Mapping[str, int]
    coverage: Mapping[str, Any]

    @property
    def event_count(self) -> int:
        """How many labels the dataset holds."""
        return len(self.labels)

    @property
    def insufficient(self) -> tuple[str, ...]:
        """The event types with fewer events than an evaluation needs."""
        return tuple(name for name, n in self.event_type_distribution.items() if n < LEAST_EVENTS)

    def to_document(self) -> dict[str, Any]:
        """Return the dataset as JSON."""
        return {
            "schema": SCHEMA,
            "dataset_hash": self.dataset_hash,
            "labels": [list(label) for label in self.labels],
            "event_count": self.event_count,
            "event_type_distribution": dict(self.event_type_distribution),
            "coverage": dict(self.coverage),
        }


@dataclass(frozen=True, slots=True)
class DatasetDiff:
    """What the second dataset has over the first: label ids, ascending."""

    added: tuple[str, ...]
    removed: tuple[str, ...]
    revised: tuple[str, ...]


def freeze(labels: pd.DataFrame) -> DatasetDocument:
    """Return the dataset of the latest revision of each label, withdrawn ones left out; order of rows is no matter.

    `labels`: label_id, revision, content_hash, event_type, subtype, entity_id, event_time (UTC), active, and
    asset_class where it is known (else `equity`). Raises `RecordError` for a missing column, or a revision given twice
    with other content.
    """
    for column in COLUMNS:
        if column not in labels.columns:
            raise RecordError("labels", column, "a column of that name", sorted(labels.columns))
    unique = labels.drop_duplicates(["label_id", "revision", "content_hash"])
    twice = unique[unique.duplicated(["label_id", "revision"])]
    if len(twice):
        raise RecordError(str(twice["label_id"].iloc[0]), "content_hash", "one content per revision", len(twice) + 1)
    latest = unique.sort_values(["label_id", "revision"]).drop_duplicates("label_id", keep="last")
    latest = latest[latest["active"].astype(bool)]
    if latest["event_time"].isna().any():
        bad = latest.loc[latest["event_time"].isna(), "label_id"].iloc[0]
        raise RecordError(str(bad), "event_time", "an authoritative time", None)
    entries = tuple(
        (str(label), int(revision), str(content))
        for label, revision, content in zip(latest["label_id"], latest["revision"], latest["content_hash"], strict=True)
    )
    digest = hash_document({"schema": SCHEMA, "labels": [list(entry) for entry in entries]})
    return DatasetDocument(entries, digest, _tally(latest["event_type"]), _coverage(latest))


def diff(first: DatasetDocument, second: DatasetDocument) -> DatasetDiff:
    """Return which labels came, went or were revised from `first` to `second`."""
    before = {label: rest for label, *rest in first.labels}
    after = {label: rest for label, *rest in second.labels}
    both = before.keys() & after.keys()
    return DatasetDiff(
        added=tuple(sorted(after.keys() - before.keys())),
        removed=tuple(sorted(before.keys() - after.keys())),
        revised=tuple(sorted(label for label in both if before[label] != after[label])),
    )


def _tally(values: pd.Series[Any]) -> dict[str, int]:
    return {str(name): int(n) for name, n in values.value_counts().sort_index().items()}


def _coverage(latest: pd.DataFrame) -> dict[str, Any]:
    """Return counts per event type: by month (UTC), subtype, asset class and entity, and whether they suffice."""
    when = pd.to_datetime(latest["event_time"], utc=True)
    frame = latest.assign(
        month=when.dt.strftime("%Y-%m"),
        asset_class=latest["asset_class"] if "asset_class" in latest.columns else "equity",
    )
    coverage = {}
    for name, own in frame.groupby("event_type", sort=True):
        entities = _tally(own["entity_id"])
        coverage[str(name)] = {
            "events": len(own),
            "insufficient_for_evaluation": len(own) < LEAST_EVENTS,
            "first": when[own.index].min().isoformat(),
            "last": when[own.index].max().isoformat(),
            "by_month": _tally(own["month"]),
            "by_subtype": _tally(own["subtype"]),
            "by_asset_class": _tally(own["asset_class"]),
            "by_entity": entities,
            "entities": len(entities),
        }
    return coverage
