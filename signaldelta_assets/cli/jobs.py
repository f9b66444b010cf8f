"""`signaldelta jobs`: what users of the API filed, what kept failing, and trying it again, for an operator."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from signaldelta_assets.warehouse import Warehouse

jobs = typer.Typer(no_args_is_help=True, help="Jobs of the API: list, show, cancel, dead letters, try again.")
console = Console()
AsJson = Annotated[bool, typer.Option("--json", help="JSON on one line.")]
JobName = Annotated[str, typer.Argument(help="`jobs list` shows them.")]


@contextmanager
def _opened(changing: str | None = None) -> Iterator[Warehouse]:
    """The warehouse of this deployment, its refusals as one line."""
    from signaldelta_assets.settings import load_settings
    from signaldelta_assets.warehouse import open_warehouse

    from .refusing import refusals

    with refusals(changing), open_warehouse(load_settings()) as warehouse:
        yield warehouse


@jobs.command("list")
def list_jobs(
    state: Annotated[str | None, typer.Option(help="queued, launched, running, complete, failed, canceled.")] = None,
    user: Annotated[str | None, typer.Option(help="Of this user alone.")] = None,
    limit: Annotated[int, typer.Option(min=1)] = 50,
    as_json: AsJson = False,
) -> None:
    """List jobs, newest first."""
    from signaldelta_assets.warehouse.stores import jobs as store

    with _opened() as warehouse:
        rows = store.page(warehouse, limit, owner=user, state=state)
    if as_json:
        _dump(rows)
        return
    shown = Table("job_id", "kind", "state", "user_id", "progress", "submitted", "reason")
    for row in rows:
        told = row["progress"]
        far = f"{told['done']}/{told['total']} {told['words']}" if told else ""
        shown.add_row(
            row["job_id"], row["kind"], row["state"], row["user_id"] or "", far[:40], _minute(row["submitted_at"]),
            (row["reason"] or "")[:100],
        )  # fmt: skip
    _print(shown)


@jobs.command("show")
def show_job(job_id: JobName) -> None:
    """Show one job: input, state, progress, result or reason, as JSON."""
    from signaldelta_assets.warehouse.stores import jobs as store

    with _opened() as warehouse:
        console.print_json(json.dumps(_found(store.get(warehouse, job_id), job_id), default=str))


@jobs.command("cancel")
def cancel_job(job_id: JobName) -> None:
    """Cancel a job that waits, or ask for the end of one that runs; the API's dispatcher ends it."""
    from signaldelta_assets.warehouse.stores import jobs as store

    with _opened("jobs cancel") as warehouse:
        row = _found(store.cancel(warehouse, job_id), job_id)
    asked = row["finished_at"] is None
    print(f"{row['job_id']} {row['state']}{', its end is asked for' if asked else ''}")


@jobs.command("dead")
def list_dead_letters(
    every: Annotated[bool, typer.Option("--all", help="Those that were tried again, too.")] = False,
    limit: Annotated[int, typer.Option(min=1)] = 50,
    as_json: AsJson = False,
) -> None:
    """List what failed for good, newest first, each with the reason and the command that tries it again."""
    from signaldelta_assets.warehouse.stores import dead_letters

    with _opened() as warehouse:
        rows = dead_letters.page(warehouse, limit, waiting=not every)
    if as_json:
        _dump(rows)
        return
    for row in rows:
        again = f" (tried again as {row['retried_as']})" if row["retried_as"] else ""
        print(f"{row['dead_letter_id']}  {_minute(row['died_at'])}  {row['what']}, {row['attempts']} attempts{again}")
        print(f"  because  {' '.join(row['reason'].split())[:300]}")
        print(f"  input    {json.dumps(row['input'], sort_keys=True)[:300]}")
        print(f"  again    {row['retry_command']}")


@jobs.command("retry")
def retry(name: Annotated[str, typer.Argument(help="A dead letter, or its job or Dagster run.")]) -> None:
    """Try a dead letter again: a job as a new one, a run of Dagster's own as a new run; print its id."""
    from api.jobs import DagsterClient
    from api.jobs.retrying import retry as retry_job
    from signaldelta_assets.settings import load_settings
    from signaldelta_assets.warehouse.stores import dead_letters
    from signaldelta_assets.warehouse.stores.jobs import Limits

    with _opened("jobs retry") as warehouse:
        letter = _found(dead_letters.get(warehouse, name), name)
        if letter["job_id"] is not None:
            made, _ = retry_job(warehouse, letter, Limits())
            print(made["job_id"])
            return
        client = DagsterClient(load_settings().webserver_address)
        try:
            run = client.run_again(letter["dagster_run_id"])
        finally:
            client.close()
        dead_letters.retried(warehouse, letter["dead_letter_id"], run)
        print(run)


def _found(row: dict[str, Any] | None, name: str) -> dict[str, Any]:
    from signaldelta_assets.warehouse.stores.jobs import RefusedJobError

    if row is None:
        raise RefusedJobError("unknown", f"{name}: there is no job, or no dead letter, of that name")
    return row


def _dump(rows: list[dict[str, Any]]) -> None:
    print(json.dumps(rows, default=lambda value: value.isoformat() if isinstance(value, datetime) else str(value)))


def _print(shown: Table) -> None:
    # What the next command is given has to be copied whole, however narrow the terminal.
    shown.columns[0].no_wrap = True
    console.print(shown)


def _minute(moment: datetime | None) -> str:
    return "" if moment is None else f"{moment:%Y-%m-%d %H:%M}"
