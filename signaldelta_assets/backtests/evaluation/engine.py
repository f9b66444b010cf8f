"""evaluate: from a score grid and events to an Evaluation, under a protocol (backtests.md, Evaluation protocol).

This module only puts the parts together; each rule lives in the module named after it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from signaldelta_assets.versioning import hash_document

from .alerts import fire
from .calibration import Fold, walk_forward
from .curves import PrecisionRecall, precision_recall
from .figures import Figures, Kind
from .inputs import TIMESTAMP, Floats, Ints, Panel, Table, read_panel
from .intervals import estimates, replicates
from .layout import Layout, lay_out
from .matching import followed, starts_of
from .nulls import RANDOM_ALERTS, SHIFTED_EVENTS, NullDraws, random_alerts, shifted_events
from .outcomes import Target
from .parallel import in_order
from .protocol import EvaluationProtocol
from .ranking import OUTCOMES, Flags
from .report import Evaluation, KaplanMeier, Murphy, ReliabilityBin, Section
from .sample import SUMS, Claims, Sample, claim, draw_sample, point_sums, rank_month, rank_points
from .sections import LEAD, SCALARS, Study, curve, flat, murphy, reliability, section

_FEW_CLUSTERS = 20
_ALL = "all"
_NO_GRID = pa.table(
    {
        "entity_id": pa.array([], pa.string()),
        "at": pa.array([], TIMESTAMP),
        "alert_score": pa.array([], pa.float64()),
        "probability": pa.array([], pa.float64()),
    }
)


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
    claims = claim(protocol, panel, fired, panel.event_entity, panel.event_at, panel.event_error)
    dataset = _dataset(panel, protocol)
    short = _short(dataset)
    outcome = followed(panel.grid_starts, panel.at, panel.event_starts, panel.event_at, protocol.horizon)
    if short:
        layout = lay_out(panel, np.full(len(panel.at), np.nan), protocol)
        return _insufficient(layout, claims, dataset, short)

    probability, folds = walk_forward(panel.at, panel.probability, outcome, protocol)
    layout = lay_out(panel, probability, protocol)
    main, *own = _studies(layout, claims, outcome)
    types = {name: next((study for study in own if study.name == name), None) for name in protocol.event_types}
    limits = _months(protocol)
    by_month = in_order(lambda name: _month(name, limits[name], layout, main, outcome), limits)
    months = dict(zip(limits, by_month, strict=True))
    studies = [main, *own, *months.values()]
    drawn = _replicates(studies, layout)

    def described(study: Study) -> Section:
        under = {null: drawn.get(_under(study, null), {}) for null in study.nulls}
        return section(study, protocol, drawn.get(study.name, {}), under)

    sections = {study.name: found for study, found in zip(studies, in_order(described, studies), strict=True)}
    whole, values = drawn.get(_ALL, {}), estimates(main.sample, protocol)
    return _report(
        layout,
        claims,
        sections[_ALL],
        dataset=dataset,
        folds=folds,
        curve=curve(values, whole, protocol),
        bins=reliability(values, main.sample, whole, protocol),
        parts=murphy(values),
        ranking=precision_recall(layout, outcome),
        by_event_type={name: sections.get(name) or _too_few(name, layout, claims) for name in types},
        by_month={name: sections[name] for name in months},
        replicates=whole,
        warnings=_warnings(layout, main.sample, folds),
    )


def _under(study: Study, null: str) -> str:
    return f"{study.name} under {null}"


def _replicates(studies: Iterable[Study], layout: Layout) -> dict[str, Figures]:
    """The replicates of every study and of the expectation of each of its nulls, all under the same weights."""
    if not layout.protocol.replicates:
        return {}
    samples = {}
    for study in studies:
        samples[study.name] = (study.sample, study.kind)
        for null, draws in study.nulls.items():
            samples[_under(study, null)] = (draws.expected, Kind.EXPECTED)
    return replicates(samples, len(layout.panel.names), layout.protocol)


def calibrated_grid(grid: Table, events: Table, protocol: EvaluationProtocol) -> pa.Table:
    """Return entity_id, at and the calibrated probability of each grid point, null where the past does not suffice.

    The value at t depends on no event after t, and on no score after t.
    """
    panel = read_panel(grid, events, protocol)
    outcome = followed(panel.grid_starts, panel.at, panel.event_starts, panel.event_at, protocol.horizon)
    probability, _ = walk_forward(panel.at, panel.probability, outcome, protocol)
    return pa.table(
        {
            "entity_id": pa.array(panel.names[panel.grid_entity], pa.string()),
            "at": _stamps(panel.at),
            "probability": pa.array(probability, mask=np.isnan(probability)),
        }
    )


def warm_up() -> None:
    """Compile everything an evaluation runs, with both calibrations, before a sandbox forbids writing the cache."""
    start, hours = 1_700_006_400, 24 * 40
    at = start + 3600 * np.arange(hours)
    score = (np.arange(hours) * 37 % 101) / 101.0
    grid = pd.DataFrame({"entity_id": "E", "at": at, "alert_score": score, "probability": score})
    events = pd.DataFrame({"entity_id": "E", "event_type": "T", "event_time": at[12::48]})
    for method in ("platt", "isotonic"):
        document = {
            "schema": "signaldelta.evaluation_protocol/1",
            "grid": {"start": start, "end": int(at[-1]), "step_seconds": 3600},
            "horizon_hours": 12,
            "embargo_hours": 0,
            "folds": 1,
            "alert": {"threshold": 0.7, "rearm_below": 0.5, "refractory_hours": 0},
            "event_types": ["T"],
            "calibration": {"method": method},
            "bootstrap": {"cluster_hours": 168, "level": 0.95, "replicates": 8, "seed": 0},
            "nulls": {"draws": 2},
            "minimum_dataset": dict.fromkeys(
                ("entities", "event_types", "events", "events_of_commonest_type", "months"), 0
            ),
        }
        evaluate(grid, events, EvaluationProtocol.from_dict(document))


def _studies(layout: Layout, claims: Claims, outcome: Flags) -> list[Study]:
    """All events, then each target type as if it were the only one, if it has enough events; with their nulls.

    The probability is one of any target event: its ranking may be held against one type, its level may not, unless
    that type is the only one.
    """
    protocol, panel = layout.protocol, layout.panel
    kind = Kind.ALL if len(protocol.event_types) == 1 else Kind.RANKING
    names, kinds, targets, own, outcomes = [_ALL], [Kind.ALL], [Target(None, True)], [claims], [outcome]
    for place, name in enumerate(protocol.event_types):
        target = Target(place, kind is Kind.ALL)
        starts, at = target.events(panel.event_starts, panel.event_at, panel.event_type)
        _, error = target.events(panel.event_starts, panel.event_error, panel.event_type)
        entity = np.repeat(np.arange(len(panel.names)), np.diff(starts))
        found = claim(protocol, panel, claims.alert_row, entity, at, error)
        if found.event_counted.sum() >= max(protocol.minimum.events_per_type, 1):
            names.append(name)
            kinds.append(kind)
            targets.append(target)
            own.append(found)
            outcomes.append(followed(panel.grid_starts, panel.at, starts, at, protocol.horizon))
    rankings = [rank_points(layout, outcomes[low : low + OUTCOMES]) for low in range(0, len(own), OUTCOMES)]
    samples = [
        draw_sample(layout, claimed, outcomes[place], rankings[place // OUTCOMES], place % OUTCOMES,
                    level=kinds[place] is Kind.ALL)
        for place, claimed in enumerate(own)
    ]  # fmt: skip
    nulls: list[dict[str, NullDraws]] = [{} for _ in own]
    if protocol.null_draws:
        sums = [sample.sums for sample in samples]
        for name, draws in (
            (RANDOM_ALERTS, random_alerts(layout, own, sums)),
            (SHIFTED_EVENTS, shifted_events(layout, own, targets, sums)),
        ):
            for study, drawn in zip(nulls, draws, strict=True):
                study[name] = drawn
    return [Study(*parts) for parts in zip(names, samples, own, kinds, nulls, strict=True)]


def _month(name: str, limits: tuple[int, int], layout: Layout, main: Study, outcome: Flags) -> Study:
    assert main.sample.ranking is not None
    # The ranking of the whole has all events as its first outcome: no other is asked for.
    ranked = rank_month(layout, main.sample.ranking, limits)
    alone = replace(ranked, hits=ranked.hits & np.uint16(1), outcomes=1)
    return Study(name, draw_sample(layout, main.claims, outcome, alone, month=limits), main.claims, Kind.ALL, {})


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
    return int(moment.timestamp()) * 1_000_000


def minimum_warning(events: Table, protocol: EvaluationProtocol) -> str | None:
    """Return what an evaluation against `events` will warn of instead of giving metrics; None where they suffice.

    It needs no scores, so that it can be said before hours are spent on them.
    """
    return _short(_dataset(read_panel(_NO_GRID, events, protocol), protocol)) or None


def _short(dataset: Mapping[str, Mapping[str, int]]) -> str:
    short = [
        f"{counts['found']} {name.replace('_', ' ')} of {counts['needed']} needed"
        for name, counts in dataset.items()
        if counts["found"] < counts["needed"]
    ]
    return "below the minimum dataset: " + ", ".join(short) if short else ""


def _dataset(panel: Panel, protocol: EvaluationProtocol) -> dict[str, dict[str, int]]:
    """What the uncensored target events amount to, beside what the protocol needs (meta-plan P09a)."""
    counted = panel.event_at - protocol.horizon >= protocol.start
    types = Counter(panel.event_type[counted].tolist())
    stamps = panel.event_at[counted].astype("datetime64[us]")
    found = {
        "events": int(counted.sum()),
        "event_types": len(types),
        "events_of_commonest_type": max(types.values(), default=0),
        "entities": len(np.unique(panel.event_entity[counted])),
        "months": len(np.unique(stamps.astype("datetime64[M]"))),
    }
    return {name: {"found": count, "needed": getattr(protocol.minimum, name)} for name, count in found.items()}


def _too_few(name: str, layout: Layout, claims: Claims) -> Section:
    """A type with too few events: its counts and base rate, no metrics."""
    protocol, panel = layout.protocol, layout.panel
    chosen = panel.event_type == protocol.event_types.index(name)
    entity, at = panel.event_entity[chosen], panel.event_at[chosen]
    outcome = followed(panel.grid_starts, panel.at, starts_of(entity, len(panel.names)), at, protocol.horizon)
    points = layout.points
    events = int(claims.event_counted[chosen].sum())
    reason = f"insufficient for evaluation: {events} events of {protocol.minimum.events_per_type} needed"
    figures: dict[str, float | None] = dict.fromkeys(SCALARS)
    positives = int(point_sums(layout, outcome, 0, None)[:, SUMS.index("positives")].sum())
    figures["base_rate"] = positives / points if points else None
    return Section(
        name=name,
        status="insufficient",
        n_alerts=int(claims.alert_counted.sum()),
        n_events=events,
        n_points=points,
        figures=figures,
        lead_time_hours=None,
        intervals={},
        interval_methods={},
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


def _stamps(microseconds: Ints) -> pa.Array[Any]:
    return pa.array(microseconds, pa.int64()).cast(TIMESTAMP)


def _matches(layout: Layout, claims: Claims) -> pa.Table:
    found = np.flatnonzero(claims.matched >= 0)
    return pa.table(
        {
            "entity_id": pa.array(layout.panel.names[claims.alert_entity[found]], pa.string()),
            "alert_at": _stamps(claims.alert_at[found]),
            "event_time": _stamps(claims.event_at[claims.matched[found]]),
        }
    )


def _short_leads(panel: Panel, claims: Claims) -> dict[str, int]:
    """Leads that are none, counted where any event's time has an error at all."""
    if not panel.event_error.any():
        return {}
    short = claims.event_counted & (claims.alert_of_event >= 0) & ~claims.lead_told
    return {"leads shorter than the error of the event's time": int(short.sum())}


def _insufficient(layout: Layout, claims: Claims, dataset: dict[str, dict[str, int]], warning: str) -> Evaluation:
    """Counts and the warning; every figure is None for the same reason."""
    nothing = Section(
        name=_ALL,
        status="insufficient",
        n_alerts=int(claims.alert_counted.sum()),
        n_events=int(claims.event_counted.sum()),
        n_points=layout.points,
        figures=dict.fromkeys(SCALARS),
        lead_time_hours=None,
        intervals={},
        interval_methods={},
        nulls={},
        reasons=dict.fromkeys((*SCALARS, LEAD, "kaplan_meier", "murphy", "precision_recall", "matches"), warning),
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
    bins: tuple[ReliabilityBin, ...] = (),
    parts: Murphy | None = None,
    ranking: PrecisionRecall | None = None,
    by_event_type: Mapping[str, Section] | None = None,
    by_month: Mapping[str, Section] | None = None,
    replicates: Mapping[str, Floats] | None = None,
) -> Evaluation:
    protocol = layout.protocol
    return Evaluation(
        protocol_hash=protocol.hash,
        entities_hash=hash_document(layout.panel.names.tolist()),
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
        interval_methods=whole.interval_methods,
        nulls=whole.nulls,
        kaplan_meier=curve,
        reliability=bins,
        murphy=parts,
        precision_recall=ranking,
        calibration=folds,
        by_event_type=by_event_type or {},
        by_month=by_month or {},
        dataset=dataset,
        left_out=layout.panel.left_out | _short_leads(layout.panel, claims),
        reasons=whole.reasons,
        warnings=warnings,
        primary_figure=protocol.primary_figure,
        smallest_effect=protocol.smallest_effect,
        replicates=flat(dict(replicates or {})),
    )
