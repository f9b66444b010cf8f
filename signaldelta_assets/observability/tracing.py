"""`trace`: from any id to the way of the action behind it, over both homes and the log files of this host."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from datetime import UTC, timedelta
from pathlib import Path
from typing import Any

import psycopg

from signaldelta_assets.catalogue import DefinitionsError, load_definitions
from signaldelta_assets.errors import SignalDeltaError
from signaldelta_assets.warehouse import Place, head_revision, other_place, watch
from signaldelta_assets.warehouse.stores import tracing
from signaldelta_assets.warehouse.stores.tracing import Keys, Row, Rows, Start

from .logfiles import files, lines_of
from .timeline import Entry, Trace, entries_of, evidence_entries, in_order, log_entries

# A run's request leads to runs, and a run to its retries: more steps than these there are not.
_ROUNDS = 4
# Lines of an action are near what the tables say of it.
_AROUND = timedelta(days=1)


class UnknownIdError(SignalDeltaError):
    """An id that no table and no log file knows."""


def trace(urls: Mapping[Place, str], place: Place, logs: Path, given: str) -> Trace:
    """Return the way of the action that `given` names: a correlation or request id, a job, a run of Dagster, of a
    collector or of a backtest (id or hash), a record, a signal event or a label.

    urls: of each home; one that does not answer is noted. logs: the folder of this host's log files. Raises
    `UnknownIdError` where nothing knows the id.
    """
    notes: list[str] = []
    with ExitStack() as stack:
        homes: dict[Place, Rows] = {}
        for home, url in urls.items():
            try:
                homes[home] = stack.enter_context(watch.asking(url))
            except psycopg.Error as error:
                notes.append(f"{home} does not answer, what only it knows is missing: {type(error).__name__}")
        starts = _starts(homes, given)
        keys = Keys(correlations={given}) if not starts else Keys()
        for start in starts:
            keys.add(start.keys)
        entries = _evidence(homes, starts, keys)
        keys = _widened(homes, keys)
        entries += entries_of(_gathered(homes, keys))
    if len(keys.runs) >= tracing.MOST_RUNS:
        notes.append(f"{len(keys.runs)} runs belong to it; of further ones nothing is told")
    lines, more = _log(logs, keys.all() | {given}, entries)
    if more:
        notes.append(f"{more} further lines of the log are left out")
    if not starts and not lines:
        words = "no request, job, run, record, event or label"
        raise UnknownIdError(f"trace: expected an id that something knows, found {given!r}: {words} here has it")
    kinds = [start.kind for start in starts] or ["correlation id"]
    if place != "one" and not any(entry.layer == "request" for entry in lines):
        notes.append(
            f"no request in this host's log: if it was served at {other_place(place)!r}, its lines are in the log there"
        )
    correlations = keys.correlations or keys.runs
    return Trace(given, tuple(dict.fromkeys(kinds)), tuple(sorted(correlations)), tuple(in_order([*entries, *lines])),
                 tuple(notes))  # fmt: skip


def _starts(homes: Mapping[Place, Rows], given: str) -> list[Start]:
    """What the id is, at any home, each kind once."""
    found: dict[str, Start] = {}
    for connection in homes.values():
        if not _ours(connection):
            continue
        for start in tracing.starts(connection, given):
            if start.kind in found:
                found[start.kind].keys.add(start.keys)
            else:
                found[start.kind] = start
    return list(found.values())


def _ours(connection: Rows) -> bool:
    """Whether this home has the tables of this code: one that is being set up has none."""
    there = connection.execute("SELECT to_regclass('alembic_version') IS NOT NULL AS it").fetchone()
    if there is None or not there["it"]:
        return False
    row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    return row is not None and row["version_num"] == head_revision()


def _evidence(homes: Mapping[Place, Rows], starts: list[Start], keys: Keys) -> list[Entry]:
    """Entries of records, events and labels among `starts`; `keys` gets the runs that wrote them and their records."""
    found: list[Entry] = []
    for start in starts:
        found += evidence_entries(start.kind, start.rows)
        ids = {identifier for row in start.rows for identifier in row.get("raw_record_ids") or ()}
        rows: list[Row] = start.rows if start.kind == "raw record" else []
        for connection in homes.values() if ids else ():
            rows = tracing.records(connection, ids)
            if rows:
                found += evidence_entries("raw record", rows)
                break
        keys.collector_runs |= {row["collector_run_id"] for row in rows}
        for row in start.rows:
            asked = _asset(start.kind, row)
            for connection in homes.values() if asked else ():
                assert asked is not None
                run = tracing.writer_of(connection, *asked, row["ingest_time"])
                if run is not None:
                    keys.runs.add(run)
                    break
    return found


def _asset(kind: str, row: Row) -> tuple[str, str] | None:
    """The asset, as a pattern of its stored key, and the partition that a row of evidence belongs to."""
    if kind == "signal event":
        try:
            name = load_definitions().signal(row["signal_id"]).name
        except DefinitionsError:
            # Of a signal that the catalogue had once: which asset it was nobody knows any more.
            return None
        return f'["signals", %, "{name}"]', row["partition_date"].isoformat()
    if kind == "label":
        at = row["event_time"].astimezone(UTC).date()
        quarter = at.replace(month=(at.month - 1) // 3 * 3 + 1, day=1)
        return f'["labels", "{row["event_type"].lower()}"]', quarter.isoformat()
    return None


def _widened(homes: Mapping[Place, Rows], keys: Keys) -> Keys:
    for _ in range(_ROUNDS):
        before = keys.all()
        for connection in homes.values():
            if _ours(connection):
                keys = tracing.widen(connection, keys)
        if keys.all() == before:
            break
    return keys


def _gathered(homes: Mapping[Place, Rows], keys: Keys) -> dict[str, list[dict[str, Any]]]:
    """The rows of all homes, one that was copied once."""
    found: dict[str, dict[Any, dict[str, Any]]] = {}
    names = tracing.identities()
    for home, connection in homes.items():
        if not _ours(connection):
            continue
        for table, rows in tracing.gather(connection, keys).items():
            kept = found.setdefault(table, {})
            for row in rows:
                # Dagster's events are numbered by each home for itself.
                key = (home, row["id"]) if names[table] == "id" else row[names[table]]
                kept.setdefault(key, row)
    return {table: list(rows.values()) for table, rows in found.items()}


def _log(logs: Path, identifiers: set[str], entries: list[Entry]) -> tuple[list[Entry], int]:
    first = last = None
    if entries:
        first = (min(entry.at for entry in entries) - _AROUND).astimezone(UTC).date()
        last = (max(entry.at for entry in entries) + _AROUND).astimezone(UTC).date()
    if not files(logs):
        return [], 0
    return log_entries(lines_of(logs, identifiers, first=first, last=last))
