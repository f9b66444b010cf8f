"""Rows of stored Parquet files, a few thousand at a time: the score grid of a run, the parts of a snapshot.

Files are sorted by entity, so that of a question about one of them the row groups that cannot hold it are left unread.
No connection to the database is held while a file is read.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, cast

import pyarrow as pa
import pyarrow.compute
import pyarrow.parquet as pq

from signaldelta_assets.warehouse import ArtifactStore

pc: Any = pyarrow.compute
# Rows of a batch: of a grid about two megabytes.
ROWS = 32_768
# By what a part's rows are asked for in time: the first of these that it has.
_MOMENTS = ("at", "event_time")
_KNOWN_FILES = 256


@dataclass(frozen=True, slots=True)
class Cut:
    """Which rows: of one entity, from `start` on and before `end`; None for all."""

    entity_id: str | None = None
    start: datetime | None = None
    end: datetime | None = None


class Verified:
    """Files whose bytes this process has found to be those of their names, and that have not been touched since."""

    def __init__(self) -> None:
        self._seen: OrderedDict[tuple[str, int, int, int], None] = OrderedDict()
        self._lock = threading.Lock()

    def path(self, store: ArtifactStore, file_hash: str, suffix: str = ".parquet") -> Path:
        """Return the path of a file, hashed whole where that was not done. Raises `IntegrityError`."""
        path = store.path(file_hash, suffix)
        if path.is_file():
            found = path.stat()
            key = (str(path), found.st_ino, found.st_size, found.st_mtime_ns)
            with self._lock:
                if key in self._seen:
                    self._seen.move_to_end(key)
                    return path
            store.verify(file_hash, suffix)
            with self._lock:
                self._seen[key] = None
                while len(self._seen) > _KNOWN_FILES:
                    self._seen.popitem(last=False)
            return path
        return store.verify(file_hash, suffix)


def moment_of(schema: pa.Schema) -> str | None:
    """Return the column that `start` and `end` are about, None where rows have no moment."""
    return next((name for name in _MOMENTS if name in schema.names), None)


def plain(schema: pa.Schema) -> pa.Schema:
    """Return the schema that is sent: texts as texts, not as numbers in a dictionary of each row group's own."""
    return pa.schema(
        [
            pa.field(one.name, one.type.value_type if pa.types.is_dictionary(one.type) else one.type, one.nullable)
            for one in schema
        ]
    )


def batches(path: Path, cut: Cut) -> Iterator[pa.RecordBatch]:
    """Yield the rows of a file in its order, those of `cut`; columns and types as `plain` says."""
    with pq.ParquetFile(path, memory_map=False, pre_buffer=False) as file:
        schema = plain(file.schema_arrow)
        when = moment_of(schema)
        groups = [number for number in range(file.num_row_groups) if _may_hold(file, number, cut, when)]
        for batch in file.iter_batches(batch_size=ROWS, row_groups=groups, use_threads=False):
            kept = _cut(batch, cut, when)
            if kept.num_rows:
                yield kept.cast(schema)


def _may_hold(file: pq.ParquetFile, number: int, cut: Cut, when: str | None) -> bool:
    group = file.metadata.row_group(number)
    for place in range(group.num_columns):
        column = group.column(place)
        known = column.statistics
        if known is None or not known.has_min_max:
            continue
        low, high = cast(Any, known.min), cast(Any, known.max)
        if column.path_in_schema == "entity_id" and cut.entity_id is not None:
            if not low <= cut.entity_id <= high:
                return False
        elif column.path_in_schema == when and (
            (cut.start is not None and high < cut.start) or (cut.end is not None and low >= cut.end)
        ):
            return False
    return True


def _cut(batch: pa.RecordBatch, cut: Cut, when: str | None) -> pa.RecordBatch:
    conditions = []
    if cut.entity_id is not None:
        conditions.append(pc.equal(batch["entity_id"], cut.entity_id))
    if when is not None and cut.start is not None:
        conditions.append(pc.greater_equal(batch[when], pa.scalar(cut.start, batch[when].type)))
    if when is not None and cut.end is not None:
        conditions.append(pc.less(batch[when], pa.scalar(cut.end, batch[when].type)))
    for condition in conditions[1:]:
        conditions[0] = pc.and_(conditions[0], condition)
    return batch.filter(conditions[0]) if conditions else batch
