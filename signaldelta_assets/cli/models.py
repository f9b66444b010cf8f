"""`signaldelta llm`: explanations, routes, and what calls of models took."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

from rich.console import Console
from rich.table import Table

from signaldelta_assets.backtests import explain_run
from signaldelta_assets.llm import Explanation, Gateway, LlmError, explain_score, explain_term, open_gateway
from signaldelta_assets.settings import load_settings
from signaldelta_assets.warehouse import ArtifactStore, open_warehouse
from signaldelta_assets.warehouse.stores import routing

from .explain import moment


@contextmanager
def _opened() -> Iterator[Gateway]:
    settings = load_settings()
    with open_warehouse(settings) as warehouse, open_gateway(settings, warehouse) as gateway:
        yield gateway


def explain(console: Console, term: str, *, as_json: bool) -> None:
    """Print a term in plain words; no budget: who has a shell here is an operator."""
    settings = load_settings()
    # Reading the catalogue makes no database: without one there are no routes, and no model is asked.
    at_hand = settings.database_url is not None or settings.postgres_dir.exists()
    with _opened() if at_hand else nullcontext() as gateway:
        _show(console, explain_term(term, gateway), as_json=as_json)


def explain_point(console: Console, run: str, entity: str, at: str, *, as_json: bool) -> None:
    """Print a score of a run in plain words, from what the run stored."""
    settings = load_settings()
    with open_warehouse(settings) as warehouse, open_gateway(settings, warehouse) as gateway:
        stored = explain_run(warehouse, ArtifactStore(settings.artifacts_dir), run, entity, moment(at))
        _show(console, explain_score(stored, gateway), as_json=as_json)


def _show(console: Console, made: Explanation, *, as_json: bool) -> None:
    if as_json:
        document = {"subject": made.facts.subject, "text": made.text, "made_by": made.made_by, "model": made.model,
                    "why_template": made.why_template, "detail": made.detail,
                    "facts": {fact.name: fact.text for fact in made.facts.facts}}  # fmt: skip
        print(json.dumps(document, ensure_ascii=False))
        return
    console.print(made.text, highlight=False, markup=False, soft_wrap=True)
    said = f"by {made.model}" if made.made_by == "model" else f"from a template: {made.detail}"
    console.print(f"({said})", highlight=False, markup=False, soft_wrap=True)


def routes(console: Console) -> None:
    """Print every route, and per use-case which would be asked here, in order, and which not, and why."""
    settings = load_settings()
    with open_warehouse(settings) as warehouse, open_gateway(settings, warehouse) as gateway:
        found = routing.list_routes(warehouse)
        shown = Table("route", "model", "class", "at", "key", "US $ per M tokens, in and out")
        for row in found:
            shown.add_row(
                row["route_id"], f"{row['model']} ({row['provider']}, {row['protocol']})", row["weight_class"],
                ", ".join(row["locations"]), row["key_setting"] or "none needed",
                f"{row['input_price'].normalize():f}, {row['output_price'].normalize():f}",
            )  # fmt: skip
        console.print(shown)
        for use_case in sorted({name.rsplit(":", 1)[0] for row in found for name in row["use_cases"]}):
            try:
                usable, skipped = gateway.plan(use_case)
            except LlmError as error:
                said = str(error)
            else:
                said = f"use-case {use_case!r}: asked here: {', '.join(route.route_id for route in usable)}"
                said += "".join(f"; {one}" for one in skipped)
            console.print(said, highlight=False, markup=False, soft_wrap=True)


def usage(console: Console, days: int, *, as_json: bool) -> None:
    """Deliver what waits in the spool, then print calls by day, use-case, route and outcome."""
    settings = load_settings()
    with open_warehouse(settings) as warehouse, open_gateway(settings, warehouse) as gateway:
        left = gateway.usage.deliver()
        found = routing.read_usage(warehouse, days)
    if as_json:
        print(json.dumps({"usage": found, "waiting": left}, default=str))
        return
    shown = Table("day", "use-case", "route", "outcome", "calls", "tokens in, out", "US $", "ms")
    for row in found:
        cost = "" if row["cost"] is None else f"{row['cost']:.6f}"
        shown.add_row(
            str(row["day"]), row["use_case"], row["route_id"], row["outcome"], f"{row['calls']:,}",
            f"{row['input_tokens'] or 0:,}, {row['output_tokens'] or 0:,}", cost, f"{row['latency_ms']:.0f}",
        )  # fmt: skip
    console.print(shown)
    if left:
        console.print(f"{left} entries wait on this machine for their home: {gateway.usage.spool}")
