"""What chance alone would have reached: random alerts at the same budget, and circularly shifted events.

Recall and lead time mean nothing alone: random alarms at 5 per entity-month reach recall 0.69 and 101 h of mean
lead (backtests.md). Each null is drawn many times from its stored seed. Its mean is the value a figure stands
beside; its expectation, kept by cluster, is resampled together with the figure, which gives the difference an
interval. Probabilities are not fitted anew: a null asks what the same forecasts are worth against other outcomes.

All studies of an evaluation (all events, each type) see the same draws: the same alerts strewn, the same offsets, on a
clock of all target events.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from signaldelta_assets.versioning.compiling import jit, threads

from .expectation import CLAIMS_BY_ALERT, CLAIMS_BY_EVENT, COLUMNS, at_home, expectation, outcomes_at_home, rank_sums
from .figures import QUARTILES
from .inputs import Floats, Ints
from .intervals import generator
from .layout import Layout
from .matching import match, starts_of
from .outcomes import FIGURES, Forecasts, Target, expected_outcomes
from .parallel import in_order, stretches
from .protocol import MICROSECONDS_PER_HOUR
from .sample import RANK_SUMS, Claims, Sample, point_sums
from .season import alert_gaps, clocks, scatter_alerts, turn_events

ALERT_STREAM = 1
SHIFT_STREAM = 2
RANDOM_ALERTS = "random_alerts"
SHIFTED_EVENTS = "shifted_events"

_CLAIM_SUMS = 4  # the first columns of SUMS: alerts, alerts_matched, events, events_matched
_SHARES = [share for _, share in QUARTILES]


@dataclass(frozen=True)
class NullDraws:
    """`figures`: by name, one value per draw (lead_time_hours: draws x quartiles). `expected`: the mean by cluster."""

    figures: dict[str, Floats]
    expected: Sample


class _Tally(NamedTuple):
    """Counts by cluster (4 x clusters) over some draws; each draw's counts (draws x 4) and lead times in hours."""

    by_cluster: Ints
    counts: Ints
    leads: list[Floats]


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


@jit
def _count_claims(
    alert_starts: Ints,
    alert_at: Ints,
    event_starts: Ints,
    event_at: Ints,
    event_error: Ints,
    horizon: int,
    start: int,
    end: int,
    width: int,
    per_entity: int,
    by_cluster: Ints,
    counts: Ints,
) -> Floats:
    """Match, add to the counts by cluster (4 x clusters), fill the draw's own four and return its lead times, hours."""
    matched = match(alert_starts, alert_at, event_starts, event_at, horizon)
    alert_of = np.full(len(event_at), -1, dtype=np.int64)
    for entity in range(len(alert_starts) - 1):
        for alert in range(alert_starts[entity], alert_starts[entity + 1]):
            event = matched[alert]
            if event >= 0:
                alert_of[event] = alert
            if alert_at[alert] + horizon <= end:
                cluster = entity * per_entity + (alert_at[alert] - start) // width
                by_cluster[0, cluster] += 1
                counts[0] += 1
                if event >= 0:
                    by_cluster[1, cluster] += 1
                    counts[1] += 1
    leads, told = np.empty(len(event_at)), 0
    for entity in range(len(event_starts) - 1):
        for event in range(event_starts[entity], event_starts[entity + 1]):
            if event_at[event] - horizon >= start:
                cluster = entity * per_entity + (event_at[event] - start) // width
                by_cluster[2, cluster] += 1
                counts[2] += 1
                alert = alert_of[event]
                if alert >= 0:
                    by_cluster[3, cluster] += 1
                    counts[3] += 1
                    lead = event_at[event] - alert_at[alert]
                    if lead >= event_error[event]:
                        leads[told] = lead / MICROSECONDS_PER_HOUR
                        told += 1
    return leads[:told].copy()


class _ClaimCounter:
    """Counts claims of alerts against events, draw by draw, for one study."""

    def __init__(self, layout: Layout, draws: int) -> None:
        self._layout = layout
        self.tally = _Tally(
            np.zeros((_CLAIM_SUMS, layout.clusters), dtype=np.int64),
            np.zeros((draws, _CLAIM_SUMS), dtype=np.int64),
            [],
        )

    def add(self, alert_starts: Ints, alert_at: Ints, event_starts: Ints, event_at: Ints, event_error: Ints) -> None:
        protocol, counts = self._layout.protocol, self.tally.counts[len(self.tally.leads)]
        leads = _count_claims(
            alert_starts, alert_at, event_starts, event_at, event_error, protocol.horizon, protocol.start,
            protocol.end, protocol.cluster, self._layout.periods, self.tally.by_cluster, counts,
        )  # fmt: skip
        self.tally.leads.append(leads)


def _claim_figures(tallies: Sequence[_Tally]) -> dict[str, Floats]:
    counts = np.concatenate([tally.counts for tally in tallies])
    leads = [lead for tally in tallies for lead in tally.leads]
    with np.errstate(invalid="ignore"):
        out = {"precision": counts[:, 1] / counts[:, 0], "recall": counts[:, 3] / counts[:, 2]}
    nothing = np.full(len(_SHARES), np.nan)
    out["lead_time_hours"] = np.array([np.quantile(lead, _SHARES) if len(lead) else nothing for lead in leads])
    return out


def _claim_means(tallies: Sequence[_Tally], draws: int) -> Floats:
    """Clusters x the first columns of SUMS: mean counts of alerts and events over the draws."""
    total = sum(tally.by_cluster for tally in tallies)
    return np.asarray(total, dtype=np.float64).T / draws


def random_alerts(layout: Layout, studies: Sequence[Claims], actual: Sequence[Floats]) -> list[NullDraws]:
    """Return, by study, the null in which each entity's alerts stand at random points of its own grid.

    They are as many as it had; by default they keep the entity's gaps between alerts, in random order from a random
    point on: alerts of any alert rule keep a distance, and a distance alone raises recall and precision, because one
    alert claims one event. Against alerts strewn without it, pure noise looks skilled
    (tests/backtests/evaluation/test_coverage.py). The studies have the same alerts. Precision, recall and lead time
    only: the other figures do not depend on where alerts stand.
    """
    protocol, panel, claims = layout.protocol, layout.panel, studies[0]
    rng = generator(protocol.null_seed, ALERT_STREAM)
    starts = starts_of(claims.alert_entity, len(panel.names))
    event_starts = [starts_of(study.event_entity, len(panel.names)) for study in studies]
    clock = clocks(claims.alert_entity, claims.alert_at, len(panel.names), protocol)
    gaps, circles = alert_gaps(
        panel.grid_starts, panel.at, starts, claims.alert_row, protocol.step, clock.edges, clock.reading
    )
    each = len(claims.alert_at) * (2 if protocol.null_alerts == "spaced" else 1)

    def uniforms() -> Iterator[Floats]:
        for low in range(0, protocol.null_draws, 8):
            yield rng.random((min(8, protocol.null_draws - low), each))

    def count(uniform: Floats) -> list[_Tally]:
        counters = [_ClaimCounter(layout, len(uniform)) for _ in studies]
        for own in uniform:
            if protocol.null_alerts == "spaced":
                chosen = scatter_alerts(
                    panel.grid_starts, panel.at, starts, gaps, circles, protocol.step, own, clock.edges, clock.reading
                )
            else:
                chosen = _choose(panel.grid_starts, starts, own)
            at = panel.at[chosen]
            for study, begin, counter in zip(studies, event_starts, counters, strict=True):
                counter.add(starts, at, begin, study.event_at, study.event_error)
        return [counter.tally for counter in counters]

    by_study = zip(*in_order(count, uniforms()), strict=True)
    out = []
    for tallies, sums in zip(by_study, actual, strict=True):
        mean = np.zeros((layout.clusters, len(COLUMNS)))
        mean[:, :_CLAIM_SUMS] = _claim_means(tallies, protocol.null_draws)
        out.append(NullDraws(_claim_figures(tallies), expectation(at_home(layout, mean, sums, None, CLAIMS_BY_ALERT))))
    return out


def shifted_events(
    layout: Layout, studies: Sequence[Claims], targets: Sequence[Target], actual: Sequence[Floats]
) -> list[NullDraws]:
    """Return, by study, the null in which the events are shifted: by an offset per entity, or by a common one.

    Scores keep their autocorrelation, events their spacing and each entity its rates; only their relation in time
    is broken. `targets` says of each study which of the panel's events are its own and what is judged.
    """
    protocol, panel = layout.protocol, layout.panel
    rng = generator(protocol.null_seed, SHIFT_STREAM)
    entities, claims = len(panel.names), studies[0]
    alert_starts = starts_of(claims.alert_entity, entities)
    width = entities if protocol.null_shift == "entity" else 1
    offsets = np.array([rng.random(width) for _ in range(protocol.null_draws)])
    clock = clocks(panel.event_entity, panel.event_at, entities, protocol)
    scored_hits = np.array([sums[:, COLUMNS.index("scored_positives")].sum() for sums in actual])
    forecasts = Forecasts(layout, targets, scored_hits)

    def count(draws: tuple[int, int]) -> tuple[list[_Tally], Floats, npt.NDArray[np.int32]]:
        counters = [_ClaimCounter(layout, draws[1] - draws[0]) for _ in studies]
        figures = np.empty((draws[1] - draws[0], len(targets), len(FIGURES)))
        edges, hits = forecasts.scratch()
        for draw in range(*draws):
            at, origin = turn_events(
                panel.grid_starts, panel.at, panel.event_starts, panel.event_at, protocol.step,
                np.broadcast_to(offsets[draw], entities).copy(), clock.edges, clock.reading,
            )  # fmt: skip
            kind, error = panel.event_type[origin], panel.event_error[origin]
            for counter, target in zip(counters, targets, strict=True):
                _, own_error = target.events(panel.event_starts, error, kind)
                counter.add(alert_starts, claims.alert_at, *target.events(panel.event_starts, at, kind), own_error)
            figures[draw - draws[0]] = forecasts.judge(panel.event_starts, at, kind, edges, hits)
        return [counter.tally for counter in counters], figures, edges

    parts = list(in_order(count, stretches(protocol.null_draws, threads())))
    figures = np.concatenate([part[1] for part in parts])
    nothing = np.zeros(len(panel.at))
    without = np.hstack([point_sums(layout, nothing, 0, None), np.zeros((layout.clusters, len(RANK_SUMS)))])

    def draws_of(place: int) -> NullDraws:
        tallies = [part[0][place] for part in parts]
        share = expected_outcomes([part[2] for part in parts], protocol.null_draws, place)
        mean = np.hstack([point_sums(layout, share, 0, None), rank_sums(layout, share)])
        mean[:, :_CLAIM_SUMS] = _claim_means(tallies, protocol.null_draws)
        mean = at_home(layout, mean, actual[place], None, CLAIMS_BY_EVENT)
        mean = outcomes_at_home(layout, mean, actual[place], without)
        found = {name: figures[:, place, column] for column, name in enumerate(FIGURES)}
        return NullDraws(_claim_figures(tallies) | found, expectation(mean))

    return list(in_order(draws_of, range(len(studies))))
