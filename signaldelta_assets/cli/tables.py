"""What the demo prints: counts straight from the warehouse."""

from __future__ import annotations

from typing import Any

from signaldelta_assets.warehouse import Warehouse
from signaldelta_assets.warehouse.stores import backtests

Shown = tuple[str, tuple[str, ...], list[tuple[Any, ...]]]


def _rows(warehouse: Warehouse, query: str, **parameters: Any) -> list[tuple[Any, ...]]:
    with warehouse.read() as connection:
        return [tuple(row.values()) for row in connection.execute(query, parameters).fetchall()]


def documents(warehouse: Warehouse) -> Shown:
    """Documents read, records written and refused, per collector over all its runs."""
    rows = _rows(
        warehouse,
        """
        SELECT collector, count(*), sum(documents_read), sum(records_written), sum(records_known),
               sum(records_quarantined), min(status) FILTER (WHERE status <> 'complete')
        FROM collector_runs GROUP BY collector ORDER BY collector
        """,
    )
    names = ("collector", "runs", "documents read", "records new", "known", "quarantined", "failed")
    return "documents per feed", names, rows


def quarantine(warehouse: Warehouse) -> Shown:
    """Refused records by reason."""
    rows = _rows(
        warehouse,
        """
        SELECT collector, source_type, field, expected, count(*), min(record)
        FROM quarantined_records GROUP BY 1, 2, 3, 4 ORDER BY 1, 5 DESC LIMIT 30
        """,
    )
    return "quarantined, and why", ("collector", "source type", "field", "expected", "records", "such as"), rows


def clocks(warehouse: Warehouse) -> Shown:
    """Decisions on the clock of submissions files."""
    rows = _rows(warehouse, "SELECT clock, count(*) FROM clock_decisions GROUP BY 1 ORDER BY 1")
    return "clock of submissions files", ("clock", "files"), rows


def events_by_year(warehouse: Warehouse, definitions_hash: str) -> Shown:
    """Active signal events per signal and year."""
    rows = _rows(
        warehouse,
        """
        SELECT signal_id, extract(year FROM event_time)::int AS year, count(*), count(DISTINCT entity_id)
        FROM (SELECT DISTINCT ON (event_id) * FROM iald_signals WHERE definitions_hash = %(definitions)s
              ORDER BY event_id, revision DESC) latest
        WHERE active GROUP BY 1, 2 ORDER BY 1, 2
        """,
        definitions=definitions_hash,
    )
    return "signal events", ("signal", "year", "events", "entities"), rows


def labels_by_year(warehouse: Warehouse, definitions_hash: str) -> Shown:
    """Active labels per type, subtype and year."""
    rows = _rows(
        warehouse,
        """
        SELECT event_type, subtype, extract(year FROM event_time)::int AS year, count(*), count(DISTINCT entity_id)
        FROM (SELECT DISTINCT ON (label_id) * FROM labeled_events WHERE definitions_hash = %(definitions)s
              ORDER BY label_id, revision DESC) latest
        WHERE active GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
        """,
        definitions=definitions_hash,
    )
    return "labeled events", ("type", "subtype", "year", "events", "entities"), rows


def rejections(warehouse: Warehouse) -> Shown:
    """Why records gave no signal or no label."""
    rows = _rows(
        warehouse,
        "SELECT stage, producer, reason, sum(rows) FROM extraction_counts GROUP BY 1, 2, 3 ORDER BY 1, 2, 4 DESC",
    )
    return "records that gave none, and why", ("stage", "producer", "reason", "records"), rows


def newest_snapshot(warehouse: Warehouse) -> dict[str, Any]:
    """Return the row of the newest snapshot."""
    with warehouse.read() as connection:
        row = connection.execute(
            "SELECT snapshot_id, snapshot_hash FROM backtest_snapshots ORDER BY ingest_time DESC LIMIT 1"
        ).fetchone()
    assert row is not None, "there is no snapshot"
    return row


def run_of_spec(warehouse: Warehouse, spec_hash: str) -> str:
    """Return the id of the run of a spec."""
    with warehouse.read() as connection:
        row = connection.execute("SELECT run_id FROM backtest_runs WHERE spec_hash = %s", (spec_hash,)).fetchone()
    assert row is not None, f"spec {spec_hash} has no run"
    return str(row["run_id"])


def run_figures(warehouse: Warehouse, run: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Return a run's row and its figures."""
    found = backtests.get_run(warehouse, run)
    return found, backtests.read_metrics(warehouse, found["run_id"])
