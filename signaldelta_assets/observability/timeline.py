"""From rows and log lines to the way of one action: entries in the order of time, each with its words. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

Row = Mapping[str, Any]

# So many lines of the log, and then how many more there are.
MOST_LINES = 200
# Of a line of the log; its context has the rest.
MOST_WORDS = 200


@dataclass(frozen=True, slots=True)
class Entry:
    """Something that happened: when (UTC), where (`request`, `job`, `run`, `step`, `rows`, ...), in words."""

    at: datetime
    layer: str
    words: str
    detail: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Trace:
    """The way of one action. `kinds`: what the id was; `correlation_ids`: of the action, usually one."""

    asked: str
    kinds: tuple[str, ...]
    correlation_ids: tuple[str, ...]
    entries: tuple[Entry, ...]
    notes: tuple[str, ...]

    def to_document(self) -> dict[str, Any]:
        """Return it as JSON can hold it."""
        return json.loads(json.dumps(asdict(self), default=str))  # type: ignore[no-any-return]

    def lines(self) -> list[str]:
        """Return it as lines to read: seconds since the first entry, where, what."""
        shown = [
            f"{self.asked}: {', '.join(self.kinds)}",
            f"correlation id {', '.join(self.correlation_ids) or 'none'}",
        ]
        previous = None
        began = self.entries[0].at if self.entries else None
        for entry in self.entries:
            day = f"{entry.at:%Y-%m-%d}"
            if day != previous:
                shown.append(day)
                previous = day
            assert began is not None
            since = (entry.at - began).total_seconds()
            shown.append(f"  {entry.at:%H:%M:%S.%f}"[:-3] + f"  {since:+9.3f} s  {entry.layer:<9} {entry.words}")
        return [*shown, *(f"note: {note}" for note in self.notes)]


def entries_of(found: Mapping[str, Sequence[Row]]) -> list[Entry]:
    """Return the entries of rows as `stores.tracing.gather` gives them, in the order of time."""
    makers = {
        "user_activity": _activity,
        "jobs": _job,
        "runs": _run,
        "collector_runs": _collector_run,
        "backtest_runs": _backtest,
        "llm_usage_log": _model,
        "misrouted_writes": _refused,
        "events": _event,
        "materializations": _materialization,
    }
    return in_order(entry for table, make in makers.items() for row in found.get(table, ()) for entry in make(row))


def in_order(entries: Iterable[Entry]) -> list[Entry]:
    """Return entries by time; where a moment is the same, what leads to the other first."""
    places = {layer: place for place, layer in enumerate(_LAYERS)}
    return sorted(entries, key=lambda entry: (entry.at, places.get(entry.layer, len(places))))


_LAYERS = ("request", "job", "run", "step", "collector", "rows", "model", "refused", "log")


def _activity(row: Row) -> list[Entry]:
    detail = row["detail"] or {}
    words = " ".join(str(part) for part in (detail.get("method"), row["subject"], detail.get("status")) if part)
    who = row["user_id"] or "nobody known"
    reason = f": {detail['reason']}" if detail.get("reason") else ""
    return [Entry(row["event_time"], "request", f"{row['kind']} {words} by {who}{reason}", dict(detail))]


def _job(row: Row) -> list[Entry]:
    name = f"job {row['job_id']} ({row['kind']})"
    words = {
        "submitted_at": f"{name} submitted by {row['user_id'] or 'nobody known'}",
        "launched_at": f"{name} launched as run {row['dagster_run_id']}",
        "started_at": f"{name} running",
        "cancel_requested_at": f"{name} is to be canceled",
        "finished_at": f"{name} {row['state']}" + (f": {row['reason']}" if row["reason"] else ""),
    }
    detail = {"state": row["state"], "attempts": row["attempts"]}
    return [Entry(row[moment], "job", text, detail) for moment, text in words.items() if row[moment] is not None]


def _run(row: Row) -> list[Entry]:
    name = f"run {row['run_id']} ({row['job']}" + (f", {row['partition']})" if row["partition"] else ")")
    over = row["ended_at"] is not None
    found = [Entry(row["created_at"], "run", f"{name} queued", {"run_id": row["run_id"]})]
    if row["started_at"] is not None:
        found.append(Entry(row["started_at"], "run", f"{name} started"))
    if over:
        took = f" in {(row['ended_at'] - row['started_at']).total_seconds():.1f} s" if row["started_at"] else ""
        found.append(Entry(row["ended_at"], "run", f"{name} {row['status'].lower()}{took}"))
    elif row["status"] not in ("QUEUED", "STARTED", "STARTING", "NOT_STARTED"):
        found.append(Entry(row["created_at"], "run", f"{name} {row['status'].lower()}"))
    return found


def _collector_run(row: Row) -> list[Entry]:
    name = f"collector {row['collector']} run {row['collector_run_id']}"
    window = f"{row['window_start']} to {row['window_end']}, {row['collection_mode']}"
    found = [Entry(row["started_at"], "collector", f"{name} began: {window}")]
    if row["finished_at"] is not None:
        requests = (row["counts"] or {}).get("requests", 0)
        error = f": {row['error']}" if row["error"] else ""
        words = f"{name} {row['status']}: {row['documents_read']} documents by {requests} requests{error}"
        found.append(Entry(row["finished_at"], "collector", words, dict(row["counts"] or {})))
        written = {
            "raw_records": row["records_written"],
            "raw_documents": (row["counts"] or {}).get("documents_archived", 0),
            "quarantined_records": row["records_quarantined"],
        }
        told = ", ".join(f"{number} to {table}" for table, number in written.items())
        words = f"{told}; {row['records_known']} records were known"
        found.append(Entry(row["finished_at"], "rows", words, {"written": written, "known": row["records_known"]}))
    return found


def _backtest(row: Row) -> list[Entry]:
    words = f"1 to backtest_runs: {row['run_id']}, {row['status']}, hypothesis {row['hypothesis_family']}"
    return [Entry(row["ingest_time"], "rows", words, {"run_hash": row["run_hash"]})]


def _model(row: Row) -> list[Entry]:
    tokens = f"{row['input_tokens'] or 0} + {row['output_tokens'] or 0} tokens, {row['cost'] or 0:.6f} dollars"
    words = f"{row['model']} by {row['route_id']} for {row['use_case']}: {row['outcome']}, {tokens}"
    words += f" in {row['latency_ms']:.0f} ms" + (f": {row['error']}" if row["error"] else "")
    return [Entry(row["event_time"], "model", words, {"usage_id": row["usage_id"]})]


def _refused(row: Row) -> list[Entry]:
    words = (
        f"write to {row['table_name']} of {row['table_group']} refused at {row['place']}, kept as {row['write_id']}, "
        + (f"delivered at {row['delivered_at']}" if row["delivered_at"] else "not delivered yet")
    )
    return [Entry(row["refused_at"], "refused", words, {"reason": row["reason"]})]


# --- Dagster's events --------------------------------------------------------------------------------------------

_STEPS = {
    "STEP_START": "started",
    "STEP_SUCCESS": "succeeded",
    "STEP_FAILURE": "failed",
    "STEP_UP_FOR_RETRY": "is to be tried again",
    "STEP_SKIPPED": "was skipped",
}


def _event(row: Row) -> list[Entry]:
    detail = {"run_id": row["run_id"]}
    if row["type"] in _STEPS:
        error = _error(row["event"]) if row["type"] == "STEP_FAILURE" else ""
        words = f"step {row['step_key']} {_STEPS[row['type']]}" + (f": {error}" if error else "")
        return [Entry(row["at"], "step", words, detail)]
    if row["type"] == "ASSET_CHECK_EVALUATION":
        return _check(row)
    error = _error(row["event"])
    words = f"run {row['run_id']} {row['type'].removeprefix('PIPELINE_').lower()}"
    return [Entry(row["at"], "run", words + (f": {error}" if error else ""), detail)]


def _materialization(row: Row) -> list[Entry]:
    """One entry for an asset in a run, however many partitions it has. The counts are the run's."""
    span = ""
    if row["first"] is not None:
        span = f", {row['first']}" + (f" to {row['last']}" if row["last"] != row["first"] else "")
    figures = _metadata(row["event"])
    counts = {name: value for name, value in figures.items() if isinstance(value, int | float) and "/" not in name}
    told = ", ".join(f"{name} {value}" for name, value in sorted(counts.items())) or "no counts"
    asset = "/".join(json.loads(row["asset_key"]))
    detail = {"run_id": row["run_id"], "partitions": row["partitions"], "counts": counts}
    return [Entry(row["at"], "rows", f"{asset}{span}: {told}", detail)]


def _check(row: Row) -> list[Entry]:
    data = _document(row["event"]).get("dagster_event", {}).get("event_specific_data") or {}
    if data.get("success", data.get("passed")) is not False:
        return []
    asset = "/".join(json.loads(row["asset_key"])) if row["asset_key"] else "?"
    return [Entry(row["at"], "step", f"check {data.get('check_name')} of {asset} failed", {"run_id": row["run_id"]})]


def _document(event: str) -> dict[str, Any]:
    """An event as Dagster stores it; nothing where it is of a form that this does not know."""
    try:
        found = json.loads(event)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _error(event: str) -> str:
    """The innermost cause of a failure, its first line."""
    data = (_document(event).get("dagster_event") or {}).get("event_specific_data") or {}
    error = data.get("error")
    while isinstance(error, dict) and isinstance(error.get("cause"), dict):
        error = error["cause"]
    message = error.get("message", "") if isinstance(error, dict) else ""
    return str(message).strip().splitlines()[0] if str(message).strip() else ""


def _metadata(event: str) -> dict[str, Any]:
    data = (_document(event).get("dagster_event") or {}).get("event_specific_data") or {}
    entries = (data.get("materialization") or {}).get("metadata_entries") or []
    return {entry.get("label", ""): (entry.get("entry_data") or {}).get("value") for entry in entries}


# --- the log -----------------------------------------------------------------------------------------------------


def log_entries(lines: Iterable[Row]) -> tuple[list[Entry], int]:
    """Return log lines as entries, the first `MOST_LINES`, and how many more there are.

    The line of a request says what the audit log of reads does not: every request has one.
    """
    parsed = sorted(
        ((datetime.fromisoformat(line["timestamp"]), line) for line in lines if "timestamp" in line),
        key=lambda pair: pair[0],
    )
    found = []
    for at, line in parsed[:MOST_LINES]:
        context = line.get("context") or {}
        if line.get("logger") == "signaldelta.api.access":
            words = (
                f"{context.get('method')} {context.get('route') or context.get('path')} {context.get('status')} in "
                f"{context.get('milliseconds')} ms by {context.get('user_id') or 'nobody known'}"
            )
            found.append(Entry(at, "request", words, dict(context)))
        else:
            words = f"{line.get('service')} {line.get('level')}: {line.get('message')}".replace("\n", " ")
            found.append(
                Entry(at, "log", words if len(words) <= MOST_WORDS else words[:MOST_WORDS] + " ...", dict(context))
            )
    return found, max(len(parsed) - MOST_LINES, 0)


# --- what an id names ------------------------------------------------------------------------------------------


def evidence_entries(kind: str, rows: Iterable[Row]) -> list[Entry]:
    """Return the entries of the rows that an id names: records, signal events, labels, in each revision."""
    found = []
    for row in rows:
        if kind == "raw record":
            words = f"record {row['raw_record_id']} ({row['source_type']}, {row['entity_id']}) of {row['source_url']}"
            found.append(Entry(row["ingest_time"], "rows", words, {"collector_run_id": row["collector_run_id"]}))
        elif kind in ("signal event", "label"):
            key, what = ("event_id", "signal_id") if kind == "signal event" else ("label_id", "event_type")
            state = "" if row["active"] else ", withdrawn"
            words = f"{kind} {row[key]} ({row[what]}, {row['entity_id']}) revision {row['revision']}{state}"
            found.append(Entry(row["ingest_time"], "rows", words, {"raw_record_ids": list(row["raw_record_ids"])}))
    return found
