"""The commands themselves; each imports what it needs when called, so that `--help` is quick."""

from __future__ import annotations

import shlex
from datetime import datetime
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console
from rich.table import Table

from . import collectors, db, jobs, users
from .refusing import refusals

app = typer.Typer(no_args_is_help=True, add_completion=False, help=__doc__)
backtests = typer.Typer(no_args_is_help=True, help="Backtests: run a spec, list, show, verify byte for byte, compare.")
signals = typer.Typer(no_args_is_help=True, help="The signal catalogue.")
models = typer.Typer(no_args_is_help=True, help="Language models: explanations, routes, usage, stored answers.")
labels = typer.Typer(no_args_is_help=True, help="The ground truth: coverage, frozen datasets, their differences.")
snapshots = typer.Typer(no_args_is_help=True, help="Snapshots: freeze what was known over any days.")
app.add_typer(db.app, name="db")
app.add_typer(backtests, name="backtest")
app.add_typer(signals, name="signals")
app.add_typer(labels, name="labels")
app.add_typer(snapshots, name="snapshot")
app.add_typer(models, name="llm")
app.add_typer(collectors.app, name="collectors")
app.add_typer(users.users, name="users")
app.add_typer(users.keys, name="keys")
app.add_typer(jobs.jobs, name="jobs")
console = Console()

# The names of `plans.PLANS`, which is imported only when the command runs.
PlanName = Literal["recorded", "equities", "pools"]
ARCHIVE_HELP = "A recorded archive's folder; the simulated archive where none is given."


@app.command()
def env() -> None:
    """Print the variables that dagster and dbt need, as shell exports: eval "$(signaldelta env)".

    While `signaldelta up` of the same home runs, they include where its archive is served.
    """
    from signaldelta_assets.settings import load_settings

    from .environment import prepare, published

    settings = load_settings()
    for name, value in (prepare(settings) | published(settings)).items():
        print(f"export {name}={shlex.quote(value)}")


@app.command()
def demo(
    archive: Annotated[Path | None, typer.Option(help=ARCHIVE_HELP)] = None,
    plan: Annotated[PlanName, typer.Option(help="What is asked of a recorded archive.")] = "recorded",
) -> None:
    """Run the main job end to end: collect, extract, label, freeze, score, backtest, dbt; print the result."""
    from .demo import run_demo

    run_demo(archive, plan, console)


@app.command()
def summary(
    markdown: Annotated[bool, typer.Option(help="As Markdown, for a page of documentation.")] = False,
) -> None:
    """Show what is here: documents per feed, refusals and why, signals and labels by year."""
    from signaldelta_assets.catalogue import load_definitions

    from . import tables
    from .backtests import opened

    with opened() as (warehouse, _):
        found = tables.overview(warehouse, load_definitions())
    for title, columns, rows in found:
        if markdown:
            print(tables.markdown((title, columns, rows)))
            continue
        shown = Table(*columns, title=title)
        for row in rows:
            shown.add_row(*(str(value) for value in row))
        console.print(shown)


@app.command()
def up(
    archive: Annotated[Path | None, typer.Option(help=ARCHIVE_HELP)] = None,
    live: Annotated[bool, typer.Option(help="Collect from the live services instead of an archive.")] = False,
) -> None:
    """Start PostgreSQL, Dagster's webserver and daemon and the API; print their addresses; Ctrl-C stops all."""
    from .services import run_services

    run_services(archive, live, console)


@app.command()
def api(
    host: Annotated[str | None, typer.Option(help="Where to listen; SIGNALDELTA_API_HOST if not given.")] = None,
    port: Annotated[
        int | None, typer.Option(min=1, max=65_535, help="On which port; SIGNALDELTA_API_PORT if not given.")
    ] = None,
    workers: Annotated[int, typer.Option(min=1, help="Processes behind that port.")] = 1,
) -> None:
    """Serve the API alone, on this machine unless said otherwise, until a signal comes."""
    from .serving import run_api

    with refusals():
        run_api(host, port, workers)


@app.command()
def trace(
    identifier: Annotated[
        str,
        typer.Argument(metavar="ID", help="A correlation or request id, a job, a run, a record, an event, a label."),
    ],
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """Print the whole way of one action: request, job, runs and steps, collectors, rows, models, log lines."""
    from signaldelta_assets.settings import load_settings

    from .tracing import show_trace

    with refusals():
        show_trace(console, load_settings(), identifier, as_json=as_json)


@app.command()
def daemon() -> None:
    """Run Dagster's daemon under a lock in the database: a second one is refused, and told who has it."""
    from .daemon import run_daemon

    with refusals():
        code = run_daemon()
    raise typer.Exit(code)


@app.command()
def down() -> None:
    """Stop the embedded PostgreSQL of this deployment, if it runs."""
    from signaldelta_assets.settings import load_settings
    from signaldelta_assets.warehouse import stop_embedded

    stop_embedded(load_settings().postgres_dir)


@app.command()
def graph() -> None:
    """Print the asset graph as an SVG picture."""
    from signaldelta_assets.definitions import defs

    from .graph import asset_graph_svg

    print(asset_graph_svg(defs().get_repository_def()), end="")


@app.command()
def routes(markdown: Annotated[bool, typer.Option(help="As docs/routes.md.")] = False) -> None:
    """Print every route of the API with what it asks of its caller: who, which limits, which entitlement."""
    users.show_routes(markdown)


@app.command()
def status(as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False) -> None:
    """Say how everything is: homes, replication, collectors, Dagster; exit code 1 where something is wrong."""
    from signaldelta_assets.settings import load_settings

    from .database import status as shown

    with refusals():
        well = shown(console, load_settings(), as_json=as_json)
    raise typer.Exit(0 if well else 1)


@signals.command("list")
def list_signals(
    family: Annotated[str | None, typer.Option(help="Of this family, F01 to F16.")] = None,
    status: Annotated[str | None, typer.Option(help="v2.0, wired-later or planned.")] = None,
    source: Annotated[str | None, typer.Option(help="That read this source type.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="All that `show` tells of each, as JSON.")] = False,
) -> None:
    """List the catalogue: every signal with its figures, its status, and what it waits for."""
    from .signals import list_catalogue

    list_catalogue(console, family=family, status=status, source=source, as_json=as_json)


@signals.command("show")
def show_signal(
    signal_id: str,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """Show one signal: rule, parameters, affinities, versions, and its events by year where there is a database."""
    from .signals import show

    with refusals():
        show(console, signal_id, as_json=as_json)


JSON = Annotated[bool, typer.Option("--json", help="JSON on one line.")]


@labels.command("datasets")
def label_datasets(as_json: JSON = False) -> None:
    """List the frozen datasets, newest first."""
    from .labels import show_datasets

    with refusals():
        show_datasets(console, as_json)


@labels.command("diff")
def diff_label_datasets(
    first: Annotated[str, typer.Argument(help="Version, dataset_id or dataset_hash.")],
    second: Annotated[str, typer.Argument(help="Version, dataset_id or dataset_hash.")],
    as_json: JSON = False,
) -> None:
    """Say which labels were added, withdrawn and changed, and in which field; exit code 1 for a dataset not intact."""
    from .labels import show_diff

    with refusals():
        show_diff(console, first, second, as_json)


@labels.command("coverage")
def label_coverage(as_json: JSON = False) -> None:
    """Show labels per type and per asset class and month, and the minimum viable dataset, of the last dbt build."""
    from .labels import show_coverage

    with refusals():
        show_coverage(console, as_json)


@snapshots.command("freeze")
def freeze_snapshot_command(
    first: Annotated[datetime, typer.Option("--from", formats=["%Y-%m-%d"], help="First day.")],
    last: Annotated[datetime, typer.Option("--to", formats=["%Y-%m-%d"], help="Last day, included.")],
    include_interpolated: Annotated[
        bool, typer.Option("--include-interpolated", help="Labels whose time is interpolated as well.")
    ] = False,
) -> None:
    """Freeze the labels and the evidence of the days as dataset and snapshot; print their hashes."""
    from .labels import freeze_range

    with refusals("snapshot freeze"):
        freeze_range(console, first.date(), last.date(), include_interpolated)


@backtests.command("list")
def list_backtests() -> None:
    """List the runs there are, newest first."""
    from .backtests import list_runs

    with refusals():
        list_runs(console)


@backtests.command("add")
def add_backtest(
    snapshot: Annotated[str, typer.Option(help="snapshot_id or snapshot_hash")],
    model: Annotated[Path, typer.Option(help="Scoring model document (JSON).")],
    protocol: Annotated[Path, typer.Option(help="Evaluation protocol document (JSON).")],
    hypothesis: Annotated[str, typer.Option(help="Hypothesis family that the trial is counted under.")],
    latency: Annotated[Path | None, typer.Option(help="Latency model; the definitions' own where none.")] = None,
) -> None:
    """Store a spec and its documents, add its partition to Dagster, print the spec's hash."""
    from .backtests import add_spec

    with refusals("backtest add"):
        add_spec(console, snapshot, model, protocol, latency, hypothesis)


@backtests.command("run")
def run_backtest(spec_hash: str) -> None:
    """Run the backtest of a stored spec now, in this process."""
    from .backtests import run_spec

    with refusals("backtest run"):
        run_spec(console, spec_hash)


@backtests.command("show")
def show_backtest(run: str) -> None:
    """Show a run's figures with intervals, nulls and base rates, and its manifest."""
    from .backtests import show_run

    with refusals():
        show_run(console, run)


@backtests.command("report")
def report_backtest(
    run: str,
    output: Annotated[Path | None, typer.Option(help="An .html file or a folder; the home's reports if none.")] = None,
) -> None:
    """Write a run's report: one HTML file with verdict, figures, pictures and manifest; print where it is."""
    from .backtests import report

    with refusals():
        report(console, run, output)


@backtests.command("verify")
def verify_backtest(run: str) -> None:
    """Run again from the manifest and compare every byte; exit code 1 where one differs, 2 where it cannot be run."""
    from .backtests import verify

    with refusals():
        equal = verify(console, run)
    raise typer.Exit(0 if equal else 1)


@backtests.command("diff")
def diff_backtests(first: str, second: str) -> None:
    """Say which inputs of two runs differ and which figures moved."""
    from .backtests import diff

    with refusals():
        diff(console, first, second)


@backtests.command("explain")
def explain_score(
    run: Annotated[str, typer.Argument(help="run_id or run_hash")],
    entity: Annotated[str, typer.Argument(help="entity_id that the run scored")],
    time: Annotated[str, typer.Argument(help="Moment of the run's grid: ISO 8601 with a zone.")],
    top: Annotated[int, typer.Option(min=0, help="How many events at most, the weightiest first.")] = 10,
    as_json: Annotated[bool, typer.Option("--json", help="Canonical JSON: the same bytes every time.")] = False,
) -> None:
    """Explain one score of a run: families, events, their sources, the alert; exit code 1 where it was changed."""
    from .explain import explain

    with refusals():
        explain(console, run, entity, time, top, as_json)


@backtests.command("ablate")
def ablate_backtest(
    spec_or_run: Annotated[str, typer.Argument(help="spec_hash, run_id or run_hash of the base")],
    by: Annotated[
        Literal["family", "signal", "both"] | None,
        typer.Option(help="What is left out, one at a time: family if not given."),
    ] = None,
    now: Annotated[bool, typer.Option("--now", help="Run them in this process instead of by the daemon.")] = False,
    show: Annotated[bool, typer.Option("--show", help="Start nothing: print the table so far.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="With --show: canonical JSON.")] = False,
) -> None:
    """Leave out every family or signal, a backtest each, as one backfill; show what each is worth."""
    from . import ablation

    if show and (by or now):
        raise typer.BadParameter("--show starts nothing and shows every part: it takes neither --by nor --now")
    if as_json and not show:
        raise typer.BadParameter("--json goes with --show")
    with refusals("backtest ablate"):
        if show:
            ablation.show(console, spec_or_run, as_json=as_json)
        else:
            ablation.ablate(console, spec_or_run, by or "family", now=now)


@models.command("outputs")
def list_answers(task: Annotated[str | None, typer.Option(help="One task only.")] = None) -> None:
    """List the stored answers by task, protocol and model, with their tokens."""
    from signaldelta_assets.warehouse.stores import llm

    from .backtests import opened

    with refusals(), opened() as (warehouse, _):
        found = llm.list_outputs(warehouse, task)
    shown = Table("task", "version", "protocol", "model", "answers", "tokens in", "tokens out", "newest")
    for row in found:
        shown.add_row(
            row["task"], row["task_version"][:12], row["protocol"], row["model"], f"{row['answers']:,}",
            f"{row['input_tokens'] or 0:,}", f"{row['output_tokens'] or 0:,}", f"{row['newest']:%Y-%m-%d %H:%M}",
        )  # fmt: skip
    console.print(shown)


@models.command("explain")
def explain_a_term(
    term: Annotated[str, typer.Argument(help="S001, F01, CT-01, an event type, a word of a report; or a RUN.")],
    entity: Annotated[str | None, typer.Argument(help="With a run: the entity whose score is explained.")] = None,
    at: Annotated[str | None, typer.Argument(help="With a run: the moment, with a zone.")] = None,
    as_json: JSON = False,
) -> None:
    """Explain a term, or a score of a run, in plain words: by a model where one has a key, else from a template."""
    from .models import explain, explain_point

    with refusals("llm explain"):
        if entity is None or at is None:
            explain(console, term, as_json=as_json)
        else:
            explain_point(console, term, entity, at, as_json=as_json)


@models.command("routes")
def list_routes() -> None:
    """List the models, and which would be asked here for what; which not, and why."""
    from .models import routes

    with refusals():
        routes(console)


@models.command("usage")
def show_usage(
    days: Annotated[int, typer.Option(min=1, help="So many days back, today included (UTC).")] = 7,
    as_json: JSON = False,
) -> None:
    """Show what calls of models took, by day, use-case, route and outcome; deliver entries that wait here."""
    from .models import usage

    with refusals():
        usage(console, days, as_json=as_json)
