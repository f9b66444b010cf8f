"""How full the disks are, and what of the database fills them. Reads only; who is told is decided elsewhere."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from psycopg import Connection
from psycopg.rows import dict_row

from signaldelta_assets.errors import SignalDeltaError

from .tables import SCHEMA

Level = Literal["ok", "warning", "critical"]


class ThresholdError(SignalDeltaError):
    """Watermarks of a disk that are not in order."""


@dataclass(frozen=True, slots=True)
class DiskUse:
    """How full the file system of a path is: bytes, and the used part of what can be used (0 to 1).

    What is reserved for the superuser counts as neither, as with `df`. device: the file system's own number.
    """

    path: Path
    total: int
    used: int
    fraction: float
    level: Level
    device: int


def disk_usage(paths: Iterable[Path], warning: float = 0.8, critical: float = 0.9) -> list[DiskUse]:
    """Return how full the file system of each path is, in the order given; of a path not there, of its nearest parent.

    `level` is `warning` from that part on, `critical` from the other on. Raises `ThresholdError` unless
    0 < warning <= critical <= 1.
    """
    if not 0 < warning <= critical <= 1:
        raise ThresholdError(f"watermarks: expected 0 < warning <= critical <= 1, found {warning} and {critical}")
    found = []
    for path in paths:
        there = path.absolute()
        while not there.exists():
            there = there.parent
        space = shutil.disk_usage(there)
        usable = space.used + space.free
        fraction = space.used / usable if usable else 1.0
        level: Level = "critical" if fraction >= critical else "warning" if fraction >= warning else "ok"
        found.append(DiskUse(path, space.total, space.used, fraction, level, there.stat().st_dev))
    return found


def server_directory(connection: Connection[Any]) -> Path | None:
    """Return the data directory of the server where it is on this machine and may be known, else None."""
    # Over a Unix socket the server is here; over TCP its path says nothing about this machine's disks.
    if not (connection.info.host or "").startswith(("/", "@")):
        return None
    with connection.cursor(row_factory=dict_row) as cursor:
        row = cursor.execute("SELECT setting FROM pg_settings WHERE name = 'data_directory'").fetchone()
    return None if row is None or not row["setting"] else Path(row["setting"])


@dataclass(frozen=True, slots=True)
class TableSize:
    """What a table takes, partitions and TOAST included: rows by the statistics, bytes of rows and indexes."""

    schema: str
    table: str
    partitions: int
    rows: int
    table_bytes: int
    index_bytes: int

    @property
    def total_bytes(self) -> int:
        """Everything it takes."""
        return self.table_bytes + self.index_bytes


_SIZES = """
SELECT n.nspname AS schema, c.relname AS table,
       CASE c.relkind WHEN 'p' THEN (SELECT count(*) FROM pg_partition_tree(c.oid) WHERE isleaf) ELSE 0 END AS partitions,
       whole.rows, whole.table_bytes, whole.index_bytes
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
CROSS JOIN LATERAL (
  SELECT sum(greatest(leaf.reltuples, 0))::bigint AS rows, sum(pg_table_size(leaf.oid))::bigint AS table_bytes,
         sum(pg_indexes_size(leaf.oid))::bigint AS index_bytes
  FROM pg_class leaf WHERE leaf.oid = c.oid AND c.relkind = 'r'
     OR c.relkind = 'p' AND leaf.oid IN (SELECT relid FROM pg_partition_tree(c.oid) WHERE isleaf)
) AS whole
WHERE n.nspname = ANY(%s) AND c.relkind IN ('r', 'p') AND NOT c.relispartition
ORDER BY whole.table_bytes + whole.index_bytes DESC, 1, 2
"""  # noqa: E501


def table_sizes(connection: Connection[Any], schemas: Iterable[str] = (SCHEMA, "dagster")) -> list[TableSize]:
    """Return what each table of the schemas takes, the largest first; a partitioned one as one."""
    with connection.cursor(row_factory=dict_row) as cursor:
        rows = cursor.execute(_SIZES, (list(schemas),)).fetchall()
    return [TableSize(**row) for row in rows]
