"""`signaldelta signals`: the catalogue as tables or JSON, and how often a signal has fired."""

from __future__ import annotations

import json
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from signaldelta_assets.catalogue import catalogue, describe, load_definitions
from signaldelta_assets.settings import load_settings
from signaldelta_assets.warehouse import open_warehouse
from signaldelta_assets.warehouse.stores.signals import events_by_year

_DIRECTIONS = {1: "+", -1: "-", 0: "0", "sign": "sign"}


def list_catalogue(
    console: Console, *, family: str | None, status: str | None, source: str | None, as_json: bool
) -> None:
    """Print the signals that the filters leave."""
    definitions = load_definitions()
    shown = catalogue(definitions, family=family, status=status, source=source)
    if as_json:
        _print_json(console, {"definitions_hash": definitions.hash, "signals": shown})
        return
    table = Table(
        "id", "name", "family", "stage", "tier", "half-life h", "dir", "affinity", "status", "source", "active"
    )
    for one in shown:
        table.add_row(
            one["signal_id"],
            one["name"],
            one["family"],
            str(one["stage"]),
            str(one["tier"]),
            f"{one['half_life_hours']:g}",
            _DIRECTIONS[one["direction"]],
            _affinity(one),
            one["status"],
            one["source_type"],
            "yes" if one["active"] else f"waits for {one['waits_for']}",
        )
    console.print(table)
    console.print(f"{len(shown)} signals, {sum(one['active'] for one in shown)} active")
    console.print(f"signal_definitions_hash {definitions.hash}")


def show(console: Console, signal_id: str, *, as_json: bool) -> None:
    """Print one signal; raises `DefinitionsError` where there is none."""
    definitions = load_definitions()
    one = describe(definitions, signal_id)
    events = {} if one["rule_hash"] is None else _events(signal_id, one["rule_hash"])
    if as_json:
        _print_json(console, {**one, "definitions_hash": definitions.hash, "events_by_year": events})
        return
    table = Table(show_header=False)
    table.add_row("signal", f"{signal_id} {one['name']}")
    table.add_row("family", f"{one['family']} {one['family_name']}, stage {one['stage']}")
    table.add_row("tier, half-life", f"{one['tier']}, {one['half_life_hours']:g} h")
    table.add_row("direction", _DIRECTIONS[one["direction"]])
    table.add_row("affinity", _affinity(one))
    table.add_row("status", f"{one['status']}, {'active' if one['active'] else 'not active'}")
    if not one["active"]:
        table.add_row("waits for", Text(one["waits_for"]))
    table.add_row(
        "source", ", ".join([one["source_type"], *(s for s in one["source_types"] if s != one["source_type"])])
    )
    if one["rule"]:
        table.add_row("rule", Text(one["rule"]))
    if one["active"]:
        table.add_row("parameters", Text(json.dumps(one["params"], indent=2)))
        table.add_row("tables", Text(", ".join(one["tables"])))
        table.add_row("extractor", one["extractor"])
        table.add_row("extractor_version", one["extractor_version"])
        table.add_row("rule_hash", one["rule_hash"])
        table.add_row("events by year", _counts(events))
    console.print(table)
    console.print(f"signal_definitions_hash {definitions.hash}")


def _affinity(one: dict[str, Any]) -> str:
    return " ".join(f"{chain}:{value:g}" for chain, value in one["chain_affinity"].items())


def _counts(events: dict[int, int] | None) -> str:
    if events is None:
        return "no database at hand"
    return ", ".join(f"{year}: {n}" for year, n in events.items()) or "none"


def _print_json(console: Console, document: dict[str, Any]) -> None:
    # Not by the console's own width: JSON is read by programs.
    console.file.write(json.dumps(document, indent=2) + "\n")


def _events(signal_id: str, rule_hash: str) -> dict[int, int] | None:
    """Return the events by year under this rule; None where no database has been set up."""
    settings = load_settings()
    if settings.database_url is None and not settings.postgres_dir.is_dir():
        return None
    with open_warehouse(settings) as warehouse:
        return events_by_year(warehouse, signal_id, rule_hash)
