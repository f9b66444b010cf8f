"""What the database needs once a day: partitions ahead, rows out of DEFAULT, what is past its time removed."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from psycopg import OperationalError

from . import event_log, partitions, retention
from .artifacts import ArtifactStore
from .opening import DatabaseSettings, ready_urls
from .partitions import Moved, PartitionError
from .retention import Pruned, RetentionSettings

log = logging.getLogger(__name__)


class MaintenanceSettings(DatabaseSettings, RetentionSettings, Protocol):
    """What is asked of the settings (`signaldelta_assets.settings`)."""

    @property
    def event_log_days(self) -> int | None:
        """How long Dagster's log of steps stays."""


@dataclass(slots=True)
class Maintained:
    """What was done: partitions made and guarded, rows moved, what was pruned, and what could not be done now."""

    made: list[str] = field(default_factory=list)
    guarded: list[str] = field(default_factory=list)
    moved: list[Moved] = field(default_factory=list)
    pruned: list[Pruned] = field(default_factory=list)
    events: int = 0
    waiting: list[str] = field(default_factory=list)

    def counts(self) -> dict[str, Any]:
        """Return it as plain figures, by table where there are several."""
        rows: dict[str, int] = {}
        for one in self.pruned:
            rows[one.table] = rows.get(one.table, 0) + one.rows
        return {
            "partitions_made": self.made,
            "partitions_guarded": self.guarded,
            "rows_moved": {moved.table: moved.rows for moved in self.moved},
            "rows_left_in_default": {moved.table: moved.left for moved in self.moved if moved.left},
            "rows_pruned": rows,
            "partitions_dropped": [
                f"{one.partition} ({one.place})" for one in self.pruned if one.size_bytes and one.partition
            ],
            "bytes_pruned": sum(one.size_bytes for one in self.pruned),
            "events_pruned": self.events,
            "waiting": self.waiting,
        }


def shape(settings: MaintenanceSettings, now: datetime) -> Maintained:
    """Make the partitions of the next years and move what is in DEFAULT, here and at the other home; return what."""
    url, peer = ready_urls(settings)
    done = Maintained()
    _shape(url, now, done)
    if peer is not None:
        try:
            _shape(peer, now, done)
        except OperationalError as error:
            done.waiting.append(f"the other home does not answer: {str(error).splitlines()[0]}")
    return done


def _shape(url: str, now: datetime, done: Maintained) -> None:
    try:
        # Those first whose rows are here already: DEFAULT lets no partition be made of a time that it has rows of.
        done.moved += partitions.settle(url)
    except PartitionError as error:
        done.waiting.append(str(error))
    done.made += partitions.ensure_ahead(url, now)
    done.guarded += partitions.guard(url)


def prune(
    settings: MaintenanceSettings, now: datetime, archive: ArtifactStore | None = None, *, dry_run: bool = False
) -> Maintained:
    """Remove what is past its time of the tables whose home this is, of the archive and of Dagster's log; return what.

    With `dry_run` nothing is removed, and the same is returned.
    """
    url, peer = ready_urls(settings)
    keep: Mapping[str, Any] = retention.keeps(settings)
    done = Maintained()
    done.pruned = retention.prune(
        url, now, dry_run=dry_run, place=settings.place, peer_url=peer, keep=keep, archive=archive
    )
    if settings.event_log_days is not None:
        done.events = event_log.prune_events(url, now, settings.event_log_days, dry_run=dry_run).events
    return done


def maintain(settings: MaintenanceSettings, now: datetime, archive: ArtifactStore | None = None) -> Maintained:
    """Do both: `shape`, then `prune`."""
    done = shape(settings, now)
    removed = prune(settings, now, archive)
    done.pruned, done.events = removed.pruned, removed.events
    for words in done.waiting:
        log.warning("left for the next time: %s", words)
    return done
