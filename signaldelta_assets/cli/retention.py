"""What `signaldelta db prune` and `signaldelta db partitions` do and show."""

from __future__ import annotations

from datetime import UTC, datetime

from rich.console import Console
from rich.table import Table


def prune(console: Console, *, dry_run: bool) -> None:
    """Remove what is past its time, or with `dry_run` show what would be removed."""
    from signaldelta_assets.settings import load_settings
    from signaldelta_assets.warehouse import ArtifactStore
    from signaldelta_assets.warehouse.maintenance import prune

    settings = load_settings()
    done = prune(settings, datetime.now(UTC), ArtifactStore(settings.archive_dir), dry_run=dry_run)
    shown = Table(
        "table", "partition", "rows", "bytes", "where", "why", title="would be removed" if dry_run else "removed"
    )
    for one in done.pruned:
        size = f"{one.size_bytes:,}" if one.size_bytes else ""
        shown.add_row(one.table, one.partition or "", f"{one.rows:,}", size, one.place, one.why)
    if done.events:
        why = f"steps and engine, {settings.event_log_days} days after their run"
        shown.add_row("dagster.event_logs", "", f"{done.events:,}", "", "here", why)
    console.print(shown if shown.rows else "nothing is past its time")


def show_partitions(console: Console) -> None:
    """Make the partitions of the next years, move what is in DEFAULT, and list all partitions with their sizes."""
    from signaldelta_assets.settings import load_settings
    from signaldelta_assets.warehouse import ready_urls
    from signaldelta_assets.warehouse.maintenance import shape
    from signaldelta_assets.warehouse.partitions import owner, partitions
    from signaldelta_assets.warehouse.tables import split_tables

    settings = load_settings()
    done = shape(settings, datetime.now(UTC))
    for moved in done.moved:
        console.print(f"{moved.table}: {moved.rows:,} rows moved out of DEFAULT, {moved.left:,} left")
    for words in done.waiting:
        console.print(f"left for the next time: {words}")
    shown = Table("table", "partition", "from", "to before", "rows, about", "bytes")
    with owner(ready_urls(settings)[0]) as connection:
        for table in split_tables():
            for one in partitions(connection, str(table.name)):
                ends = [str(day or "") for day in (one.start, one.stop)]
                shown.add_row(one.table, one.name, *ends, f"{one.rows:,}", f"{one.size_bytes:,}")
    console.print(shown)
    console.print(f"{len(done.made)} made now")
