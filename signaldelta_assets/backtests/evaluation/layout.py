"""The grid as an evaluation sees it: each point with its forecast, its cluster and its rank."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from signaldelta_assets.scoring.elementary import log
from signaldelta_assets.versioning.compiling import jit

from .inputs import Floats, Ints, Panel
from .parallel import in_order, stretches
from .protocol import EvaluationProtocol
from .ranking import Clusters, Flags


@dataclass(frozen=True)
class Layout:
    """The grid as every variant of the evaluation sees it: same points, forecasts and clusters.

    Per grid row: `cluster` (entity x cluster_hours, place in 0..clusters), `above` (score >= threshold), `bin` and
    the log-loss of either outcome. The uncensored rows (t + H <= end) of entity i are ``grid_starts[i]:counted[i]``.
    `order`: the scored rows (uncensored, with a probability) from the highest probability to the lowest; `group`:
    the tie group of each of them.
    """

    protocol: EvaluationProtocol
    panel: Panel
    probability: Floats
    cluster: Clusters
    counted: Ints
    above: Flags
    bin: npt.NDArray[np.int32]
    loss_if_event: Floats
    loss_if_none: Floats
    order: npt.NDArray[np.int32]
    group: npt.NDArray[np.int32]

    @property
    def periods(self) -> int:
        """Clusters of one entity along the grid."""
        return periods(self.protocol)

    @property
    def clusters(self) -> int:
        """Clusters of all entities; some may be empty, which changes no figure."""
        return len(self.panel.names) * self.periods

    @property
    def points(self) -> int:
        """The number of uncensored grid points."""
        return int((self.counted - self.panel.grid_starts[:-1]).sum())

    def cluster_of(self, entity: Ints, at: Ints) -> Ints:
        """The cluster of each moment of each entity (moments within the grid)."""
        return entity * self.periods + (at - self.protocol.start) // self.protocol.cluster

    @cached_property
    def order_at(self) -> Ints:
        """The moment of each scored row, in rank order."""
        return self.panel.at[self.order]

    @cached_property
    def order_cluster(self) -> Clusters:
        """The cluster of each scored row, in rank order."""
        return self.cluster[self.order]

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
def rows_until(starts: Ints, at: Ints, until: int) -> Ints:
    """Return for each entity the row after its last one with at <= until."""
    ends = np.empty(len(starts) - 1, dtype=np.int64)
    for entity in range(len(ends)):
        low, high = starts[entity], starts[entity + 1]
        ends[entity] = low + np.searchsorted(at[low:high], until, side="right")
    return ends


@jit
def _lay_out_rows(
    low: int,
    high: int,
    starts: Ints,
    at: Ints,
    probability: Floats,
    start: int,
    width: int,
    per_entity: int,
    bins: int,
    cluster: Clusters,
    place: npt.NDArray[np.int32],
    event: Floats,
    none: Floats,
) -> None:
    """Fill cluster, bin and log-losses: clipped by machine epsilon as scikit-learn does, 0 without a probability."""
    epsilon = 2.220446049250313e-16
    for entity in range(low, high):
        for row in range(starts[entity], starts[entity + 1]):
            cluster[row] = entity * per_entity + (at[row] - start) // width
            p = probability[row]
            if p == p:
                event[row] = -log(min(max(p, epsilon), 1.0 - epsilon))
                none[row] = -log(min(max(1.0 - p, epsilon), 1.0 - epsilon))
                place[row] = min(int(p * bins), bins - 1)


@jit
def _scored_rows(starts: Ints, counted: Ints, probability: Floats) -> npt.NDArray[np.int32]:
    out = np.empty(len(probability), dtype=np.int32)
    count = 0
    for entity in range(len(counted)):
        for row in range(starts[entity], counted[entity]):
            if probability[row] == probability[row]:
                out[count] = row
                count += 1
    return out[:count].copy()


@jit
def _merge(key: Floats, left: Ints, right: Ints) -> Ints:
    """Merge two sequences of places by ascending key; of equal keys the left one's come first."""
    out = np.empty(len(left) + len(right), dtype=np.int64)
    i = j = 0
    for row in range(len(out)):
        if j == len(right) or (i < len(left) and key[left[i]] <= key[right[j]]):
            out[row] = left[i]
            i += 1
        else:
            out[row] = right[j]
            j += 1
    return out


def _stable_order(key: Floats) -> Ints:
    """Return np.argsort(key, kind="stable"), sorted in pieces and merged."""
    parts = list(
        in_order(lambda piece: piece[0] + np.argsort(key[piece[0] : piece[1]], kind="stable"), stretches(len(key), 4))
    )
    while len(parts) > 1:
        pairs = [parts[place : place + 2] for place in range(0, len(parts), 2)]
        parts = list(in_order(lambda pair: _merge(key, *pair) if len(pair) == 2 else pair[0], pairs))
    return parts[0] if parts else np.zeros(0, dtype=np.int64)


def lay_out(panel: Panel, probability: Floats, protocol: EvaluationProtocol) -> Layout:
    """Return the layout of a grid with its calibrated probabilities (NaN: none)."""
    rows = len(panel.at)
    cluster, place = np.empty(rows, dtype=np.int32), np.zeros(rows, dtype=np.int32)
    event, none = np.zeros(rows), np.zeros(rows)

    def fill(entities: tuple[int, int]) -> None:
        _lay_out_rows(
            *entities, panel.grid_starts, panel.at, probability, protocol.start, protocol.cluster, periods(protocol),
            protocol.bins, cluster, place, event, none,
        )  # fmt: skip

    list(in_order(fill, stretches(len(panel.names), 4)))
    counted = rows_until(panel.grid_starts, panel.at, protocol.end - protocol.horizon)
    scored = _scored_rows(panel.grid_starts, counted, probability)
    order = scored[_stable_order(-probability[scored])]
    return Layout(
        protocol=protocol,
        panel=panel,
        probability=probability,
        cluster=cluster,
        counted=counted,
        above=panel.score >= protocol.threshold,
        bin=place,
        loss_if_event=event,
        loss_if_none=none,
        order=order,
        group=tie_groups(probability[order]),
    )


def tie_groups(values: Floats) -> npt.NDArray[np.int32]:
    """Return the number of the tie group of each of the sorted `values`."""
    group = np.zeros(len(values), dtype=np.int32)
    np.cumsum(values[1:] != values[:-1], out=group[1:])
    return group
