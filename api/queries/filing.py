"""What a spec names, and what was tried before it."""

from __future__ import annotations

from typing import Any

from psycopg import Connection

from .statement import Row, one, rows


def spec_inputs(connection: Connection[Row], hashes: list[str]) -> dict[str, Row]:
    """Return by hash what is there of a spec's hashes: kind, name, and of a snapshot its id and number of labels."""
    found = rows(
        connection,
        """SELECT document_hash AS hash, kind, name, NULL::bigint AS labels FROM documents
           WHERE document_hash = ANY(%(hashes)s)
           UNION ALL
           SELECT snapshot_hash, 'snapshot', snapshot_id, event_count::bigint FROM backtest_snapshots
           JOIN labeled_event_datasets USING (dataset_id) WHERE snapshot_hash = ANY(%(hashes)s)""",
        {"hashes": hashes},
    )
    return {row["hash"]: row for row in found}


def runs_of_spec(connection: Connection[Row], spec_hash: str) -> list[Row]:
    """Return the runs of a spec, newest first: of each environment there may be one."""
    return rows(
        connection,
        "SELECT run_id, run_hash, status, trial_number, environment_hash, ingest_time FROM backtest_runs"
        " WHERE spec_hash = %(spec)s ORDER BY ingest_time DESC, run_id",
        {"spec": spec_hash},
    )


def trials_of(connection: Connection[Row], family: str) -> int:
    """Return how many trials a hypothesis family has."""
    found: Any = one(
        connection,
        "SELECT COALESCE(max(trial_number), 0) AS n FROM hypothesis_trials WHERE hypothesis_family = %(family)s",
        {"family": family},
    )
    return int(found["n"])


def use_cases(connection: Connection[Row]) -> list[str]:
    """Return the use-cases that have a route to a language model."""
    return [
        row["use_case"] for row in rows(connection, "SELECT DISTINCT use_case FROM llm_fallback_chain ORDER BY 1", {})
    ]
