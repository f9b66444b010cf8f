"""The rules of backtests.md in plain Python, point by point: slow, obvious, and written apart from the engine."""

from __future__ import annotations

from typing import Any


def reference(grid: list[tuple[str, int, float]], events: list[tuple[str, str, int]], doc: dict[str, Any]) -> dict:
    """Alerts, matches, counts and shares of a grid of (entity, second, score) rows."""
    start, end = doc["grid"]["start"], doc["grid"]["end"]
    horizon = doc["horizon_hours"] * 3600
    rule = doc["alert"]
    alerts = []
    for entity in sorted({row[0] for row in grid}):
        armed, last = True, None
        for _, at, score in sorted(row for row in grid if row[0] == entity):
            if armed and score >= rule["threshold"]:
                alerts.append((entity, at))
                armed, last = False, at
            elif not armed and score < rule["rearm_below"] and at - last >= rule["refractory_hours"] * 3600:
                armed = True
    known = sorted(
        (e, at, place) for place, (e, kind, at) in enumerate(events) if kind in doc["event_types"] and at <= end
    )
    taken: dict[int, int] = {}
    for number, (entity, at) in enumerate(alerts):
        open_events = [
            (moment, place)
            for e, moment, place in known
            if e == entity and at < moment <= at + horizon and place not in taken
        ]
        if open_events:
            taken[min(open_events)[1]] = number
    counted_alerts = [number for number, (_, at) in enumerate(alerts) if at + horizon <= end]
    counted_events = [place for _, at, place in known if at - horizon >= start]
    y = [
        any(e == entity and at < moment <= at + horizon for e, moment, _ in known)
        for entity, at, _ in grid
        if at + horizon <= end
    ]
    above = [score >= rule["threshold"] for _, at, score in grid if at + horizon <= end]
    hit = set(taken.values())
    return {
        "alerts": alerts,
        "matches": sorted((*alerts[number], events[place][2]) for place, number in taken.items()),
        "n_alerts": len(counted_alerts),
        "n_events": len(counted_events),
        "censored_alerts": len(alerts) - len(counted_alerts),
        "censored_events": len(known) - len(counted_events),
        "precision": _share(number in hit for number in counted_alerts),
        "recall": _share(place in taken for place in counted_events),
        "false_positive_rate": _share(flag for flag, event in zip(above, y, strict=True) if not event),
        "base_rate": _share(y),
        "leads": sorted(
            (events[place][2] - alerts[taken[place]][1]) / 3600 for place in counted_events if place in taken
        ),
        "y": y,
    }


def _share(flags: Any) -> float | None:
    flags = list(flags)
    return sum(flags) / len(flags) if flags else None
