"""Freezing: copy what was known at a moment out of the warehouse into content-addressed parts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.compute as pc

from signaldelta_assets.errors import SignalDeltaError
from signaldelta_assets.versioning import canonical_json, new_ulid
from signaldelta_assets.warehouse import ArtifactStore, Warehouse
from signaldelta_assets.warehouse.stores import backtests, documents, labels, raw, signals
from signaldelta_assets.warehouse.stores.reading import TIME, Window

from .manifest import SCHEMA, read_manifest, snapshot_hash
from .parts import conform, put_part


class SnapshotError(SignalDeltaError):
    """A snapshot that cannot be frozen as it is asked for."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A frozen snapshot. `created` is False where the same content was frozen before."""

    snapshot_id: str
    snapshot_hash: str
    manifest: dict[str, Any]
    created: bool


def freeze_snapshot(
    warehouse: Warehouse,
    store: ArtifactStore,
    *,
    as_of: datetime | None = None,
    window: Window,
    definitions_hash: str,
    dataset: labels.Dataset | str | int,
    reach: timedelta = timedelta(0),
) -> Snapshot:
    """Freeze everything a run may read: rows with ingest_time at or before `as_of`, event_time in `window`.

    Signal events are taken from whole days `reach` before the window too: a score looks back, so a grid that starts
    with the window would otherwise start without evidence. Labels and coverage are those of the window.

    Without `as_of` it is now. Either way it waits for the writes under way, so that no row can turn up later with an
    earlier ingest_time. `dataset` is the labeled-event dataset, by value, id, hash or version. The same content gives
    the snapshot that is there, with its own earlier `as_of`.

    Raises `SnapshotError` for an `as_of` in the future, and for a dataset of other definitions or of a later moment.
    """
    now = warehouse.quiesce()
    as_of = now if as_of is None else as_of
    if as_of > now:
        raise SnapshotError(f"snapshot: as_of: expected at most {now.isoformat()}, found {as_of.isoformat()}")
    dataset = dataset if isinstance(dataset, labels.Dataset) else labels.get_dataset(warehouse, dataset)
    if dataset.definitions_hash != definitions_hash:
        raise SnapshotError(
            f"snapshot: dataset {dataset.dataset_id}: field 'definitions_hash': expected {definitions_hash}, "
            f"found {dataset.definitions_hash}"
        )
    known_at = labels.dataset_known_at(warehouse, dataset.dataset_id)
    if known_at is not None and known_at > as_of:
        raise SnapshotError(
            f"snapshot: dataset {dataset.dataset_id}: expected labels ingested by {as_of.isoformat()}, "
            f"found one of {known_at.isoformat()}"
        )
    parts = []
    evidence = Window(window.start - reach, window.end)
    for kind, table, months in _tables(warehouse, as_of, window, evidence, definitions_hash, dataset):
        known = backtests.known_parts(warehouse, kind)
        for stretch, piece in _stretches(conform(kind, table), months):
            file = put_part(store, piece, known)
            parts.append({"kind": kind, "stretch": stretch, **asdict(file)})
    manifest = {
        "schema": SCHEMA,
        "snapshot_id": new_ulid(),
        "dataset_id": dataset.dataset_id,
        "as_of": as_of.isoformat(),
        "window": {"start": window.start_time.isoformat(), "end": window.end_time.isoformat()},
        "evidence_from": evidence.start_time.isoformat(),
        "definitions_hash": definitions_hash,
        "dataset_hash": dataset.dataset_hash,
        "parts": parts,
    }
    read_manifest(manifest)
    stored, created = backtests.put_snapshot(warehouse, manifest, snapshot_hash(manifest), as_of, window)
    return Snapshot(stored["snapshot_id"], stored["snapshot_hash"], stored["manifest"], created)


def _tables(
    warehouse: Warehouse,
    as_of: datetime,
    window: Window,
    evidence: Window,
    definitions_hash: str,
    dataset: labels.Dataset,
) -> Iterator[tuple[str, pa.Table, list[str] | None]]:
    """Each kind with its rows and, where it is cut by month so that an unchanged month is the same file, the months."""
    events = signals.read_events(warehouse, definitions_hash=definitions_hash, window=evidence, as_of=as_of)
    months = _months(events)
    yield "signal_events", events, months
    yield "signal_frontier", *_frontier(events, months)
    labeled = labels.read_dataset(warehouse, dataset.dataset_id)
    yield "labeled_events", labeled, _months(labeled)
    yield "entities", raw.read_members(warehouse, as_of, window), None
    yield "coverage", raw.read_coverage(warehouse, as_of, window), None
    document = canonical_json(documents.get_document(warehouse, definitions_hash, "signal_definitions")).decode()
    yield "definitions", pa.table({"document_hash": [definitions_hash], "document": [document]}), None


def _months(table: pa.Table) -> list[str]:
    return [str(month) for month in pc.strftime(table["event_time"], "%Y-%m").to_pylist()]


def _frontier(events: pa.Table, months: list[str]) -> tuple[pa.Table, list[str]]:
    """The frontier rows, with the month of the event of each."""
    rows = frontier_rows(events)
    month_of: dict[Any, str] = dict(zip(events["event_id"].to_pylist(), months, strict=True))
    return rows, [month_of[event_id] for event_id in rows["event_id"].to_pylist()]


def frontier_rows(events: pa.Table) -> pa.Table:
    """Return the frontier of each event as flat rows, in the order of the events: event_id and the entry's columns.

    events: rows of `signals.read_events`, whose frontier is JSON text.
    """
    names = ("source_type", "form", "collection_mode", "event_time", "observed_time")
    columns: dict[str, list[Any]] = {name: [] for name in ("event_id", *names)}
    pairs: Any = zip(events["event_id"].to_pylist(), events["frontier"].to_pylist(), strict=True)
    for event_id, frontier in pairs:
        for entry in orjson.loads(frontier):
            columns["event_id"].append(event_id)
            for name in names:
                columns[name].append(entry[name])
    arrays: dict[str, Any] = {name: pa.array(values, pa.string()) for name, values in columns.items()}
    for name in ("event_time", "observed_time"):
        arrays[name] = arrays[name].cast(TIME)
    return pa.table(arrays)


def _stretches(table: pa.Table, months: list[str] | None) -> Iterator[tuple[str, pa.Table]]:
    """Cut a table into its months; one without months, or without rows, is one part."""
    if not months:
        yield "all", table
        return
    place = pa.array(months)
    for month in sorted(set(months)):
        yield month, table.filter(pc.equal(place, pa.scalar(month))).combine_chunks()
