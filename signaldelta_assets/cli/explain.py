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
_CHANGES = ("M changes without it by", "L by", "C by")


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
        console.print(shown, highlight=False, markup=False, soft_wrap=isinstance(shown, str))


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
    families = Table("family", "", "share of M (Shapley)", "of the alert score", *_CHANGES, title="families")
    for item in document["families"]:
        cells = (_change(item["magnitude"]), _change(item["lean"]), _change(item["confidence"]))
        shares = (f"{item['shapley'][name]:+.6f}" for name in ("magnitude", "alert_score"))
        families.add_row(item["family"], item["name"] or "", *shares, *cells)
    yield families
    weighty = [item for item in document["contributions"] if item["delta_magnitude"]]
    events = Table("", "signal", "event", "available", "strength", "reliability", _CHANGES[0], "", title="events")
    for number, item in enumerate(weighty, 1):
        events.add_row(
            str(number),
            f"{item['signal_id']} {item['signal'] or ''}",
            _short(item["event_time"]),
            _short(item["available_time"]),
            _number(item["strength_norm"]),
            _number(item["reliability"]),
            _change(item["delta_magnitude"]),
            "circular" if item["circular"] else "",
        )
    yield events
    # Below the table, not in it: an address that is cut off leads nowhere.
    for number, item in enumerate(weighty, 1):
        yield f"{number}  event {item['event_id']}"
        yield from _records(item["raw_record_ids"], document["sources"])
    if any(item["circular"] for item in weighty):
        yield "circular: of a family or a record that the targets' labels are made from; no forecast of them"


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


def _records(names: Iterable[str], sources: Mapping[str, Mapping[str, Any]]) -> Iterable[str]:
    ids = list(names)
    for name in ids[:_RECORDS_SHOWN]:
        source = sources[name]
        address = source.get("index_url") or source.get("url") or source["reason"]
        yield f"     {source.get('accession') or name}  {address}"
    if len(ids) > _RECORDS_SHOWN:
        yield f"     and {len(ids) - _RECORDS_SHOWN} more records (--json has all)"


def _short(moment_text: str) -> str:
    return f"{datetime.fromisoformat(moment_text):%Y-%m-%d %H:%M:%S}"


def _number(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _change(delta: float) -> str:
    """What leaving it out does: the delta is the score with it minus the score without."""
    return f"{0.0 - delta:+.6f}"
