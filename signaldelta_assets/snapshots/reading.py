"""Opening a snapshot: every byte of every part is checked before anything is read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from signaldelta_assets.warehouse import ArtifactStore, IntegrityError

from .manifest import Manifest, read_manifest, snapshot_hash
from .parts import ADDED_LATER, PARTS, SUFFIX, read_parquet

_AT_ONCE = 2


@dataclass(frozen=True, slots=True)
class SnapshotFile:
    """Where a part lies, and what it must be."""

    kind: str
    stretch: str
    path: Path
    file_hash: str
    content_hash: str


@dataclass(frozen=True, slots=True)
class OpenSnapshot:
    """A snapshot whose bytes have been checked. `table` reads a kind, its stretches put together in order."""

    snapshot_hash: str
    manifest: Manifest
    files: tuple[SnapshotFile, ...]

    def table(self, kind: str) -> pa.Table:
        """Return the rows of `kind` (schema: `PARTS`)."""
        return read_kind(kind, self.files)

    def tables(self) -> dict[str, pa.Table]:
        """Return every kind by name."""
        return {kind: self.table(kind) for kind in PARTS}


def read_kind(kind: str, files: Sequence[SnapshotFile], columns: Sequence[str] = ()) -> pa.Table:
    """Return the rows of `kind` from its files, with all columns or with `columns`.

    Raises `IntegrityError` where a file is not what it must be.
    """

    def read(file: SnapshotFile) -> pa.Table:
        return read_parquet(file.path, file.file_hash, file.content_hash, PARTS[kind], columns)

    # Files beside one another; Arrow's own threads would cut one file at a time.
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        tables = list(pool.map(read, (file for file in files if file.kind == kind)))
    if not tables and kind in ADDED_LATER:
        return PARTS[kind].empty_table().select(columns or PARTS[kind].names)
    if not tables:
        raise IntegrityError(f"snapshot part {kind!r}: expected at least one file, found none")
    return pa.concat_tables(tables).combine_chunks()


def snapshot_files(store: ArtifactStore, manifest: Mapping[str, Any]) -> tuple[SnapshotFile, ...]:
    """Return the files of a manifest, each verified. Raises `IntegrityError` naming the part and the file."""
    files = []
    for part in read_manifest(manifest).parts:
        try:
            path = store.verify(part.file_hash, SUFFIX)
        except IntegrityError as error:
            raise IntegrityError(f"snapshot part {part.kind}/{part.stretch}: {error}") from error
        files.append(SnapshotFile(part.kind, part.stretch, path.resolve(), part.file_hash, part.content_hash))
    return tuple(files)


def open_snapshot(store: ArtifactStore, manifest: Mapping[str, Any]) -> OpenSnapshot:
    """Open the snapshot of `manifest` after checking the bytes of every part. Raises `IntegrityError`."""
    return OpenSnapshot(snapshot_hash(manifest), read_manifest(manifest), snapshot_files(store, manifest))
