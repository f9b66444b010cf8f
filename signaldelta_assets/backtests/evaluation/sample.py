"""What is measured, laid out by cluster: alerts and events with their matches, and ranked grid points.

Every figure is a function of this layout and one weight per cluster (figures.py). With unit weights it is the
estimate, with a bootstrap replicate's weights the replicate, so that both come from the same code.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from .inputs import Floats, Ints, Panel
from .matching import match, starts_of
from .protocol import MICROSECONDS_PER_HOUR, EvaluationProtocol
from .stable import jit, log

Flags = npt.NDArray[np.bool_]

# The columns of Sample.sums; after them come the reliability bins' points, forecasts and events.
SUMS = (
    "alerts",
    "alerts_matched",
    "events",
    "events_matched",
    "points",
    "positives",
    "negatives_above",
    "scored",
    "scored_positives",
    "squared_error",
    "log_error",
)


@dataclass(frozen=True)
class Layout:
    """The grid as every variant of the evaluation sees it: same points, forecasts and clusters.

    Per grid row: `cluster` (entity x cluster_hours, place in 0..clusters), `uncensored` (t + H <= end), `above`
    (score >= threshold), `bin` and the log-loss of either outcome. `order`: the scored rows (uncensored, with a
    probability) from the highest probability to the lowest; `group`: the tie group of each of them.
    """

    protocol: EvaluationProtocol
    panel: Panel
    probability: Floats
    cluster: npt.NDArray[np.int32]
    uncensored: Flags
    above: Flags
    bin: npt.NDArray[np.int32]
    loss_if_event: Floats
    loss_if_none: Floats
    order: Ints
    group: npt.NDArray[np.int32]

    @property
    def periods(self) -> int:
        """Clusters of one entity along the grid."""
        return periods(self.protocol)

    @property
    def clusters(self) -> int:
        """Clusters of all entities; some may be empty, which changes no figure."""
        return len(self.panel.names) * self.periods

    def cluster_of(self, entity: Ints, at: Ints) -> Ints:
        """The cluster of each moment of each entity (moments within the grid)."""
        return entity * self.periods + (at - self.protocol.start) // self.protocol.cluster

    @cached_property
    def first_at(self) -> Ints:
        """Each entity's first grid point; the grid's end where it has none."""
        starts = self.panel.grid_starts
        has = starts[1:] > starts[:-1]
        first = np.full(len(has), self.protocol.end, dtype=np.int64)
        first[has] = self.panel.at[starts[:-1][has]]
        return first


def periods(protocol: EvaluationProtocol) -> int:
    """Return the number of clusters of one entity along the grid."""
    return (protocol.end - protocol.start) // protocol.cluster + 1


@jit
def log_losses(probability: Floats) -> tuple[Floats, Floats]:
    """Return -log p and -log(1 - p), each clipped by machine epsilon as scikit-learn does; 0 for NaN."""
    epsilon = 2.220446049250313e-16
    event, none = np.zeros(len(probability)), np.zeros(len(probability))
    for row in range(len(probability)):
        p = probability[row]
        if p == p:
            event[row] = -log(min(max(p, epsilon), 1.0 - epsilon))
            none[row] = -log(min(max(1.0 - p, epsilon), 1.0 - epsilon))
    return event, none


def lay_out(panel: Panel, probability: Floats, protocol: EvaluationProtocol) -> Layout:
    """Return the layout of a grid with its calibrated probabilities (NaN: none)."""
    uncensored = panel.at + protocol.horizon <= protocol.end
    scored = np.flatnonzero(uncensored & ~np.isnan(probability))
    order = scored[np.argsort(-probability[scored], kind="stable")]
    event, none = log_losses(probability)
    bins = np.minimum((np.nan_to_num(probability) * protocol.bins).astype(np.int32), protocol.bins - 1)
    cluster = panel.grid_entity * periods(protocol) + (panel.at - protocol.start) // protocol.cluster
    return Layout(
        protocol=protocol,
        panel=panel,
        probability=probability,
        cluster=cluster.astype(np.int32),
        uncensored=uncensored,
        above=panel.score >= protocol.threshold,
        bin=bins,
        loss_if_event=event,
        loss_if_none=none,
        order=order,
        group=tie_groups(probability[order]),
    )


def tie_groups(values: Floats) -> npt.NDArray[np.int32]:
    """Return the number of the tie group of each of the sorted `values`."""
    changes = np.diff(values) != 0.0
    return np.concatenate([np.zeros(min(len(values), 1)), np.cumsum(changes)]).astype(np.int32)


def segment_ends(group: npt.NDArray[np.int32], hit: Flags) -> Ints:
    """Return where the segments of ranked points end: around every tie group that holds a hit, and at the end."""
    if not len(group):
        return np.zeros(0, dtype=np.int64)
    held = np.zeros(int(group[-1]) + 1, dtype=np.bool_)
    held[group[hit]] = True
    held = held[group]
    cut = (np.diff(group) != 0) & (held[1:] | held[:-1])
    return np.append(np.flatnonzero(cut) + 1, len(group))


@dataclass(frozen=True)
class Claims:
    """Alerts and events of all entities, sorted by (entity, time), and which alert has which event.

    `alert_row`: the grid row of each alert; `matched`: the event's row of each alert, or -1. Alerts with u + H > end
    are censored for precision, events with v - H < start for recall; both take part in the matching.
    """

    protocol: EvaluationProtocol
    alert_row: Ints
    alert_entity: Ints
    alert_at: Ints
    event_entity: Ints
    event_at: Ints
    matched: Ints

    @property
    def alert_counted(self) -> Flags:
        """Alerts that count for precision."""
        return self.alert_at + self.protocol.horizon <= self.protocol.end

    @property
    def event_counted(self) -> Flags:
        """Events that count for recall."""
        return self.event_at - self.protocol.horizon >= self.protocol.start

    @cached_property
    def alert_of_event(self) -> Ints:
        """For each event the row of its alert, or -1."""
        alert = np.full(len(self.event_at), -1, dtype=np.int64)
        found = np.flatnonzero(self.matched >= 0)
        alert[self.matched[found]] = found
        return alert


def claim(protocol: EvaluationProtocol, panel: Panel, alert_row: Ints, event_entity: Ints, event_at: Ints) -> Claims:
    """Return alerts (grid rows, ascending) and events (sorted by entity, time) with their one-to-one matches."""
    entities = len(panel.names)
    entity, at = panel.grid_entity[alert_row], panel.at[alert_row]
    matched = match(starts_of(entity, entities), at, starts_of(event_entity, entities), event_at, protocol.horizon)
    return Claims(protocol, alert_row, entity, at, event_entity, event_at, matched)


@dataclass(frozen=True)
class Sample:
    """One variant of the evaluation (all, one event type, one month, or the expectation under a null).

    `sums`: clusters x (SUMS, then 3 x bins), of which only the clusters `held` are not zero. `rank_*`: the scored
    points from the highest probability down, their outcome, and the ends of the segments that `figures` goes by.
    `lead_*`: hours of the matched, counted events, ascending. `wait_*`: for every counted event the hours back to
    its alert, or (not seen) to where its window ends without one, ascending.
    """

    sums: Floats
    held: Ints
    rank_cluster: npt.NDArray[np.int32]
    rank_outcome: Flags
    rank_ends: Ints
    lead_cluster: Ints
    lead: Floats
    wait_cluster: Ints
    wait: Floats
    wait_seen: Flags

    def with_sums(self, columns: dict[str, Floats]) -> Sample:
        """This sample with some columns of its sums replaced."""
        sums = self.sums.copy()
        for name, values in columns.items():
            sums[:, SUMS.index(name)] = values
        return replace(self, sums=sums, held=held_clusters(sums))


def held_clusters(sums: Floats) -> Ints:
    """Return the clusters that hold anything: the only ones a weighted sum has to visit."""
    return np.flatnonzero(sums.any(axis=1))


def draw_sample(
    layout: Layout, claims: Claims, outcome: npt.NDArray[np.generic], month: tuple[int, int] | None = None
) -> Sample:
    """Return the sample of `claims` and of `outcome` (y per grid row, boolean or a mean in [0, 1]).

    `month` restricts it to alerts, events and points with month[0] <= time < month[1] (microseconds).
    """
    panel, clusters = layout.panel, layout.clusters
    alerts, events = claims.alert_counted, claims.event_counted
    rows, order, group = layout.uncensored, layout.order, layout.group
    if month is not None:
        alerts = alerts & (claims.alert_at >= month[0]) & (claims.alert_at < month[1])
        events = events & (claims.event_at >= month[0]) & (claims.event_at < month[1])
        rows = rows & (panel.at >= month[0]) & (panel.at < month[1])
        kept = rows[order]
        order, group = order[kept], group[kept]

    y = outcome.astype(np.float64)
    alert_cluster = layout.cluster_of(claims.alert_entity[alerts], claims.alert_at[alerts])
    event_cluster = layout.cluster_of(claims.event_entity[events], claims.event_at[events])
    found = claims.alert_of_event[events] >= 0
    chosen = np.flatnonzero(rows)
    scored = np.sort(order)

    def total(cluster: npt.NDArray[np.signedinteger], weights: npt.NDArray[np.generic] | None = None) -> Floats:
        return np.bincount(cluster, weights=weights, minlength=clusters).astype(np.float64)

    point_cluster, scored_cluster = layout.cluster[chosen], layout.cluster[scored]
    y_scored, p_scored = y[scored], layout.probability[scored]
    error = p_scored * p_scored * (1.0 - y_scored) + (1.0 - p_scored) * (1.0 - p_scored) * y_scored
    loss = layout.loss_if_event[scored] * y_scored + layout.loss_if_none[scored] * (1.0 - y_scored)
    columns: list[npt.NDArray[Any]] = [
        total(alert_cluster),
        total(alert_cluster, claims.matched[alerts] >= 0),
        total(event_cluster),
        total(event_cluster, found),
        total(point_cluster),
        total(point_cluster, y[chosen]),
        total(point_cluster, layout.above[chosen] * (1.0 - y[chosen])),
        total(scored_cluster),
        total(scored_cluster, y_scored),
        total(scored_cluster, error),
        total(scored_cluster, loss),
    ]
    bins = layout.protocol.bins
    cell = scored_cluster.astype(np.int64) * bins + layout.bin[scored]
    for weights in (None, p_scored, y_scored):
        columns.append(np.bincount(cell, weights=weights, minlength=clusters * bins).reshape(clusters, bins))
    lead_cluster, lead, wait_cluster, wait, seen = _leads(layout, claims, events, event_cluster)
    sums = np.ascontiguousarray(np.column_stack(columns), dtype=np.float64)
    return Sample(
        sums=sums,
        held=held_clusters(sums),
        rank_cluster=layout.cluster[order],
        rank_outcome=y[order] > 0.0,
        rank_ends=segment_ends(group, y[order] > 0.0),
        lead_cluster=lead_cluster,
        lead=lead,
        wait_cluster=wait_cluster,
        wait=wait,
        wait_seen=seen,
    )


def _leads(layout: Layout, claims: Claims, events: Flags, cluster: Ints) -> tuple[Ints, Floats, Ints, Floats, Flags]:
    """Lead times of the matched events, and for all events the hours back to an alert or to the window's end."""
    at, alert = claims.event_at[events], claims.alert_of_event[events]
    seen = alert >= 0
    # A miss says that no alert was there in the H before it, or since the entity's first point if that is later.
    watched = np.clip(at - layout.first_at[claims.event_entity[events]], 0, claims.protocol.horizon)
    wait = watched / MICROSECONDS_PER_HOUR
    wait[seen] = (at[seen] - claims.alert_at[alert[seen]]) / MICROSECONDS_PER_HOUR
    ranks = np.lexsort((cluster, ~seen, wait))
    wait, seen, cluster = wait[ranks], seen[ranks], cluster[ranks]
    return cluster[seen], wait[seen], cluster, wait, seen
