"""What the demo and `signaldelta summary` print: counts straight from the warehouse."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from signaldelta_assets.backtests.evaluation import holm
from signaldelta_assets.catalogue import SignalDefinitions
from signaldelta_assets.warehouse import Warehouse
from signaldelta_assets.warehouse.stores import backtests

Shown = tuple[str, tuple[str, ...], list[tuple[Any, ...]]]


def _rows(warehouse: Warehouse, query: str, **parameters: Any) -> list[tuple[Any, ...]]:
    with warehouse.read_pool().connection() as connection:
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


def events_by_year(warehouse: Warehouse, definitions: SignalDefinitions) -> Shown:
    """Active signal events of each active signal, made under its rule of today: entities, events, and these by year."""
    rows = _rows(
        warehouse,
        """
        SELECT signal_id, entity_id, extract(year FROM event_time)::int AS year, count(*) AS events
        FROM (SELECT DISTINCT ON (event_id) * FROM iald_signals WHERE definitions_hash = ANY(%(rules)s)
              ORDER BY event_id, revision DESC) latest
        WHERE active GROUP BY 1, 2, 3
        """,
        rules=sorted(definitions.signal_hashes().values()),
    )
    names = {name: f"{name} {definitions.signal(name).name}" for name in definitions.active_signals()}
    return "signal events", *_by_year("signal", list(names.values()), [(names[row[0]], *row[1:]) for row in rows])


def labels_by_year(warehouse: Warehouse, definitions: SignalDefinitions) -> Shown:
    """Active labels of each type and subtype, made under its rule of today: entities, events, and these by year."""
    rows = _rows(
        warehouse,
        """
        SELECT event_type, subtype, entity_id, extract(year FROM event_time)::int AS year, count(*) AS events
        FROM (SELECT DISTINCT ON (label_id) * FROM labeled_events WHERE definitions_hash = ANY(%(rules)s)
              ORDER BY label_id, revision DESC) latest
        WHERE active GROUP BY 1, 2, 3, 4
        """,
        rules=sorted(definitions.label_hashes().values()),
    )
    found = [(f"{row[0]} ({row[1]})", *row[2:]) for row in rows]
    bare = set(definitions.active_labels()) - {row[0] for row in rows}
    return "labeled events", *_by_year("type (subtype)", sorted({row[0] for row in found} | bare), found)


def _by_year(
    head: str, names: Sequence[str], rows: Sequence[tuple[Any, ...]]
) -> tuple[tuple[str, ...], list[tuple[Any, ...]]]:
    """Rows (name, entity, year, events) with a column per year; a name without events has a row of nothing."""
    years = sorted({row[2] for row in rows})
    entities: dict[str, set[str]] = {name: set() for name in names}
    events: Counter[tuple[str, int]] = Counter()
    for name, entity, year, count in rows:
        entities[name].add(entity)
        events[name, year] += count
    shown = [
        (name, len(entities[name]), sum(events[name, year] for year in years),
         *(events[name, year] or "" for year in years))
        for name in names
    ]  # fmt: skip
    return (head, "entities", "events", *map(str, years)), shown


def overview(warehouse: Warehouse, definitions: SignalDefinitions) -> list[Shown]:
    """What is here: documents per feed, what was refused, clocks, signals, labels, and what gave none."""
    return [
        documents(warehouse),
        quarantine(warehouse),
        clocks(warehouse),
        events_by_year(warehouse, definitions),
        labels_by_year(warehouse, definitions),
        rejections(warehouse),
    ]


def markdown(shown: Shown) -> str:
    """Return a table as Markdown, under its title."""
    title, columns, rows = shown
    lines = [f"### {title[0].upper()}{title[1:]}", "", _line(columns), _line(["---"] * len(columns)), *map(_line, rows)]
    return "\n".join(lines) + "\n"


def _line(cells: Sequence[Any]) -> str:
    return "| " + " | ".join(str("" if cell is None else cell).replace("|", "\\|") for cell in cells) + " |"


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
    with warehouse.read_pool().connection() as connection:
        row = connection.execute(
            "SELECT snapshot_id, snapshot_hash FROM backtest_snapshots ORDER BY ingest_time DESC LIMIT 1"
        ).fetchone()
    assert row is not None, "there is no snapshot"
    return row


def run_of_spec(warehouse: Warehouse, spec_hash: str) -> str:
    """Return the id of the newest run of a spec: other code or another lock makes another run of it."""
    with warehouse.read_pool().connection() as connection:
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
