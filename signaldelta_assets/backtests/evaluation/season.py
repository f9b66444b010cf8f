"""Shared seasons: a clock on which what everybody does at the same time goes by evenly.

Filings and announcements come in seasons. Where alerts and events share them, they meet more often than a null says
that strews them evenly over the year, and noise passes for skill (tests/study). So an entity's null moves its alerts
and events on a clock that runs with the others' intensity: on it the season is flat, and a move in it keeps the season.
The clock of an entity is made of all other entities, so that its own events do not draw its null back to them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from signaldelta_assets.versioning.compiling import inlined, jit

from .inputs import Floats, Ints
from .matching import first_since
from .protocol import EvaluationProtocol

_EVEN = 0.25  # per period, added to the others' count: a clock never stands still


@dataclass(frozen=True)
class Clocks:
    """`edges`: moments (microseconds) that cut the grid into periods; `reading`: each entity's clock at them."""

    edges: Ints
    reading: Floats


def clocks(entity: Ints, at: Ints, entities: int, protocol: EvaluationProtocol) -> Clocks:
    """Return each entity's clock, from the moments `at` of all others, counted by the protocol's cluster periods.

    Counts are smoothed over neighbouring periods (1, 2, 1). With the season "none", and where nobody else has
    anything, the clock is the calendar.
    """
    count = max(-(-(protocol.end - protocol.start) // protocol.cluster), 1)
    edges = np.minimum(protocol.start + protocol.cluster * np.arange(count + 1), protocol.end)
    length = np.diff(edges) / protocol.cluster
    own = np.zeros((entities, count))
    if protocol.null_season != "none":
        period = np.minimum((at - protocol.start) // protocol.cluster, count - 1)
        np.add.at(own, (entity[period >= 0], period[period >= 0]), 1.0)
    others = own.sum(axis=0) - own
    reading = np.zeros((entities, count + 1))
    np.cumsum(smooth(others) + _EVEN * length, axis=1, out=reading[:, 1:])
    return Clocks(edges, reading)


def smooth(counts: Floats) -> Floats:
    """Return counts by period (the last axis) averaged over neighbours with the weights 1, 2, 1."""
    ends = [(0, 0)] * (counts.ndim - 1)
    padded = np.pad(counts, [*ends, (1, 1)], mode="edge")
    averaged: Floats = (padded[..., :-2] + 2.0 * counts + padded[..., 2:]) / 4.0
    return averaged


@inlined
def read_clock(moment: int, edges: Ints, reading: Floats) -> float:
    """Return the reading at a moment between the first and the last edge."""
    place = min(max(int(np.searchsorted(edges, moment, side="right")) - 1, 0), len(edges) - 2)
    share = (moment - edges[place]) / (edges[place + 1] - edges[place])
    value: float = reading[place] + (reading[place + 1] - reading[place]) * share
    return value


@inlined
def when_read(value: float, edges: Ints, reading: Floats) -> float:
    """Return the moment at which the clock shows `value`."""
    place = min(max(int(np.searchsorted(reading, value, side="right")) - 1, 0), len(edges) - 2)
    share = (value - reading[place]) / (reading[place + 1] - reading[place])
    moment: float = edges[place] + (edges[place + 1] - edges[place]) * share
    return moment


@jit
def turn_events(
    starts: Ints, at: Ints, event_starts: Ints, event_at: Ints, step: int, offset: Floats, edges: Ints, reading: Floats
) -> tuple[Ints, Ints]:
    """Return (times, rows of the events that went there): events turned on their entity's clock, in time order.

    The circle is each entity's own stretch of grid points, (first point, last point]; `offset` a share in [0, 1) of
    it per entity. A move is rounded to whole grid steps. Events outside the stretch stay where they are; they could
    not be forecast, turned or not.
    """
    moved, origin = event_at.copy(), np.arange(len(event_at))
    for entity in range(len(starts) - 1):
        begin, end = event_starts[entity], event_starts[entity + 1]
        if begin == end or starts[entity + 1] == starts[entity]:
            continue
        first, last = at[starts[entity]], at[starts[entity + 1] - 1]
        clock = reading[entity]
        low, high = read_clock(first, edges, clock), read_clock(last, edges, clock)
        for event in range(begin, end):
            moment = event_at[event]
            if not first < moment <= last:
                continue
            shown = read_clock(moment, edges, clock) + offset[entity] * (high - low)
            if shown > high:
                shown -= high - low
            new = moment + np.int64(np.floor((when_read(shown, edges, clock) - moment) / step + 0.5)) * step
            while new <= first:
                new += step
            while new > last:
                new -= step
            # Where the entity's stretch is shorter than a step there is nowhere to go.
            moved[event] = new if new > first else moment
        order = begin + np.argsort(moved[begin:end], kind="mergesort")
        sorted_times = moved[order]
        moved[begin:end] = sorted_times
        origin[begin:end] = order
    return moved, origin


@jit
def alert_gaps(
    starts: Ints, at: Ints, alert_starts: Ints, rows: Ints, step: int, edges: Ints, reading: Floats
) -> tuple[Floats, Floats]:
    """Return the gap on the clock from each alert to its entity's next one, and by entity where its circle begins.

    The entity's rows are a circle, from the last row's end on to the first again; `rows` are those of the alerts. The
    second array is entities x (the clock at the circle's begin, its length on the clock).
    """
    gaps, circles = np.empty(len(rows)), np.zeros((len(starts) - 1, 2))
    for entity in range(len(starts) - 1):
        begin, end = alert_starts[entity], alert_starts[entity + 1]
        if begin == end:
            continue
        clock = reading[entity]
        low = read_clock(at[starts[entity]], edges, clock)
        around = read_clock(at[starts[entity + 1] - 1] + step, edges, clock) - low
        circles[entity] = low, around
        first = before = read_clock(at[rows[begin]], edges, clock) - low
        for alert in range(begin + 1, end):
            shown = read_clock(at[rows[alert]], edges, clock) - low
            gaps[alert - 1] = shown - before
            before = shown
        gaps[end - 1] = (first + around) - before
    return gaps, circles


@jit
def scatter_alerts(
    starts: Ints,
    at: Ints,
    alert_starts: Ints,
    gaps: Floats,
    circles: Floats,
    step: int,
    uniform: Floats,
    edges: Ints,
    reading: Floats,
) -> Ints:
    """Return as many random rows of each entity as it has alerts, ascending: its gaps on its clock, shuffled, turned.

    `gaps` and `circles`: see alert_gaps. Two uniform numbers per alert. Where two alerts would share a row, the later
    one takes the next.
    """
    out, shuffled = np.empty(len(gaps), dtype=np.int64), gaps.copy()
    for entity in range(len(starts) - 1):
        begin, end = alert_starts[entity], alert_starts[entity + 1]
        count = end - begin
        if count == 0:
            continue
        clock, own_gaps = reading[entity], shuffled[begin:end]
        first, stop = starts[entity], starts[entity + 1]
        low, around = circles[entity]
        for last in range(count - 1, 0, -1):  # Fisher and Yates
            other = min(int(uniform[2 * (begin + last)] * (last + 1)), last)
            own_gaps[last], own_gaps[other] = own_gaps[other], own_gaps[last]
        place = uniform[2 * begin + 1] * around
        for alert in range(count):
            # A thousandth of a step more than rounding: on an even clock gaps stay what they were.
            moment = int(np.floor(when_read(low + place, edges, clock) + 0.001 * step))
            row = first_since(at, first, stop, moment + 1, step) - 1
            out[begin + alert] = min(max(row, first), stop - 1)
            place += own_gaps[alert]
            if place >= around:
                place -= around
        own = out[begin:end]
        own.sort()
        for alert in range(1, count):
            own[alert] = max(own[alert], own[alert - 1] + 1)
        for alert in range(count - 1, -1, -1):
            own[alert] = min(own[alert], stop - count + alert)
    return out
