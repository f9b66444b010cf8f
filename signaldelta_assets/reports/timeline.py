"""Alerts and events of a few entities along the time of the grid.

Which entities is decided by the SHA-256 of their ids, without regard to what came of them: lanes picked for being
telling would flatter.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import pyarrow as pa

from signaldelta_assets.versioning import sha256_hex

from .material import Document
from .pictures import Key, Picture
from .plot import Plane
from .tables import Table
from .wording import count, counted, epoch, figure, moment

LANES = 12
_DAY = 86_400.0


def chosen_entities(alerts: pa.Table, events: pa.Table, lanes: int = LANES) -> list[str]:
    """Return up to `lanes` entities with an alert or an event: the first by the SHA-256 of their ids, sorted."""
    names: set[Any] = {*alerts["entity_id"].to_pylist(), *events["entity_id"].to_pylist()}
    return sorted(sorted(names, key=lambda name: sha256_hex(name.encode()))[:lanes])


def timeline(alerts: pa.Table, events: pa.Table, protocol: Document, *, matched: bool) -> Picture:
    """Draw a lane per chosen entity: its alerts and its target events, matched pairs joined.

    `matched`: whether the run matched them; below the minimum dataset it did not, and nothing is called missed.
    """
    name, title = "timeline", "Alerts and events along the way"
    chosen = chosen_entities(alerts, events)
    if not chosen:
        return Picture(name, title, absent="there is no alert and no target event")
    start, end = epoch(protocol["grid"]["start"]), epoch(protocol["grid"]["end"])
    horizon = timedelta(hours=protocol["horizon_hours"])
    lane = {entity: place for place, entity in enumerate(chosen)}
    own_alerts = [row for row in alerts.to_pylist() if row["entity_id"] in lane]
    own_events = [row for row in events.to_pylist() if row["entity_id"] in lane]
    before = sum(row["event_time"] < start for row in own_events)
    shown = [row for row in own_events if row["event_time"] >= start]

    def day(at: datetime) -> float:
        return (at - start).total_seconds() / _DAY

    last = day(end)
    plane = Plane(
        (0.0, last), (len(chosen) - 0.4, -0.6), width=1000, height=44 + 30 * len(chosen), left=110, right=30, bottom=28
    )
    # Where the horizon leaves the grid: events too early for recall, alerts too late for precision.
    plane.box((0.0, min(day(start + horizon), last)), (-0.6, len(chosen) - 0.4), "shade")
    plane.box((max(day(end - horizon), 0.0), last), (-0.6, len(chosen) - 0.4), "shade")
    months = _months(start, end)
    plane.x_axis([day(at) for at in months], lambda value: (start + timedelta(days=value)).strftime("%Y-%m"), grid=True)
    for entity, place in lane.items():
        plane.segment((0.0, place), (last, place), "grid")
        plane.write((0.0, place), entity, "tick", anchor="end", dx=-8, dy=4)
    for row in own_alerts:
        if row["matched_event_time"] is not None:
            place = lane[row["entity_id"]]
            plane.segment((day(row["alert_at"]), place), (day(row["matched_event_time"]), place), "c1 thick")
    for row in shown:
        form = "c2" if row["matched_alert_at"] is not None or not matched else "c2 hollow"
        plane.diamond((day(row["event_time"]), lane[row["entity_id"]]), form, 5.5)
    for row in own_alerts:
        form = "c1" if row["matched_event_time"] is not None or not matched else "c1 hollow"
        plane.dot((day(row["alert_at"]), lane[row["entity_id"]]), form, 4)
    everyone = len({*alerts["entity_id"].to_pylist(), *events["entity_id"].to_pylist()})
    caption = (
        f"From all evidence. {len(chosen)} of {counted(everyone, 'entity')} with an alert or an event, chosen by "
        f"the hash of their ids, without regard to the outcome. Shaded: within a horizon of either end of the grid, "
        f"where events (left) or alerts (right) are censored."
        + (f" {counted(before, 'event')} of them before the grid are not drawn." if before else "")
    )
    rows = _rows(own_alerts, own_events, matched)
    table = Table("Alerts and events of these entities",
                  ("entity", "time (UTC)", "what", "alert score", "lead", "counted"), rows, words=3)  # fmt: skip
    said = "; ".join(_lane(entity, own_alerts, shown, matched) for entity in chosen)
    keys: tuple[Key, ...] = (
        Key("c1", "dot", "alert matched with an event"),
        Key("c1", "ring", "alert without an event of its own"),
        Key("c2", "diamond", "event that had an alert"),
        Key("c2", "hollow", "missed event"),
        Key("c1", "line", "lead time"),
    )
    if not matched:
        keys = (Key("c1", "dot", "alert"), Key("c2", "diamond", "event"))
        caption += " Below the minimum dataset alerts and events are not matched."
    return Picture(name, title, caption, plane.svg(name, title, said), table, keys, wide=True)


def _months(start: datetime, end: datetime) -> list[datetime]:
    """The first of each month in the grid; every other one, or fewer, where they would crowd."""
    first = start.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    found = []
    while first <= end:
        if first >= start:
            found.append(first)
        first = (first + timedelta(days=32)).replace(day=1)
    return found[:: -(-len(found) // 12)] if found else [start]


def _lane(entity: str, alerts: Sequence[Mapping[str, Any]], events: Sequence[Mapping[str, Any]], judged: bool) -> str:
    own = [row["matched_event_time"] is not None for row in alerts if row["entity_id"] == entity]
    truth = [row["matched_alert_at"] is not None for row in events if row["entity_id"] == entity]
    hits = f", {sum(own)} matched" if judged else ""
    return f"{entity}: {counted(len(own), 'alert')}{hits}; {counted(len(truth), 'event')}"


def _rows(
    alerts: Sequence[Mapping[str, Any]], events: Sequence[Mapping[str, Any]], judged: bool
) -> list[tuple[object, ...]]:
    found = []
    for row in alerts:
        matched = row["matched_event_time"]
        lead = "" if matched is None else _hours(matched - row["alert_at"])
        what = f"alert before {row['matched_event_type']}" if matched is not None else "alert"
        what += ", no event of its own" if judged and matched is None else ""
        score = figure("number", row["alert_score"])
        found.append((row["entity_id"], row["alert_at"], what, score, lead, row["censored"]))
    for row in events:
        matched = row["matched_alert_at"]
        what = f"event {row['event_type']}" + (", missed" if judged and matched is None else "")
        lead = "" if matched is None else _hours(row["event_time"] - matched)
        found.append((row["entity_id"], row["event_time"], what, "", lead, row["censored"]))
    found.sort(key=lambda row: (row[0], row[1], row[2]))
    return [(entity, moment(at), what, score, lead, "censored" if out else "yes")
            for entity, at, what, score, lead, out in found]  # fmt: skip


def _hours(span: timedelta) -> str:
    return count(round(span.total_seconds() / 3600)) + " h"
