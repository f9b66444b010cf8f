"""What the demo prints: counts straight from the warehouse."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from signaldelta_assets.backtests.evaluation import holm
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
        SELECT collector, count(*) AS runs, sum(documents_read) AS documents, sum(records_written) AS new,
               sum(records_known) AS known, sum(records_quarantined) AS quarantined,
               count(*) FILTER (WHERE status <> 'complete') AS failed,
               sum((counts->>'documents_absent')::int) AS absent
        FROM collector_runs GROUP BY collector ORDER BY collector
        """,
    )
    names = (
        "collector",
        "runs",
        "documents read",
        "records new",
        "known",
        "quarantined",
        "failed runs",
        "not in the archive",
    )
    return "documents per feed", names, rows


def quarantine(warehouse: Warehouse) -> Shown:
    """Refused records by reason."""
    rows = _rows(
        warehouse,
        """
        SELECT collector, source_type, field, expected, count(*) AS records, min(record) AS example
        FROM quarantined_records GROUP BY 1, 2, 3, 4 ORDER BY 1, 5 DESC LIMIT 30
        """,
    )
    return "quarantined, and why", ("collector", "source type", "field", "expected", "records", "such as"), rows


def clocks(warehouse: Warehouse) -> Shown:
    """Decisions on the clock of submissions files."""
    rows = _rows(warehouse, "SELECT clock, count(*) AS files FROM clock_decisions GROUP BY 1 ORDER BY 1")
    return "clock of submissions files", ("clock", "files"), rows


def events_by_year(warehouse: Warehouse, rules: Collection[str]) -> Shown:
    """Active signal events per signal and year, of those made under `rules` (hashes of definitions of signals)."""
    rows = _rows(
        warehouse,
        """
        SELECT signal_id, extract(year FROM event_time)::int AS year, count(*) AS events,
               count(DISTINCT entity_id) AS entities
        FROM (SELECT DISTINCT ON (event_id) * FROM iald_signals WHERE definitions_hash = ANY(%(rules)s)
              ORDER BY event_id, revision DESC) latest
        WHERE active GROUP BY 1, 2 ORDER BY 1, 2
        """,
        rules=sorted(rules),
    )
    return "signal events", ("signal", "year", "events", "entities"), rows


def labels_by_year(warehouse: Warehouse, rules: Collection[str]) -> Shown:
    """Active labels per type, subtype and year, of those made under `rules` (hashes of definitions of labels)."""
    rows = _rows(
        warehouse,
        """
        SELECT event_type, subtype, extract(year FROM event_time)::int AS year, count(*) AS events,
               count(DISTINCT entity_id) AS entities
        FROM (SELECT DISTINCT ON (label_id) * FROM labeled_events WHERE definitions_hash = ANY(%(rules)s)
              ORDER BY label_id, revision DESC) latest
        WHERE active GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
        """,
        rules=sorted(rules),
    )
    return "labeled events", ("type", "subtype", "year", "events", "entities"), rows


def rejections(warehouse: Warehouse) -> Shown:
    """Why records gave no signal or no label; a window inside another of the same producer is counted with that."""
    rows = _rows(
        warehouse,
        """
        SELECT stage, producer, reason, sum(rows) AS records FROM extraction_counts AS own
        WHERE NOT EXISTS (
            SELECT FROM extraction_counts AS wider
            WHERE (wider.stage, wider.producer) = (own.stage, own.producer)
              AND wider.partition_start <= own.partition_start AND wider.partition_end >= own.partition_end
              AND (wider.partition_start, wider.partition_end) <> (own.partition_start, own.partition_end)
        )
        GROUP BY 1, 2, 3 ORDER BY 1, 2, 4 DESC
        """,
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
    """Return the id of the newest run of a spec: other code or another lock makes another run of it."""
    with warehouse.read() as connection:
        row = connection.execute(
            "SELECT run_id FROM backtest_runs WHERE spec_hash = %s ORDER BY ingest_time DESC LIMIT 1", (spec_hash,)
        ).fetchone()
    assert row is not None, f"spec {spec_hash} has no run"
    return str(row["run_id"])


def run_figures(warehouse: Warehouse, run: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Return a run's row and its figures."""
    found = backtests.get_run(warehouse, run)
    return found, backtests.read_metrics(warehouse, found["run_id"])


def answers(runs: list[dict[str, Any]]) -> Shown:
    """One line per run: the figures that answer its question, beside their null, corrected for asking several."""
    rows: list[tuple[Any, ...]] = []
    tested = []
    for run in runs:
        whole = run["evaluation"]["overall"]["all_evidence"]
        null = whole["nulls"].get("shifted_events", {}).get("precision") if whole["nulls"] else None
        if null and null["p_value"] is not None:
            tested.append((len(rows), null["p_value"]))
        lead = whole["lead_time_hours"] or {}
        rows.append(
            (
                run["hypothesis_family"],
                whole["n_events"],
                _number(whole["base_rate"]),
                whole["n_alerts"],
                _with_interval(whole, "precision"),
                _number(null and null["value"]),
                _span(null and null["difference_interval"]),
                _with_interval(whole, "recall"),
                _number(lead.get("median")),
            )
        )
    corrected = dict(zip((index for index, _ in tested), holm([p for _, p in tested]), strict=True)) if tested else {}
    shown = [(*row, _number(corrected.get(index))) for index, row in enumerate(rows)]
    names = ("question", "events", "base rate", "alerts", "precision", "null of precision", "difference from null",
             "recall", "median lead h", "p (Holm)")  # fmt: skip
    # A question per column: that fits a terminal, a line of ten figures does not.
    turned = list(zip(*shown, strict=True))
    body = [(name, *cells) for name, cells in zip(names[1:], turned[1:], strict=True)]
    return "what was asked, and what came out", ("", *map(str, turned[0])), body


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3g}"


def _span(interval: dict[str, float] | None) -> str:
    return "" if interval is None else f"{interval['lo']:+.3f} .. {interval['hi']:+.3f}"


def _with_interval(whole: dict[str, Any], name: str) -> str:
    if whole[name] is None:
        return str(whole["reasons"].get(name, ""))
    interval = whole["intervals"].get(name)
    return f"{whole[name]:.3f}" + (f" [{interval['lo']:.3f}, {interval['hi']:.3f}]" if interval else "")
