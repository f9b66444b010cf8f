"""Reading back everything that is frozen: rows against their hashes, files against their names, chains link by link.

Nothing is run again (`verify` does that for a run). Every fault names the thing, the field, what was expected and what
was found, and the rest is read on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
from psycopg import sql

from signaldelta_assets.backtests.manifest import check_manifest, manifest_hash
from signaldelta_assets.backtests.runs import SUFFIXES
from signaldelta_assets.backtests.verify import rows_changed
from signaldelta_assets.errors import SignalDeltaError
from signaldelta_assets.snapshots import snapshot_hash
from signaldelta_assets.snapshots.reading import read_kind, snapshot_files
from signaldelta_assets.versioning import canonical_json, sha256_hex
from signaldelta_assets.warehouse import ArtifactStore, IntegrityError, Warehouse
from signaldelta_assets.warehouse.pools import identifier
from signaldelta_assets.warehouse.stores import backtests, labels, signals

# Rows of one way to the server and back.
_AT_ONCE = 5_000
Told = Callable[[str, int], None]


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that is not what it was when it was frozen."""

    kind: str
    name: str
    words: str


@dataclass(frozen=True, slots=True)
class ReadBack:
    """How many things of each kind were read back, and what is wrong with them."""

    checked: Mapping[str, int]
    faults: tuple[Fault, ...]


def read_back(
    warehouse: Warehouse, store: ArtifactStore, archive: ArtifactStore | None, told: Told | None = None
) -> ReadBack:
    """Read back documents, answers, records, events, labels, datasets, snapshots, runs and trials.

    `store` holds snapshot parts and artifacts; `archive` the bodies received, None to leave those out. `told(kind,
    number)` hears how far it is.
    """
    faults: list[Fault] = []
    checked: dict[str, int] = {}
    kinds: dict[str, Iterator[tuple[str, str | None]]] = {
        "document": _documents(warehouse),
        "model answer": _answers(warehouse),
        "raw record": _records(warehouse),
        "signal event": _events(warehouse),
        "label": _labels(warehouse),
        "dataset": _datasets(warehouse),
        "snapshot": _snapshots(warehouse, store),
        "run": _runs(warehouse, store),
        "trial": _trials(warehouse),
    }
    if archive is not None:
        kinds["body"] = _bodies(warehouse, archive)
    for kind, found in kinds.items():
        names: set[str] = set()
        number = 0
        for name, words in found:
            if name not in names:
                number += 1
            # One thing may have several faults; a million records need no memory of their names.
            names = {name}
            if words is not None:
                faults.append(Fault(kind, name, words))
            if told is not None and number % _AT_ONCE == 0:
                told(kind, number)
        checked[kind] = number
        if told is not None:
            told(kind, number)
    return ReadBack(checked, tuple(faults))


def _rows(warehouse: Warehouse, table: str, columns: str = "*", order: str = "") -> Iterator[dict[str, Any]]:
    """Yield the rows of a table of whatever size, through one cursor of the server."""
    query = sql.SQL("SELECT {} FROM {} {}").format(sql.SQL(columns), identifier(table), sql.SQL(order))
    with warehouse.read_pool().connection() as connection, connection.cursor(f"read_back_{table}") as cursor:
        cursor.itersize = _AT_ONCE
        cursor.execute(query)
        yield from cursor


def _expected(field: str, expected: Any, found: Any) -> str | None:
    return None if expected == found else f"field {field!r}: expected {expected}, found {found}"


def _documents(warehouse: Warehouse) -> Iterator[tuple[str, str | None]]:
    for row in _rows(warehouse, "documents"):
        name, canonical = row["document_hash"], bytes(row["canonical"])
        yield name, _expected("canonical", name, sha256_hex(canonical))
        yield name, _expected("document", "that of its canonical bytes", _same_json(row["document"], canonical))


def _same_json(stored: Any, canonical: bytes) -> str:
    """Say whether what a jsonb column gives is what the canonical bytes give: numbers may be written otherwise."""
    same = canonical_json(stored) == canonical_json(orjson.loads(canonical))
    return "that of its canonical bytes" if same else "another"


def _answers(warehouse: Warehouse) -> Iterator[tuple[str, str | None]]:
    for row in _rows(warehouse, "llm_outputs", "request_hash, output_hash, request, output"):
        yield row["request_hash"], _expected("request", row["request_hash"], sha256_hex(bytes(row["request"])))
        yield row["request_hash"], _expected("output", row["output_hash"], sha256_hex(bytes(row["output"])))


def _records(warehouse: Warehouse) -> Iterator[tuple[str, str | None]]:
    for row in _rows(warehouse, "raw_records", "raw_record_id, payload_hash, payload"):
        yield (
            row["raw_record_id"],
            _expected("payload", row["payload_hash"], sha256_hex(canonical_json(row["payload"]))),
        )


def _events(warehouse: Warehouse) -> Iterator[tuple[str, str | None]]:
    for row in _rows(warehouse, "iald_signals"):
        yield from _rebuilt(row, "event_id", signals.event_from_row)


def _labels(warehouse: Warehouse) -> Iterator[tuple[str, str | None]]:
    for row in _rows(warehouse, "labeled_events"):
        yield from _rebuilt(row, "label_id", labels.label_from_row)


def _rebuilt(
    row: Mapping[str, Any], key: str, build: Callable[[Mapping[str, Any]], Any]
) -> Iterator[tuple[str, str | None]]:
    name = f"{row[key]} revision {row['revision']}"
    try:
        built = build(row)
    except (SignalDeltaError, ValueError, TypeError, KeyError) as error:
        yield name, str(error)
        return
    yield name, _expected("content_hash", row["content_hash"], built.content_hash)
    yield name, _expected(key, row[key], getattr(built, key))


def _datasets(warehouse: Warehouse) -> Iterator[tuple[str, str | None]]:
    """Members against the hash, and the chain: a parent is an earlier version under the same definitions."""
    known: dict[str, dict[str, Any]] = {}
    for row in sorted(labels.list_datasets(warehouse), key=lambda row: int(row["version"])):
        name = row["dataset_id"]
        try:
            labels.verify_dataset(warehouse, name)
            yield name, None
        except SignalDeltaError as error:
            yield name, str(error)
        parent = row["parent_hash"]
        if parent is not None:
            before = known.get(parent)
            found = None if before is None else before["definitions_hash"]
            yield name, _expected("parent_hash", row["definitions_hash"], found)
        known[row["dataset_hash"]] = row


def _snapshots(warehouse: Warehouse, store: ArtifactStore) -> Iterator[tuple[str, str | None]]:
    datasets = {row["dataset_id"]: row["dataset_hash"] for row in labels.list_datasets(warehouse)}
    for row in _rows(warehouse, "backtest_snapshots"):
        name, canonical = row["snapshot_id"], bytes(row["manifest_canonical"])
        manifest = orjson.loads(canonical)
        yield name, _expected("manifest_canonical", row["snapshot_hash"], snapshot_hash(manifest))
        yield name, _expected("manifest", "that of its canonical bytes", _same_json(row["manifest"], canonical))
        for field in ("snapshot_id", "dataset_id", "definitions_hash"):
            yield name, _expected(field, manifest[field], row[field])
        yield name, _expected("dataset_hash", manifest["dataset_hash"], datasets.get(row["dataset_id"]))
        try:
            files = snapshot_files(store, manifest)
        except IntegrityError as error:
            yield name, str(error)
            continue
        for file in files:
            try:
                read_kind(file.kind, [file])
            except IntegrityError as error:
                yield name, str(error)


@dataclass(frozen=True, slots=True)
class _StoredOutput:
    path: Path


@dataclass(frozen=True, slots=True)
class _Stored:
    """A run's result as its files have it."""

    evaluation: Mapping[str, Any]
    paths: Mapping[str, Path]

    def output(self, name: str) -> _StoredOutput:
        return _StoredOutput(self.paths[name])


def _runs(warehouse: Warehouse, store: ArtifactStore) -> Iterator[tuple[str, str | None]]:
    for listed in _rows(warehouse, "backtest_runs", "run_id"):
        name = listed["run_id"]
        row = backtests.get_run(warehouse, name)
        try:
            manifest = check_manifest(row["manifest"])
        except SignalDeltaError as error:
            yield name, str(error)
            continue
        yield name, _expected("manifest_hash", row["manifest_hash"], manifest_hash(row["manifest"]))
        for field, expected in (
            ("run_id", manifest.run_id), ("run_hash", manifest.run_hash), ("spec_hash", manifest.spec_hash),
            ("snapshot_id", manifest.snapshot.id), ("evaluation_hash", manifest.evaluation_hash),
        ):  # fmt: skip
            yield name, _expected(field, expected, row[field])
        try:
            frozen = backtests.get_snapshot(warehouse, manifest.snapshot.hash)
            yield name, _expected("snapshot.hash", manifest.snapshot.id, frozen["snapshot_id"])
            yield name, _expected("dataset.hash", manifest.dataset.hash, frozen["manifest"]["dataset_hash"])
        except SignalDeltaError as error:
            yield name, str(error)
        paths: dict[str, Path] = {}
        for output in manifest.outputs:
            try:
                paths[output.name] = store.verify(output.file_hash, SUFFIXES[output.media_type])
            except IntegrityError as error:
                yield name, f"artifact {output.name}: {error}"
        if {"evaluation", "alerts"} <= paths.keys():
            stored = _Stored(orjson.loads(paths["evaluation"].read_bytes()), paths)
            for words in rows_changed(warehouse, row, stored):
                yield name, words


def _trials(warehouse: Warehouse) -> Iterator[tuple[str, str | None]]:
    """Every trial is of a run that is there; the numbers of a family have no gaps."""
    last: dict[str, int] = {}
    runs = {row["run_hash"] for row in _rows(warehouse, "backtest_runs", "run_hash")}
    for row in _rows(warehouse, "hypothesis_trials", order="ORDER BY hypothesis_family, trial_number"):
        family, number = row["hypothesis_family"], row["trial_number"]
        name = f"{family} {number}"
        yield name, _expected("trial_number", last.get(family, 0) + 1, number)
        yield name, None if row["run_hash"] in runs else f"field 'run_hash': no such run {row['run_hash']}"
        last[family] = number


def _bodies(warehouse: Warehouse, archive: ArtifactStore) -> Iterator[tuple[str, str | None]]:
    for row in _rows(warehouse, "raw_documents", "body_hash, size_bytes"):
        try:
            size = archive.verify(row["body_hash"]).stat().st_size
        except IntegrityError as error:
            yield row["body_hash"], str(error)
            continue
        yield row["body_hash"], _expected("size_bytes", row["size_bytes"], size)
