"""`signaldelta db` and `signaldelta status`: the homes' schema, replication, refused writes, and how all of it is."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict

import typer
from rich.console import Console
from rich.progress import TaskID
from rich.table import Table

from signaldelta_assets.observability import channels_of, send_alerts, send_unkept
from signaldelta_assets.settings import Settings
from signaldelta_assets.warehouse import (
    ArtifactStore,
    Place,
    current_revision,
    home_urls,
    metadata,
    migrate,
    migrate_homes,
    misrouted,
    open_warehouse,
    other_place,
    receiving,
    replication,
    seed,
    watch,
    watched_urls,
)
from signaldelta_assets.warehouse.copying import ReplicationError
from signaldelta_assets.warehouse.receiving import Lag
from signaldelta_assets.warehouse.replication import embedded_homes


def _homes(settings: Settings) -> dict[Place, str]:
    """Return both homes' URLs. Raises `ReplicationError` where the settings name one."""
    urls = home_urls(settings)
    if len(urls) < 2:
        raise ReplicationError(
            "two homes: expected SIGNALDELTA_PLACE=offsite or aws, and SIGNALDELTA_PEER_DATABASE_URL for the other "
            f"one (or neither URL, for two embedded servers); found place {settings.place!r}"
        )
    return urls


def migrate_all(console: Console, settings: Settings, *, level: bool) -> None:
    """Bring every home the settings name to this code's schema, both or neither."""
    urls = home_urls(settings)
    if len(urls) == 1:
        migrate(urls[settings.place], place=settings.place)
    else:
        migrate_homes(urls, level=level)
        if replication.is_paired(urls):
            # What is new or was made anew is published and received as well.
            replication.pair(urls, told=lambda text: console.print(text, highlight=False))
    for place, url in urls.items():
        console.print(f"{place}: schema version {current_revision(url)}")


def seed_all(console: Console, settings: Settings) -> None:
    """Add the seeds that are missing at the homes that they belong to."""
    for place, url in home_urls(settings).items():
        console.print(f"{place}: {seed(url, place)} rows added", highlight=False)


def verify(console: Console, settings: Settings, *, archive: bool, as_json: bool) -> bool:
    """Read back everything frozen; return whether all of it is what it was."""
    from rich.progress import Progress, TextColumn, TimeElapsedColumn

    from signaldelta_assets.readback import read_back

    bodies = ArtifactStore(settings.archive_dir) if archive else None
    shown = Progress(
        TextColumn("{task.description}"), TextColumn("{task.completed:,}"), TimeElapsedColumn(),
        console=Console(stderr=True), transient=True,
    )  # fmt: skip
    tasks: dict[str, TaskID] = {}

    def told(kind: str, number: int) -> None:
        if kind not in tasks:
            tasks[kind] = shown.add_task(kind, total=None)
        shown.update(tasks[kind], completed=number)

    with open_warehouse(settings) as warehouse, shown:
        found = read_back(warehouse, ArtifactStore(settings.artifacts_dir), bodies, told)
    if as_json:
        print(json.dumps(asdict(found)))
        return not found.faults
    for kind, number in found.checked.items():
        wrong = sum(fault.kind == kind for fault in found.faults)
        console.print(f"{kind}: {number:,} read back, {wrong} faults", highlight=False)
    for fault in found.faults:
        console.print(f"{fault.kind} {fault.name}: {fault.words}", highlight=False, soft_wrap=True)
    return not found.faults


def list_tables(console: Console) -> None:
    """List the tables of the registry."""
    shown = Table("table", "group", "home", "identity", "key", "frozen", "kept", "why")
    for table in metadata.sorted_tables:
        key = ", ".join(column.name for column in table.primary_key.columns)
        info = table.info
        kept = "" if info["keep"].days is None else f"{info['keep'].days} days"
        shown.add_row(
            table.name, info["group"], info["home"], info["identity"], key, "yes" if info["frozen"] else "", kept,
            info["why"],
        )  # fmt: skip
    console.print(shown)


def pair(console: Console, settings: Settings) -> None:
    """Set up or mend the replication between both homes; embedded servers are configured and restarted for it."""
    urls = _homes(settings)
    if settings.database_url is None and settings.peer_database_url is None:
        folders = {settings.place: settings.postgres_dir, other_place(settings.place): settings.peer_postgres_dir}
        urls = embedded_homes(folders)
    if any(current_revision(url) is None for url in urls.values()):
        migrate_homes(urls, level=True)
    done = replication.pair(urls, told=lambda text: console.print(text, highlight=False))
    if not done:
        console.print("nothing to do: every group is published and subscribed to")


def unpair(console: Console, settings: Settings) -> None:
    """Drop publications and subscriptions of both homes."""
    replication.unpair(_homes(settings))
    console.print("no group is replicated any more; the rows stay where they are")


def show_lag(console: Console, settings: Settings, *, as_json: bool) -> bool:
    """Show how far each reader is behind; return whether all are within what is allowed."""
    lags = receiving.lag(_homes(settings))
    if as_json:
        print(json.dumps([asdict(lag) for lag in lags]))
    else:
        console.print(_lag_table(lags))
        for lag in lags:
            if lag.trouble is not None:
                console.print(lag.trouble, highlight=False, soft_wrap=True)
    return all(lag.trouble is None for lag in lags)


def _lag_table(lags: list[Lag]) -> Table:
    shown = Table("group", "from", "state", "bytes", "seconds", "allowed s")
    for lag in lags:
        shown.add_row(
            lag.group,
            lag.home,
            lag.state,
            "" if lag.bytes is None else f"{lag.bytes:,}",
            "" if lag.seconds is None else f"{lag.seconds:.1f}",
            f"{lag.limit_seconds:.0f}",
        )
    return shown


def resync(console: Console, settings: Settings, group: str) -> None:
    """Copy one group anew; say what differed."""
    for table, rows in replication.resync(_homes(settings), group).items():
        console.print(f"{table}: {rows:,} rows differed", highlight=False)


def adopt(console: Console, settings: Settings, group: str) -> None:
    """Bring rows that only the reader of a group has to its home; say how many."""
    for table, rows in replication.adopt(_homes(settings), group).items():
        console.print(f"{table}: {rows:,} rows brought home", highlight=False)


def compare(console: Console, settings: Settings, *, wait_seconds: float, as_json: bool) -> bool:
    """Compare every replicated table of both homes; return whether all are equal."""
    urls = _homes(settings)
    receiving.wait_until_received(urls, wait_seconds)
    with console.status("comparing") as shown:
        found = receiving.compare(urls, told=lambda text: shown.update(f"comparing: {text}"))
    if as_json:
        print(json.dumps([asdict(one) | {"equal": one.equal} for one in found]))
        return all(one.equal for one in found)
    listed = Table("table", "group", "rows at AWS", "rows offsite", "content (SHA-256)")
    for one in found:
        content = one.aws.sha256[:16] if one.equal else f"{one.aws.sha256[:16]} and {one.offsite.sha256[:16]}"
        listed.add_row(one.table, one.group, f"{one.aws.rows:,}", f"{one.offsite.rows:,}", content)
    console.print(listed)
    different = [one.table for one in found if not one.equal]
    console.print(f"different: {', '.join(different)}" if different else "both homes are equal", highlight=False)
    return not different


def recover(console: Console, settings: Settings) -> bool:
    """Deliver refused writes of both places to their homes; return whether none is left."""
    urls = _homes(settings)
    left = False
    total: dict[str, int] = {}
    for place, url in urls.items():
        peer = next(other for name, other in urls.items() if name != place)
        for delivery in misrouted.recover(url, peer, place):
            total[delivery.outcome] = total.get(delivery.outcome, 0) + 1
            if delivery.error is not None:
                left = True
                typer.echo(f"{place}: {delivery.write_id} ({delivery.table}): {delivery.error}", err=True)
    counted = ", ".join(f"{number} {outcome}" for outcome, number in sorted(total.items()))
    console.print(counted or "nothing was waiting", highlight=False)
    return not left


def status(console: Console, settings: Settings, *, as_json: bool) -> bool:
    """Show how everything is, keep it as alerts, and return whether all is well."""
    urls = watched_urls(settings)
    folders = [settings.home_dir, settings.archive_dir, settings.artifacts_dir]
    full = watch.disks(folders, settings.disk_warning, settings.disk_critical)
    view = watch.look(urls, settings.place, more=[full])
    keep_alerts(settings, urls[settings.place], view)
    if as_json:
        print(json.dumps(view.to_document(), default=str))
        return not view.troubles
    console.print(_versions(view.versions), highlight=False)
    if view.lags:
        console.print(_lag_table(view.lags))
    for trouble in view.troubles:
        console.print(f"{trouble.severity}: {trouble.words}", highlight=False, soft_wrap=True)
    if not view.troubles:
        console.print("all is well")
    return not view.troubles


def keep_alerts(settings: Settings, url: str, view: watch.View) -> None:
    """Note what is wrong at this place and send what is news; that it does not answer is sent without being noted."""
    import psycopg

    from signaldelta_assets.warehouse import Warehouse

    away = [trouble for trouble in view.troubles if (trouble.kind, trouble.subject) == ("home_down", view.place)]
    send_unkept(settings.home_dir, channels_of(settings), settings.place, away)
    if view.versions.get(view.place) is None or any(t.kind == "schema_version" for t in view.troubles):
        return
    try:
        with Warehouse(url, place=view.place) as warehouse:
            with warehouse.pulse() as connection:
                watch.note(connection, view.troubles)
            send_alerts(warehouse.pulse, channels_of(settings), settings.place)
    except psycopg.Error as error:
        typer.echo(f"the alerts could not be kept: {error}", err=True)


def _versions(versions: Mapping[Place, str | None]) -> str:
    return ", ".join(f"{place}: {version or 'no answer'}" for place, version in versions.items())
