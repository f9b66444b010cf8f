"""From one study's sample, draws and replicates to what the report says of it: values, intervals, nulls, reasons."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from .figures import QUARTILES, Figures, Kind, curve_times
from .inputs import Floats
from .intervals import BINOMIAL, CLUSTER_BOOTSTRAP, Interval, estimates, extreme_share, interval
from .nulls import NullDraws
from .protocol import EvaluationProtocol
from .report import KaplanMeier, Murphy, NullFigure, Quartiles, ReliabilityBin, Section
from .sample import SUMS, Claims, Sample

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


@dataclass(frozen=True)
class Study:
    """One variant of the evaluation (all, one event type, one month) with the nulls that stand beside it."""

    name: str
    sample: Sample
    claims: Claims
    kind: Kind
    nulls: Mapping[str, NullDraws]


def flat(found: Figures) -> dict[str, Floats]:
    """Return scalar figures and the quartiles of the lead time, each under its own name."""
    out = {name: found[name] for name in SCALARS if name in found}
    if LEAD in found:
        out |= {f"{LEAD}.{name}": found[LEAD][..., place] for place, (name, _) in enumerate(QUARTILES)}
    return out


def section(study: Study, protocol: EvaluationProtocol, drawn: Figures, under: Mapping[str, Figures]) -> Section:
    """Return a study's figures with intervals from its replicates `drawn`, and its nulls.

    `under`: by null, the replicates of the null's expectation, paired with `drawn`. Both are empty where the
    protocol asks for no replicates.
    """
    sample = study.sample
    found = estimates(sample, protocol, study.kind)
    values: dict[str, float | None] = {}
    reasons: dict[str, str] = {}
    for name in SCALARS:
        values[name] = _or_none(found[name]) if name in found else None
        if name not in found:
            reasons[name] = "the probability is one of any target event, not of this type alone"
        elif values[name] is None:
            reasons[name] = missing(name, sample)
    lead = None if np.isnan(found[LEAD]).any() else Quartiles(**_named(found[LEAD]))
    if lead is None:
        reasons[LEAD] = missing(LEAD, sample)

    replicates = flat(drawn)
    intervals: dict[str, Interval | None] = {}
    methods: dict[str, str] = {}
    for name, value in flat(found).items():
        intervals[name] = None
        extreme = extreme_share(name, sample, protocol)
        if np.isnan(value):
            reasons[f"intervals.{name}"] = "the figure does not exist"
        elif extreme is not None:
            intervals[name], methods[name] = extreme, BINOMIAL
        elif not replicates:
            reasons[f"intervals.{name}"] = "the protocol asks for no replicates"
        elif (spread := interval(replicates[name], protocol.level)) is not None:
            intervals[name], methods[name] = spread, CLUSTER_BOOTSTRAP
        else:
            reasons[f"intervals.{name}"] = "the figure does not exist in half of the replicates"
    total = dict(zip(SUMS, sample.sums.sum(axis=0)[: len(SUMS)].tolist(), strict=True))
    return Section(
        name=study.name,
        status="evaluated",
        n_alerts=int(total["alerts"]),
        n_events=int(total["events"]),
        n_points=int(total["points"]),
        figures=values,
        lead_time_hours=lead,
        intervals=intervals,
        interval_methods=methods,
        nulls={
            null: _null_figures(study, flat(found), draws, replicates, flat(under.get(null, {})), protocol)
            for null, draws in study.nulls.items()
        },
        reasons=reasons,
    )


def missing(name: str, sample: Sample) -> str:
    """Return why a figure of this sample does not exist."""
    total = dict(zip(SUMS, sample.sums.sum(axis=0)[: len(SUMS)].astype(int).tolist(), strict=True))
    if name == "precision":
        return "no uncensored alert"
    if name == "recall":
        return "no uncensored event"
    if name == LEAD and total["events_matched"]:
        return "every lead is shorter than the error of its event's time"
    if name in (LEAD, "kaplan_meier"):
        return "no matched event" if total["events"] else "no uncensored event"
    if not total["points"]:
        return "no uncensored grid point"
    if name == "false_positive_rate":
        return "every uncensored grid point is followed by an event"
    if not total["scored"]:
        return "no uncensored grid point has a calibrated probability"
    return f"one class only: {total['scored_positives']} of {total['scored']} points are followed by an event"


def _or_none(value: Floats | float) -> float | None:
    return None if np.isnan(value) else float(value)


def _named(values: Floats) -> dict[str, float]:
    return {name: float(value) for (name, _), value in zip(QUARTILES, values, strict=True)}


def _null_figures(
    study: Study,
    values: Mapping[str, Floats],
    draws: NullDraws,
    replicates: Mapping[str, Floats],
    expected: Mapping[str, Floats],
    protocol: EvaluationProtocol,
) -> dict[str, NullFigure]:
    at_draw = flat(draws.figures)
    centre = flat(estimates(draws.expected, protocol, Kind.EXPECTED)) if replicates else {}
    out = {}
    for name, value in values.items():
        drawn = at_draw.get(name, np.zeros(0))
        drawn = drawn[~np.isnan(drawn)]
        band = interval(drawn, protocol.level)
        if band is None:
            continue
        mean = float(np.cumsum(drawn)[-1]) / len(drawn)
        difference = p_value = spread = None
        if not np.isnan(value):
            difference = float(value) - mean
            good = drawn <= value if name in _SMALLER_IS_BETTER else drawn >= value
            # A base rate is neither good nor bad.
            p_value = None if name == "base_rate" else (1 + int(good.sum())) / (1 + len(drawn))
            extreme = extreme_share(name, study.sample, protocol)
            if extreme is not None:
                spread = Interval(extreme.lo - mean, extreme.hi - mean)
            elif replicates:
                moving = expected[name] - centre[name] if name in expected else np.zeros(len(replicates[name]))
                spread = interval(replicates[name] - (mean + moving), protocol.level)
        out[name] = NullFigure(mean, band.lo, band.hi, len(drawn), p_value, difference, spread)
    return out


def curve(values: Figures, drawn: Figures, protocol: EvaluationProtocol) -> KaplanMeier | None:
    """Return the Kaplan-Meier curve with pointwise intervals; None where there is no event."""
    survival = values["kaplan_meier.survival"]
    if np.isnan(survival).any():
        return None
    spread = drawn.get("kaplan_meier.survival")
    bands = [None if spread is None else interval(spread[:, place], protocol.level) for place in range(len(survival))]
    quartiles = {name: _or_none(value) for name, value in _named(values["kaplan_meier.quartiles"]).items()}
    return KaplanMeier(tuple(curve_times(protocol).tolist()), tuple(survival.tolist()), tuple(bands), **quartiles)


def reliability(
    values: Figures, sample: Sample, drawn: Figures, protocol: EvaluationProtocol
) -> tuple[ReliabilityBin, ...]:
    """Return the bins of the reliability diagram; an empty bin has no shares."""
    points = sample.sums.sum(axis=0)[len(SUMS) : len(SUMS) + protocol.bins]
    out = []
    for place in range(protocol.bins):
        observed = drawn["reliability.observed"][:, place] if drawn else np.zeros(0)
        out.append(
            ReliabilityBin(
                lower=place / protocol.bins,
                upper=(place + 1) / protocol.bins,
                points=int(points[place]),
                forecast=_or_none(values["reliability.forecast"][place]),
                observed=_or_none(values["reliability.observed"][place]),
                observed_interval=interval(observed, protocol.level) if points[place] else None,
            )
        )
    return tuple(out)


def murphy(values: Figures) -> Murphy | None:
    """Return the decomposition of the Brier score; None where no point is scored."""
    names = ("reliability", "resolution", "uncertainty", "within_bins")
    parts = {name: float(values[f"murphy.{name}"]) for name in names}
    return None if np.isnan(list(parts.values())).any() else Murphy(**parts)
