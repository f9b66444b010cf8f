"""Ground truth from the command line: coverage, frozen datasets, what differs between two of them."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import date, datetime
from typing import Any

import psycopg
from rich.console import Console
from rich.table import Table

from signaldelta_assets.defs.snapshots import freeze_days
from signaldelta_assets.errors import SignalDeltaError
from signaldelta_assets.warehouse import Warehouse
from signaldelta_assets.warehouse.stores import labels as store
from signaldelta_assets.warehouse.stores.dataset_diff import diff_datasets

from .backtests import opened


class NoMartError(SignalDeltaError):
    """A read model that has not been built yet."""


def _rows(warehouse: Warehouse, query: str) -> list[dict[str, Any]]:
    try:
        with warehouse.read_pool().connection() as connection:
            return list(connection.execute(query).fetchall())
    except psycopg.errors.UndefinedTable as error:
        raise NoMartError(
            f"coverage: expected the marts of a dbt build, found none: {error.diag.message_primary}"
        ) from error


def _print(console: Console, title: str, rows: list[dict[str, Any]]) -> None:
    shown = Table(*(rows[0] if rows else ["nothing"]), title=title)
    for row in rows:
        shown.add_row(*("" if value is None else str(value) for value in row.values()))
    console.print(shown)


def _plain(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else str(value)


def _dataset(name: str) -> str | int:
    """A version number, an id or a hash."""
    return int(name) if name.isdecimal() and len(name) < 10 else name


def show_datasets(console: Console, as_json: bool) -> None:
    """Print the frozen datasets, newest first."""
    names = ("version", "dataset_id", "dataset_hash", "as_of", "window_start", "window_end", "event_count",
             "include_interpolated", "interpolated_left_out", "event_type_distribution")  # fmt: skip
    with opened() as (warehouse, _):
        rows = [{name: row[name] for name in names} for row in store.list_datasets(warehouse)]
    if as_json:
        print(json.dumps(rows, default=_plain))
    else:
        _print(console, "frozen datasets", [{**row, "dataset_hash": row["dataset_hash"][:12]} for row in rows])


def show_diff(console: Console, first: str, second: str, as_json: bool) -> None:
    """Print what the second dataset has otherwise than the first. Both are checked against their hashes before."""
    with opened() as (warehouse, _):
        pair = [store.verify_dataset(warehouse, _dataset(name)) for name in (first, second)]
        with warehouse.read_pool().connection() as connection:
            diff = diff_datasets(connection, pair[0].dataset_id, pair[1].dataset_id)
    if as_json:
        whole = {"first": pair[0].dataset_hash, "second": pair[1].dataset_hash, "counts": diff.counts}
        print(json.dumps({**whole, "changes": [asdict(one) for one in diff.changes]}, default=_plain))
        return
    _print(console, "labels by type", [{"type": kind, **own} for kind, own in diff.counts.items()])
    changes = [
        {
            "change": one.change,
            "type": one.event_type,
            "entity": one.entity_id,
            "key": "/".join(one.key),
            "event time": one.event_time,
            "fields": ", ".join(f"{name}: {before} -> {after}" for name, before, after in one.fields),
        }
        for one in diff.changes
    ]
    _print(console, "changes", changes)


_COVERAGE = {
    "types": """
        SELECT definitions_hash, event_type, sum(events)::bigint AS events, max(most.entity_id) AS commonest_entity,
               round(max(most.share)::numeric, 4) AS its_share, bool_or(type_insufficient) AS insufficient
        FROM marts.mart_label_coverage LEFT JOIN (
            SELECT definitions_hash, event_type, min(entity_id) AS entity_id, max(share) AS share
            FROM marts.mart_label_entities WHERE is_commonest GROUP BY 1, 2
        ) AS most USING (definitions_hash, event_type) GROUP BY 1, 2 ORDER BY 1, 2""",
    "asset_classes": """
        SELECT definitions_hash, asset_class, month, sum(events)::bigint AS events,
               sum(events) < 30 AS insufficient
        FROM marts.mart_label_coverage GROUP BY 1, 2, 3 ORDER BY 1, 2, 3""",
    "minimum": "SELECT * FROM marts.mart_label_minimum ORDER BY definitions_hash, asset_class",
}


def show_coverage(console: Console, as_json: bool) -> None:
    """Print labels per type and per asset class and month, and the minimum viable dataset, of the last dbt build."""
    with opened() as (warehouse, _):
        found = {name: _rows(warehouse, query) for name, query in _COVERAGE.items()}
    if as_json:
        print(json.dumps(found, default=_plain))
        return
    for title, rows in found.items():
        short = [{**row, "definitions_hash": row["definitions_hash"][:12]} for row in rows]
        _print(console, title.replace("_", " "), short)


class RangeError(SignalDeltaError):
    """Days that nothing can be frozen over."""


def freeze_range(console: Console, first: date, last: date, include_interpolated: bool) -> None:
    """Freeze the labels of the days from `first` to `last`, and the evidence of them and of the reach before."""
    if last < first:
        raise RangeError(f"snapshot: --to: expected a day not before {first}, found {last}")
    with opened() as (warehouse, artifacts):
        dataset, frozen = freeze_days(warehouse, artifacts, first, last, include_interpolated=include_interpolated)
    console.print(f"dataset {dataset.dataset_hash} version {dataset.version}, {dataset.event_count} labels, "
                  f"{dataset.interpolated_left_out} of interpolated time left out", soft_wrap=True)  # fmt: skip
    console.print(f"snapshot {frozen.snapshot_hash}", soft_wrap=True)
