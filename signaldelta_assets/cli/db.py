"""The `db` commands: migrate and seed, two homes, read back, back up and restore, prune. Each imports when called."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console

from .refusing import refusals

app = typer.Typer(no_args_is_help=True, help="The database: migrate it, print its schema.")
console = Console()


@app.command("migrate")
def migrate_command(
    level: Annotated[bool, typer.Option("--level", help="Bring homes of different versions together first.")] = False,
) -> None:
    """Bring the database, or both homes together, to this code's schema."""
    from signaldelta_assets.settings import load_settings

    from .database import migrate_all

    with refusals("db migrate"):
        migrate_all(console, load_settings(), level=level)


@app.command("seed")
def seed_command() -> None:
    """Add what every deployment starts with and is missing: entitlements, system cohorts, model routing."""
    from signaldelta_assets.settings import load_settings

    from .database import seed_all

    with refusals("db seed"):
        seed_all(console, load_settings())


@app.command("verify")
def verify_database_command(
    archive: Annotated[bool, typer.Option(help="Read the archived bodies as well.")] = True,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """Read back everything frozen, rows and files, against its hashes; exit code 1 where a byte has changed."""
    from signaldelta_assets.settings import load_settings

    from .database import verify

    with refusals():
        sound = verify(console, load_settings(), archive=archive, as_json=as_json)
    raise typer.Exit(0 if sound else 1)


@app.command("schema")
def schema() -> None:
    """Print the whole schema as SQL, made from the table registry."""
    from signaldelta_assets.warehouse.ddl import schema_sql

    print(schema_sql(), end="")


@app.command("tables")
def tables() -> None:
    """List the tables with group, write home, identity, key, retention, and why they exist."""
    from .database import list_tables

    list_tables(console)


@app.command("pair")
def pair_command() -> None:
    """Set up, or mend, replication between both homes: every group one way, from where it is written."""
    from signaldelta_assets.settings import load_settings

    from .database import pair

    with refusals("db pair"):
        pair(console, load_settings())


@app.command("unpair")
def unpair_command() -> None:
    """Take replication down at both homes; the rows stay."""
    from signaldelta_assets.settings import load_settings

    from .database import unpair

    with refusals("db unpair"):
        unpair(console, load_settings())


@app.command("lag")
def lag_command(as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False) -> None:
    """Show how far each group's reader is behind, in bytes and seconds; exit code 1 beyond what is allowed."""
    from signaldelta_assets.settings import load_settings

    from .database import show_lag

    with refusals():
        well = show_lag(console, load_settings(), as_json=as_json)
    raise typer.Exit(0 if well else 1)


@app.command("resync")
def resync_command(group: Annotated[str, typer.Argument(help="A table group; `db tables` lists them.")]) -> None:
    """Copy one group anew from its home; only what differs is written."""
    from signaldelta_assets.settings import load_settings

    from .database import resync

    with refusals("db resync"):
        resync(console, load_settings(), group)


@app.command("adopt")
def adopt_command(group: Annotated[str, typer.Argument(help="A table group; `db tables` lists them.")]) -> None:
    """Bring the rows of a group that only its reader has to its home: for one database that becomes two."""
    from signaldelta_assets.settings import load_settings

    from .database import adopt

    with refusals("db adopt"):
        adopt(console, load_settings(), group)


@app.command("compare")
def compare_command(
    wait: Annotated[float, typer.Option(help="Seconds to wait until both have received what the other wrote.")] = 60.0,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """Compare the content of every replicated table at both homes; exit code 1 where one differs."""
    from signaldelta_assets.settings import load_settings

    from .database import compare

    with refusals():
        equal = compare(console, load_settings(), wait_seconds=wait, as_json=as_json)
    raise typer.Exit(0 if equal else 1)


@app.command("recover")
def recover_command() -> None:
    """Deliver writes that came to the wrong home to the right one, each once; exit code 1 where one is left."""
    from signaldelta_assets.settings import load_settings

    from .database import recover

    with refusals("db recover"):
        delivered = recover(console, load_settings())
    raise typer.Exit(0 if delivered else 1)


BACKUPS = Annotated[Path | None, typer.Option("--to", help="Folder of backups; HOME/backups if none.")]
AS_JSON = Annotated[bool, typer.Option("--json", help="JSON on one line.")]


@app.command("backup")
def backup_command(
    to: BACKUPS = None,
    files: Annotated[bool, typer.Option("--files", help="New files of the stores alone, no database.")] = False,
    keep: Annotated[int | None, typer.Option(min=1, help="Then remove all but the newest of so many.")] = None,
    as_json: AS_JSON = False,
) -> None:
    """Back up the running database and the files it names; exit code 1 where it names one that is not there."""
    from .backups import backup

    with refusals("db backup"):
        whole = backup(console, to, files_only=files, keep=keep, as_json=as_json)
    raise typer.Exit(0 if whole else 1)


@app.command("backups")
def backups_command(to: BACKUPS = None, as_json: AS_JSON = False) -> None:
    """List the finished backups, oldest first."""
    from .backups import backups

    with refusals():
        backups(console, to, as_json=as_json)


@app.command("restore")
def restore_command(
    backup: Annotated[str, typer.Argument(help="A backup's folder, or its name in HOME/backups.")],
    to: Annotated[Path, typer.Option("--to", help="The new data directory: none yet, or empty.")],
    until: Annotated[str | None, typer.Option(help="A moment (ISO 8601 with a zone), included; or latest.")] = None,
    home: Annotated[Path | None, typer.Option(help="Put the files of the stores into this home as well.")] = None,
    wal: Annotated[Path | None, typer.Option(help="The archived log; that in the folder of backups if none.")] = None,
    stop: Annotated[bool, typer.Option("--stop", help="Stop the restored server after the comparison.")] = False,
    as_json: AS_JSON = False,
) -> None:
    """Restore into a new data directory, start it, compare every table and file; exit code 1 where one differs."""
    from .backups import restore

    with refusals("db restore"):
        equal = restore(console, backup, to, until=until, home=home, wal=wal, stop=stop, as_json=as_json)
    raise typer.Exit(0 if equal else 1)


@app.command("fingerprints")
def fingerprints_command(as_json: AS_JSON = False) -> None:
    """Show the content of every table as a hash: two homes with equal ones hold the same rows."""
    from .backups import show_fingerprints

    with refusals():
        show_fingerprints(console, as_json=as_json)


@app.command("archiver")
def archiver_command(
    action: Annotated[
        Literal["status", "on", "off", "now"], typer.Argument(help="on and off start the embedded server again.")
    ] = "status",
    to: BACKUPS = None,
    as_json: AS_JSON = False,
) -> None:
    """Archive the log between backups, so that any moment can be restored; exit code 1 where it does not keep up."""
    from .backups import archiver

    with refusals():
        well = archiver(console, action, to, as_json=as_json)
    raise typer.Exit(0 if well else 1)


@app.command("prune")
def prune_command(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Remove nothing: show what would go.")] = False,
) -> None:
    """Remove what is past its time and what nothing rests on; docs/retention.md says what that is."""
    from .retention import prune

    with refusals("db prune"):
        prune(console, dry_run=dry_run)


@app.command("partitions")
def partitions_command() -> None:
    """Make the partitions of the next two years, move what landed in DEFAULT, list all of them."""
    from .retention import show_partitions

    with refusals("db partitions"):
        show_partitions(console)
