"""What chance alone would have reached: random alerts at the same budget, and circularly shifted events.

Recall and lead time mean nothing alone: random alarms at 5 per entity-month reach recall 0.69 and 101 h of mean
lead (backtests.md). Each null is drawn many times from its stored seed. Its mean is the value a figure stands
beside; its expectation, kept by cluster, is resampled together with the figure, which gives the difference an
interval. Probabilities are not fitted anew: a null asks what the same forecasts are worth against other outcomes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .figures import QUARTILES, Kind
from .inputs import Floats, Ints
from .intervals import generator
from .matching import starts_of
from .sample import SUMS, Claims, Layout, Sample, claim, draw_sample
from .stable import jit

ALERT_STREAM = 1
SHIFT_STREAM = 2
RANDOM_ALERTS = "random_alerts"
SHIFTED_EVENTS = "shifted_events"


@dataclass(frozen=True)
class NullDraws:
    """`figures`: by name, one value per draw (lead_time_hours: draws x quartiles). `expected`: the mean by cluster."""

    figures: dict[str, Floats]
    expected: Sample


@jit
def _scatter(starts: Ints, alert_starts: Ints, rows: Ints, uniform: Floats) -> Ints:
    """Return as many random rows of each entity as it has alerts, ascending: its own gaps, shuffled and turned.

    The entity's rows are a circle; `rows` are those of its alerts. Two uniform numbers per alert.
    """
    out = np.empty(len(rows), dtype=np.int64)
    for entity in range(len(starts) - 1):
        begin, end = alert_starts[entity], alert_starts[entity + 1]
        count, length = end - begin, starts[entity + 1] - starts[entity]
        if count == 0:
            continue
        gaps = np.empty(count, dtype=np.int64)
        for alert in range(count - 1):
            gaps[alert] = rows[begin + alert + 1] - rows[begin + alert]
        gaps[count - 1] = length - (rows[end - 1] - rows[begin])
        for last in range(count - 1, 0, -1):  # Fisher and Yates
            other = min(int(uniform[2 * (begin + last)] * (last + 1)), last)
            gaps[last], gaps[other] = gaps[other], gaps[last]
        place = min(int(uniform[2 * begin + 1] * length), length - 1)
        for alert in range(count):
            out[begin + alert] = starts[entity] + place
            place = (place + gaps[alert]) % length
        out[begin:end].sort()
    return out


@jit
def _choose(starts: Ints, alert_starts: Ints, uniform: Floats) -> Ints:
    """Return as many random rows of each entity as it has alerts, ascending, all choices alike (Floyd's sampling)."""
    chosen = np.empty(alert_starts[-1], dtype=np.int64)
    taken = np.zeros(starts[-1], dtype=np.bool_)
    for entity in range(len(starts) - 1):
        begin, end = alert_starts[entity], alert_starts[entity + 1]
        first, rows = starts[entity], starts[entity + 1] - starts[entity]
        for place in range(begin, end):
            rank = rows - end + place
            pick = min(int(uniform[place] * (rank + 1)), rank)
            if taken[first + pick]:
                pick = rank
            taken[first + pick] = True
            chosen[place] = first + pick
        chosen[begin:end].sort()
    return chosen


class _ClaimTotals:
    """Adds up the alerts, events and leads of the draws of one null."""

    def __init__(self, layout: Layout, draws: int) -> None:
        self._layout = layout
        self._draws = draws
        self._mean = {name: np.zeros(layout.clusters) for name in SUMS[:4]}
        self.figures = {"precision": np.full(draws, np.nan), "recall": np.full(draws, np.nan)}
        self.figures["lead_time_hours"] = np.full((draws, len(QUARTILES)), np.nan)

    def add(self, draw: int, claims: Claims) -> None:
        alerts, events = claims.alert_counted, claims.event_counted
        hit, found = claims.matched >= 0, claims.alert_of_event >= 0
        parts = {
            "alerts": (claims.alert_entity, claims.alert_at, alerts),
            "alerts_matched": (claims.alert_entity, claims.alert_at, alerts & hit),
            "events": (claims.event_entity, claims.event_at, events),
            "events_matched": (claims.event_entity, claims.event_at, events & found),
        }
        for name, (entity, at, kept) in parts.items():
            cluster = self._layout.cluster_of(entity[kept], at[kept])
            self._mean[name] += np.bincount(cluster, minlength=self._layout.clusters)
        if alerts.any():
            self.figures["precision"][draw] = (alerts & hit).sum() / alerts.sum()
        if events.any():
            self.figures["recall"][draw] = (events & found).sum() / events.sum()
        if (events & found).any():
            lead = claims.event_at[events & found] - claims.alert_at[claims.alert_of_event[events & found]]
            hours = lead / 3_600_000_000
            self.figures["lead_time_hours"][draw] = np.quantile(hours, [share for _, share in QUARTILES])

    def expected(self) -> dict[str, Floats]:
        return {name: total / self._draws for name, total in self._mean.items()}


def random_alerts(layout: Layout, claims: Claims, sample: Sample) -> NullDraws:
    """Return the null in which each entity's alerts stand at random points of its own grid, as many as it had.

    By default they keep the entity's gaps between alerts, in random order from a random point on: alerts of any
    alert rule keep a distance, and a distance alone raises recall and precision, because one alert claims one event.
    Against alerts strewn without it, pure noise looks skilled (tests/backtests/evaluation/test_coverage.py).
    Precision, recall and lead time only: the other figures do not depend on where alerts stand.
    """
    protocol, panel = layout.protocol, layout.panel
    rng = generator(protocol.null_seed, ALERT_STREAM)
    starts = starts_of(claims.alert_entity, len(panel.names))
    totals = _ClaimTotals(layout, protocol.null_draws)
    for draw in range(protocol.null_draws):
        if protocol.null_alerts == "spaced":
            chosen = _scatter(panel.grid_starts, starts, claims.alert_row, rng.random(2 * len(claims.alert_at)))
        else:
            chosen = _choose(panel.grid_starts, starts, rng.random(len(claims.alert_at)))
        totals.add(
            draw,
            claim(protocol, panel, chosen, claims.event_entity, claims.event_at),
        )
    return NullDraws(totals.figures, sample.with_sums(totals.expected()))


@jit
def _positives(
    starts: Ints, at: Ints, event_starts: Ints, event_at: Ints, horizon: int, uncensored: npt.NDArray[np.bool_]
) -> Ints:
    """Return the uncensored rows with an event in (t, t + horizon], going over the events, not over the rows."""
    out = np.empty(len(at), dtype=np.int64)
    count = 0
    for entity in range(len(starts) - 1):
        row, end = starts[entity], starts[entity + 1]
        for event in range(event_starts[entity], event_starts[entity + 1]):
            low = row + np.searchsorted(at[row:end], event_at[event] - horizon)
            high = low + np.searchsorted(at[low:end], event_at[event])
            for inside in range(low, high):
                if uncensored[inside]:
                    out[count] = inside
                    count += 1
            row = high
    return out[:count].copy()


@jit
def _grouped(points: Ints, hits: Ints) -> tuple[float, float]:
    """Return AUC and average precision from points and hits per tie group, highest probability first."""
    seen, found, area, precision = 0, 0, 0.0, 0.0
    for group in range(len(points)):
        new = hits[group]
        area += (points[group] - new) * (found + 0.5 * new)
        found += new
        seen += points[group]
        if new > 0:
            precision += new * (found / seen)
    misses = seen - found
    if found == 0 or misses == 0:
        return np.nan, np.nan
    return area / (float(found) * float(misses)), precision / found


class _Scores:
    """Figures of the grid points for an outcome given by its positive rows, in time proportional to them."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        scored = np.sort(layout.order)
        p = layout.probability[scored]
        self._count = len(scored)
        self._brier = np.cumsum(p * p)[-1:].sum()
        self._loss = np.cumsum(layout.loss_if_none[scored])[-1:].sum()
        self._points = np.bincount(layout.group, minlength=1)
        self._group = np.full(len(layout.panel.at), -1, dtype=np.int64)
        self._group[layout.order] = layout.group
        self._uncensored = int(layout.uncensored.sum())
        self._above = int((layout.uncensored & layout.above).sum())

    def figures(self, rows: Ints, kind: Kind = Kind.ALL) -> dict[str, float]:
        layout = self._layout
        negatives = self._uncensored - len(rows)
        out = {"base_rate": len(rows) / self._uncensored} if self._uncensored else {}
        if negatives:
            out["false_positive_rate"] = (self._above - int(layout.above[rows].sum())) / negatives
        rows = rows[self._group[rows] >= 0]
        hits = np.bincount(self._group[rows], minlength=len(self._points))
        out["auc"], out["average_precision"] = _grouped(self._points, hits)
        if self._count and kind is Kind.ALL:
            p = layout.probability[rows]
            gain = np.cumsum(1.0 - 2.0 * p)[-1:].sum()
            loss = np.cumsum(layout.loss_if_event[rows] - layout.loss_if_none[rows])[-1:].sum()
            share = len(rows) / self._count
            out["brier"] = float(self._brier + gain) / self._count
            out["log_loss"] = float(self._loss + loss) / self._count
            if 0.0 < share < 1.0:
                out["brier_skill"] = 1.0 - out["brier"] / (share * (1.0 - share))
        return out


def shift_events(layout: Layout, claims: Claims, offset: Floats) -> tuple[Ints, Ints]:
    """Return (entity, time) of the events moved along a circle: each entity's own stretch of grid points.

    `offset`: a share in [0, 1) of the circle per entity, taken in whole grid steps. Events outside their entity's
    stretch (first point, last point] stay where they are; they could not be forecast, shifted or not.
    """
    starts, at = layout.panel.grid_starts, layout.panel.at
    has = starts[1:] > starts[:-1]
    first, last = np.zeros(len(has), dtype=np.int64), np.zeros(len(has), dtype=np.int64)
    first[has], last[has] = at[starts[:-1][has]], at[starts[1:][has] - 1]
    entity, moment = claims.event_entity, claims.event_at
    circle = last - first
    moved = np.floor(offset * (circle // layout.protocol.step)).astype(np.int64) * layout.protocol.step
    inside = (moment > first[entity]) & (moment <= last[entity])
    turned = moment.copy()
    owner = entity[inside]
    # The circle is (first, last]: one step back before the remainder keeps its upper end.
    turned[inside] = first[owner] + 1 + (moment[inside] - first[owner] - 1 + moved[owner]) % circle[owner]
    order = np.lexsort((turned, entity))
    return entity[order], turned[order]


def shifted_events(layout: Layout, claims: Claims, kind: Kind = Kind.ALL) -> NullDraws:
    """Return the null in which the events are shifted in time: by another offset per entity, or by a common one.

    Scores keep their autocorrelation, events their spacing and each entity its rates; only their relation in time
    is broken.
    """
    protocol, panel = layout.protocol, layout.panel
    rng = generator(protocol.null_seed, SHIFT_STREAM)
    totals, scores = _ClaimTotals(layout, protocol.null_draws), _Scores(layout)
    outcome = np.zeros(len(panel.at))
    for draw in range(protocol.null_draws):
        offset = rng.random(len(panel.names) if protocol.null_shift == "entity" else 1)
        entity, at = shift_events(layout, claims, np.broadcast_to(offset, len(panel.names)))
        totals.add(draw, claim(protocol, panel, claims.alert_row, entity, at))
        rows = _positives(
            panel.grid_starts,
            panel.at,
            starts_of(entity, len(panel.names)),
            at,
            protocol.horizon,
            layout.uncensored,
        )
        outcome[rows] += 1.0
        for name, value in scores.figures(rows, kind).items():
            totals.figures.setdefault(name, np.full(protocol.null_draws, np.nan))[draw] = value
    expected = draw_sample(layout, claims, outcome / max(protocol.null_draws, 1))
    return NullDraws(totals.figures, expected.with_sums(totals.expected()))
