"""Ground truth: labeled events in revisions, and the frozen dataset versions made of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.compute as pc
from psycopg import sql

from signaldelta_assets.contracts import LabeledEvent
from signaldelta_assets.errors import RecordError, SignalDeltaError
from signaldelta_assets.versioning import canonical_json, hash_document, new_ulid

from ..artifacts import IntegrityError
from ..bulk import copy_new
from ..pools import Warehouse, identifier
from . import documents
from .reading import STRINGS, TIME, Window, fetch_table, sort_table
from .revisions import RevisionedTable, WriteCounts, by_key, latest_as_of, lock, write_revisions

_TABLE = RevisionedTable(
    "labeled_events",
    "label_key",
    "event_type",
    ("label_id", "revision", "label_key", "event_type", "subtype", "entity_id", "event_time", "time_precision",
     "known_at", "observed_time", "confidence", "raw_record_ids", "source_url", "classifier_version",
     "definitions_hash", "attributes", "active", "content_hash"),
)  # fmt: skip

LABEL_COLUMNS: dict[str, pa.DataType] = {
    "label_id": pa.string(),
    "revision": pa.int32(),
    "label_key": pa.string(),
    "event_type": pa.string(),
    "subtype": pa.string(),
    "entity_id": pa.string(),
    "event_time": TIME,
    "time_precision": pa.string(),
    "known_at": TIME,
    "observed_time": TIME,
    "confidence": pa.float64(),
    "raw_record_ids": STRINGS,
    "source_url": pa.string(),
    "classifier_version": pa.string(),
    "attributes": pa.string(),
    "content_hash": pa.string(),
}
_ORDER = ("entity_id", "event_time", "label_id")

# Fewer events of a type than this cannot be evaluated (meta-plan P09a, Coverage Metrics).
MINIMUM_EVENTS_OF_TYPE = 30


def write_labels(
    warehouse: Warehouse,
    labels: Sequence[LabeledEvent],
    window: Window,
    event_types: Sequence[str],
    definitions_hash: str,
) -> WriteCounts:
    """Bring the labels of `event_types` in `window` (days of event_time) to `labels`; as `signals.write_events`.

    `definitions_hash`: of the types' own rule, which the labels carry; labels of another are left alone.
    """
    for label in labels:
        if label.event_type not in event_types:
            raise RecordError(label.label_key, "event_type", f"one of {sorted(event_types)}", label.event_type)
        if label.event_time.date() not in window:
            expected = f"a day from {window.start} to before {window.end}"
            raise RecordError(label.label_key, "event_time", expected, label.event_time)
        if label.definitions_hash != definitions_hash:
            raise RecordError(label.label_key, "definitions_hash", definitions_hash, label.definitions_hash)
        if not label.active:
            raise RecordError(label.label_key, "active", "a label that is produced now", label.active)
    inside = sql.SQL("event_time >= {} AND event_time < {}").format(
        sql.Literal(window.start_time), sql.Literal(window.end_time)
    )
    with warehouse.write_pool("labels").connection() as connection:
        return write_revisions(
            connection,
            _TABLE,
            by_key(labels, lambda label: label.label_key),
            event_types,
            inside,
            definitions_hash,
            _row,
            lambda row: replace(label_from_row(row), active=False),
        )


def _row(label: LabeledEvent, revision: int) -> tuple[Any, ...]:
    return (
        label.label_id,
        revision,
        label.label_key,
        label.event_type,
        label.subtype,
        label.entity_id,
        label.event_time,
        str(label.time_precision),
        label.known_at,
        label.observed_time,
        label.confidence,
        list(label.raw_record_ids),
        label.source_url,
        label.classifier_version,
        label.definitions_hash,
        canonical_json(dict(label.attributes)).decode(),
        label.active,
        label.content_hash,
    )


def label_from_row(row: Mapping[str, Any]) -> LabeledEvent:
    """Rebuild the label of a stored row (JSON columns parsed)."""
    given = ("event_type", "subtype", "entity_id", "event_time", "time_precision", "known_at", "observed_time",
             "confidence", "source_url", "classifier_version", "definitions_hash", "attributes", "active")  # fmt: skip
    return LabeledEvent(
        key=tuple(orjson.loads(row["label_key"])[2]),
        raw_record_ids=tuple(row["raw_record_ids"]),
        **{name: row[name] for name in given},
    )


def read_labels(
    warehouse: Warehouse, *, rules: Collection[str], window: Window, as_of: datetime | None = None
) -> pa.Table:
    """Return the labels of `window` as they were known at `as_of` (by ingest time): columns `LABEL_COLUMNS`.

    Those made under `rules`, the hashes of the types' definitions (`documents.rule_hashes`). By entity and time. The
    newest revision of each key, active ones only; `attributes` is JSON text.
    """
    source = latest_as_of(_TABLE)
    params = {
        "definitions": sorted(rules),
        "as_of": as_of,
        "start": window.start_time,
        "end": window.end_time,
    }
    return sort_table(fetch_table(warehouse, LABEL_COLUMNS, source, params), _ORDER)


# --- datasets ---------------------------------------------------------------------------------------------------


class UnknownDatasetError(SignalDeltaError):
    """A dataset version that is asked for and is not there."""


@dataclass(frozen=True, slots=True)
class Dataset:
    """A frozen dataset version. `created` is False where the same content was frozen before."""

    dataset_id: str
    version: int
    dataset_hash: str
    definitions_hash: str
    event_count: int
    event_type_distribution: Mapping[str, int]
    coverage: Mapping[str, Any]
    include_interpolated: bool
    interpolated_left_out: int
    created: bool


def dataset_document(
    rules: Mapping[str, str], labels: pa.Table, *, include_interpolated: bool = False
) -> dict[str, Any]:
    """Return what names a dataset: its rules and each member's label, revision and content, in order of label.

    rules: the hash of each event type's rule. Definitions that differ elsewhere, in a signal, give the same dataset.
    `include_interpolated` stands in it where it is set, so that older hashes stand.
    """
    members = zip(*(labels[name].to_pylist() for name in ("label_id", "revision", "content_hash")), strict=True)
    return {
        "schema": "signaldelta.labeled_event_dataset/1",
        "rules": dict(rules),
        "members": sorted([list(member) for member in members]),
        **({"include_interpolated": True} if include_interpolated else {}),
    }


def dataset_coverage(labels: pa.Table) -> dict[str, Any]:
    """Return events per type and month, entities per type, and the types with too few events to be evaluated."""
    types: list[str] = _texts(labels["event_type"])
    months = _texts(pc.strftime(labels["event_time"], "%Y-%m"))
    entities = _texts(labels["entity_id"])
    by_type: dict[str, Any] = {}
    for event_type in sorted(set(types)):
        mine = [index for index, name in enumerate(types) if name == event_type]
        of_entity = Counter(entities[index] for index in mine)
        by_type[event_type] = {
            "events": len(mine),
            "entities": len(of_entity),
            "most_of_one_entity": max(of_entity.values()),
            "months": dict(sorted(Counter(months[index] for index in mine).items())),
            "insufficient_for_evaluation": len(mine) < MINIMUM_EVENTS_OF_TYPE,
        }
    return by_type


def _texts(column: Any) -> list[str]:
    return [str(value) for value in column.to_pylist()]


def freeze_dataset(
    warehouse: Warehouse,
    *,
    as_of: datetime | None = None,
    window: Window,
    definitions_hash: str,
    include_interpolated: bool = False,
) -> Dataset:
    """Freeze the labels known at `as_of` (now, without it) as a new version; the same members give the one there is.

    Labels made under the rules of the stored definitions `definitions_hash`; the dataset keeps the hash of those under
    which it was frozen first. Labels whose time is interpolated are left out and counted, unless they are asked for.
    Waits for writes under way, so that every label ingested by `as_of` is seen. Raises `ValueError` for an `as_of` in
    the future, `UnknownDocumentError` for definitions that are not stored.
    """
    now = warehouse.quiesce()
    as_of = now if as_of is None else as_of
    if as_of > now:
        raise ValueError(f"freeze_dataset: as_of: expected at most {now.isoformat()}, found {as_of.isoformat()}")
    rules = documents.rule_hashes(warehouse, definitions_hash, "labels")
    labels = read_labels(warehouse, rules=rules.values(), window=window, as_of=as_of)
    known = labels.num_rows
    if not include_interpolated:
        labels = labels.filter(pc.not_equal(labels["time_precision"], pa.scalar("interpolated")))
    digest = hash_document(dataset_document(rules, labels, include_interpolated=include_interpolated))
    distribution = dict(sorted(Counter(labels["event_type"].to_pylist()).items()))
    with warehouse.write_pool("labels").connection() as connection:
        lock(connection, "labeled_event_datasets")
        found = connection.execute("SELECT * FROM labeled_event_datasets WHERE dataset_hash = %s", (digest,)).fetchone()
        if found is not None:
            return _dataset(found, created=False)
        parent = connection.execute(
            "SELECT dataset_hash FROM labeled_event_datasets WHERE definitions_hash = %s ORDER BY version DESC LIMIT 1",
            (definitions_hash,),
        ).fetchone()
        row = connection.execute(
            "INSERT INTO labeled_event_datasets (dataset_id, version, dataset_hash, definitions_hash, as_of, "
            "window_start, window_end, include_interpolated, interpolated_left_out, event_count, "
            "event_type_distribution, coverage, parent_hash) VALUES (%s, (SELECT coalesce(max(version), 0) + 1 "
            "FROM labeled_event_datasets), %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s) RETURNING *",
            (new_ulid(), digest, definitions_hash, as_of, window.start_time, window.end_time, include_interpolated,
             known - labels.num_rows, labels.num_rows,
             canonical_json(distribution).decode(), canonical_json(dataset_coverage(labels)).decode(),
             None if parent is None else parent["dataset_hash"]),
        ).fetchone()  # fmt: skip
        assert row is not None
        members = zip(*(labels[name].to_pylist() for name in ("label_id", "revision", "content_hash")), strict=True)
        copy_new(
            connection,
            "labeled_event_dataset_members",
            ("dataset_id", "label_id", "revision", "content_hash"),
            [(row["dataset_id"], *member) for member in members],
        )
        return _dataset(row, created=True)


def _dataset(row: Mapping[str, Any], *, created: bool) -> Dataset:
    names = ("dataset_id", "version", "dataset_hash", "definitions_hash", "event_count", "event_type_distribution",
             "coverage", "include_interpolated", "interpolated_left_out")  # fmt: skip
    return Dataset(**{name: row[name] for name in names}, created=created)


def get_dataset(warehouse: Warehouse, dataset: str | int) -> Dataset:
    """Return the dataset of an id, hash or version number. Raises `UnknownDatasetError`."""
    column = "version" if isinstance(dataset, int) else "dataset_hash" if len(dataset) == 64 else "dataset_id"
    query = sql.SQL("SELECT * FROM {} WHERE {} = %s").format(
        identifier("labeled_event_datasets"), sql.Identifier(column)
    )
    with warehouse.read_pool().connection() as connection:
        row = connection.execute(query, (dataset,)).fetchone()
    if row is None:
        raise UnknownDatasetError(f"labeled event dataset: no such {column} {dataset!r}")
    return _dataset(row, created=False)


def read_dataset(warehouse: Warehouse, dataset_id: str, columns: Sequence[str] = tuple(LABEL_COLUMNS)) -> pa.Table:
    """Return the members of a dataset version, by entity and time.

    `columns` of `LABEL_COLUMNS`, among them those of the order.
    """
    kinds = {name: LABEL_COLUMNS[name] for name in columns}
    source = sql.SQL(
        "FROM {} AS m JOIN {} AS e USING (label_id, revision, content_hash) WHERE m.dataset_id = %(dataset)s"
    ).format(identifier("labeled_event_dataset_members"), identifier("labeled_events"))
    return sort_table(fetch_table(warehouse, kinds, source, {"dataset": dataset_id}), _ORDER)


def verify_dataset(warehouse: Warehouse, dataset: str | int) -> Dataset:
    """Return a dataset whose members and their labels are, by every hash, those that were frozen.

    Raises `IntegrityError` naming what is not.
    """
    found = get_dataset(warehouse, dataset)
    with warehouse.read_pool().connection() as connection:
        members = connection.execute(
            "SELECT e.*, m.label_id, m.revision, m.content_hash AS frozen FROM labeled_event_dataset_members AS m "
            "LEFT JOIN labeled_events AS e USING (label_id, revision) WHERE m.dataset_id = %s",
            (found.dataset_id,),
        ).fetchall()
    named = {"label_id": "label_id", "revision": "revision", "content_hash": "frozen"}
    table = pa.table({name: [row[column] for row in members] for name, column in named.items()})
    rules = documents.rule_hashes(warehouse, found.definitions_hash, "labels")
    document = dataset_document(rules, table, include_interpolated=found.include_interpolated)
    if hash_document(document) != found.dataset_hash:
        raise IntegrityError(
            f"dataset {found.dataset_id}: expected the hash {found.dataset_hash} of its {found.event_count} members, "
            f"found {hash_document(document)} of {len(members)}"
        )
    for row in members:
        content = None if row["label_key"] is None else label_from_row(row).content_hash
        if content != row["frozen"]:
            raise IntegrityError(
                f"dataset {found.dataset_id}: label {row['label_id']} revision {row['revision']}: expected the "
                f"content {row['frozen']}, found {content}"
            )
    return found


def list_datasets(warehouse: Warehouse) -> list[dict[str, Any]]:
    """Return the rows of all dataset versions, newest first."""
    with warehouse.read_pool().connection() as connection:
        return list(connection.execute("SELECT * FROM labeled_event_datasets ORDER BY version DESC").fetchall())


def dataset_known_after(warehouse: Warehouse, dataset_id: str, as_of: datetime) -> datetime | None:
    """Return the latest ingest time among the members of a dataset where that is after `as_of`, else None."""
    # What was frozen as of an earlier moment has no later member, so mostly nothing is joined.
    with warehouse.read_pool().connection() as connection:
        row = connection.execute(
            "SELECT max(e.ingest_time) AS known FROM labeled_event_dataset_members AS m "
            "JOIN labeled_events AS e USING (label_id, revision) "
            "WHERE m.dataset_id = %(dataset)s AND e.ingest_time > %(as_of)s "
            "AND (SELECT as_of FROM labeled_event_datasets WHERE dataset_id = %(dataset)s) > %(as_of)s",
            {"dataset": dataset_id, "as_of": as_of},
        ).fetchone()
    assert row is not None
    known: datetime | None = row["known"]
    return known
