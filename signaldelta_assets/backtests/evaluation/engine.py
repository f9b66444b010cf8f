"""evaluate: from a score grid and events to an Evaluation, under a protocol (backtests.md, Evaluation protocol).

This module only puts the parts together; each rule lives in the module named after it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

from .alerts import fire
from .calibration import Fold, walk_forward
from .figures import QUARTILES, Figures, curve_times
from .inputs import TIMESTAMP, Floats, Ints, Panel, Table, read_panel
from .intervals import Interval, estimates, extreme_share, interval, replicates
from .matching import followed, starts_of
from .nulls import RANDOM_ALERTS, SHIFTED_EVENTS, NullDraws, random_alerts, shifted_events
from .protocol import EvaluationProtocol
from .report import Evaluation, KaplanMeier, Murphy, NullFigure, Quartiles, ReliabilityBin, Section
from .sample import SUMS, Claims, Layout, Sample, claim, draw_sample, lay_out

SCALARS = (
    "precision",
    "recall",
    "false_positive_rate",
    "auc",
    "average_precision",
    "brier",
    "log_loss",
    "brier_skill",
    "base_rate",
)
LEAD = "lead_time_hours"
_SMALLER_IS_BETTER = {"false_positive_rate", "brier", "log_loss"}
_FEW_CLUSTERS = 20
_ALL = "all"


@dataclass(frozen=True)
class _Study:
    """One variant with what stands beside it."""

    sample: Sample
    claims: Claims
    probability: bool
    nulls: Mapping[str, NullDraws]


def evaluate(grid: Table, events: Table, protocol: EvaluationProtocol) -> Evaluation:
    """Return the evaluation of a score grid against labeled events.

    grid: entity_id, at, alert_score a(t) = M * C, probability in [0, 1]; events: entity_id, event_type, event_time
    (and subtype where the protocol names targets). DataFrames or Arrow tables in any row order; times are
    timestamps with a zone, or whole seconds since the epoch. Pure: the same input gives the same bytes.

    Raises EvaluationInputError naming the row and field that cannot be evaluated.
    """
    panel = read_panel(grid, events, protocol)
    fired = fire(
        panel.grid_starts, panel.at, panel.score, protocol.threshold, protocol.rearm_below, protocol.refractory
    )
    claims = claim(
        protocol,
        len(panel.names),
        panel.grid_entity[fired],
        panel.at[fired],
        panel.event_entity,
        panel.event_at,
    )
    dataset = _dataset(panel, claims, protocol)
    short = [
        f"{counts['found']} {name.replace('_', ' ')} of {counts['needed']} needed"
        for name, counts in dataset.items()
        if counts["found"] < counts["needed"]
    ]
    outcome = followed(panel.grid_starts, panel.at, panel.event_starts, panel.event_at, protocol.horizon)
    if short:
        layout = lay_out(panel, np.full(len(panel.at), np.nan), protocol)
        return _insufficient(layout, claims, dataset, "below the minimum dataset: " + ", ".join(short))

    probability, folds = walk_forward(panel.at, panel.probability, outcome, protocol)
    layout = lay_out(panel, probability, protocol)
    main = _study(layout, claims, outcome, probability=True)
    types = _by_type(layout, claims)
    months = {
        name: _Study(draw_sample(layout, claims, outcome, limits), claims, True, {})
        for name, limits in _months(protocol).items()
    }
    studies = {_ALL: main, **{f"type {name}": study for name, study in types.items() if study is not None}}
    studies |= {f"month {name}": study for name, study in months.items()}
    samples = {name: (study.sample, study.probability) for name, study in studies.items()}
    samples |= {
        f"{name} under {null}": (draws.expected, study.probability)
        for name, study in studies.items()
        for null, draws in study.nulls.items()
    }
    drawn = replicates(samples, len(panel.names), protocol) if protocol.replicates else {}
    sections = {name: _section(name, study, layout, drawn) for name, study in studies.items()}
    whole = sections[_ALL]
    values = estimates(main.sample, protocol)
    return _report(
        layout,
        claims,
        whole,
        dataset=dataset,
        folds=folds,
        curve=_curve(values, drawn.get(_ALL, {}), protocol),
        reliability=_bins(values, main.sample, drawn.get(_ALL, {}), protocol),
        murphy=_murphy(values),
        by_event_type={
            name: sections[f"type {name}"] if study is not None else _too_few(name, layout, claims)
            for name, study in types.items()
        },
        by_month={name: sections[f"month {name}"] for name in months},
        replicates=drawn.get(_ALL, {}),
        warnings=_warnings(layout, main.sample, folds),
    )


def calibrated_grid(grid: Table, events: Table, protocol: EvaluationProtocol) -> pa.Table:
    """Return entity_id, at and the calibrated probability of each grid point, null where the past does not suffice.

    The value at t depends on no event after t, and on no score after t.
    """
    panel = read_panel(grid, events, protocol)
    outcome = followed(panel.grid_starts, panel.at, panel.event_starts, panel.event_at, protocol.horizon)
    probability, _ = walk_forward(panel.at, panel.probability, outcome, protocol)
    return pa.table(
        {
            "entity_id": panel.names.take(pa.array(panel.grid_entity)),
            "at": _stamps(panel.at),
            "probability": pa.array(probability, mask=np.isnan(probability)),
        }
    )


def _study(layout: Layout, claims: Claims, outcome: npt.NDArray[np.bool_], probability: bool) -> _Study:
    sample = draw_sample(layout, claims, outcome)
    nulls = {}
    if layout.protocol.null_draws:
        nulls[RANDOM_ALERTS] = random_alerts(layout, claims, sample)
        nulls[SHIFTED_EVENTS] = shifted_events(layout, claims, probability)
    return _Study(sample, claims, probability, nulls)


def _by_type(layout: Layout, claims: Claims) -> dict[str, _Study | None]:
    """Each target type as if it were the only one; None below the least number of events of a type.

    The probability is one of any target event: its ranking may be held against one type, its level may not, unless
    that type is the only one.
    """
    protocol, panel = layout.protocol, layout.panel
    studies: dict[str, _Study | None] = {}
    for place, name in enumerate(protocol.event_types):
        chosen = panel.event_type == place
        entity, at = panel.event_entity[chosen], panel.event_at[chosen]
        own = claim(protocol, len(panel.names), claims.alert_entity, claims.alert_at, entity, at)
        studies[name] = None
        if own.event_counted.sum() >= max(protocol.minimum.events_per_type, 1):
            outcome = followed(panel.grid_starts, panel.at, starts_of(entity, len(panel.names)), at, protocol.horizon)
            studies[name] = _study(layout, own, outcome, probability=len(protocol.event_types) == 1)
    return studies


def _months(protocol: EvaluationProtocol) -> dict[str, tuple[int, int]]:
    """The calendar months (UTC) that the grid touches, with their limits in microseconds."""
    first, last = (pd.Timestamp(moment, unit="us", tz="UTC") for moment in (protocol.start, protocol.end))
    month = first.normalize().replace(day=1)
    months = {}
    while month <= last:
        following = month + pd.DateOffset(months=1)
        months[f"{month:%Y-%m}"] = (_microseconds(month), _microseconds(following))
        month = following
    return months


def _microseconds(moment: pd.Timestamp) -> int:
    return int(moment.as_unit("us").value)


def _dataset(panel: Panel, claims: Claims, protocol: EvaluationProtocol) -> dict[str, dict[str, int]]:
    """What the uncensored target events amount to, beside what the protocol needs (meta-plan P09a)."""
    counted = claims.event_counted
    types = Counter(panel.event_type[counted].tolist())
    stamps = claims.event_at[counted].astype("datetime64[us]")
    found = {
        "events": int(counted.sum()),
        "event_types": len(types),
        "events_of_commonest_type": max(types.values(), default=0),
        "entities": len(np.unique(claims.event_entity[counted])),
        "months": len(np.unique(stamps.astype("datetime64[M]"))),
    }
    return {name: {"found": count, "needed": getattr(protocol.minimum, name)} for name, count in found.items()}


def _missing(name: str, sample: Sample) -> str:
    """Why a figure of this sample does not exist."""
    total = dict(zip(SUMS, sample.sums[:, : len(SUMS)].sum(axis=0).astype(int).tolist(), strict=True))
    if name == "precision":
        return "no uncensored alert"
    if name == "recall":
        return "no uncensored event"
    if name.startswith((LEAD, "kaplan_meier")):
        return "no matched event" if total["events"] else "no uncensored event"
    if not total["points"]:
        return "no uncensored grid point"
    if name == "false_positive_rate":
        return "every uncensored grid point is followed by an event"
    if not total["scored"]:
        return "no uncensored grid point has a calibrated probability"
    return f"one class only: {total['scored_positives']} of {total['scored']} points are followed by an event"


def _section(name: str, study: _Study, layout: Layout, drawn: Mapping[str, Figures]) -> Section:
    """Figures, intervals and nulls of one study."""
    protocol, sample = layout.protocol, study.sample
    found = estimates(sample, protocol, study.probability)
    reasons: dict[str, str] = {}
    values: dict[str, float | None] = {}
    for figure in SCALARS:
        value = float(found[figure]) if figure in found else np.nan
        values[figure] = None if np.isnan(value) else value
        if figure not in found:
            reasons[figure] = "the probability is one of any target event, not of this type"
        elif np.isnan(value):
            reasons[figure] = _missing(figure, sample)
    lead = None if np.isnan(found[LEAD]).any() else Quartiles(**_named(found[LEAD]))
    if lead is None:
        reasons[LEAD] = _missing(LEAD, sample)
    own = drawn.get(name, {})
    intervals: dict[str, Interval | None] = {}
    flat = _flat(found)
    for figure, value in flat.items():
        intervals[figure] = None
        if np.isnan(value):
            reasons[f"intervals.{figure}"] = "the figure does not exist"
        elif not own:
            reasons[f"intervals.{figure}"] = "the protocol asks for no replicates"
        else:
            intervals[figure] = extreme_share(figure, sample, protocol.level, protocol.blocks) or interval(
                _flat(own)[figure], protocol.level
            )
            if intervals[figure] is None:
                reasons[f"intervals.{figure}"] = "it does not exist in half of the replicates"
    nulls = {
        null: _null_figures(flat, draws, _flat(own), drawn.get(f"{name} under {null}", {}), protocol)
        for null, draws in study.nulls.items()
    }
    total = sample.sums.sum(axis=0)
    return Section(
        name=name.removeprefix("type ").removeprefix("month "),
        status="evaluated",
        n_alerts=int(total[SUMS.index("alerts")]),
        n_events=int(total[SUMS.index("events")]),
        n_points=int(total[SUMS.index("points")]),
        figures=values,
        lead_time_hours=lead,
        intervals=intervals,
        nulls=nulls,
        reasons=reasons,
    )


def _named(values: Floats) -> dict[str, float]:
    return {name: float(value) for (name, _), value in zip(QUARTILES, values, strict=True)}


def _flat(found: Figures) -> dict[str, Floats]:
    """Scalar figures and the three quartiles of the lead time, each under its own name; the last axis is dropped."""
    flat = {name: found[name] for name in SCALARS if name in found}
    if LEAD in found:
        flat |= {f"{LEAD}.{name}": found[LEAD][..., place] for place, (name, _) in enumerate(QUARTILES)}
    return flat


def _null_figures(
    values: Mapping[str, Floats],
    draws: NullDraws,
    own: Mapping[str, Floats],
    expected: Figures,
    protocol: EvaluationProtocol,
) -> dict[str, NullFigure]:
    at_draw, resampled = _flat_draws(draws), _flat(expected)
    centre = _flat(estimates(draws.expected, protocol)) if own else {}
    out = {}
    for name, value in values.items():
        drawn = at_draw.get(name, np.full(0, np.nan))
        drawn = drawn[~np.isnan(drawn)]
        if not len(drawn):
            continue
        mean = float(np.cumsum(drawn)[-1]) / len(drawn)
        band = interval(drawn, protocol.level)
        assert band is not None
        difference = p_value = spread = None
        if not np.isnan(value):
            difference = float(value) - mean
            good = drawn <= value if name in _SMALLER_IS_BETTER else drawn >= value
            p_value = (1 + int(good.sum())) / (1 + len(drawn))
            if name == "base_rate":
                p_value = None
            if name in own:
                # A lead time under the null has no expectation by cluster: there the null is held fixed.
                moving = 0.0 if name.startswith(LEAD) else resampled[name] - centre[name]
                spread = interval(own[name] - (mean + moving), protocol.level)
        out[name] = NullFigure(mean, band.lo, band.hi, len(drawn), p_value, difference, spread)
    return out


def _flat_draws(draws: NullDraws) -> dict[str, Floats]:
    return _flat(draws.figures)


def _curve(values: Figures, drawn: Figures, protocol: EvaluationProtocol) -> KaplanMeier | None:
    survival = values["kaplan_meier.survival"]
    if np.isnan(survival).any():
        return None
    spread = drawn.get("kaplan_meier.survival")
    bands = [None if spread is None else interval(spread[:, place], protocol.level) for place in range(len(survival))]
    quartiles = {
        name: None if np.isnan(value) else value for name, value in _named(values["kaplan_meier.quartiles"]).items()
    }
    return KaplanMeier(tuple(curve_times(protocol).tolist()), tuple(survival.tolist()), tuple(bands), **quartiles)


def _bins(values: Figures, sample: Sample, drawn: Figures, protocol: EvaluationProtocol) -> tuple[ReliabilityBin, ...]:
    points = sample.sums.sum(axis=0)[len(SUMS) : len(SUMS) + protocol.bins]
    out = []
    for place in range(protocol.bins):
        held = points[place] > 0
        spread = interval(drawn["reliability.observed"][:, place], protocol.level) if drawn and held else None
        out.append(
            ReliabilityBin(
                lower=place / protocol.bins,
                upper=(place + 1) / protocol.bins,
                points=int(points[place]),
                forecast=float(values["reliability.forecast"][place]) if held else None,
                observed=float(values["reliability.observed"][place]) if held else None,
                observed_interval=spread,
            )
        )
    return tuple(out)


def _murphy(values: Figures) -> Murphy | None:
    parts = {
        name: float(values[f"murphy.{name}"]) for name in ("reliability", "resolution", "uncertainty", "within_bins")
    }
    return None if np.isnan(list(parts.values())).any() else Murphy(**parts)


def _too_few(name: str, layout: Layout, claims: Claims) -> Section:
    """A type with too few events: its counts and base rate, no metrics."""
    protocol, panel = layout.protocol, layout.panel
    chosen = panel.event_type == protocol.event_types.index(name)
    entity, at = panel.event_entity[chosen], panel.event_at[chosen]
    outcome = followed(panel.grid_starts, panel.at, starts_of(entity, len(panel.names)), at, protocol.horizon)
    points = int(layout.uncensored.sum())
    events = int(claims.event_counted[chosen].sum())
    reason = f"insufficient for evaluation: {events} events of {protocol.minimum.events_per_type} needed"
    figures: dict[str, float | None] = dict.fromkeys(SCALARS)
    figures["base_rate"] = int(outcome[layout.uncensored].sum()) / points if points else None
    return Section(
        name=name,
        status="insufficient",
        n_alerts=int(claims.alert_counted.sum()),
        n_events=events,
        n_points=points,
        figures=figures,
        lead_time_hours=None,
        intervals={},
        nulls={},
        reasons={figure: reason for figure in (*SCALARS, LEAD) if figures.get(figure) is None},
    )


def _warnings(layout: Layout, sample: Sample, folds: tuple[Fold, ...]) -> tuple[str, ...]:
    protocol, panel = layout.protocol, layout.panel
    out = []
    held = len(sample.held)
    if held and held // protocol.blocks < _FEW_CLUSTERS:
        out.append(f"intervals rest on {held} clusters, drawn in runs of {protocol.blocks}: too few to be trusted")
    covered = np.diff(panel.grid_starts) > 0
    unscored = int((~covered[panel.event_entity]).sum())
    if unscored:
        out.append(f"{unscored} events of entities without a grid point count as not forecast")
    steps = (protocol.end - protocol.start) // protocol.step + 1
    absent = steps * int(covered.sum()) - len(panel.at)
    if absent:
        out.append(f"{absent} of {steps * int(covered.sum())} grid points of the scored entities are absent")
    outside = panel.left_out["grid points outside the protocol's grid"]
    if outside:
        out.append(f"{outside} grid points outside the protocol's grid are left out")
    out.extend(f"no calibrated probability from {_iso(fold.start)} on: {fold.reason}" for fold in folds if fold.reason)
    return tuple(out)


def _iso(microseconds: int) -> str:
    return str(pd.Timestamp(microseconds, unit="us", tz="UTC").isoformat())


def _stamps(microseconds: Ints) -> pa.Array:
    return pa.array(microseconds, pa.int64()).cast(TIMESTAMP)


def _matches(layout: Layout, claims: Claims) -> pa.Table:
    found = np.flatnonzero(claims.matched >= 0)
    return pa.table(
        {
            "entity_id": layout.panel.names.take(pa.array(claims.alert_entity[found])),
            "alert_at": _stamps(claims.alert_at[found]),
            "event_time": _stamps(claims.event_at[claims.matched[found]]),
        }
    )


def _insufficient(layout: Layout, claims: Claims, dataset: dict[str, dict[str, int]], warning: str) -> Evaluation:
    """Counts and the warning; every figure is None for the same reason."""
    nothing = Section(
        name=_ALL,
        status="insufficient",
        n_alerts=int(claims.alert_counted.sum()),
        n_events=int(claims.event_counted.sum()),
        n_points=int(layout.uncensored.sum()),
        figures=dict.fromkeys(SCALARS),
        lead_time_hours=None,
        intervals={},
        nulls={},
        reasons=dict.fromkeys((*SCALARS, LEAD, "kaplan_meier", "murphy", "matches"), warning),
    )
    unmatched = replace(claims, matched=np.full(len(claims.matched), -1, dtype=np.int64))
    return _report(layout, unmatched, nothing, dataset=dataset, warnings=(warning,))


def _report(
    layout: Layout,
    claims: Claims,
    whole: Section,
    *,
    dataset: dict[str, dict[str, int]],
    warnings: tuple[str, ...],
    folds: tuple[Fold, ...] = (),
    curve: KaplanMeier | None = None,
    reliability: tuple[ReliabilityBin, ...] = (),
    murphy: Murphy | None = None,
    by_event_type: Mapping[str, Section] | None = None,
    by_month: Mapping[str, Section] | None = None,
    replicates: Mapping[str, Floats] | None = None,
) -> Evaluation:
    protocol = layout.protocol
    return Evaluation(
        protocol_hash=protocol.hash,
        status=whole.status,
        **{name: whole.figures[name] for name in SCALARS},
        lead_time_hours=whole.lead_time_hours,
        n_alerts=whole.n_alerts,
        n_events=whole.n_events,
        n_points=whole.n_points,
        n_scored_points=len(layout.order),
        n_entities=int((np.diff(layout.panel.grid_starts) > 0).sum()),
        censored_alerts=int((~claims.alert_counted).sum()),
        censored_events=int((~claims.event_counted).sum()),
        matches=_matches(layout, claims),
        intervals=whole.intervals,
        interval_methods={},
        nulls=whole.nulls,
        kaplan_meier=curve,
        reliability=reliability,
        murphy=murphy,
        calibration=folds,
        by_event_type=by_event_type or {},
        by_month=by_month or {},
        dataset=dataset,
        left_out=layout.panel.left_out,
        reasons=whole.reasons,
        warnings=warnings,
        primary_figure=protocol.primary_figure,
        smallest_effect=protocol.smallest_effect,
        replicates=_flat(dict(replicates or {})),
    )
