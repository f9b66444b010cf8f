"""`signaldelta collectors`: how collection is, what stands refused, what is missing, and fetching exactly that."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from signaldelta_assets.collectors import Window
    from signaldelta_assets.settings import Settings
    from signaldelta_assets.warehouse import Warehouse

app = typer.Typer(no_args_is_help=True, help="Collectors: how they are, what they refused, what is missing.")
console = Console()

Json = Annotated[bool, typer.Option("--json", help="JSON for programs.")]
From = Annotated[datetime | None, typer.Option("--from", formats=["%Y-%m-%d"], help="First day; a week ago if none.")]
To = Annotated[datetime | None, typer.Option("--to", formats=["%Y-%m-%d"], help="Last day; yesterday if none.")]
One = Annotated[str | None, typer.Option("--collector", help="Of this collector alone, such as edgar/form_8k.")]
# What is shown of a list on a terminal; JSON has all of it.
_SHOWN = 40
_LAST_DAYS = 7


@contextmanager
def _opened(changing: str | None = None) -> Iterator[tuple[Settings, Warehouse]]:
    from signaldelta_assets.settings import load_settings
    from signaldelta_assets.warehouse import open_warehouse

    from .refusing import refusals

    settings = load_settings()
    with refusals(changing), open_warehouse(settings) as warehouse:
        yield settings, warehouse


def _print_json(document: Any) -> None:
    print(json.dumps(document, default=str, indent=1, sort_keys=True))


def _known(collector: str | None) -> None:
    from signaldelta_assets.collectors import registered_collectors
    from signaldelta_assets.errors import DocumentError

    if collector is not None and collector not in registered_collectors():
        raise DocumentError("collector", f"one of {', '.join(sorted(registered_collectors()))}", collector)


def _window(settings: Settings, first: datetime | None, last: datetime | None) -> Window:
    from signaldelta_assets.collectors import Window
    from signaldelta_assets.errors import DocumentError

    today = (settings.fixed_clock or datetime.now(UTC)).date()
    end = last.date() if last else today - timedelta(days=1)
    start = first.date() if first else end - timedelta(days=_LAST_DAYS - 1)
    if end < start:
        raise DocumentError("--to", f"a day on or after {start}", end)
    return Window(start, end)


@app.command()
def status(as_json: Json = False) -> None:
    """Show how every collector is: last success and error, whether late, running, hung or dead, what stands refused."""
    from signaldelta_assets.collectors import registered_collectors
    from signaldelta_assets.warehouse.stores import health

    with _opened() as (_, warehouse), warehouse.read_pool().connection() as connection:
        rows = {row["collector"]: row for row in health.collector_health(connection)}
        never = [name for name in registered_collectors() if name not in rows]
    if as_json:
        _print_json({"collectors": list(rows.values()), "never_run": sorted(never)})
        return
    shown = Table("collector", "state", "last success", "late", "failures", "records", "refused", "what is wrong")
    for name, row in sorted(rows.items()):
        run = row["run"] or {}
        wrong = [*health.troubles(row), *([row["last_error"]] if row["consecutive_failures"] else [])]
        cells = (row["state"], row["last_success_at"], "late" if row["late"] else "", row["consecutive_failures"],
                 run.get("records_written"), row["open_quarantined"], "; ".join(wrong))  # fmt: skip
        shown.add_row(name, *("" if cell is None else _text(cell) for cell in cells))
    for name in sorted(never):
        shown.add_row(name, "never")
    console.print(shown, markup=False)


@app.command()
def quarantine(
    collector: One = None,
    open_only: Annotated[bool, typer.Option("--open", help="Only what still stands refused.")] = False,
    limit: Annotated[int, typer.Option(min=1, help="How many, the newest first.")] = _SHOWN,
    as_json: Json = False,
) -> None:
    """List refused records, with the reason, and which run has read them since."""
    from signaldelta_assets.warehouse.stores import quarantine as store

    with _opened() as (_, warehouse), warehouse.read_pool().connection() as connection:
        _known(collector)
        rows = store.page(connection, collector, open_only=open_only, limit=limit)
    if as_json:
        _print_json(rows)
        return
    shown = Table("refused at", "collector", "record", "field", "expected", "found", "resolved")
    for row in rows:
        resolved = "" if row["open"] else f"{_text(row['resolved_at'])} by {row['resolved_by_run']}"
        cells = (row["ingest_time"], row["collector"], row["record"], row["field"], row["expected"], row["found"] or "")
        shown.add_row(*map(_text, cells), resolved)
    console.print(shown, markup=False)


@app.command()
def feeds(as_json: Json = False) -> None:
    """Show per source type: documents read, records, and what was refused, by reason."""
    from signaldelta_assets.warehouse.stores import health

    with _opened() as (_, warehouse), warehouse.read_pool().connection() as connection:
        rows = health.feeds(connection)
    if as_json:
        _print_json(rows)
        return
    shown = Table("collector", "source type", "documents", "records", "entities", "refused", "open", "reasons")
    for row in rows:
        reasons: Mapping[str, int] = row["reasons"]
        why = "; ".join(
            f"{reason} ({n})" for reason, n in sorted(reasons.items(), key=lambda item: (-item[1], item[0]))
        )
        names = ("collector", "source_type", "documents", "records", "entities", "refused", "open")
        shown.add_row(*(str(row[name]) for name in names), why)
    console.print(shown, markup=False)


@app.command()
def gaps(first: From = None, last: To = None, collector: One = None, as_json: Json = False) -> None:
    """List what EDGAR announced and is not here, with counts per day; exit code 1 where some of it is for us to get."""
    from signaldelta_assets.collectors.gaps import find_gaps

    with _opened() as (settings, warehouse):
        _known(collector)
        found = find_gaps(warehouse, _window(settings, first, last), None if collector is None else {collector})
    _show_gaps(found, as_json=as_json)
    raise typer.Exit(1 if any(gap.open for gap in found) else 0)


@app.command("backfill-gaps")
def backfill_gaps(
    first: From = None,
    last: To = None,
    collector: One = None,
    again: Annotated[
        bool, typer.Option("--again", help="Ask at once for what was absent or unreadable when last asked for.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Fetch exactly what is missing, and say what is left; exit code 1 where something is."""
    from signaldelta_assets.collectors import load_universe
    from signaldelta_assets.collectors.gaps import backfill_gaps as backfill
    from signaldelta_assets.errors import DocumentError
    from signaldelta_assets.warehouse import ArtifactStore

    with _opened("collectors backfill-gaps") as (settings, warehouse):
        _known(collector)
        if settings.universe is None:
            raise DocumentError("SIGNALDELTA_UNIVERSE", "the path of a universe file", None)
        done = backfill(
            warehouse, ArtifactStore(settings.archive_dir), settings, _window(settings, first, last),
            load_universe(settings.universe), None if collector is None else {collector}, again=again,
        )  # fmt: skip
    if not as_json:
        shown = Table("collector", "days", "documents", "new records", "refused", "resolved")
        for report in done.reports:
            counts = report.counts
            cells = (counts["documents_read"], counts["records_written"], counts["records_quarantined"],
                     counts["refusals_resolved"])  # fmt: skip
            shown.add_row(report.collector, f"{report.window_start} to {report.window_end}", *map(str, cells))
        console.print(shown)
        for error in done.errors:
            console.print(error, markup=False, style="red")
        console.print(f"open gaps: {sum(g.open for g in done.before)} before, {sum(g.open for g in done.after)} after")
    _show_gaps(done.after, as_json=as_json)
    raise typer.Exit(1 if done.errors or any(gap.open for gap in done.after) else 0)


def _show_gaps(found: list[Any], *, as_json: bool) -> None:
    from dataclasses import asdict

    from signaldelta_assets.collectors.gaps import counts_by_day

    if as_json:
        counts = [{"day": d, "collector": c, "kind": k, "gaps": n} for (d, c, k), n in counts_by_day(found).items()]
        _print_json({"counts": counts, "gaps": [asdict(gap) | {"open": gap.open} for gap in found]})
        return
    days = Table("day", "collector", "kind", "gaps", title="gaps per day")
    for (day, name, kind), count in counts_by_day(found).items():
        days.add_row(day.isoformat(), name, kind, str(count))
    console.print(days)
    listed = [gap for gap in found if gap.open and gap.accession is not None]
    shown = Table("day", "kind", "form", "entity", "accession", "detail", title="open gaps")
    for gap in listed[:_SHOWN]:
        shown.add_row(
            *(_text(x) for x in (gap.day, gap.kind, gap.form, gap.entity_id, gap.accession, gap.detail or ""))
        )
    if listed:
        console.print(shown, markup=False)
    if len(listed) > _SHOWN:
        console.print(f"... and {len(listed) - _SHOWN} more: --json has them all")


def _text(value: object) -> str:
    return f"{value:%Y-%m-%d %H:%M:%S}" if isinstance(value, datetime) else str(value)
