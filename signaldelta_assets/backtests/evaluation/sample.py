"""What is measured, summed by cluster: alerts and events with their matches, grid points and their ranks.

Every figure is a function of this layout and one weight per cluster (figures.py). With unit weights it is the
estimate, with a bootstrap replicate's weights the replicate, so that both come from the same code.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from signaldelta_assets.versioning.compiling import jit

from .inputs import Floats, Ints, Panel
from .layout import Layout
from .matching import match, starts_of
from .parallel import in_order, stretches
from .protocol import MICROSECONDS_PER_HOUR, EvaluationProtocol
from .ranking import Clusters, Flags, Ranking, rank

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

# Of a null's expectation, after SUMS: a hit's share of misses below it, a miss's share of hits above it, and the
# change of hits times average precision by one more hit and (less) by one more point.
RANK_SUMS = ("hit_ranks", "miss_ranks", "hit_precision", "point_precision")


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
    event_error: Ints
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
    def lead_told(self) -> Flags:
        """Matched events whose lead is not shorter than the error of their time: only such a lead is one."""
        found = np.flatnonzero(self.matched >= 0)
        event = self.matched[found]
        told = np.zeros(len(self.event_at), dtype=np.bool_)
        told[event] = self.event_at[event] - self.alert_at[found] >= self.event_error[event]
        return told

    @cached_property
    def alert_of_event(self) -> Ints:
        """For each event the row of its alert, or -1."""
        alert = np.full(len(self.event_at), -1, dtype=np.int64)
        found = np.flatnonzero(self.matched >= 0)
        alert[self.matched[found]] = found
        return alert


def claim(
    protocol: EvaluationProtocol, panel: Panel, alert_row: Ints, event_entity: Ints, event_at: Ints, event_error: Ints
) -> Claims:
    """Return alerts (grid rows, ascending) and events (sorted by entity, time) with their one-to-one matches."""
    entities = len(panel.names)
    entity, at = panel.grid_entity[alert_row], panel.at[alert_row]
    matched = match(starts_of(entity, entities), at, starts_of(event_entity, entities), event_at, protocol.horizon)
    return Claims(protocol, alert_row, entity, at, event_entity, event_at, event_error, matched)


@dataclass(frozen=True)
class Sample:
    """One variant of the evaluation (all, one event type, one month, or the expectation under a null).

    `sums`: clusters x (SUMS, and where the forecasts' level is judged 3 x bins), of which only the clusters `held`
    are not zero. `ranking`: the scored points, in which bit `outcome` is this sample's; None for an expectation.
    `lead_*`: hours of the matched, counted events whose lead is told, ascending. `wait_*`: for every counted event the
    hours back to its alert, or (not seen) to where its window ends without one, ascending.
    """

    sums: Floats
    held: Ints
    ranking: Ranking | None
    outcome: int
    lead_cluster: Ints
    lead: Floats
    wait_cluster: Ints
    wait: Floats
    wait_seen: Flags


def held_clusters(sums: Floats) -> Ints:
    """Return the clusters that hold anything: the only ones a weighted sum has to visit."""
    return np.flatnonzero(sums.any(axis=1))


@jit
def _point_sums(
    low: int,
    high: int,
    starts: Ints,
    counted: Ints,
    at: Ints,
    since: int,
    before: int,
    cluster: Clusters,
    outcome: npt.NDArray[np.generic],
    above: Flags,
    probability: Floats,
    event: Floats,
    none: Floats,
    place: npt.NDArray[np.int32],
    bins: int,
    sums: Floats,
) -> None:
    """Add the uncensored points with since <= at < before to the point columns of `sums`, in row order."""
    for entity in range(low, high):
        for row in range(starts[entity], counted[entity]):
            if at[row] < since or at[row] >= before:
                continue
            own = sums[cluster[row]]
            y = 1.0 * outcome[row]
            own[4] += 1.0
            own[5] += y
            if above[row]:
                own[6] += 1.0 - y
            p = probability[row]
            if p == p:
                own[7] += 1.0
                own[8] += y
                own[9] += p * p * (1.0 - y) + (1.0 - p) * (1.0 - p) * y
                own[10] += event[row] * y + none[row] * (1.0 - y)
                if bins:
                    column = 11 + place[row]
                    own[column] += 1.0
                    own[column + bins] += p
                    own[column + 2 * bins] += y


def point_sums(layout: Layout, outcome: npt.NDArray[np.generic], bins: int, month: tuple[int, int] | None) -> Floats:
    """Return sums (clusters x SUMS and 3 x bins) of the grid points alone, those of alerts and events being 0."""
    panel = layout.panel
    sums = np.zeros((layout.clusters, len(SUMS) + 3 * bins))
    since, before = month or (layout.protocol.start, layout.protocol.end + 1)

    def add(entities: tuple[int, int]) -> None:
        _point_sums(
            *entities, panel.grid_starts, layout.counted, panel.at, since, before, layout.cluster, outcome,
            layout.above, layout.probability, layout.loss_if_event, layout.loss_if_none, layout.bin, bins, sums,
        )  # fmt: skip

    # A cluster belongs to one entity: no two stretches of entities add to the same sum.
    list(in_order(add, stretches(len(panel.names), 4)))
    return sums


def draw_sample(
    layout: Layout,
    claims: Claims,
    outcome: Flags,
    ranking: Ranking,
    place: int = 0,
    *,
    level: bool = True,
    month: tuple[int, int] | None = None,
) -> Sample:
    """Return the sample of `claims` and of `outcome` (y per grid row).

    `ranking`: of the scored points (of the month), with this outcome as its bit `place`. `level`: whether the
    forecasts' level is judged, hence binned. `month` restricts the sample to alerts, events and points with
    month[0] <= time < month[1] (microseconds).
    """
    alerts, events = claims.alert_counted, claims.event_counted
    if month is not None:
        alerts = alerts & (claims.alert_at >= month[0]) & (claims.alert_at < month[1])
        events = events & (claims.event_at >= month[0]) & (claims.event_at < month[1])
    alert_cluster = layout.cluster_of(claims.alert_entity[alerts], claims.alert_at[alerts])
    event_cluster = layout.cluster_of(claims.event_entity[events], claims.event_at[events])
    found = claims.alert_of_event[events] >= 0
    sums = point_sums(layout, outcome, layout.protocol.bins if level else 0, month)
    for column, (cluster, weights) in enumerate(
        [(alert_cluster, None), (alert_cluster, claims.matched[alerts] >= 0), (event_cluster, None),
         (event_cluster, found)]
    ):  # fmt: skip
        sums[:, column] = np.bincount(cluster, weights=weights, minlength=layout.clusters)
    lead_cluster, lead, wait_cluster, wait, seen = _leads(layout, claims, events, event_cluster)
    return Sample(
        sums=sums,
        held=held_clusters(sums),
        ranking=ranking,
        outcome=place,
        lead_cluster=lead_cluster,
        lead=lead,
        wait_cluster=wait_cluster,
        wait=wait,
        wait_seen=seen,
    )


def rank_points(layout: Layout, outcomes: Sequence[Flags]) -> Ranking:
    """Return the ranking of the scored points with outcomes given per grid row."""
    marks = np.zeros(len(layout.panel.at), dtype=np.uint16)
    for place, outcome in enumerate(outcomes):
        marks |= outcome * np.uint16(1 << place)
    return rank(layout.order_cluster, layout.group, marks[layout.order], len(outcomes))


def rank_month(layout: Layout, ranking: Ranking, month: tuple[int, int]) -> Ranking:
    """Return the part of a ranking of all scored points with month[0] <= time < month[1] (microseconds)."""
    kept = (layout.order_at >= month[0]) & (layout.order_at < month[1])
    return rank(ranking.cluster[kept], layout.group[kept], ranking.hits[kept], ranking.outcomes)


def _leads(layout: Layout, claims: Claims, events: Flags, cluster: Ints) -> tuple[Ints, Floats, Ints, Floats, Flags]:
    """Lead times of the matched events, and for all events the hours back to an alert or to the window's end.

    A lead shorter than the error of the event's time is none; how long the event went without an alert is known.
    """
    at, alert = claims.event_at[events], claims.alert_of_event[events]
    seen = alert >= 0
    # A miss says that no alert was there in the H before it, or since the entity's first point if that is later.
    watched = np.clip(at - layout.first_at[claims.event_entity[events]], 0, claims.protocol.horizon)
    wait = watched / MICROSECONDS_PER_HOUR
    wait[seen] = (at[seen] - claims.alert_at[alert[seen]]) / MICROSECONDS_PER_HOUR
    ranks = np.lexsort((cluster, ~seen, wait))
    told = claims.lead_told[events][ranks]
    wait, seen, cluster = wait[ranks], seen[ranks], cluster[ranks]
    return cluster[told], wait[told], cluster, wait, seen
