"""Datasets, snapshots, backtest runs, and the read models that dbt builds."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from psycopg import Connection

from signaldelta_assets.warehouse.stores.dataset_diff import DatasetDiff, diff_datasets

from .statement import Row, asked, keyset, one, rows

_DATASET = """dataset_id, version, dataset_hash, definitions_hash, as_of, window_start, window_end, event_count,
    event_type_distribution, coverage, parent_hash, ingest_time, include_interpolated, interpolated_left_out"""
_SNAPSHOT = """snapshot_id, snapshot_hash, as_of, window_start, window_end, definitions_hash, dataset_id, ingest_time"""
_RUN = """run_id, run_hash, spec_hash, snapshot_id, scoring_model_hash, latency_model_hash, protocol_hash,
    definitions_hash, environment_hash, hypothesis_family, trial_number, status, evaluation_hash, manifest_hash,
    dagster_run_id, ingest_time"""


def datasets_page(
    connection: Connection[Row], known_as_of: datetime, after: tuple[Any, ...] | None, limit: int
) -> list[Row]:
    """Return dataset versions, newest first."""
    condition, order, key = keyset(("ingest_time", "dataset_id"), after, True)
    return rows(
        connection,
        f"""SELECT {_DATASET} FROM labeled_event_datasets WHERE ingest_time <= %(known)s {condition}
            ORDER BY {order} LIMIT %(limit)s""",
        {**key, "known": known_as_of, "limit": limit},
    )


def dataset(connection: Connection[Row], name: str) -> Row | None:
    """Return a dataset by id or hash, or None."""
    return one(
        connection,
        f"SELECT {_DATASET} FROM labeled_event_datasets WHERE dataset_id = %(name)s OR dataset_hash = %(name)s",
        {"name": name},
    )


def dataset_members_page(connection: Connection[Row], dataset_id: str, after: str | None, limit: int) -> list[Row]:
    """Return the labels of a dataset in the revisions it froze, by label_id."""
    return rows(
        connection,
        """SELECT m.label_id, m.revision, m.content_hash, l.event_type, l.subtype, l.entity_id, l.event_time, l.known_at
           FROM labeled_event_dataset_members m JOIN labeled_events l USING (label_id, revision)
           WHERE dataset_id = %(dataset)s AND m.label_id > %(after)s ORDER BY m.label_id LIMIT %(limit)s""",
        {"dataset": dataset_id, "after": after or "", "limit": limit},
    )


def snapshots_page(
    connection: Connection[Row], known_as_of: datetime, after: tuple[Any, ...] | None, limit: int
) -> list[Row]:
    """Return snapshots without their manifests, newest first."""
    condition, order, key = keyset(("ingest_time", "snapshot_id"), after, True)
    return rows(
        connection,
        f"""SELECT {_SNAPSHOT} FROM backtest_snapshots WHERE ingest_time <= %(known)s {condition}
            ORDER BY {order} LIMIT %(limit)s""",
        {**key, "known": known_as_of, "limit": limit},
    )


def snapshot(connection: Connection[Row], name: str) -> Row | None:
    """Return a snapshot with its manifest by id or hash, or None."""
    return one(
        connection,
        f"""SELECT {_SNAPSHOT}, manifest, manifest_canonical FROM backtest_snapshots
            WHERE snapshot_id = %(name)s OR snapshot_hash = %(name)s""",
        {"name": name},
    )


def runs_page(
    connection: Connection[Row],
    filters: Mapping[str, Any],
    known_as_of: datetime,
    after: tuple[Any, ...] | None,
    limit: int,
) -> list[Row]:
    """Return runs without their documents, newest first."""
    conditions = {
        "hypothesis_family": "hypothesis_family = %(hypothesis_family)s",
        "snapshot_id": "snapshot_id = %(snapshot_id)s",
        "status": "status = %(status)s",
    }
    condition, order, key = keyset(("ingest_time", "run_id"), after, True)
    return rows(
        connection,
        f"""SELECT {_RUN} FROM backtest_runs WHERE ingest_time <= %(known)s {asked(conditions, filters)} {condition}
            ORDER BY {order} LIMIT %(limit)s""",
        {**filters, **key, "known": known_as_of, "limit": limit},
    )


def run(connection: Connection[Row], name: str) -> Row | None:
    """Return a run with evaluation and manifest by id or hash, or None."""
    return one(
        connection,
        f"""SELECT {_RUN}, evaluation, manifest, manifest_canonical FROM backtest_runs
            WHERE run_id = %(name)s OR run_hash = %(name)s""",
        {"name": name},
    )


def metrics(connection: Connection[Row], run_id: str, filters: Mapping[str, Any]) -> list[Row]:
    """Return the figures of a run in a fixed order."""
    conditions = {
        "evidence": "evidence = %(evidence)s",
        "slice_kind": "slice_kind = %(slice_kind)s",
        "metric": "metric = %(metric)s",
    }
    return rows(
        connection,
        f"""SELECT evidence, slice_kind, slice_value, metric, value, low, high, null_value, reason
            FROM backtest_metrics WHERE run_id = %(run_id)s {asked(conditions, filters)}
            ORDER BY evidence, slice_kind, slice_value, metric""",
        {**filters, "run_id": run_id},
    )


def alerts_page(connection: Connection[Row], run_id: str, after: tuple[Any, ...] | None, limit: int) -> list[Row]:
    """Return the alert episodes of a run by (alert_at, entity_id)."""
    condition, order, key = keyset(("alert_at", "entity_id"), after, False)
    return rows(
        connection,
        f"""SELECT entity_id, alert_at, alert_score, matched_event_time, matched_event_type, censored
            FROM backtest_alerts WHERE run_id = %(run_id)s {condition} ORDER BY {order} LIMIT %(limit)s""",
        {**key, "run_id": run_id, "limit": limit},
    )


def artifacts(connection: Connection[Row], run_id: str) -> list[Row]:
    """Return the files of a run by name."""
    return rows(
        connection,
        """SELECT name, file_hash, content_hash, media_type, rows, size_bytes FROM backtest_artifacts
           WHERE run_id = %(run_id)s ORDER BY name""",
        {"run_id": run_id},
    )


def artifact(connection: Connection[Row], run_id: str, name: str) -> Row | None:
    """Return one file of a run by its name or the hash of its bytes, or None."""
    return one(
        connection,
        """SELECT name, file_hash, content_hash, media_type, rows, size_bytes FROM backtest_artifacts
           WHERE run_id = %(run_id)s AND (name = %(name)s OR file_hash = %(name)s) ORDER BY name LIMIT 1""",
        {"run_id": run_id, "name": name},
    )


def leaderboard(
    connection: Connection[Row], filters: Mapping[str, Any], after: tuple[Any, ...] | None, limit: int
) -> list[Row]:
    """Return rows of mart_backtest_leaderboard of one metric, best of the comparable first, then by run."""
    conditions = {
        "evidence": "evidence = %(evidence)s",
        "slice_kind": "slice_kind = %(slice_kind)s",
        "hypothesis_family": "hypothesis_family = %(hypothesis_family)s",
        "snapshot_hash": "snapshot_hash = %(snapshot_hash)s",
    }
    # A figure without a rank comes after all that have one.
    key_columns = ("rank_key", "run_id", "evidence", "slice_kind", "slice_value")
    condition, order, key = keyset(key_columns, after, False)
    return rows(
        connection,
        f"""SELECT * FROM (SELECT *, lpad(coalesce(rank_among_comparable, 9999999999)::text, 10, '0') AS rank_key
              FROM marts.mart_backtest_leaderboard WHERE metric = %(metric)s) board
            WHERE true {asked(conditions, filters)} {condition} ORDER BY {order} LIMIT %(limit)s""",
        {**filters, **key, "limit": limit},
    )


def dataset_diff(connection: Connection[Row], first: str, second: str) -> DatasetDiff:
    """Return what dataset `second` has otherwise than `first` (both by dataset_id)."""
    return diff_datasets(connection, first, second)


def label_minimum(connection: Connection[Row], definitions: str | None) -> list[Row]:
    """Return rows of mart_label_minimum by (definitions, asset class)."""
    return rows(
        connection,
        f"""SELECT * FROM marts.mart_label_minimum WHERE true
            {asked({"definitions": "definitions_hash = %(definitions)s"}, {"definitions": definitions})}
            ORDER BY definitions_hash, asset_class""",
        {"definitions": definitions},
    )


def label_entities(
    connection: Connection[Row], filters: Mapping[str, Any], after: tuple[Any, ...] | None, limit: int
) -> list[Row]:
    """Return rows of mart_label_entities by (type, entity, definitions)."""
    conditions = {
        "event_type": "event_type = %(event_type)s",
        "entity_id": "entity_id = %(entity_id)s",
        "rules": "definitions_hash = ANY(%(rules)s)",
    }
    condition, order, key = keyset(("event_type", "entity_id", "definitions_hash"), after, False)
    return rows(
        connection,
        f"""SELECT * FROM marts.mart_label_entities WHERE true {asked(conditions, filters)} {condition}
            ORDER BY {order} LIMIT %(limit)s""",
        {**filters, **key, "limit": limit},
    )


def label_coverage(
    connection: Connection[Row], filters: Mapping[str, Any], after: tuple[Any, ...] | None, limit: int
) -> list[Row]:
    """Return rows of mart_label_coverage by (type, month, class, definitions)."""
    conditions = {
        "event_type": "event_type = %(event_type)s",
        "asset_class": "asset_class = %(asset_class)s",
        "rules": "definitions_hash = ANY(%(rules)s)",
    }
    condition, order, key = keyset(("event_type", "month", "asset_class", "definitions_hash"), after, False)
    return rows(
        connection,
        f"""SELECT * FROM marts.mart_label_coverage WHERE true {asked(conditions, filters)} {condition}
            ORDER BY {order} LIMIT %(limit)s""",
        {**filters, **key, "limit": limit},
    )
