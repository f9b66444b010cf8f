"""Snapshots and backtest runs. A run's rows and its complete manifest appear in one transaction, or not at all."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson
from psycopg import Connection, sql

from signaldelta_assets.errors import SignalDeltaError
from signaldelta_assets.versioning import canonical_json

from ..bulk import copy_new
from ..pools import Warehouse, identifier
from .documents import insert_document
from .reading import Window
from .revisions import lock


class UnknownRunError(SignalDeltaError):
    """A run or snapshot that is asked for and is not there."""


# --- snapshots --------------------------------------------------------------------------------------------------


def known_parts(warehouse: Warehouse, kind: str) -> dict[str, str]:
    """Return the file of each content that a part of `kind` has had in any snapshot, by content hash."""
    with warehouse.read_pool().connection() as connection:
        rows = connection.execute(
            "SELECT part->>'content_hash' AS content, min(part->>'file_hash') AS file FROM backtest_snapshots, "
            "jsonb_array_elements(manifest->'parts') AS part WHERE part->>'kind' = %s GROUP BY 1",
            (kind,),
        ).fetchall()
    return {row["content"]: row["file"] for row in rows}


def put_snapshot(
    warehouse: Warehouse, manifest: Mapping[str, Any], snapshot_hash: str, as_of: datetime, window: Window
) -> tuple[dict[str, Any], bool]:
    """Store a snapshot unless its content is there; return (the stored row, whether it is new)."""
    canonical = canonical_json(manifest)
    with warehouse.write_pool("backtests").connection() as connection:
        lock(connection, "backtest_snapshots")
        found = _snapshot(connection, "snapshot_hash", snapshot_hash)
        if found is not None:
            return found, False
        connection.execute(
            "INSERT INTO backtest_snapshots (snapshot_id, snapshot_hash, as_of, window_start, window_end, "
            "definitions_hash, dataset_id, manifest, manifest_canonical) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s)",
            (manifest["snapshot_id"], snapshot_hash, as_of, window.start_time, window.end_time,
             manifest["definitions_hash"], manifest["dataset_id"], canonical.decode(), canonical),
        )  # fmt: skip
        stored = _snapshot(connection, "snapshot_hash", snapshot_hash)
        assert stored is not None
        return stored, True


def _snapshot(connection: Connection[Any], column: str, value: str) -> dict[str, Any] | None:
    query = sql.SQL("SELECT * FROM {} WHERE {} = %s").format(identifier("backtest_snapshots"), sql.Identifier(column))
    row: dict[str, Any] | None = connection.execute(query, (value,)).fetchone()
    return None if row is None else _with_manifest(row)


def _with_manifest(row: dict[str, Any]) -> dict[str, Any]:
    # From the canonical bytes: what was hashed, not what jsonb made of it.
    return row | {"manifest": orjson.loads(bytes(row["manifest_canonical"]))}


def get_snapshot(warehouse: Warehouse, snapshot: str) -> dict[str, Any]:
    """Return the row of the snapshot with this hash or id. Raises `UnknownRunError`."""
    column = "snapshot_hash" if len(snapshot) == 64 else "snapshot_id"
    with warehouse.read_pool().connection() as connection:
        row = _snapshot(connection, column, snapshot)
    if row is None:
        raise UnknownRunError(f"snapshot: no such {column} {snapshot!r}")
    return row


# --- runs -------------------------------------------------------------------------------------------------------

_METRICS = ("evidence", "slice_kind", "slice_value", "metric", "value", "low", "high", "null_value", "reason")
ALERTS = ("entity_id", "alert_at", "alert_score", "matched_event_time", "matched_event_type", "censored")
_ARTIFACTS = ("name", "file_hash", "content_hash", "media_type", "rows", "size_bytes")


@dataclass(frozen=True, slots=True)
class RunRows:
    """Everything of a run but its ids: the columns of `backtest_runs`, documents to keep, and the rows below it.

    `metrics`, `alerts` and `artifacts` are rows in the order of the tables' columns, without run_id.
    """

    columns: Mapping[str, Any]
    documents: Sequence[tuple[str, str, Mapping[str, Any]]]
    metrics: Iterable[Sequence[Any]]
    alerts: Iterable[Sequence[Any]]
    artifacts: Iterable[Sequence[Any]]


def find_run(warehouse: Warehouse, run: str) -> dict[str, Any] | None:
    """Return the row of the run with this hash or id, or None."""
    column = "run_hash" if len(run) == 64 else "run_id"
    with warehouse.read_pool().connection() as connection:
        return _run(connection, column, run)


def get_run(warehouse: Warehouse, run: str) -> dict[str, Any]:
    """Return the row of the run with this hash or id. Raises `UnknownRunError`."""
    row = find_run(warehouse, run)
    if row is None:
        raise UnknownRunError(f"backtest run: no such run {run!r}")
    return row


def _run(connection: Connection[Any], column: str, value: str) -> dict[str, Any] | None:
    query = sql.SQL("SELECT * FROM {} WHERE {} = %s").format(identifier("backtest_runs"), sql.Identifier(column))
    row: dict[str, Any] | None = connection.execute(query, (value,)).fetchone()
    return None if row is None else _with_manifest(row)


def count_trial(warehouse: Warehouse, hypothesis_family: str, run_hash: str) -> int:
    """Count a run as a trial of a family unless it is one; return its number there. For runs that exist already."""
    with warehouse.write_pool("backtests").connection() as connection:
        return _trial(connection, hypothesis_family, run_hash)


def _trial(connection: Connection[Any], family: str, run_hash: str) -> int:
    lock(connection, f"hypothesis:{family}")
    connection.execute(
        "INSERT INTO hypothesis_trials (hypothesis_family, trial_number, run_hash) "
        "SELECT %(family)s, coalesce(max(trial_number), 0) + 1, %(run)s FROM hypothesis_trials "
        "WHERE hypothesis_family = %(family)s ON CONFLICT (hypothesis_family, run_hash) DO NOTHING",
        {"family": family, "run": run_hash},
    )
    row = connection.execute(
        "SELECT trial_number FROM hypothesis_trials WHERE hypothesis_family = %s AND run_hash = %s", (family, run_hash)
    ).fetchone()
    assert row is not None
    return int(row["trial_number"])


def read_trials(warehouse: Warehouse, hypothesis_family: str, up_to: int) -> list[dict[str, Any]]:
    """Return trial_number, run_hash, spec_hash and evaluation of the trials of a family up to a number, in order."""
    with warehouse.read_pool().connection() as connection:
        return connection.execute(
            "SELECT t.trial_number, run_hash, r.spec_hash, r.evaluation FROM hypothesis_trials t "
            "JOIN backtest_runs r USING (run_hash) WHERE t.hypothesis_family = %s AND t.trial_number <= %s "
            "ORDER BY t.trial_number",
            (hypothesis_family, up_to),
        ).fetchall()


def put_run(
    warehouse: Warehouse,
    run_id: str,
    rows: RunRows,
    manifest: Callable[[int], tuple[Mapping[str, Any], str]],
) -> tuple[dict[str, Any], bool]:
    """Store a run unless its hash is there; return (the stored row, whether it is new). One transaction.

    `manifest(trial_number)` gives the complete manifest and its hash, or raises, and then nothing is stored.
    """
    run_hash, family = rows.columns["run_hash"], rows.columns["hypothesis_family"]
    with warehouse.write_pool("backtests").connection() as connection:
        lock(connection, f"run:{run_hash}")
        found = _run(connection, "run_hash", run_hash)
        trial = _trial(connection, family, run_hash)
        if found is not None:
            return found, False
        for kind, name, document in rows.documents:
            insert_document(connection, kind, name, document)
        document, manifest_hash = manifest(trial)
        canonical = canonical_json(document)
        columns = {
            **rows.columns,
            "run_id": run_id,
            "trial_number": trial,
            "manifest": canonical.decode(),
            "manifest_canonical": canonical,
            "manifest_hash": manifest_hash,
        }
        connection.execute(
            sql.SQL("INSERT INTO {} ({}) VALUES ({})").format(
                identifier("backtest_runs"),
                sql.SQL(", ").join(map(sql.Identifier, columns)),
                sql.SQL(", ").join(map(sql.Placeholder, columns)),
            ),
            columns,
        )
        for table, names, below in (
            ("backtest_metrics", _METRICS, rows.metrics),
            ("backtest_alerts", ALERTS, rows.alerts),
            ("backtest_artifacts", _ARTIFACTS, rows.artifacts),
        ):
            offered, inserted = copy_new(connection, table, ("run_id", *names), ((run_id, *row) for row in below))
            if inserted != offered:
                raise SignalDeltaError(f"{table}: run {run_hash}: expected {offered} different rows, found {inserted}")
        stored = _run(connection, "run_hash", run_hash)
        assert stored is not None
        return stored, True


def read_artifacts(warehouse: Warehouse, run_id: str) -> list[dict[str, Any]]:
    """Return name, hashes, media type, rows and size of every artifact of a run, by name."""
    with warehouse.read_pool().connection() as connection:
        return connection.execute(
            "SELECT name, file_hash, content_hash, media_type, rows, size_bytes FROM backtest_artifacts "
            "WHERE run_id = %s ORDER BY name",
            (run_id,),
        ).fetchall()


def read_metrics(warehouse: Warehouse, run_id: str) -> list[dict[str, Any]]:
    """Return every figure of a run, by evidence, slice and metric."""
    with warehouse.read_pool().connection() as connection:
        return connection.execute(
            "SELECT evidence, slice_kind, slice_value, metric, value, low, high, null_value, reason "
            "FROM backtest_metrics WHERE run_id = %s ORDER BY evidence, slice_kind, slice_value, metric",
            (run_id,),
        ).fetchall()


def read_alerts(warehouse: Warehouse, run_id: str) -> list[dict[str, Any]]:
    """Return every alert of a run, its columns `ALERTS`, by entity and moment."""
    with warehouse.read_pool().connection() as connection:
        return connection.execute(
            sql.SQL("SELECT {} FROM backtest_alerts WHERE run_id = %s ORDER BY entity_id, alert_at").format(
                sql.SQL(", ").join(map(sql.Identifier, ALERTS))
            ),
            (run_id,),
        ).fetchall()
