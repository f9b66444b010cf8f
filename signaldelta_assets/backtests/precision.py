"""How exactly the times of the labeled events are known, and what that leaves of lead times.

A lead shorter than the error of an interpolated time is none. Where any target event is interpolated, the events are
reported apart by the precision of their time as well.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc

from .evaluation import EvaluationProtocol

INTERPOLATED = "interpolated"


def with_time_errors(labels: pa.Table) -> pa.Table:
    """Return `labels` (the snapshot's part) with `time_error_seconds`; as they are where no time is interpolated."""
    precise = labels["time_precision"].to_pylist()
    if INTERPOLATED not in precise:
        return labels
    errors = [
        float(orjson.loads(str(text))["time_error_seconds"]) if precision == INTERPOLATED else 0.0
        for precision, text in zip(precise, labels["attributes"].to_pylist(), strict=True)
    ]
    return labels.append_column("time_error_seconds", pa.array(errors, pa.float64()))


def by_time_precision(
    labels: pa.Table, events: pa.Table, protocol: EvaluationProtocol
) -> dict[str, Mapping[str, Any]] | None:
    """Return by precision the uncensored target events: how many, how many matched, recall, quartiles of the leads.

    labels: those of `with_time_errors`. events: the run's target events with the alert of each (`matched_alert_at`).
    None where no target event's time is interpolated. Of several events of a type, entity and moment the least exact
    precision counts.
    """
    names = ("entity_id", "event_type", "event_time", "time_precision", "time_error_seconds")
    if "time_error_seconds" not in labels.column_names:
        return None
    kept = labels.filter(pc.is_in(labels["event_type"], pa.array(list(protocol.event_types))))
    known: dict[tuple[Any, Any, Any], tuple[float, str]] = {}
    for entity, kind, at, precision, error in zip(*(kept[name].to_pylist() for name in names), strict=True):
        key = (entity, kind, at)
        known[key] = max(known.get(key, (0.0, "")), (error, precision))
    found: dict[str, list[tuple[float | None, float]]] = {}
    for row in events.to_pylist():
        error, precision = known[row["entity_id"], row["event_type"], row["event_time"]]
        own = found.setdefault(precision, [])
        if not row["censored"]:
            alert = row["matched_alert_at"]
            own.append((None if alert is None else (row["event_time"] - alert).total_seconds(), error))
    if INTERPOLATED not in found:
        return None
    return {precision: _figures(rows) for precision, rows in sorted(found.items())}


def _figures(rows: list[tuple[float | None, float]]) -> dict[str, Any]:
    matched = [(lead, error) for lead, error in rows if lead is not None]
    told = [lead / 3600 for lead, error in matched if lead >= error]
    quartiles = (
        dict(zip(("q25", "median", "q75"), np.quantile(told, (0.25, 0.5, 0.75)).tolist(), strict=True))
        if told
        else None
    )
    return {
        "events": len(rows),
        "matched": len(matched),
        "recall": len(matched) / len(rows) if rows else None,
        "leads_shorter_than_error": len(matched) - len(told),
        "lead_time_hours": quartiles,
        "largest_error_seconds": max((error for _, error in rows), default=0.0),
    }
