"""An evaluation document as rows: every figure with its interval and its null, per evidence, event type and month."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

FIGURES = ("precision", "recall", "false_positive_rate", "auc", "average_precision", "brier", "log_loss",
           "brier_skill", "base_rate")  # fmt: skip
LEAD = "lead_time_hours"
COUNTS = ("n_alerts", "n_events", "n_points", "censored_alerts", "censored_events")
EVIDENCE = ("all_evidence", "without_circular_evidence")
# The first null that has a figure stands beside it in the table; both are in the document.
_NULLS = ("random_alerts", "shifted_events")

Row = tuple[str, str, str, str, float | None, float | None, float | None, float | None, str | None]


def metric_rows(evaluation: Mapping[str, Any]) -> Iterator[Row]:
    """Yield (evidence, slice_kind, slice_value, metric, value, low, high, null_value, reason) of a run's evaluation.

    Slices: ("all", "all"), ("event_type", name), ("month", YYYY-MM). None at all where the dataset is insufficient.
    """
    if evaluation["status"] != "complete":
        return
    for evidence in EVIDENCE:
        overall = evaluation["overall"][evidence]
        yield from _section(evidence, "all", "all", overall, overall)
        for name, section in overall["by_month"].items():
            yield from _section(evidence, "month", name, section, section["figures"])
        for name, study in evaluation["by_event_type"].items():
            alone = study[evidence]
            # Too few events of the type: counts in the document, no figures.
            if alone is not None and alone["status"] == "evaluated":
                yield from _section(evidence, "event_type", name, alone, alone)


def _section(
    evidence: str, kind: str, value: str, section: Mapping[str, Any], figures: Mapping[str, Any]
) -> Iterator[Row]:
    flat = {name: figures[name] for name in FIGURES}
    lead = section[LEAD] or {}
    flat |= {f"{LEAD}.{quartile}": lead.get(quartile) for quartile in ("median", "q25", "q75")}
    for name, figure in flat.items():
        interval = section["intervals"].get(name) or {}
        reason = section["reasons"].get(name) or section["reasons"].get(name.partition(".")[0])
        yield (evidence, kind, value, name, figure, interval.get("lo"), interval.get("hi"),
               _null(section["nulls"], name), None if figure is not None else reason)  # fmt: skip
    for name in COUNTS:
        if name in section:
            yield evidence, kind, value, name, float(section[name]), None, None, None, None


def _null(nulls: Mapping[str, Any], name: str) -> float | None:
    for null in _NULLS:
        figure = nulls.get(null, {}).get(name)
        if figure is not None:
            return float(figure["value"])
    return None
