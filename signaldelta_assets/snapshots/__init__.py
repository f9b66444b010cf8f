"""Snapshots: a frozen, content-addressed copy of everything a backtest may read (backtests.md, Snapshot).

`parts` says which tables there are and how their bytes are made and named, `freeze` copies them out of the warehouse
as of a moment, `reading` opens them again after every byte is checked. Nothing here computes a score.
"""

from .freeze import Snapshot, freeze_snapshot, frontier_rows
from .manifest import SnapshotManifestError, snapshot_hash
from .parts import PARTS, PartFile, read_parquet, write_parquet
from .reading import OpenSnapshot, SnapshotFile, open_snapshot, snapshot_files

__all__ = [
    "PARTS",
    "OpenSnapshot",
    "PartFile",
    "Snapshot",
    "SnapshotFile",
    "SnapshotManifestError",
    "freeze_snapshot",
    "frontier_rows",
    "open_snapshot",
    "read_parquet",
    "snapshot_files",
    "snapshot_hash",
    "write_parquet",
]
