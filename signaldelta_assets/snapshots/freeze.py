"""Freezing: copy what was known at a moment out of the warehouse into content-addressed parts."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import json

from signaldelta_assets.errors import SignalDeltaError
from signaldelta_assets.versioning import canonical_json, new_ulid
from signaldelta_assets.warehouse import ArtifactStore, Warehouse
from signaldelta_assets.warehouse.stores import backtests, documents, labels, raw, reference, signals
from signaldelta_assets.warehouse.stores.reading import TIME, Window

from .manifest import SCHEMA, read_manifest, snapshot_hash
from .parts import PARTS, conform, put_part

Part = dict[str, Any]

_KINDS = list(PARTS)
_AT_ONCE = 2
_EVENT_COLUMNS = [*PARTS["signal_events"].names, "frontier"]
_ENTRY = pa.struct(
    [(name, pa.string()) for name in ("source_type", "form", "collection_mode", "event_time", "observed_time")]
)
# A line must fit one block; a frontier has one entry for each source it was computed from.
_BLOCK_BYTES = 16 * 1024 * 1024


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

    `definitions_hash` names the stored definitions whose signals' events are taken: those made under their rules.
    Raises `SnapshotError` for an `as_of` in the future, and for a dataset of other label rules or of a later moment,
    `UnknownDocumentError` for definitions that are not stored.
    """
    now = warehouse.quiesce()
    as_of = now if as_of is None else as_of
    if as_of > now:
        raise SnapshotError(f"snapshot: as_of: expected at most {now.isoformat()}, found {as_of.isoformat()}")
    dataset = dataset if isinstance(dataset, labels.Dataset) else labels.get_dataset(warehouse, dataset)
    # A dataset frozen under definitions that differ in other things than the rules of labels is the same dataset.
    expected = documents.rule_hashes(warehouse, definitions_hash, "labels")
    found_rules = documents.rule_hashes(warehouse, dataset.definitions_hash, "labels")
    if found_rules != expected:
        raise SnapshotError(
            f"snapshot: dataset {dataset.dataset_id}: field 'definitions_hash': expected the label rules of "
            f"{definitions_hash}, found those of {dataset.definitions_hash}"
        )
    rules = documents.rule_hashes(warehouse, definitions_hash, "signals").values()
    known_at = labels.dataset_known_after(warehouse, dataset.dataset_id, as_of)
    if known_at is not None:
        raise SnapshotError(
            f"snapshot: dataset {dataset.dataset_id}: expected labels ingested by {as_of.isoformat()}, "
            f"found one of {known_at.isoformat()}"
        )
    evidence = Window(window.start - reach, window.end)
    known = {kind: backtests.known_parts(warehouse, kind) for kind in PARTS}

    def keep(kind: str, stretch: str, table: pa.Table) -> Part:
        return {"kind": kind, "stretch": stretch, **asdict(put_part(store, conform(kind, table), known[kind]))}

    def events(stretch: str, days: Window) -> list[Part]:
        table = signals.read_events(warehouse, rules=rules, window=days, as_of=as_of, columns=_EVENT_COLUMNS)
        # Without any event at all there still is a part that says so.
        if table.num_rows == 0 and stretch != "all":
            return []
        return [keep("signal_events", stretch, table), keep("signal_frontier", stretch, frontier_rows(table))]

    def labeled() -> list[Part]:
        table = labels.read_dataset(warehouse, dataset.dataset_id, PARTS["labeled_events"].names)
        return [keep("labeled_events", stretch, piece) for stretch, piece in _by_month(table)]

    def others() -> list[Part]:
        document = canonical_json(documents.get_document(warehouse, definitions_hash, "signal_definitions")).decode()
        coverage = raw.read_coverage(warehouse, as_of, window)
        members = raw.read_members(warehouse, as_of, coverage)
        dated = reference.read_dated_identifiers(warehouse, map(str, members["entity_id"].to_pylist()), as_of)
        return [
            keep("entities", "all", members),
            keep("identifiers", "all", pa.Table.from_pylist(dated, schema=PARTS["identifiers"])),
            keep("coverage", "all", coverage),
            keep("definitions", "all", pa.table({"document_hash": [definitions_hash], "document": [document]})),
        ]

    # The server works on one stretch while another is sorted, hashed and compressed here.
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        try:
            of_months = [pool.submit(events, stretch, days) for stretch, days in _months(evidence)]
            of_labels, of_others = pool.submit(labeled), pool.submit(others)
            found = [part for month in of_months for part in month.result()] or events("all", evidence)
            found += [*of_labels.result(), *of_others.result()]
        except BaseException:
            # What has not begun would only fail like what has, one wait for a connection after another.
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    # By kind, then stretch: the manifest's order is part of its hash.
    parts = sorted(found, key=lambda part: (_KINDS.index(part["kind"]), part["stretch"]))
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


def _months(days: Window) -> Iterator[tuple[str, Window]]:
    """Yield the calendar months of `days`, each cut to them: a month that has not changed is the same file."""
    start = days.start
    while start < days.end:
        following = (start.replace(day=1) + timedelta(days=32)).replace(day=1)
        yield f"{start:%Y-%m}", Window(start, min(following, days.end))
        start = following


def _by_month(table: pa.Table) -> Iterator[tuple[str, pa.Table]]:
    """Cut a table into its months; one without rows is one part."""
    if table.num_rows == 0:
        yield "all", table
        return
    months: Any = pc.strftime(table["event_time"], "%Y-%m")
    for month in sorted(map(str, pc.unique(months).to_pylist())):
        yield month, table.filter(pc.equal(months, pa.scalar(month)))


def frontier_rows(events: pa.Table) -> pa.Table:
    """Return the frontier of each event as flat rows, in the order of the events: event_id and the entry's columns.

    events: rows of `signals.read_events`, whose frontier is JSON text.
    """
    if events.num_rows == 0:
        return pa.schema([("event_id", pa.string()), *((field.name, field.type) for field in _ENTRY)]).empty_table()
    # One line of JSON per event, so that Arrow's reader parses them all.
    texts: Any = events["frontier"].combine_chunks()
    lines: Any = pc.binary_join_element_wise('{"frontier":', texts, "}\n", "")
    read = json.read_json(
        pa.BufferReader(lines.buffers()[2].slice(0, pc.sum(pc.binary_length(lines)).as_py())),  # type: ignore[arg-type]
        read_options=json.ReadOptions(use_threads=False, block_size=_BLOCK_BYTES),
        parse_options=json.ParseOptions(
            explicit_schema=pa.schema([("frontier", pa.list_(_ENTRY))]), unexpected_field_behavior="error"
        ),
    )
    entries: Any = read["frontier"].combine_chunks()
    rows = entries.flatten()
    columns = {"event_id": events["event_id"].combine_chunks().take(pc.list_parent_indices(entries))}
    columns |= {field.name: rows.field(place) for place, field in enumerate(_ENTRY)}
    for name in ("event_time", "observed_time"):
        columns[name] = columns[name].cast(TIME)
    return pa.table(columns)
