"""A score of a run, explained to a reader: tables for people, canonical JSON for programs."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from rich.console import Console
from rich.table import Table

from signaldelta_assets.backtests import ExplanationError, explain_run
from signaldelta_assets.versioning import canonical_json

from .backtests import opened

# An event of the market rests on months of bars; all of them are in the JSON.
_RECORDS_SHOWN = 3


def moment(text: str) -> datetime:
    """Read a moment. Raises `ExplanationError` for what is not ISO 8601, or has no zone: it could be any time."""
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise ExplanationError(f"time: expected ISO 8601, such as 2025-01-31T12:00:00Z, found {text!r}") from None
    if at.tzinfo is None:
        raise ExplanationError(f"time: expected a zone, such as {text}Z or {text}+00:00, found {text!r}")
    return at


def explain(console: Console, run: str, entity: str, at: str, top: int, as_json: bool) -> None:
    """Print why a run scored an entity at a moment as it did."""
    with opened() as (warehouse, artifacts):
        document = explain_run(warehouse, artifacts, run, entity, moment(at), top=top)
    if as_json:
        sys.stdout.buffer.write(canonical_json(document) + b"\n")
        sys.stdout.buffer.flush()
        return
    for shown in tables(document):
        # What stands in a record is text, whatever brackets it has.
        console.print(shown, highlight=False, markup=False)


def tables(document: Mapping[str, Any]) -> Iterable[str | Table]:
    """Yield what a person is shown of an explanation, in reading order."""
    where = "a point of the run's grid, as stored" if document["on_grid"] else "between the points of the run's grid"
    yield f"{document['entity_id']} at {document['at']} ({where}), run {document['run']['run_id']}"
    score = document["score"]
    figures = Table("figure", "value", title="score")
    for name, value in score.items():
        if name != "chain_probabilities":
            figures.add_row(name, _number(value))
    for name, value in sorted(score["chain_probabilities"].items(), key=lambda item: (-item[1], item[0])):
        figures.add_row(f"p {name}", _number(value))
    yield figures
    yield from _alert_lines(document["alert"])
    if not document["families"]:
        yield "no evidence was available then"
        return
    families = Table("family", "", "share of M (Shapley)", "M without it", "lean", "confidence", title="families")
    for item in document["families"]:
        cells = (_signed(-item["magnitude"]), _signed(-item["lean"]), _signed(-item["confidence"]))
        families.add_row(item["family"], item["name"] or "", _signed(item["shapley"]), *cells)
    yield families
    events = Table("signal", "event", "available", "strength", "reliability", "M without it", "records", title="events")
    for item in document["contributions"]:
        signal = f"{item['signal_id']} {item['signal'] or ''}\n{item['event_id']}"
        events.add_row(
            signal + ("\ncircular for the targets" if item["circular"] else ""),
            _short(item["event_time"]),
            _short(item["available_time"]),
            _number(item["strength_norm"]),
            _number(item["reliability"]),
            _signed(-item["delta_magnitude"]),
            _records(item["raw_record_ids"], document["sources"]),
        )
    yield events


def _alert_lines(alert: Mapping[str, Any]) -> Iterable[str]:
    yield f"alert score M x C = {_number(alert['score'])}, threshold {_number(alert['threshold'])}"
    fired, previous = alert["fired"], alert["previous"]
    if fired is None:
        before = f"; the last one before was at {previous['alert_at']}" if previous else ""
        yield f"no alert at this moment{before}"
        return
    if fired["matched_event_time"] is None:
        outcome = "it matched no event"
    else:
        labels = ", ".join(label["label_id"] for label in fired["labels"])
        outcome = f"it matched {fired['matched_event_type']} at {fired['matched_event_time']} (label {labels})"
    censored = "; censored: the grid ends before its horizon, precision leaves it out" if fired["censored"] else ""
    yield f"an alert fired at this moment: {outcome}{censored}"


def _records(names: Iterable[str], sources: Mapping[str, Mapping[str, Any]]) -> str:
    ids = list(names)
    lines = []
    for name in ids[:_RECORDS_SHOWN]:
        source = sources[name]
        lines.append(
            f"{source.get('accession') or name}\n{source.get('index_url') or source.get('url') or source['reason']}"
        )
    if len(ids) > _RECORDS_SHOWN:
        lines.append(f"and {len(ids) - _RECORDS_SHOWN} more (--json)")
    return "\n".join(lines)


def _short(moment_text: str) -> str:
    return f"{datetime.fromisoformat(moment_text):%Y-%m-%d %H:%M:%S}"


def _number(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _signed(value: float) -> str:
    return f"{value:+.6f}"
